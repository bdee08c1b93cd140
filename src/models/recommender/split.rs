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

/// Splits of the ratings that a search is trained on: by time or of each user if the first split was, else at random; or
/// folds.
pub(super) fn for_search(method: &DataSplit, parts: &Parts, seed: u64) -> Result<Vec<Split>, RunError> {
    let train = &parts.split.train;
    Ok(match (method, &parts.times) {
        (DataSplit::Folds { n_folds }, _) => split::k_folds(train, *n_folds, seed ^ INNER)?.collect(),
        (DataSplit::Sequential { eval_fraction, .. }, Some(times)) => vec![by_time(train, times, *eval_fraction)?.split],
        (DataSplit::Random { eval_fraction }, _) => vec![split::random(train, *eval_fraction, seed ^ INNER)?],
        (DataSplit::RandomPerUser { eval_fraction }, _) => vec![split::random_per_user(train, *eval_fraction, seed ^ INNER)?],
        _ => vec![split::random(train, EVAL_FRACTION, seed ^ INNER)?],
    })
}

fn by_time(ratings: &Csr, times: &[i64], fraction: f64) -> Result<Parts, RunError> {
    let rows = sequential_rows(times, fraction)?;
    let mut is_eval = vec![false; times.len()];
    rows.eval.iter().for_each(|place| is_eval[*place as usize] = true);
    let times_train = rows.train.iter().map(|place| times[*place as usize]).collect();
    Ok(Parts { split: split::custom(ratings, &is_eval)?, times: Some(times_train) })
}
