//! Models linear in their features: least squares, elastic net, generalised linear and logistic regression.
//!
//! All of them read a compact [`Design`](crate::design::Design) and work on sums of squares over its rows, so that their
//! cost grows with the features of a row and not with the categories these have.

mod regularisation; //     how strongly coefficients are drawn to zero
mod family; //             distributions of the target and their links
mod targets; //            checked targets and weights beside the design
mod gram; //               sums of squares over rows
pub(crate) mod cholesky; // solves the normal equations, singular ones too
mod coordinate_descent; // elastic net
mod irls; //               iteratively reweighted least squares
pub(crate) mod eigen; //    eigenvectors, for principal components
mod softmax; //            L-BFGS for more than two classes
mod distribution; //       p-values
mod model; //              what a fit leaves behind
mod regression; //         least squares, ridge, elastic net
mod glm; //                poisson, gamma, binomial
mod logistic; //           classes
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
pub(crate) mod reference_tests;
#[cfg(test)]
mod real_data_tests;

pub use family::Family;
pub use glm::GeneralisedLinearRegression;
pub use logistic::{ClassWeightTable, ClassWeights, LogisticModel, LogisticRegression};
pub use model::{FitSummary, LinearModel, StandardErrors, Weight};
pub use regression::LinearRegression;
pub use regularisation::{Regularisation, Scaling};

pub(crate) use gram::{Gram, RowTerms};
pub(crate) use logistic::{check_labels, most_probable};
pub(crate) use targets::check_weights;
