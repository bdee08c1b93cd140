//! Options in BigQuery's and Spark's spelling.

use super::*;

fn parse(model_type: &str, given: &[(&str, &str)]) -> Result<std::collections::BTreeMap<String, String>> {
    PredictorOptions::parse("m", model_type, &options(model_type, given)).map(|options| options.parameters())
}

#[track_caller]
fn check(model_type: &str, given: &[(&str, &str)], expected: &[(&str, &str)]) {
    let parameters = parse(model_type, given).unwrap();
    for (name, value) in expected {
        assert_eq!(parameters.get(*name).map(String::as_str), Some(*value), "{model_type} {given:?}: {name}");
    }
}

#[test]
fn mistakes_are_named() {
    let check = |model_type: &str, given: &[(&str, &str)], parts: &[&str]| {
        check_error(parse(model_type, given), Code::InvalidParameter, parts);
    };
    check("random_forest_classifier", &[("num_parallel_trees", "3")], &["unknown option \"num_parallel_trees\"", "\"num_parallel_tree\""]);
    check("random_forest_classifier", &[("numTrees", "3"), ("num_parallel_tree", "3")], &["given twice", "\"numTrees\""]);
    check("random_forest_classifier", &[("numTrees", "0")], &["\"numTrees\"", "from 1"]);
    check("random_forest_regressor", &[("impurity", "gini")], &["'gini'", "variance"]);
    check("random_forest_regressor", &[("auto_class_weights", "true")], &["unknown option"]);
    check("random_forest_classifier", &[("subsample", "0")], &["above 0"]);
    check("random_forest_classifier", &[("feature_subset_strategy", "some")], &["'some'", "onethird"]);
    check("linear_reg", &[("regParam", "0.1"), ("l2_reg", "1")], &["penalties of two systems"]);
    check("linear_reg", &[("calculate_p_values", "true"), ("l2_reg", "1")], &["p-values", "l2_reg=0"]);
    check("linear_reg", &[("data_split_method", "seq")], &["needs the option \"data_split_col\""]);
    check("linear_reg", &[("data_split_col", "t")], &["needs data_split_method"]);
    check("linear_reg", &[("data_split_eval_fraction", "1")], &["between 0 and 1"]);
    check("linear_reg", &[("num_trials", "4")], &["nothing to search for"]);
    check("kmeans", &[("input_label_cols", "y")], &["unknown option"]);
    check("pca", &[("k", "2"), ("pca_explained_variance_ratio", "0.9")], &["two options"]);
    check_error(parse("glm", &[("family", "tweedie")]), Code::NotSupported, &["tweedie"]);
    check_error(parse("logistic_reg", &[("l1_reg", "1")]), Code::NotSupported, &["l1 penalty"]);
    check_error(parse("boosted_tree_regressor", &[("booster_type", "dart")]), Code::NotSupported, &["dart"]);
    let labels = |labels: Vec<ModelOption>| {
        let mut given = options("linear_reg", &[]);
        given.push(("input_label_cols".to_owned(), ModelOption::List(labels)));
        PredictorOptions::parse("m", "linear_reg", &given)
    };
    check_error(labels(vec![]), Code::InvalidParameter, &["\"input_label_cols\"", "['Churn']"]);
    check_error(labels(vec![text("a"), text("b")]), Code::NotSupported, &["2 labels", "a model for each"]);
    assert_eq!(labels(vec![text("a")]).unwrap().label.as_deref(), Some("a"));
}

#[test]
fn what_would_make_another_model_elsewhere_is_refused() {
    let refused = |model_type: &str, option: (&str, &str), parts: &[&str]| {
        let parts = [&[option.0, "is not supported"], parts].concat();
        check_error(parse(model_type, &[option]), Code::NotSupported, &parts);
    };
    let (regressor, classifier, forest) = ("boosted_tree_regressor", "boosted_tree_classifier", "random_forest_classifier");
    refused(regressor, ("lossType", "absolute"), &["\"lossType\" of model \"m\" is 'absolute'", "lower the squared error", "Leave it out"]);
    refused(classifier, ("lossType", "SQUARED"), &["'squared'", "log loss"]);
    refused(classifier, ("impurity", "gini"), &["'gini'", "random forest"]);
    refused(forest, ("minWeightFractionPerNode", "0.1"), &["is 0.1", "min_tree_child_weight"]);
    refused(forest, ("category_encoding_method", "ONE_HOT_ENCODING"), &["'one_hot_encoding'", "as they are"]);
    refused(regressor, ("categoryEncodingMethod", "target_encoding"), &["'target_encoding'"]);
    refused(regressor, ("tree_method", "exact"), &["'exact'", "max_bins"]);
    refused(regressor, ("num_parallel_tree", "4"), &["is 4", "random forest"]);
    refused(forest, ("colsample_bylevel", "0.5"), &["colsample_bynode"]);
    refused("logistic_reg", ("threshold", "0.7"), &["is 0.7", "ML.PREDICT"]);
    for model_type in MODEL_TYPES {
        refused(model_type, ("warm_start", "true"), &["is TRUE", "fitted from the beginning"]);
        refused(model_type, ("featuresCol", "age"), &["is 'age'", "training query"]);
        refused(model_type, ("predictionCol", "guess"), &["is 'guess'", "AS"]);
    }
    check_error(parse("elastic_net", &[("standardization", "true"), ("l1_reg", "1")]), Code::NotSupported, &["use regParam"]);
    check_error(parse("glm", &[("standardization", "true"), ("regParam", "1")]), Code::NotSupported, &["standardization"]);
    let glm = parse("glm", &[("standardization", "true"), ("l2_reg", "1")]);
    check_error(glm, Code::NotSupported, &["as they came: leave standardization out"]);
    // What no system has is a mistake.
    for (model_type, option) in [
        (regressor, ("lossType", "huber")),
        (forest, ("minWeightFractionPerNode", "-1")),
        ("logistic_reg", ("family", "poisson")),
        (forest, ("tree_method", "fast")),
        ("linear_reg", ("solver", "magic")),
        ("linear_reg", ("optimize_strategy", "best")),
        ("logistic_reg", ("learn_rate", "quick")),
        ("logistic_reg", ("learn_rate_strategy", "quick")),
        ("kmeans", ("initSteps", "0")),
        ("pca", ("pca_solver", "half")),
    ] {
        check_error(parse(model_type, &[option]), Code::InvalidParameter, &[option.0, option.1]);
    }
}

#[test]
fn what_says_the_same_elsewhere_is_taken() {
    let check = |model_type: &str, given: &[(&str, &str)]| {
        parse(model_type, given).unwrap_or_else(|error| panic!("{model_type} {given:?}: {error}"));
    };
    check("boosted_tree_regressor", &[("lossType", "Squared"), ("impurity", "variance"), ("minWeightFractionPerNode", "0.0")]);
    check("linear_reg", &[("featuresCol", "features"), ("predictionCol", "prediction")]);
    check("boosted_tree_classifier", &[("lossType", "logistic"), ("tree_method", "AUTO"), ("validationTol", "0.01")]);
    check(
        "boosted_tree_classifier",
        &[("category_encoding_method", "LABEL_ENCODING"), ("booster_type", "GBTREE"), ("warm_start", "false")],
    );
    check("random_forest_regressor", &[("tree_method", "hist"), ("cacheNodeIds", "true"), ("maxMemoryInMB", "512")]);
    for solver in ["auto", "normal", "l-bfgs"] {
        check("linear_reg", &[("solver", solver), ("aggregationDepth", "2")]);
    }
    check(
        "boosted_tree_classifier",
        &[("num_parallel_tree", "1"), ("l1_reg", "0"), ("colsample_bylevel", "1"), ("dart_normalize_type", "TREE")],
    );
    check("logistic_reg", &[("family", "auto"), ("threshold", "0.5")]);
    check("kmeans", &[("solver", "auto"), ("initSteps", "2")]);
    check("glm", &[("solver", "IRLS"), ("standardization", "false"), ("regParam", "1")]);
    check("linear_reg", &[("standardization", "true"), ("l2_reg", "0")]);
    check("logistic_reg", &[("optimize_strategy", "BATCH_GRADIENT_DESCENT"), ("learn_rate_strategy", "CONSTANT"), ("learn_rate", "0.4")]);
    check("linear_reg", &[("learn_rate_strategy", "LINE_SEARCH"), ("ls_init_learn_rate", "0.1"), ("optimizeStrategy", "NORMAL_EQUATION")]);
    check("kmeans", &[("initSteps", "2"), ("initMode", "k-means||")]);
    check("pca", &[("pca_solver", "RANDOMIZED")]);
}

#[test]
fn boosting_has_features_of_a_node_and_a_share_of_progress() {
    let boosted = "boosted_tree_regressor";
    check(boosted, &[], &[("feature_subset_strategy", "all"), ("early_stop", "false")]);
    check(boosted, &[("featureSubsetStrategy", "auto")], &[("feature_subset_strategy", "all")]);
    check(boosted, &[("featureSubsetStrategy", "sqrt")], &[("feature_subset_strategy", "sqrt")]);
    check(boosted, &[("colsample_bynode", "0.5")], &[("feature_subset_strategy", "0.5")]);
    check(boosted, &[("min_rel_progress", "0.02")], &[("early_stop", "true"), ("min_rel_progress", "0.02")]);
    check(boosted, &[("validationTol", "0.02"), ("early_stop", "true")], &[("min_rel_progress", "0.02")]);
    // Spark's has no effect without rows to validate on; what goes by ten iterations has no share.
    for given in [[("validationTol", "0.02"), ("early_stop", "false")], [("validationTol", "0.02"), ("seed", "1")]] {
        let parameters = parse(boosted, &given).unwrap();
        assert_eq!((parameters["early_stop"].as_str(), parameters.get("min_rel_progress")), ("false", None), "{given:?}");
    }
    assert_eq!(parse(boosted, &[("early_stop", "true")]).unwrap().get("min_rel_progress"), None);
    let contradiction = parse(boosted, &[("min_rel_progress", "0.02"), ("early_stop", "false")]);
    check_error(contradiction, Code::InvalidParameter, &["\"min_rel_progress\"", "needs early_stop", "early_stop is FALSE"]);
}

#[test]
fn an_elastic_net_without_a_strength_minds_the_standardization() {
    check("elastic_net", &[], &[("regParam", "0.01"), ("elasticNetParam", "0.5"), ("standardization", "true")]);
    check("elastic_net", &[("standardization", "false")], &[("regParam", "0.01"), ("standardization", "false")]);
}

#[test]
fn options_have_the_names_of_both_systems() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("random_forest_classifier", "num_parallel_tree", &["numTrees"]),
        ("boosted_tree_regressor", "learn_rate", &["stepSize", "eta"]),
        ("naive_bayes", "smoothing", &["alpha"]),
        ("kmeans", "num_clusters", &["k"]),
        ("kmeans", "tolerance", &["tol", "min_rel_progress"]),
        ("linear_reg", "k_folds", &["numFolds"]),
        // Not beside the name in the singular.
        ("linear_reg", "input_label_cols", &["labelCol"]),
        ("linear_reg", "data_split_method", &[]),
        ("matrix_factorization", "num_factors", &["rank"]),
        ("matrix_factorization", "max_iterations", &["maxIter"]),
        ("spark", "model_path", &[]),
    ];
    for (model_type, option, others) in cases {
        assert_eq!(ModelOptions::other_spellings(model_type, option), *others, "{model_type} {option}");
    }
}

#[test]
fn defaults_follow_the_spelling() {
    let forest = "random_forest_classifier";
    check(forest, &[], &[("num_parallel_tree", "100"), ("max_tree_depth", "15"), ("max_bins", "255"), ("data_split_method", "random")]);
    check(forest, &[("maxDepth", "7")], &[("num_parallel_tree", "20"), ("max_tree_depth", "7"), ("max_bins", "32")]);
    check(forest, &[("max_tree_depth", "0")], &[("max_tree_depth", "unlimited")]);
    check(forest, &[("maxDepth", "0")], &[("max_tree_depth", "0")]);
    check(
        forest,
        &[("featureSubsetStrategy", "0.5"), ("minInstancesPerNode", "3")],
        &[("feature_subset_strategy", "0.5"), ("min_tree_child_weight", "3")],
    );
    check(forest, &[("max_bins", "64")], &[("max_bins", "64"), ("num_parallel_tree", "100")]);
    check(forest, &[("maxBins", "64")], &[("max_bins", "64"), ("num_parallel_tree", "20")]);
    check("boosted_tree_regressor", &[], &[("max_iterations", "20"), ("learn_rate", "0.3"), ("max_tree_depth", "6"), ("l2_reg", "1")]);
    check("boosted_tree_regressor", &[("stepSize", "0.2")], &[("learn_rate", "0.2"), ("max_tree_depth", "5"), ("l2_reg", "0")]);
    check("linear_reg", &[], &[("l1_reg", "0"), ("l2_reg", "0")]);
    check("linear_reg", &[("regParam", "0.5"), ("elasticNetParam", "0.25")], &[("regParam", "0.5"), ("elasticNetParam", "0.25")]);
    check("logistic_reg", &[], &[("l2_reg", "1")]);
    check("logistic_reg", &[("labelCol", "y")], &[("l2_reg", "0")]);
    check("glm", &[("family", "gamma")], &[("link", "log")]);
    check("glm", &[("family", "gamma"), ("maxIter", "25")], &[("link", "inverse")]);
    check("kmeans", &[], &[("num_clusters", "auto"), ("standardize_features", "true"), ("data_split_method", "no_split")]);
    check("kmeans", &[("k", "4")], &[("num_clusters", "4"), ("standardize_features", "false")]);
    check("pca", &[("pca_explained_variance_ratio", "0.9")], &[("pca_explained_variance_ratio", "0.9"), ("scale_features", "true")]);
}

#[test]
fn every_type_has_options_of_its_own_and_none_twice() {
    for model_type in MODEL_TYPES {
        let mut names: Vec<String> = Vec::new();
        for known in known::of_type(model_type) {
            names.extend(std::iter::once(known.name).chain(known.aliases.iter().copied()).map(crate::models::option::fold));
        }
        let n_names = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), n_names, "{model_type}");
        parse(model_type, &[]).unwrap();
    }
}
