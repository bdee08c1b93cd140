//! How far predictions are from the truth.

mod rating;

pub use rating::RatingErrors;
