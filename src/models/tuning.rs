//! The search for hyper-parameters as CREATE MODEL asks for it: `HPARAM_RANGE`, `HPARAM_CANDIDATES` and their options.

use super::option::{ModelOption, Reader, fold};
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;
use weir_ml::search::{self, Algorithm, Candidates, Dimension};

/// The most trials of one search.
pub const TRIALS_MAX: usize = 1000;
/// Trials when a range is searched and nothing is said.
const TRIALS: usize = 10;

/// An option that may be searched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Searchable {
    pub name: &'static str,
    pub min: f64,
    pub max: f64,
    /// Whole numbers only.
    pub is_integer: bool,
    /// Ranges that begin above 0 are searched by factors, not differences.
    pub is_log: bool,
    /// The value without a search: tried first when it is among the candidates.
    pub default: f64,
}

/// A search as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Search {
    /// The options in the order of the values of a trial.
    pub names: Vec<&'static str>,
    dimensions: Vec<Dimension>,
    algorithm: Algorithm,
    num_trials: usize,
    /// What is asked for is not what is done: said in the parameters.
    pub note: Option<String>,
}

impl Search {
    /// Reads the search over `searchable` options; `None` when no option has `HPARAM_..`.
    ///
    /// # Errors
    /// `InvalidParameter` for wrong arguments, and for options of a search without one.
    pub fn read(reader: &Reader<'_>, searchable: &[Searchable]) -> Result<Option<Self>> {
        let (mut names, mut dimensions) = (Vec::new(), Vec::new());
        for option in searchable {
            if let Some((_, ModelOption::Call(call, arguments))) = reader.given(option.name)
                && let Some(candidates) = candidates(reader, option, call, arguments)?
            {
                names.push(option.name);
                let default = Some(option.default);
                dimensions.push(Dimension { candidates, default });
            }
        }
        let num_trials = reader.integer("num_trials", 1..=TRIALS_MAX as i64)?.map(|number| number as usize);
        reader.integer("max_parallel_trials", 1..=TRIALS_MAX as i64)?;
        let (algorithm, note) = algorithm(reader)?;
        if dimensions.is_empty() {
            let given = ["num_trials", "hparam_tuning_algorithm", "hparam_tuning_objectives", "max_parallel_trials"];
            return match given.into_iter().find_map(|name| reader.given(name)) {
                None => Ok(None),
                Some((key, _)) => {
                    let what = format!("option \"{key}\" of model \"{}\" needs an option to search for", reader.model());
                    Err(Error::new(Code::InvalidParameter, what).hint("Give one as HPARAM_RANGE(lo, hi) or HPARAM_CANDIDATES([..])."))
                }
            };
        }
        let n_listed = dimensions.iter().try_fold(1usize, |n, dimension| match &dimension.candidates {
            Candidates::List(values) => n.checked_mul(values.len()),
            _ => None,
        });
        // Lists are tried whole unless told otherwise; a default outside of them is not tried.
        let algorithm = algorithm.unwrap_or(if n_listed.is_some() { Algorithm::Grid } else { Algorithm::Random });
        let num_trials = num_trials.unwrap_or_else(|| n_listed.unwrap_or(TRIALS).min(TRIALS_MAX));
        Ok(Some(Self { names, dimensions, algorithm, num_trials, note }))
    }

    /// The values of each trial, the defaults first when they are candidates.
    ///
    /// # Errors
    /// Only internal ones: the candidates were checked when read.
    pub fn trials(&self, seed: u64) -> Result<Vec<Vec<f64>>> {
        search::trials(&self.dimensions, self.algorithm, self.num_trials, seed)
            .map_err(|error| Error::internal(format!("could not list the trials of a search: {error}")))
    }

    /// What the search is, by option.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let mut parameters = BTreeMap::new();
        let mut put = |name: &str, value: String| parameters.insert(name.to_owned(), value);
        let algorithm = match self.algorithm {
            Algorithm::Grid => "grid",
            Algorithm::Random => "random",
        };
        put("hparam_tuning_algorithm", self.note.as_ref().map_or_else(|| algorithm.to_owned(), |note| format!("{algorithm} ({note})")));
        put("num_trials", self.num_trials.to_string());
        parameters
    }

    /// A trial's values by option, as they are shown.
    pub fn shown(&self, values: &[f64]) -> BTreeMap<String, String> {
        self.names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
    }
}

/// The candidates of an option; `None` for a call of something else, which the reader of the option refuses.
fn candidates(reader: &Reader<'_>, option: &Searchable, call: &str, arguments: &[ModelOption]) -> Result<Option<Candidates>> {
    let numbers = |values: &[ModelOption]| values.iter().map(|value| number(reader, option, call, value)).collect::<Result<Vec<f64>>>();
    match fold(call).as_str() {
        "hparamrange" => {
            let [min, max] = numbers(arguments)?[..] else {
                return Err(reader.wrong(option.name, &format!("{call} of {} arguments", arguments.len()), "HPARAM_RANGE(lo, hi)"));
            };
            let is_empty = if option.is_integer { min.ceil() > max.floor() } else { min > max };
            if is_empty {
                return Err(reader.wrong(option.name, &format!("{call}({min}, {max})"), "a range from the smaller to the larger number"));
            }
            Ok(Some(Candidates::Range { min, max, log: option.is_log && min > 0.0, integer: option.is_integer }))
        }
        "hparamcandidates" => {
            let values = match arguments {
                [ModelOption::List(values)] => values.as_slice(),
                values => values,
            };
            if values.is_empty() {
                return Err(reader.wrong(option.name, &format!("{call} without a candidate"), "HPARAM_CANDIDATES([..])"));
            }
            let values = numbers(values)?;
            if let Some(value) = values.iter().find(|value| option.is_integer && value.fract() != 0.0) {
                return Err(reader.wrong(option.name, &value.to_string(), "an integer"));
            }
            Ok(Some(Candidates::List(values)))
        }
        _ => Ok(None),
    }
}

fn number(reader: &Reader<'_>, option: &Searchable, call: &str, value: &ModelOption) -> Result<f64> {
    let expected = format!("{} from {} to {}", if option.is_integer { "integers" } else { "numbers" }, option.min, option.max);
    let (ModelOption::Number(text) | ModelOption::Text(text)) = value else {
        return Err(reader.wrong(option.name, &format!("{call} of something else"), &expected));
    };
    match text.trim().parse::<f64>() {
        Ok(number) if (option.min..=option.max).contains(&number) => Ok(number),
        _ => Err(reader.wrong(option.name, &format!("{call} with {text}"), &expected)),
    }
}

/// The algorithm that was asked for, and what to say when it is another one.
///
/// # Errors
/// `InvalidParameter` for an unknown one.
pub fn algorithm(reader: &Reader<'_>) -> Result<(Option<Algorithm>, Option<String>)> {
    let choices = &["grid", "random", "vizier", "grid_search", "random_search", "vizier_default"];
    Ok(match reader.choice("hparam_tuning_algorithm", choices)? {
        None => (None, None),
        Some("grid" | "grid_search") => (Some(Algorithm::Grid), None),
        Some("random" | "random_search") => (Some(Algorithm::Random), None),
        Some(_) => (Some(Algorithm::Random), Some("asked for vizier".into())),
    })
}
