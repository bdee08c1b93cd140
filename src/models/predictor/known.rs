//! Which options each model type knows: BigQuery's names first, Spark's as aliases.

use crate::models::option::{Kind, Known, fold, known};
use std::sync::LazyLock;

use Kind::{Ignored, Searchable, Supported};

/// The options of a model type; of [`super::MODEL_TYPES`] only.
pub(super) fn of_type(model_type: &str) -> &'static [Known] {
    static LINEAR: LazyLock<Vec<Known>> = LazyLock::new(|| all([common(), supervised(), penalties(), iterative(), encoding()]));
    static GLM: LazyLock<Vec<Known>> = LazyLock::new(|| all([common(), supervised(), penalties(), iterative(), encoding(), glm()]));
    static LOGISTIC: LazyLock<Vec<Known>> =
        LazyLock::new(|| all([common(), supervised(), penalties(), iterative(), encoding(), classifier(), logistic()]));
    static FOREST: LazyLock<Vec<Known>> = LazyLock::new(|| all([common(), supervised(), tree(), forest()]));
    static FOREST_CLASSIFIER: LazyLock<Vec<Known>> = LazyLock::new(|| all([common(), supervised(), tree(), forest(), classifier()]));
    static BOOSTED: LazyLock<Vec<Known>> = LazyLock::new(|| all([common(), supervised(), tree(), boosted()]));
    static BOOSTED_CLASSIFIER: LazyLock<Vec<Known>> = LazyLock::new(|| all([common(), supervised(), tree(), boosted(), classifier()]));
    static BAYES: LazyLock<Vec<Known>> = LazyLock::new(|| all([common(), supervised(), classifier(), bayes()]));
    static KMEANS: LazyLock<Vec<Known>> = LazyLock::new(|| all([common(), kmeans()]));
    static PCA: LazyLock<Vec<Known>> = LazyLock::new(|| all([common(), pca()]));
    match model_type {
        "glm" => &GLM,
        "logistic_reg" => &LOGISTIC,
        "random_forest_regressor" => &FOREST,
        "random_forest_classifier" => &FOREST_CLASSIFIER,
        "boosted_tree_regressor" => &BOOSTED,
        "boosted_tree_classifier" => &BOOSTED_CLASSIFIER,
        "naive_bayes" => &BAYES,
        "kmeans" => &KMEANS,
        "pca" => &PCA,
        _ => &LINEAR,
    }
}

/// Whether an option, as written, is Spark's spelling: then the defaults of what is left out are Spark's too. Words
/// joined by underscores are not.
pub(super) fn is_spark(option: &str) -> bool {
    // As `fold` makes them of camel case; names that BigQuery has as well are not among them.
    const SPELLINGS: &[&str] = &[
        "labelcol",
        "maxiter",
        "tol",
        "regparam",
        "elasticnetparam",
        "standardization",
        "numtrees",
        "maxdepth",
        "maxbins",
        "mininstancespernode",
        "mininfogain",
        "minweightfractionpernode",
        "subsamplingrate",
        "featuresubsetstrategy",
        "impurity",
        "stepsize",
        "k",
        "initmode",
        "initsteps",
        "distancemeasure",
        "smoothing",
        "losstype",
        "validationtol",
    ];
    !option.contains('_') && SPELLINGS.contains(&fold(option).as_str())
}

/// Searched options whose values are whole numbers.
pub(super) fn is_integer(option: &str) -> bool {
    const INTEGERS: &[&str] =
        &["max_iterations", "num_parallel_tree", "max_tree_depth", "max_bins", "num_clusters", "num_principal_components"];
    INTEGERS.contains(&option)
}

fn all<const N: usize>(parts: [Vec<Known>; N]) -> Vec<Known> {
    parts.into_iter().flatten().collect()
}

fn common() -> Vec<Known> {
    vec![
        known("model_type", &[], Supported),
        known("seed", &["random_seed"], Supported),
        known("data_split_method", &[], Supported),
        known("data_split_eval_fraction", &[], Supported),
        known("data_split_col", &[], Supported),
        known("refit", &[], Supported),
        known("num_trials", &[], Supported),
        known("hparam_tuning_algorithm", &[], Supported),
        known("hparam_tuning_objectives", &["hparam_tuning_objective"], Supported),
        known("max_parallel_trials", &[], Ignored),
        known("warm_start", &[], Supported),
        known("model_registry", &[], Ignored),
        known("vertex_ai_model_id", &[], Ignored),
        known("enable_global_explain", &[], Ignored),
        known("approx_global_feature_contrib", &[], Ignored),
        known("featuresCol", &[], Supported),
        known("predictionCol", &[], Supported),
        known("probabilityCol", &[], Supported),
        known("rawPredictionCol", &[], Supported),
        known("leafCol", &[], Supported),
        known("aggregationDepth", &[], Ignored),
        known("maxBlockSizeInMB", &[], Ignored),
        known("checkpointInterval", &[], Ignored),
    ]
}

fn supervised() -> Vec<Known> {
    vec![
        known("input_label_cols", &["labelCol", "input_label_col"], Supported),
        known("weight_col", &[], Supported),
        known("k_folds", &["numFolds"], Supported),
    ]
}

fn classifier() -> Vec<Known> {
    vec![known("auto_class_weights", &[], Supported), known("class_weights", &[], Supported)]
}

fn penalties() -> Vec<Known> {
    vec![
        known("l1_reg", &[], Searchable),
        known("l2_reg", &[], Searchable),
        known("regParam", &[], Searchable),
        known("elasticNetParam", &[], Searchable),
        known("standardization", &[], Supported),
        known("fit_intercept", &[], Supported),
        known("calculate_p_values", &[], Supported),
    ]
}

/// Our solvers need no learning rate; they stop when they are there.
fn iterative() -> Vec<Known> {
    vec![
        known("max_iterations", &["maxIter"], Supported),
        known("tolerance", &["tol", "min_rel_progress"], Supported),
        known("early_stop", &[], Supported),
        known("learn_rate", &[], Supported),
        known("learn_rate_strategy", &[], Supported),
        known("ls_init_learn_rate", &[], Supported),
        known("optimize_strategy", &[], Supported),
        known("solver", &[], Supported),
    ]
}

fn encoding() -> Vec<Known> {
    vec![known("category_encoding_method", &[], Supported)]
}

fn logistic() -> Vec<Known> {
    vec![known("family", &[], Supported), known("threshold", &[], Supported)]
}

fn glm() -> Vec<Known> {
    vec![known("family", &[], Supported), known("link", &[], Supported)]
}

fn tree() -> Vec<Known> {
    vec![
        known("max_tree_depth", &["maxDepth"], Searchable),
        known("max_bins", &[], Searchable),
        known("min_tree_child_weight", &["minInstancesPerNode"], Searchable),
        known("min_split_loss", &["minInfoGain"], Searchable),
        known("subsample", &["subsamplingRate"], Searchable),
        known("category_encoding_method", &[], Supported),
        known("l1_reg", &[], Supported),
        known("colsample_bylevel", &[], Supported),
        known("tree_method", &[], Supported),
        known("cacheNodeIds", &[], Ignored),
        known("maxMemoryInMB", &[], Ignored),
        known("minWeightFractionPerNode", &[], Supported),
    ]
}

fn forest() -> Vec<Known> {
    vec![
        known("num_parallel_tree", &["numTrees"], Searchable),
        known("bootstrap", &[], Supported),
        known("colsample_bynode", &[], Searchable),
        known("feature_subset_strategy", &[], Searchable),
        known("impurity", &[], Searchable),
    ]
}

fn boosted() -> Vec<Known> {
    vec![
        known("max_iterations", &["maxIter"], Searchable),
        known("learn_rate", &["stepSize", "eta"], Searchable),
        known("l2_reg", &[], Searchable),
        known("early_stop", &[], Supported),
        known("colsample_bytree", &[], Searchable),
        known("min_rel_progress", &["validationTol"], Supported),
        known("booster_type", &[], Supported),
        known("dart_normalize_type", &[], Supported),
        known("num_parallel_tree", &[], Supported),
        known("colsample_bynode", &[], Searchable),
        known("feature_subset_strategy", &[], Searchable),
        known("impurity", &[], Supported),
        known("lossType", &[], Supported),
    ]
}

fn bayes() -> Vec<Known> {
    vec![known("smoothing", &["alpha"], Searchable)]
}

fn kmeans() -> Vec<Known> {
    vec![
        known("num_clusters", &["k"], Searchable),
        known("max_iterations", &["maxIter"], Supported),
        known("tolerance", &["tol", "min_rel_progress"], Supported),
        known("early_stop", &[], Supported),
        known("standardize_features", &[], Supported),
        known("distance_type", &["distanceMeasure"], Supported),
        known("kmeans_init_method", &["initMode"], Supported),
        known("weight_col", &[], Supported),
        known("initSteps", &[], Supported),
        known("solver", &[], Supported),
    ]
}

fn pca() -> Vec<Known> {
    vec![
        known("num_principal_components", &["k"], Searchable),
        known("pca_explained_variance_ratio", &[], Supported),
        known("scale_features", &["standardize_features"], Supported),
        known("pca_solver", &[], Supported),
    ]
}
