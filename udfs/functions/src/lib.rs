//! SQL functions of weir over models, text and time.
//!
//! One file per function, all listed in [`FUNCTIONS`]. Models are reached only through [`ModelLookup`].

pub mod model;

pub use model::{ItemScore, ModelLookup, Recommender};
