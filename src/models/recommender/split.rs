//! Which ratings are held out: for the evaluation, and again, of the rest, for a search.

use super::fit::RunError;
use super::options::DataSplit;
use super::ratings::Marks;
use weir_ml::als::Csr;
use weir_ml::split::{self, Split, sequential_rows};

/// Below so many rows BigQuery's AUTO_SPLIT holds nothing out.
const AUTO_ROWS_MIN: usize = 500;
/// What AUTO_SPLIT holds out at most.
const AUTO_EVAL_ROWS_MAX: f64 = 10_000.0;
/// The share held out when nothing else says.
pub(super) const EVAL_FRACTION: f64 = 0.2;
/// The second split under the same seed shall not repeat the first.
const INNER: u64 = 0x1771_5EED;

/// A split, and what decides a split of its training part again.
pub(super) struct Parts {
    pub split: Split,
    /// Of `split.train`, by place.
    times: Option<Vec<i64>>,
}

/// Holds rows out as the options say; `None` when they say nothing is, or so few that nothing can be. Folds are not
/// made here: of them one is asked for with a fraction.
pub(super) fn hold_out(method: &DataSplit, ratings: &Csr, marks: Marks, seed: u64) -> Result<Option<Parts>, RunError> {
    let n = ratings.n_ratings();
    let untimed = |split: Split| Parts { split, times: None };
    let random = |fraction: f64| split::random(ratings, fraction, seed).map(|split| Some(untimed(split)));
    Ok(match (method, marks) {
        (DataSplit::NoSplit, _) => None,
        (DataSplit::Auto, _) if n < AUTO_ROWS_MIN => None,
        (DataSplit::Auto, _) => random((AUTO_EVAL_ROWS_MAX / n as f64).min(EVAL_FRACTION))?,
        (DataSplit::Sequential { eval_fraction, .. }, Marks::Times(times)) => Some(by_time(ratings, &times, *eval_fraction)?),
        (DataSplit::Custom { .. }, Marks::HeldOut(marks)) => Some(untimed(split::custom(ratings, &marks)?)),
        (DataSplit::Random { eval_fraction }, _) => random(*eval_fraction)?,
        (DataSplit::RandomPerUser { eval_fraction }, _) => Some(untimed(split::random_per_user(ratings, *eval_fraction, seed)?)),
        (DataSplit::Folds { .. } | DataSplit::Sequential { .. } | DataSplit::Custom { .. }, _) => random(EVAL_FRACTION)?,
    })
}

/// How the ratings that a search is trained on are split again.
pub(super) enum SearchSplits<'a> {
    Once(Split),
    /// Made anew for each trial: all of them at once would take many times the memory of the ratings.
    Folds {
        ratings: &'a Csr,
        n_folds: usize,
        seed: u64,
    },
}

impl<'a> SearchSplits<'a> {
    /// By time or of each user if the first split was, else at random; or folds.
    pub fn new(method: &DataSplit, parts: &'a Parts, seed: u64) -> Result<Self, RunError> {
        let (train, seed) = (&parts.split.train, seed ^ INNER);
        Ok(Self::Once(match (method, &parts.times) {
            (DataSplit::Folds { n_folds }, _) => return Ok(Self::Folds { ratings: train, n_folds: *n_folds, seed }),
            (DataSplit::Sequential { eval_fraction, .. }, Some(times)) => by_time(train, times, *eval_fraction)?.split,
            (DataSplit::Random { eval_fraction }, _) => split::random(train, *eval_fraction, seed)?,
            (DataSplit::RandomPerUser { eval_fraction }, _) => split::random_per_user(train, *eval_fraction, seed)?,
            _ => split::random(train, EVAL_FRACTION, seed)?,
        }))
    }

    /// Hands each split to `visit`.
    pub fn each(&self, mut visit: impl FnMut(&Split) -> Result<(), RunError>) -> Result<(), RunError> {
        match self {
            Self::Once(split) => visit(split),
            Self::Folds { ratings, n_folds, seed } => split::k_folds(ratings, *n_folds, *seed)?.try_for_each(|split| visit(&split)),
        }
    }
}

fn by_time(ratings: &Csr, times: &[i64], fraction: f64) -> Result<Parts, RunError> {
    let rows = sequential_rows(times, fraction)?;
    let mut is_eval = vec![false; times.len()];
    rows.eval.iter().for_each(|place| is_eval[*place as usize] = true);
    let times_train = rows.train.iter().map(|place| times[*place as usize]).collect();
    Ok(Parts { split: split::custom(ratings, &is_eval)?, times: Some(times_train) })
}
