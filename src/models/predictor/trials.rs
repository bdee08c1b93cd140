//! A search over options: every trial is fitted to a part of the training rows and scored on the rest, or to each of
//! several folds in turn. The rows held out of the whole run are seen by no trial.

use super::options::{DataSplit, PredictorOptions, TaskKind};
use super::rows::{EVAL_FRACTION, Target, TrainingSet, taken};
use super::search::Search;
use super::training::{Phase, Run};
use super::validation::{Material, Splits, of_places};
use crate::error::{Code, Error, Result};
use crate::models::evaluation::Measure;
use crate::models::option::ModelOption;
use crate::models::report::Trial;
use crate::models::training::TrainingProgress;
use std::time::Instant;
use weir_ml::split;

/// Measures that are better when smaller.
const SMALLER_IS_BETTER: &[&str] =
    &["log_loss", "mean_absolute_error", "mean_squared_error", "mean_squared_log_error", "median_absolute_error"];
const OF_CLASSES: &[&str] = &["precision", "recall", "accuracy", "f1_score", "log_loss", "roc_auc"];
const OF_NUMBERS: &[&str] =
    &["mean_absolute_error", "mean_squared_error", "mean_squared_log_error", "median_absolute_error", "r2_score", "explained_variance"];
/// Keeps the split of the trials apart from that of the run.
pub(super) const PURPOSE: u64 = 0x7217_A150_5EA2_C400;

/// Runs the trials on the rows at some places; returns what they scored and the options of the best one.
///
/// # Errors
/// `InvalidParameter` for an objective that the model does not have; the error of the first trial when all fail.
pub(super) fn run(run: &Run, search: &Search, material: &Material, places: &[u32]) -> Result<(Vec<Trial>, PredictorOptions)> {
    let objective = objective(run, Some(search))?;
    let splits = splits(run, material.rows, places)?;
    let planned = search.trials(&run.spec.name, run.options.seed)?;
    let n_trials = planned.len();
    let mut trials: Vec<Trial> = Vec::with_capacity(n_trials);
    let mut best: Option<(f64, usize, PredictorOptions)> = None;
    let mut first_error = None;
    for (number, trial) in planned.into_iter().enumerate() {
        let start = Instant::now();
        let so_far = best.as_ref().map(|(score, ..)| (objective.to_owned(), *score));
        let phase = Phase { name: format!("trial {} of {n_trials}", number + 1), best: so_far };
        (run.spec.observer)(TrainingProgress {
            phase: phase.name.clone(),
            rows: splits.n_train() as u64,
            metric: phase.best.clone(),
            ..TrainingProgress::default()
        });
        let options = run.options.of_trial(&run.spec.name, &trial)?;
        let scored = run.try_out(&options, material, &splits, Some(&phase));
        let mut row = Trial {
            trial: number as u64 + 1,
            hyperparameters: trial.hyperparameters,
            metrics: std::collections::BTreeMap::new(),
            error: None,
            is_optimal: false,
            duration_ms: 0.0,
        };
        match scored {
            Ok(held_out) => {
                for (name, measure) in &held_out.evaluation.measures {
                    if let Measure::Number(Some(value)) = measure {
                        row.metrics.insert(name.clone(), *value);
                    }
                }
                let score = held_out.evaluation.get(objective);
                let is_better = |score: f64, best: f64| if SMALLER_IS_BETTER.contains(&objective) { score < best } else { score > best };
                if let Some(score) = score.filter(|score| best.as_ref().is_none_or(|(best, ..)| is_better(*score, *best))) {
                    best = Some((score, number, options));
                }
            }
            Err(error) if error.code == Code::Cancelled => return Err(error),
            Err(error) => {
                row.error = Some(error.one_line());
                first_error.get_or_insert(error);
            }
        }
        row.duration_ms = start.elapsed().as_secs_f64() * 1e3;
        trials.push(row);
    }
    let Some((_, number, options)) = best else {
        let undefined = || {
            Error::new(Code::InvalidValue, format!("no trial of model \"{}\" has a {objective}", run.spec.name))
                .detail("The held-out rows do not define it.")
                .hint("Train on more rows, give a smaller k_folds, or another hparam_tuning_objectives.")
        };
        return Err(first_error.unwrap_or_else(undefined));
    };
    trials[number].is_optimal = true;
    Ok((trials, options))
}

/// How the rows that the trials see are split; the rows held out of the run are apart from them.
fn splits<'a>(run: &Run, rows: &TrainingSet, places: &'a [u32]) -> Result<Splits<'a>> {
    let seed = run.options.seed ^ PURPOSE;
    if let DataSplit::Folds { n_folds } = run.options.split {
        return Splits::folds(&run.spec.name, places, n_folds, seed);
    }
    let by_time = match run.options.split {
        DataSplit::Sequential { eval_fraction } => rows.split_by_time(places, eval_fraction),
        _ => None,
    };
    let split = match (by_time, &rows.part.target) {
        // Trials must not see the future either.
        (Some(split), _) => split,
        (None, Target::Classes(codes, _)) => split::stratified(&taken(codes, places), EVAL_FRACTION, seed),
        (None, _) => split::rows(places.len(), EVAL_FRACTION, seed),
    };
    let split = split.map_err(|error| run.explain(&error, rows, places))?;
    if split.eval.is_empty() {
        let what = format!("the training query of model \"{}\" returned too few rows for a search", run.spec.name);
        return Err(Error::new(Code::InvalidValue, what).hint("Give every option one value."));
    }
    Ok(Splits::Once(of_places(places, &split)))
}

/// The measure that is to be improved: what the search names, or that of the task.
///
/// # Errors
/// `InvalidParameter` for one that the model does not have.
pub(super) fn objective(run: &Run, search: Option<&Search>) -> Result<&'static str> {
    let is_classifier = run.options.task() == TaskKind::Classification;
    let (known, default) = if is_classifier { (OF_CLASSES, "roc_auc") } else { (OF_NUMBERS, "r2_score") };
    let Some(name) = search.and_then(|search| search.objective.as_deref()) else { return Ok(default) };
    if let Some(known) = known.iter().find(|known| **known == name) {
        return Ok(known);
    }
    let what = format!("option \"hparam_tuning_objectives\" of model \"{}\" names the unknown measure '{name}'", run.spec.name);
    let error = Error::unknown(Code::InvalidParameter, what, name, known.iter().copied());
    Err(error.detail(format!("The measures are {}.", known.join(", "))))
}

impl PredictorOptions {
    /// The options of a trial: as given, with its values.
    fn of_trial(&self, model: &str, trial: &super::search::TrialOptions) -> Result<Self> {
        let options: Vec<(String, ModelOption)> = trial.within(&self.given);
        Self::parse_plain(model, self.model_type(), &options)
    }
}
