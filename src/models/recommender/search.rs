//! The search for hyper-parameters: every trial is fitted to the same ratings and scored on the same held-out ones.

use super::fit::{FitRows, RunError};
use super::objective::Objective;
use super::options::FitOptions;
use super::split::SearchSplits;
use super::training::Run;
use crate::models::evaluation::{Evaluation, Measure};
use crate::models::report::Trial;
use crate::models::tuning::Search;
use std::collections::BTreeMap;
use std::time::Instant;
use weir_ml::als::AlsError;

impl Run {
    /// Tries all points; returns the options of the best one (the first of equals), and every trial.
    ///
    /// # Errors
    /// A cancellation; the error of the first trial when all of them failed. One that fails alone is a trial with an error.
    pub(super) fn search(&self, search: &Search, splits: &SearchSplits<'_>) -> Result<(FitOptions, Vec<Trial>), RunError> {
        let points = search.trials(self.options.fit.seed)?;
        let (mut trials, mut best): (Vec<Trial>, Option<(usize, f64)>) = (Vec::new(), None);
        let mut first_error = None;
        let objective = self.options.objective;
        for (place, point) in points.iter().enumerate() {
            let start = Instant::now();
            let mut options = self.options.fit.clone();
            search.names.iter().zip(point).for_each(|(name, value)| options.set(name, *value));
            let phase = format!("trial {} of {}", place + 1, points.len());
            let known_best = best.map(|(_, value)| (objective.name(), value));
            let (metrics, error) = match self.trial(&options, splits, &phase, known_best) {
                Ok(evaluation) => (defined(&evaluation), None),
                Err(RunError::Als(AlsError::Cancelled)) => return Err(AlsError::Cancelled.into()),
                Err(error) => {
                    let error = error.explain(&self.spec.name);
                    let text = error.to_string();
                    first_error.get_or_insert(error);
                    (BTreeMap::new(), Some(text))
                }
            };
            if let Some(value) = metrics.get(objective.name())
                && best.is_none_or(|(_, best)| objective.is_better(*value, best))
            {
                best = Some((place, *value));
            }
            let duration_ms = start.elapsed().as_secs_f64() * 1e3;
            let hyperparameters = search.shown(point);
            trials.push(Trial { trial: place as u64 + 1, hyperparameters, metrics, error, is_optimal: false, duration_ms });
        }
        let Some((place, _)) = best else { return Err(self.without_best(first_error, objective).into()) };
        trials[place].is_optimal = true;
        let mut options = self.options.fit.clone();
        search.names.iter().zip(&points[place]).for_each(|(name, value)| options.set(name, *value));
        Ok((options, trials))
    }

    /// Fits and scores one point; with folds, the mean of them.
    fn trial(
        &self,
        options: &FitOptions,
        splits: &SearchSplits<'_>,
        phase: &str,
        best: Option<(&str, f64)>,
    ) -> Result<Evaluation, RunError> {
        let needs_lists = self.options.objective.is_ranking();
        let mut evaluations = Vec::new();
        splits.each(|split| {
            let rows = FitRows::all(&split.train);
            let fitted = self.fit(phase, rows, options, needs_lists && self.options.has_companion(), None, best)?;
            evaluations.push(self.evaluate(&fitted, split, needs_lists)?);
            Ok(())
        })?;
        Ok(Evaluation::mean(&evaluations))
    }

    fn without_best(&self, first_error: Option<crate::error::Error>, objective: Objective) -> crate::error::Error {
        first_error.unwrap_or_else(|| {
            let what = format!("no trial of model \"{}\" has a defined {}", self.spec.name, objective.name());
            crate::error::Error::new(crate::error::Code::InvalidValue, what)
                .detail("No held-out row could be scored: its users and items have no other rows.")
                .hint("Train on more rows.")
        })
    }
}

/// The measures that are defined, by name.
pub(super) fn defined(evaluation: &Evaluation) -> BTreeMap<String, f64> {
    let value = |measure: &Measure| match measure {
        Measure::Number(number) => *number,
        Measure::Count(count) => Some(*count as f64),
    };
    evaluation.measures.iter().filter_map(|(name, measure)| value(measure).map(|value| (name.clone(), value))).collect()
}
