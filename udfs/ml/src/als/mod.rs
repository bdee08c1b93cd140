//! Alternating least squares: a rating is the dot product of a user's and an item's factors.
//!
//! ```text
//! ratings ─► Csr (users × items) ──┐                 ┌─► user factors ─┐
//!            Csr (items × users) ──┴─► half steps ───┤                 ├─► AlsModel
//!            random user factors ────► items, users, └─► item factors ─┘
//!                                      items, users, …
//! ```

mod cholesky;
mod csr;
mod factors;
mod half_step;
mod nonnegative;
mod normal;

#[cfg(test)]
mod movielens_tests;
#[cfg(test)]
mod tests;

pub use csr::Csr;
pub use factors::{Factors, dot};

pub use crate::control::{Control, Progress};

use half_step::Rows;
use normal::NormalEquations;

/// What to train. The defaults are Spark's.
#[derive(Debug, Clone, PartialEq)]
pub struct AlsParams {
    /// Factors per user and item.
    pub rank: usize,
    pub lambda: f64,
    pub lambda_scale: LambdaScale,
    pub max_iterations: usize,
    /// Keep all factors at or above 0.
    pub nonnegative: bool,
    pub seed: u64,
}

impl Default for AlsParams {
    fn default() -> Self {
        Self { rank: 10, lambda: 0.1, lambda_scale: LambdaScale::Rating, max_iterations: 10, nonnegative: false, seed: 42 }
    }
}

/// What lambda is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LambdaScale {
    /// By the number of ratings of the row, as Spark's `regParam`: the ALS-WR of the paper.
    Rating,
    /// By nothing, as BigQuery's `L2_REG`.
    Row,
}

/// Users or items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    User,
    Item,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Item => "item",
        })
    }
}

/// Why there is no model. Rows and columns are the dense numbers the caller gave.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AlsError {
    #[error("there is no rating to train on")]
    Empty,
    #[error("the rating at place {place} (user {row}, item {column}) is not a finite number")]
    NotFinite { place: usize, row: u32, column: u32 },
    #[error("the ratings do not fit together: {what}")]
    Shape { what: &'static str },
    #[error("{name} is {value}, it must be {range}")]
    Parameter { name: &'static str, value: String, range: &'static str },
    #[error("the equations of {side} {row} have no finite solution")]
    Unsolvable { side: Side, row: u32 },
    #[error("training was cancelled")]
    Cancelled,
}

/// A factor model. Rows without ratings are zero.
#[derive(Debug, Clone, PartialEq)]
pub struct AlsModel {
    pub users: Factors,
    pub items: Factors,
}

impl AlsModel {
    /// The predicted rating.
    pub fn predict(&self, user: u32, item: u32) -> f32 {
        dot(self.users.row(user as usize), self.items.row(item as usize))
    }
}

/// Trains a model on explicit ratings (users × items).
///
/// As Spark does, it begins with random user factors of length 1 and solves the items first. The result
/// depends on the ratings and `params` only, bit by bit: not on threads, nor on the order of ratings.
///
/// # Errors
/// [`AlsError::Empty`] without ratings, [`AlsError::Parameter`] for an unusable parameter,
/// [`AlsError::Unsolvable`] when factors would not be finite, [`AlsError::Cancelled`].
///
/// # Cost
/// Per iteration O(ratings·rank² + (users + items)·rank³) time.
///
/// # Source
/// Zhou et al. 2008, *Large-scale Parallel Collaborative Filtering for the Netflix Prize*, §3.1 (λ weighted by `n`).
pub fn train(ratings: &Csr, params: &AlsParams, control: &Control<'_>) -> Result<AlsModel, AlsError> {
    check(params)?;
    if ratings.n_ratings() == 0 {
        return Err(AlsError::Empty);
    }
    let by_user = Rows::new(Side::User, ratings.clone());
    let by_item = Rows::new(Side::Item, ratings.transpose());
    let mut users = Factors::random(ratings.n_rows(), params.rank, params.seed, params.nonnegative);
    let mut items = Factors::zeros(ratings.n_columns(), params.rank);
    for iteration in 1..=params.max_iterations {
        by_item.solve(&users, params, control.threads, control.cancel, &mut items)?;
        by_user.solve(&items, params, control.threads, control.cancel, &mut users)?;
        (control.progress)(Progress { iteration, max_iterations: params.max_iterations, loss: None });
        if control.is_cancelled() {
            return Err(AlsError::Cancelled);
        }
    }
    Ok(AlsModel { users, items })
}

fn check(params: &AlsParams) -> Result<(), AlsError> {
    let wrong = |name, value: String, range| Err(AlsError::Parameter { name, value, range });
    if !(1..=1024).contains(&params.rank) {
        return wrong("rank", params.rank.to_string(), "from 1 to 1024");
    }
    if params.max_iterations == 0 {
        return wrong("max_iterations", "0".into(), "at least 1");
    }
    if !(params.lambda >= 0.0 && params.lambda <= 1e6) {
        return wrong("lambda", params.lambda.to_string(), "from 0 to 1000000");
    }
    Ok(())
}
