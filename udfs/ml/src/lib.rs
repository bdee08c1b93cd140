//! Machine-learning algorithms of weir over plain slices.
//!
//! Nothing here knows Arrow, DataFusion or tokio: callers encode ids as dense `u32` numbers first.
//! A result depends on its input and seed only, never on the number of threads.

pub mod control; // threads, cancellation, progress of a training
pub mod error; //   why a learner has no model
pub mod random; //  a small counter-based generator: same seed, same numbers, in any order
mod memory; //      buffers of many numbers, in huge pages
pub mod als; //     factor models of ratings: alternating least squares
pub mod topk; //    the best k items of a user, exactly
pub mod frame; //   the features of rows, column by column
mod chunks; //      sums over rows on several threads, the same bits on any number
pub mod design; //  features as columns of numbers: imputed, standardised, one-hot
pub mod tree; //    random forests and gradient boosting over histograms
pub mod linear; //  models linear in their features
pub mod cluster; // groups of rows that are near each other
pub mod pca; //     the directions in which rows differ most
pub mod bayes; //   classes by the distributions of single features
pub mod split; //   held-out rows for evaluation
pub mod search; //  which hyper-parameters to try, and when to stop
pub mod metrics; // how far predictions are from the truth
pub mod synthetic; // made-up ratings with a known shape, for benchmarks and tests
