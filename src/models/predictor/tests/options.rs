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
