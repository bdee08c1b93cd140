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
pub struct F { pub name: &'static str, pub signature: &'static str, pub help: &'static str }
pub static FUNCTIONS: &[F] = &[];
pub fn register_all(_r: &mut dyn datafusion::execution::FunctionRegistry) -> datafusion::error::Result<()> { Ok(()) }
pub fn session_functions(_d: String, _u: String) -> Vec<datafusion::logical_expr::ScalarUDF> { vec![] }
