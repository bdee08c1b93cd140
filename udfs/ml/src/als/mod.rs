//! Alternating least squares: a rating is the dot product of a user's and an item's factors.
//!
//! ```text
//! ratings ─► Csr (users × items) ──┐                 ┌─► user factors ─┐
//!            Csr (items × users) ──┴─► half steps ───┤                 ├─► AlsModel
//!            random user factors ────► items, users, └─► item factors ─┘
//!                                      items, users, …
//! ```

mod bias;
mod cholesky;
mod csr;
mod descent;
mod equations;
mod factors;
mod few_ratings;
mod fold_in;
mod gradient;
mod half_step;
mod held_out;
mod kernel;
mod model;
mod nonnegative;
mod params;
mod popularity;
mod row_solver;
mod training;

#[cfg(test)]
mod movielens_tests;
#[cfg(test)]
mod objective_tests;
#[cfg(test)]
mod tests;

pub use csr::Csr;
pub use equations::Gram;
pub use factors::{Factors, dot};
pub use fold_in::FoldIn;
pub use held_out::HeldOut;
pub use model::AlsModel;
pub use params::{AlsParams, Bias, Feedback, LambdaScale, Solver};
pub use training::{train, train_from};

pub use crate::control::{Control, Progress};

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
