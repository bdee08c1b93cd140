//! How far predictions are from the truth.

mod ranking;
mod rating;

pub use ranking::{RankingMetrics, RankingTask};
pub use rating::RatingErrors;
