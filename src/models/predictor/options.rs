//! The options of CREATE MODEL for models of a table.

use super::known;
use super::learner::LearnerOptions;
use super::rows::EVAL_FRACTION;
use super::search::Search;
use crate::error::{Code, Error, Result};
use crate::models::option::{ModelOption, Reader};
use std::collections::BTreeMap;

/// The checked options of a predictor.
#[derive(Debug, Clone)]
pub struct PredictorOptions {
    model_type: String,
    /// The column to predict, as written.
    pub(super) label: Option<String>,
    pub(super) weight_col: Option<String>,
    pub(super) split: DataSplit,
    pub(super) split_col: Option<String>,
    /// Fit again on all rows after the held-out ones were scored.
    pub(super) refit: bool,
    pub(super) seed: u64,
    pub(super) class_weights: ClassWeights,
    pub(super) learner: LearnerOptions,
    /// What to search for; the values above are then those of the first trial.
    pub(super) search: Option<Search>,
    /// As written: what trials start from.
    pub(super) given: Vec<(String, ModelOption)>,
}

/// What a model type is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskKind {
    Regression,
    Classification,
    Clustering,
    Reduction,
}

/// Which rows are held out to score the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum DataSplit {
    /// Of every class its share.
    Random {
        eval_fraction: f64,
    },
    /// BigQuery's rule: none below 500 rows, a fifth, at most 10,000.
    Auto,
    /// The last rows by `data_split_col`.
    Sequential {
        eval_fraction: f64,
    },
    /// The rows where `data_split_col` is not FALSE.
    Custom,
    /// Each row once, in one of so many rounds; of every class its share.
    Folds {
        n_folds: usize,
    },
    NoSplit,
}

/// How much the rows of each class count.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ClassWeights {
    Equal,
    Balanced,
    /// By label as text; other labels count 1.
    Given(Vec<(String, f64)>),
}

/// Whether one of the options is in Spark's spelling.
fn is_spark(options: &[(String, ModelOption)]) -> bool {
    options.iter().any(|(key, _)| known::is_spark(key))
}

impl PredictorOptions {
    /// Reads the options of `CREATE MODEL <model>`; `model_type` is one of [`super::MODEL_TYPES`].
    ///
    /// # Errors
    /// `InvalidParameter` with the option's name for unknown ones, repeated ones and unusable values.
    pub fn parse(model: &str, model_type: &str, options: &[(String, ModelOption)]) -> Result<Self> {
        let table = known::of_type(model_type);
        match Search::parse(model, options, table)? {
            None => {
                let plain = Self::parse_plain(model, model_type, options)?;
                if matches!(plain.split, DataSplit::Folds { .. }) && !plain.refit {
                    let what = format!("option \"refit\" of model \"{model}\" cannot be FALSE beside \"k_folds\"");
                    return Err(Error::new(Code::InvalidParameter, what)
                        .detail("Each fold has a fit of its own, and none of them is the model.")
                        .hint("Leave refit out: the model is fitted to all rows."));
                }
                Ok(plain)
            }
            Some(mut search) => {
                let unsearched = Reader::new(model, &search.without_searched(options), table)
                    .and_then(|reader| LearnerOptions::read(&reader, model_type, is_spark(options)));
                // What cannot be read is told below, with all options.
                search.set_defaults(&unsearched.map(|learner| learner.parameters()).unwrap_or_default());
                // Every candidate is read once, so that a mistake shows before anything is trained.
                let mut first = None;
                for trial in search.probes(model, options)? {
                    let parsed = Self::parse_plain(model, model_type, &trial)?;
                    first.get_or_insert(parsed);
                }
                let first = first.ok_or_else(|| Error::internal("a search has no trial"))?;
                if first.split == DataSplit::NoSplit || !matches!(first.task(), TaskKind::Regression | TaskKind::Classification) {
                    let what = format!("model \"{model}\" holds no rows out to compare the trials of a search on");
                    let hint = if first.split == DataSplit::NoSplit {
                        "Leave data_split_method='no_split' out."
                    } else {
                        "Give the option one value."
                    };
                    return Err(Error::new(Code::InvalidParameter, what).hint(hint));
                }
                Ok(Self { search: Some(search), given: options.to_vec(), ..first })
            }
        }
    }

    /// Reads options without a search.
    ///
    /// # Errors
    /// Those of [`PredictorOptions::parse`].
    pub(super) fn parse_plain(model: &str, model_type: &str, options: &[(String, ModelOption)]) -> Result<Self> {
        let values = Values(Reader::new(model, options, known::of_type(model_type))?);
        let split_col = values.0.column("data_split_col")?;
        Ok(Self {
            model_type: model_type.to_owned(),
            label: values.label()?,
            weight_col: values.0.column("weight_col")?,
            split: values.data_split(model_type, split_col.is_some())?,
            split_col,
            refit: values.0.flag("refit")?.unwrap_or(true),
            seed: values.0.integer("seed", i64::MIN..=i64::MAX)?.map_or(42, i64::cast_unsigned),
            class_weights: values.class_weights()?,
            learner: LearnerOptions::read(&values.0, model_type, is_spark(options))?,
            search: None,
            given: options.to_vec(),
        })
    }

    /// One of [`super::MODEL_TYPES`].
    pub fn model_type(&self) -> &str {
        &self.model_type
    }

    /// What the model is for.
    pub(super) fn task(&self) -> TaskKind {
        match self.model_type.as_str() {
            "logistic_reg" | "random_forest_classifier" | "boosted_tree_classifier" | "naive_bayes" => TaskKind::Classification,
            "kmeans" => TaskKind::Clustering,
            "pca" => TaskKind::Reduction,
            _ => TaskKind::Regression,
        }
    }

    /// The effective values by name, after defaults; without the columns.
    pub(super) fn parameters(&self) -> BTreeMap<String, String> {
        let mut parameters = self.learner.parameters();
        let mut put = |name: &str, value: String| parameters.insert(name.to_owned(), value);
        put("model_type", self.model_type.clone());
        put("seed", self.seed.to_string());
        let (method, fraction) = match self.split {
            DataSplit::Random { eval_fraction } => ("random", Some(eval_fraction)),
            DataSplit::Auto => ("auto_split", None),
            DataSplit::Sequential { eval_fraction } => ("seq", Some(eval_fraction)),
            DataSplit::Custom => ("custom", None),
            DataSplit::Folds { n_folds } => {
                put("k_folds", n_folds.to_string());
                ("random", None)
            }
            DataSplit::NoSplit => ("no_split", None),
        };
        put("data_split_method", method.to_owned());
        if let Some(fraction) = fraction {
            put("data_split_eval_fraction", fraction.to_string());
        }
        if self.split != DataSplit::NoSplit {
            put("refit", self.refit.to_string());
        }
        match &self.class_weights {
            ClassWeights::Equal => {}
            ClassWeights::Balanced => {
                put("auto_class_weights", "true".to_owned());
            }
            ClassWeights::Given(weights) => {
                let weights: Vec<String> = weights.iter().map(|(label, weight)| format!("{label}: {weight}")).collect();
                put("class_weights", weights.join(", "));
            }
        }
        parameters
    }
}

/// Reads the values that all learners have.
struct Values<'a>(Reader<'a>);

impl Values<'_> {
    fn label(&self) -> Result<Option<String>> {
        const NAME: &str = "input_label_cols";
        match self.0.given(NAME) {
            Some((_, ModelOption::List(labels))) => match labels.as_slice() {
                [ModelOption::Text(label)] if !label.trim().is_empty() => Ok(Some(label.clone())),
                [_, _, ..] => {
                    let what = format!("model \"{}\" has {} labels, it can have one", self.0.model(), labels.len());
                    Err(Error::new(Code::NotSupported, what).hint("Create a model for each label."))
                }
                _ => Err(self.0.wrong(NAME, "not the name of a column", "a list of one name, such as ['Churn']")),
            },
            _ => self.0.column(NAME),
        }
    }

    fn data_split(&self, model_type: &str, has_column: bool) -> Result<DataSplit> {
        let given = self.0.number("data_split_eval_fraction", 0.0, 1.0)?;
        let eval_fraction = given.unwrap_or(EVAL_FRACTION);
        if eval_fraction <= 0.0 || eval_fraction >= 1.0 {
            let error = self.0.wrong("data_split_eval_fraction", &eval_fraction.to_string(), "a number between 0 and 1, both excluded");
            return Err(error.hint("Use data_split_method='no_split' to hold nothing out."));
        }
        let method = self.0.choice("data_split_method", &["random", "auto_split", "seq", "custom", "no_split"])?;
        // Clusters and components have no truth to be held out: they are scored on all rows.
        let method = method.unwrap_or(if matches!(model_type, "kmeans" | "pca") && given.is_none() { "no_split" } else { "random" });
        let model = self.0.model();
        let takes_column = matches!(method, "seq" | "custom");
        if takes_column && !has_column {
            let what = format!("data_split_method '{method}' of model \"{model}\" needs the option \"data_split_col\"");
            let hint = if method == "seq" {
                "Name the column to order the rows by."
            } else {
                "Name a boolean column, TRUE for the rows to hold out."
            };
            return Err(Error::new(Code::InvalidParameter, what).hint(hint));
        }
        if has_column && !takes_column {
            let what = format!("option \"data_split_col\" of model \"{model}\" needs data_split_method 'seq' or 'custom'");
            return Err(Error::new(Code::InvalidParameter, what).detail(format!("data_split_method is '{method}'.")));
        }
        if given.is_some() && !matches!(method, "random" | "seq") {
            let what = format!("option \"data_split_eval_fraction\" of model \"{model}\" needs data_split_method 'random' or 'seq'");
            return Err(Error::new(Code::InvalidParameter, what).detail(format!("data_split_method is '{method}'.")));
        }
        if let Some(n_folds) = self.0.integer("k_folds", 2..=100)?.and_then(|number| usize::try_from(number).ok()) {
            return self.folds(n_folds, method, given.is_some());
        }
        Ok(match method {
            "auto_split" => DataSplit::Auto,
            "seq" => DataSplit::Sequential { eval_fraction },
            "custom" => DataSplit::Custom,
            "no_split" => DataSplit::NoSplit,
            _ => DataSplit::Random { eval_fraction },
        })
    }

    fn folds(&self, n_folds: usize, method: &str, has_fraction: bool) -> Result<DataSplit> {
        let model = self.0.model();
        if method != "random" {
            let what = format!("option \"k_folds\" of model \"{model}\" needs data_split_method 'random'");
            return Err(Error::new(Code::InvalidParameter, what)
                .detail(format!("data_split_method is '{method}'."))
                .hint("Leave one of them out."));
        }
        if has_fraction {
            let what = format!("model \"{model}\" has both options \"k_folds\" and \"data_split_eval_fraction\"");
            return Err(Error::new(Code::InvalidParameter, what)
                .detail(format!("Each of {n_folds} folds is held out once."))
                .hint("Keep one of them."));
        }
        Ok(DataSplit::Folds { n_folds })
    }

    /// `class_weights` is a list of pairs, as BigQuery's array of structs comes: `[STRUCT('Yes', 3), STRUCT('No', 1)]`, of texts such as
    /// `'Yes: 3'`, or the word `balanced`.
    fn class_weights(&self) -> Result<ClassWeights> {
        const NAME: &str = "class_weights";
        let auto = self.0.flag("auto_class_weights")?;
        let wrong = || self.0.wrong(NAME, "not a list of labels and weights", "such as [STRUCT('Yes', 3), STRUCT('No', 1)], or 'balanced'");
        let given = match self.0.given(NAME) {
            None => None,
            Some((_, ModelOption::Text(text))) if text.trim().eq_ignore_ascii_case("balanced") => Some(ClassWeights::Balanced),
            Some((_, ModelOption::List(pairs))) => {
                Some(ClassWeights::Given(pairs.iter().map(pair).collect::<Option<_>>().ok_or_else(wrong)?))
            }
            Some(_) => return Err(wrong()),
        };
        match (auto, given) {
            (Some(true), Some(ClassWeights::Given(_))) => {
                let what = format!("model \"{}\" has both options \"auto_class_weights\" and \"class_weights\"", self.0.model());
                Err(Error::new(Code::InvalidParameter, what).hint("Keep one of them."))
            }
            (Some(true), _) => Ok(ClassWeights::Balanced),
            (_, given) => Ok(given.unwrap_or(ClassWeights::Equal)),
        }
    }
}

/// A label with its weight.
fn pair(option: &ModelOption) -> Option<(String, f64)> {
    let text = |option: &ModelOption| match option {
        ModelOption::Text(text) | ModelOption::Number(text) => Some(text.clone()),
        ModelOption::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    let (label, weight) = match option {
        ModelOption::List(pair) | ModelOption::Call(_, pair) => match pair.as_slice() {
            [label, weight] => (text(label)?, text(weight)?),
            _ => return None,
        },
        ModelOption::Text(pair) => pair.rsplit_once([':', '=']).map(|(label, weight)| (label.trim().to_owned(), weight.to_owned()))?,
        _ => return None,
    };
    let weight: f64 = weight.trim().parse().ok()?;
    (weight.is_finite() && weight >= 0.0).then_some((label, weight))
}
