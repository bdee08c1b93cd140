//! Options tried out: fitted to some of the rows, scored on rows that the fit has not seen.

use super::options::PredictorOptions;
use super::rows::{Target, TrainingSet, taken};
use super::scoring::{FoldScores, Scorer, Scores};
use super::training::{ClassFactors, Phase, Run};
use crate::error::{Code, Error, Result};
use crate::models::training::TrainingProgress;
use weir_ml::error::LearnError;
use weir_ml::split::{self, RowSplit};

/// What all fits of a run learn from.
#[derive(Debug)]
pub(super) struct Material<'a> {
    pub rows: &'a TrainingSet,
    pub factors: ClassFactors,
    /// The labels as text; empty without classes.
    pub class_names: Vec<String>,
}

/// Which rows a fit is scored on. Numbers of rows are places of the training set.
#[derive(Debug)]
pub(super) enum Splits<'a> {
    Once(RowSplit),
    /// Each of the rows at these places once. The folds are made anew at each use and taken one at a time: all of them at
    /// once would take many times the memory of the rows.
    Folds {
        places: &'a [u32],
        n_folds: usize,
        seed: u64,
    },
}

impl<'a> Splits<'a> {
    /// Folds of the rows at these places.
    ///
    /// # Errors
    /// `InvalidValue` for fewer rows than folds.
    pub fn folds(model: &str, places: &'a [u32], n_folds: usize, seed: u64) -> Result<Self> {
        if places.len() < n_folds {
            let what = format!("the training query of model \"{model}\" returned too few rows for {n_folds} folds");
            return Err(Error::new(Code::InvalidValue, what)
                .detail(format!("There are {} rows to make them of.", places.len()))
                .hint("Give a smaller k_folds, or leave it out."));
        }
        Ok(Self::Folds { places, n_folds, seed })
    }

    /// The rows of one fit, to within one.
    pub fn n_train(&self) -> usize {
        match self {
            Self::Once(split) => split.train.len(),
            Self::Folds { places, n_folds, .. } => places.len() - places.len() / n_folds,
        }
    }
}

/// A split of the rows at some places, in places of the training set.
pub(super) fn of_places(places: &[u32], split: &RowSplit) -> RowSplit {
    RowSplit { train: taken(places, &split.train), eval: taken(places, &split.eval) }
}

/// Says which fold a fit has failed in: all rows together may be fit to learn from.
fn without_fold(error: Error, fold: usize, n_folds: usize) -> Error {
    if error.code != Code::InvalidValue {
        return error;
    }
    Error { message: format!("{}, without the rows of fold {fold} of {n_folds}", error.message), ..error }
        .hint("Leave k_folds out or give a smaller one, or select more rows of rare classes.")
}

impl Run {
    /// Fits options to rows and scores them on others; with folds, on each row once.
    ///
    /// # Errors
    /// Those of the learner in the user's words, `Cancelled`.
    pub fn try_out(&self, options: &PredictorOptions, material: &Material, splits: &Splits, trial: Option<&Phase>) -> Result<Scores> {
        let (places, n_folds, seed) = match splits {
            Splits::Once(split) => {
                let phase = trial.cloned().unwrap_or_else(|| Phase::new("fitting"));
                return Ok(self.try_split(options, material, split, &phase)?.finish());
            }
            Splits::Folds { places, n_folds, seed } => (*places, *n_folds, *seed),
        };
        let (mut scores, mut fold) = (FoldScores::default(), 0);
        let Phase { name: trial, best } = trial.cloned().unwrap_or_default();
        let trial = if trial.is_empty() { trial } else { format!("{trial}, ") };
        let visit = |split: RowSplit| -> Result<()> {
            fold += 1;
            let phase = Phase { name: format!("{trial}fold {fold} of {n_folds}"), best: best.clone() };
            let (rows, metric) = (split.train.len() as u64, phase.best.clone());
            (self.spec.observer)(TrainingProgress { phase: phase.name.clone(), rows, metric, ..TrainingProgress::default() });
            let scored = self.try_split(options, material, &of_places(places, &split), &phase);
            scores.add(scored.map_err(|error| without_fold(error, fold, n_folds))?);
            Ok(())
        };
        let unsplit = |error: LearnError| self.explain(&error, material.rows, places);
        match &material.rows.part.target {
            Target::Classes(codes, _) => {
                let codes = taken(codes, places);
                let mut folds = split::stratified_folds(&codes, n_folds, seed).map_err(unsplit)?;
                folds.try_for_each(visit)?;
            }
            _ => {
                let mut folds = split::row_folds(places.len(), n_folds, seed).map_err(unsplit)?;
                folds.try_for_each(visit)?;
            }
        }
        Ok(scores.finish())
    }

    fn try_split(&self, options: &PredictorOptions, material: &Material, split: &RowSplit, phase: &Phase) -> Result<Scorer> {
        let (model, _) = self.fit_rows(options, material, &split.train, phase)?;
        self.score(&model, &material.rows.part.take(&split.eval), material.rows)
    }
}
