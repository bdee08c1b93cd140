//! How far predictions are from the truth.

mod ranking;
mod rating;
mod regression; //     errors of numbers
mod classification; // right and wrong classes
mod probability; //    log loss, Brier score
mod roc; //            how well scores rank two classes

pub use classification::ConfusionMatrix;
pub use probability::ProbabilityErrors;
pub use ranking::{RankingMetrics, RankingTask};
pub use rating::RatingErrors;
pub use regression::{RegressionErrors, median_absolute_error};
pub use roc::{RankedScores, RocPoint, roc_auc_macro};
