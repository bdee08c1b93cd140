//! Options of other systems that have one value here. One that says what is done anyway is taken, so that options can be
//! pasted; another one would make another model there, and is refused.

use crate::error::{Code, Error, Result};
use crate::models::option::Reader;

/// An option that is one of some words.
struct Word {
    name: &'static str,
    /// The model types that it is fixed for.
    of: &'static [&'static str],
    /// What is done here, in the words of other systems.
    taken: &'static [&'static str],
    /// What they have beside it.
    refused: &'static [&'static str],
    done: &'static str,
    hint: &'static str,
}

const LOGISTIC: &[&str] = &["logistic_reg"];
const BOOSTED: &[&str] = &["boosted_tree_classifier", "boosted_tree_regressor"];
const TREES: &[&str] = &["random_forest_classifier", "random_forest_regressor", "boosted_tree_classifier", "boosted_tree_regressor"];

static WORDS: &[Word] = &[
    Word {
        name: "lossType",
        of: &["boosted_tree_regressor"],
        taken: &["squared"],
        refused: &["absolute", "logistic"],
        done: "Boosted trees of numbers lower the squared error.",
        hint: "Leave it out, or learn a number with fewer extremes, such as the logarithm of the label.",
    },
    Word {
        name: "lossType",
        of: &["boosted_tree_classifier"],
        taken: &["logistic"],
        refused: &["squared", "absolute"],
        done: "Boosted trees of classes lower the log loss.",
        hint: "Leave it out, or use a regressor.",
    },
    // Their splits go by the derivatives of the loss; it is Spark's only word for its own.
    Word {
        name: "impurity",
        of: BOOSTED,
        taken: &["variance"],
        refused: &["gini", "entropy"],
        done: "Splits of boosted trees lower the loss.",
        hint: "Leave it out, or use a random forest.",
    },
    // BigQuery's default: each category is one value.
    Word {
        name: "category_encoding_method",
        of: TREES,
        taken: &["label_encoding", "label"],
        refused: &["one_hot_encoding", "one_hot", "dummy_encoding", "dummy", "target_encoding"],
        done: "Trees split categories as they are, any of them against the others.",
        hint: "Leave it out, or make the columns in the training query.",
    },
    Word {
        name: "tree_method",
        of: TREES,
        taken: &["auto", "hist", "approx"],
        refused: &["exact"],
        done: "Numbers are split where their bins end.",
        hint: "Leave it out; max_bins is up to 255.",
    },
    // Of dart, which is refused by its own name.
    Word { name: "dart_normalize_type", of: BOOSTED, taken: &["tree", "forest"], refused: &[], done: "", hint: "" },
    Word { name: "family", of: LOGISTIC, taken: &["auto", "binomial", "multinomial"], refused: &[], done: "", hint: "" },
    Word { name: "solver", of: &["kmeans"], taken: &["auto", "row", "block"], refused: &[], done: "", hint: "" },
];

/// An option that is one number.
struct Number {
    name: &'static str,
    of: &'static [&'static str],
    taken: f64,
    done: &'static str,
    hint: &'static str,
}

static NUMBERS: &[Number] = &[
    Number {
        name: "num_parallel_tree",
        of: BOOSTED,
        taken: 1.0,
        done: "Each iteration of boosting grows one tree of a class.",
        hint: "Leave it out, or use a random forest.",
    },
    Number { name: "l1_reg", of: TREES, taken: 0.0, done: "Leaves have no l1 penalty.", hint: "Leave it out." },
    Number {
        name: "colsample_bylevel",
        of: TREES,
        taken: 1.0,
        done: "Features are drawn for trees and for nodes.",
        hint: "Use colsample_bynode.",
    },
    Number {
        name: "threshold",
        of: LOGISTIC,
        taken: 0.5,
        done: "The likelier class is predicted.",
        hint: "Give it when you ask: ML.PREDICT(MODEL m, TABLE t, STRUCT(0.3 AS threshold)); ML.EVALUATE takes it too.",
    },
    Number {
        name: "minWeightFractionPerNode",
        of: TREES,
        taken: 0.0,
        done: "The weight of the rows on a side of a split has no bound.",
        hint: "Use min_tree_child_weight.",
    },
];

/// Columns that are not named here, with Spark's names for them.
static COLUMNS: &[(&str, &str)] = &[
    ("featuresCol", "features"),
    ("predictionCol", "prediction"),
    ("probabilityCol", "probability"),
    ("rawPredictionCol", "rawPrediction"),
    ("leafCol", ""),
];

const WARM_START: &str = "warm_start";

/// Checks the options of a model type that are fixed.
///
/// # Errors
/// `NotSupported` for a value that another system has, `InvalidParameter` for one that none has.
pub(super) fn check(reader: &Reader, model_type: &str) -> Result<()> {
    for word in WORDS.iter().filter(|word| word.of.contains(&model_type)) {
        let known = [word.taken, word.refused].concat();
        if let Some(value) = reader.choice(word.name, &known)?
            && word.refused.contains(&value)
        {
            return Err(refused(reader, word.name, &format!("'{value}'"), word.done, word.hint));
        }
    }
    for fixed in NUMBERS.iter().filter(|fixed| fixed.of.contains(&model_type)) {
        if let Some(number) = reader.number(fixed.name, 0.0, f64::MAX)?.filter(|number| *number != fixed.taken) {
            return Err(refused(reader, fixed.name, &number.to_string(), fixed.done, fixed.hint));
        }
    }
    for (name, usual) in COLUMNS {
        if let Some(column) = reader.text(name)?.filter(|column| column != usual) {
            let done = "The features are the columns of the training query, and ML.PREDICT names its columns after the label.";
            let hint = "Leave it out: select the features in the training query, and rename with AS where you predict.";
            return Err(refused(reader, name, &format!("'{column}'"), done, hint));
        }
    }
    if reader.flag(WARM_START)? == Some(true) {
        let done = "Each version of the model is fitted from the beginning.";
        return Err(refused(reader, WARM_START, "TRUE", done, "Leave it out: CREATE OR REPLACE MODEL trains on all rows of its query."));
    }
    Ok(())
}

fn refused(reader: &Reader, name: &'static str, value: &str, done: &str, hint: &str) -> Error {
    let key = reader.given(name).map_or(name, |(key, _)| key);
    let what = format!("option \"{key}\" of model \"{}\" is {value}, which is not supported", reader.model());
    Error::new(Code::NotSupported, what).detail(done).hint(hint)
}
