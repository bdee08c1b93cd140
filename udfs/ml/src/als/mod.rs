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
mod descent;
mod equations;
mod factors;
mod half_step;
mod kernel;
mod nonnegative;
mod params;
mod row_solver;

#[cfg(test)]
mod movielens_tests;
#[cfg(test)]
mod tests;

pub use csr::Csr;
pub use equations::Gram;
pub use factors::{Factors, dot};
pub use params::{AlsParams, Feedback, LambdaScale};

pub use crate::control::{Control, Progress};

use equations::Others;
use half_step::Rows;
use kernel::Isa;

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
    params.check()?;
    if ratings.n_ratings() == 0 {
        return Err(AlsError::Empty);
    }
    let isa = Isa::detect();
    let transposed = ratings.transpose();
    let (by_user, by_item) = (Rows::new(Side::User, ratings), Rows::new(Side::Item, &transposed));
    let mut users = Factors::random(ratings.n_rows(), params.rank, params.seed, params.nonnegative);
    let mut items = Factors::zeros(ratings.n_columns(), params.rank);
    for iteration in 1..=params.max_iterations {
        half_step(&by_item, &users, params, isa, control, &mut items)?;
        half_step(&by_user, &items, params, isa, control, &mut users)?;
        (control.progress)(Progress { iteration, max_iterations: params.max_iterations, loss: None });
        if control.is_cancelled() {
            return Err(AlsError::Cancelled);
        }
    }
    Ok(AlsModel { users, items })
}

fn half_step(
    rows: &Rows<'_>,
    others: &Factors,
    params: &AlsParams,
    isa: Isa,
    control: &Control<'_>,
    factors: &mut Factors,
) -> Result<(), AlsError> {
    let gram = matches!(params.feedback, Feedback::Implicit { .. }).then(|| Gram::with_isa(others, isa));
    let others = Others { rows: kernel::Rows { data: others.as_slice(), rank: others.rank() }, gram: gram.as_ref() };
    rows.solve(&others, params, isa, control, factors)
}
