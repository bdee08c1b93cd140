//! SQL functions of weir over models, text and time.
//!
//! One file per function, all listed in [`FUNCTIONS`]. Models are reached only through [`ModelLookup`].

mod als_predict;
pub mod model;
mod recommend;
mod recommend_items;

#[cfg(test)]
mod model_tests;

pub use model::{ItemLists, ItemScore, ModelLookup, Recommender, model_functions};
