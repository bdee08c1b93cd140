//! A search over options: `HPARAM_CANDIDATES([..])` and `HPARAM_RANGE(min, max)` become trials, each the options of
//! a model without a search.

use super::known;
use crate::error::{Code, Error, Result};
use crate::models::option::{Known, ModelOption, Reader, fold};
use crate::models::tuning::{self, TRIALS_MAX};
use std::collections::BTreeMap;
use weir_ml::search::{Algorithm, Candidates, Dimension, trials};

/// Trials, unless told otherwise: so many for each searched option. Lists are tried whole.
const TRIALS_PER_OPTION: usize = 10;

/// What to search for.
#[derive(Debug, Clone)]
pub(super) struct Search {
    dimensions: Vec<SearchDimension>,
    num_trials: usize,
    algorithm: Algorithm,
    /// The measure to improve, as written; that of the task when `None`.
    pub objective: Option<String>,
}

/// One searched option.
#[derive(Debug, Clone)]
struct SearchDimension {
    name: &'static str,
    /// As written.
    key: String,
    space: Space,
    /// The learner's own value, as a point of the space.
    default: Option<f64>,
}

#[derive(Debug, Clone)]
enum Space {
    Candidates(Vec<ModelOption>),
    Range { min: f64, max: f64 },
}

/// The options of one trial.
#[derive(Debug, Clone)]
pub(super) struct TrialOptions {
    /// The searched options with their values.
    pub hyperparameters: BTreeMap<String, String>,
    values: Vec<(String, ModelOption)>,
}

impl TrialOptions {
    /// The options as written, with the values of this trial.
    pub fn within(&self, options: &[(String, ModelOption)]) -> Vec<(String, ModelOption)> {
        let value = |key: &String, option: &ModelOption| {
            self.values.iter().find(|(searched, _)| searched == key).map_or_else(|| option.clone(), |(_, value)| value.clone())
        };
        options.iter().map(|(key, option)| (key.clone(), value(key, option))).collect()
    }
}

impl Search {
    /// Reads what is searched; `None` when nothing is.
    ///
    /// # Errors
    /// `InvalidParameter` for options that have no search and for empty or unusable ranges.
    pub fn parse(model: &str, options: &[(String, ModelOption)], table: &'static [Known]) -> Result<Option<Self>> {
        let reader = Reader::new(model, options, table)?;
        let mut dimensions = Vec::new();
        for known in table {
            let Some((key, ModelOption::Call(call, arguments))) = reader.given(known.name) else { continue };
            let wrong = |expected: &str| reader.wrong(known.name, &format!("a call of {call}"), expected);
            let space = match (fold(call).as_str(), arguments.as_slice()) {
                ("hparamcandidates", [ModelOption::List(values)]) if !values.is_empty() => Space::Candidates(values.clone()),
                ("hparamcandidates", values) if !values.is_empty() && !matches!(values, [ModelOption::List(_)]) => {
                    Space::Candidates(values.to_vec())
                }
                ("hparamcandidates", _) => return Err(wrong("HPARAM_CANDIDATES([..]) with at least one value")),
                ("hparamrange", [min, max]) => match (number(min), number(max)) {
                    (Some(min), Some(max)) if min <= max => Space::Range { min, max },
                    _ => return Err(wrong("HPARAM_RANGE(min, max) with two numbers, the smaller one first")),
                },
                ("hparamrange", _) => return Err(wrong("HPARAM_RANGE(min, max)")),
                _ => continue,
            };
            dimensions.push(SearchDimension { name: known.name, key: key.to_owned(), space, default: None });
        }
        let num_trials = reader.integer("num_trials", 1..=TRIALS_MAX as i64)?;
        let (algorithm, _) = tuning::algorithm(&reader)?;
        let objective = objective(&reader)?;
        if dimensions.is_empty() {
            let given =
                ["num_trials", "hparam_tuning_algorithm", "hparam_tuning_objectives"].into_iter().find_map(|name| reader.given(name));
            return match given {
                // One trial is no search.
                Some((key, _)) if num_trials != Some(1) => {
                    let what = format!("option \"{key}\" of model \"{model}\" has nothing to search for");
                    Err(Error::new(Code::InvalidParameter, what).hint("Give an option candidates, as in HPARAM_CANDIDATES([1, 2])."))
                }
                _ => Ok(None),
            };
        }
        let n_listed = dimensions.iter().try_fold(1usize, |n, dimension| match &dimension.space {
            Space::Candidates(values) => n.checked_mul(values.len()),
            Space::Range { .. } => None,
        });
        let algorithm = algorithm.unwrap_or(if n_listed.is_some() { Algorithm::Grid } else { Algorithm::Random });
        let num_trials = match num_trials {
            Some(n) => usize::try_from(n).unwrap_or(TRIALS_MAX),
            None => n_listed.unwrap_or(TRIALS_PER_OPTION * dimensions.len()).min(TRIALS_MAX),
        };
        Ok(Some(Self { dimensions, num_trials, algorithm, objective }))
    }

    /// The options without those that are searched: what their defaults are read from.
    pub fn without_searched(&self, options: &[(String, ModelOption)]) -> Vec<(String, ModelOption)> {
        let is_searched = |key: &String| self.dimensions.iter().any(|dimension| dimension.key == *key);
        options.iter().filter(|(key, _)| !is_searched(key)).cloned().collect()
    }

    /// Tells the values that options have when they are not given: when all of them are candidates, they are tried first.
    pub fn set_defaults(&mut self, parameters: &BTreeMap<String, String>) {
        for dimension in &mut self.dimensions {
            let Some(default) = parameters.get(dimension.name) else { continue };
            dimension.default = match &dimension.space {
                Space::Candidates(values) => values.iter().position(|value| is_value(value, default)).map(|place| place as f64),
                Space::Range { .. } => default.parse().ok(),
            };
        }
    }

    /// Options with which every candidate and every end of a range occurs once: what must be readable.
    pub fn probes(&self, model: &str, options: &[(String, ModelOption)]) -> Result<Vec<Vec<(String, ModelOption)>>> {
        let n_probes = self.dimensions.iter().map(|dimension| dimension.candidates().len()).max().unwrap_or(0);
        let probe = |place: usize| {
            let point: Vec<f64> = self.dimensions.iter().map(|dimension| dimension.probe(place)).collect();
            self.trial(&point).within(options)
        };
        self.points(model, 0)?;
        Ok((0..n_probes).map(probe).collect())
    }

    /// The trials in order.
    ///
    /// # Errors
    /// `InvalidParameter` for a space that is empty.
    pub fn trials(&self, model: &str, seed: u64) -> Result<Vec<TrialOptions>> {
        Ok(self.points(model, seed)?.iter().map(|point| self.trial(point)).collect())
    }

    fn points(&self, model: &str, seed: u64) -> Result<Vec<Vec<f64>>> {
        let dimensions: Vec<Dimension> =
            self.dimensions.iter().map(|dimension| Dimension { candidates: dimension.space(), default: dimension.default }).collect();
        trials(&dimensions, self.algorithm, self.num_trials, seed)
            .map_err(|error| Error::new(Code::InvalidParameter, format!("the search of model \"{model}\" cannot be done: {error}")))
    }

    fn trial(&self, point: &[f64]) -> TrialOptions {
        let values: Vec<(&SearchDimension, ModelOption)> =
            self.dimensions.iter().zip(point).map(|(dimension, value)| (dimension, dimension.value(*value))).collect();
        TrialOptions {
            hyperparameters: values.iter().map(|(dimension, value)| (dimension.name.to_owned(), shown(value))).collect(),
            values: values.into_iter().map(|(dimension, value)| (dimension.key.clone(), value)).collect(),
        }
    }
}

impl SearchDimension {
    fn space(&self) -> Candidates {
        match &self.space {
            Space::Candidates(values) => Candidates::Choice(values.len()),
            Space::Range { min, max } => {
                // Penalties and step sizes matter by their factor; a range from 0 has no logarithm.
                let is_factor = matches!(self.name, "l1_reg" | "l2_reg" | "regParam" | "learn_rate" | "smoothing");
                Candidates::Range { min: *min, max: *max, log: is_factor && *min > 0.0, integer: known::is_integer(self.name) }
            }
        }
    }

    /// What can be listed: the numbers of candidates, the ends of a range.
    fn candidates(&self) -> Vec<f64> {
        match &self.space {
            Space::Candidates(values) => (0..values.len()).map(|place| place as f64).collect(),
            Space::Range { min, max } => vec![*min, *max],
        }
    }

    fn probe(&self, place: usize) -> f64 {
        let candidates = self.candidates();
        candidates[place.min(candidates.len() - 1)]
    }

    fn value(&self, number: f64) -> ModelOption {
        match &self.space {
            Space::Candidates(values) => values[number as usize].clone(),
            Space::Range { .. } => ModelOption::Number(number.to_string()),
        }
    }
}

fn objective(reader: &Reader) -> Result<Option<String>> {
    const NAME: &str = "hparam_tuning_objectives";
    match reader.given(NAME) {
        Some((_, ModelOption::List(names))) => match names.as_slice() {
            [ModelOption::Text(name)] => Ok(Some(name.to_lowercase())),
            _ => Err(reader.wrong(NAME, "not one measure", "a list of one measure, such as ['roc_auc']")),
        },
        _ => Ok(reader.text(NAME)?.map(|name| name.to_lowercase())),
    }
}

fn number(option: &ModelOption) -> Option<f64> {
    match option {
        ModelOption::Number(text) | ModelOption::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

/// Whether an option, as written, is a value as it is shown.
fn is_value(option: &ModelOption, value: &str) -> bool {
    let numbers = number(option).zip(value.parse::<f64>().ok());
    numbers.map_or_else(|| shown(option).eq_ignore_ascii_case(value), |(option, value)| option == value)
}

fn shown(option: &ModelOption) -> String {
    match option {
        ModelOption::Text(text) | ModelOption::Number(text) => text.clone(),
        ModelOption::Bool(flag) => flag.to_string(),
        ModelOption::Null => "NULL".to_owned(),
        ModelOption::List(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        ModelOption::Call(name, values) => format!("{name}({})", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
    }
}
