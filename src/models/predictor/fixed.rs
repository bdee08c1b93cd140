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
];

const WEIGHT: &str = "minWeightFractionPerNode";
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
    if let Some(share) = reader.number(WEIGHT, 0.0, 0.5)?
        && share > 0.0
    {
        let done = "The weight of the rows on a side of a split has no bound.";
        return Err(refused(reader, WEIGHT, &share.to_string(), done, "Use min_tree_child_weight."));
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
