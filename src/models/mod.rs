//! Models: options, training, durable artefacts, and answers from memory.
//!
//! ```text
//! CREATE MODEL ─► ModelOptions::parse ─► train(rows) ─► Trained ─► Models::save ─► <dir>/<id>/<version>/
//!                                                          │                              │
//!                       metrics, parameters ─► catalog     └──── RecommenderModel ◄── Models::load (cache)
//!                                                                      ▲
//! recommend('m', ..) ─────────────────────────────► CatalogLookup ─────┘
//! ```
//! The catalog decides which version is live (the engine puts it there in one change); this module keeps
//! the files and the memory. It knows no SQL text and no session.

mod artefact;
mod columns;
mod evaluation;
mod ids;
mod lookup;
mod options;
mod recommender;
mod registry;
mod training;

#[cfg(test)]
mod options_tests;
#[cfg(test)]
mod tests;

pub use evaluation::{Evaluation, evaluate};
pub use lookup::CatalogLookup;
pub use options::{ColdStart, DataSplit, ModelOption, ModelOptions, Regularisation};
pub use recommender::RecommenderModel;
pub use registry::Models;
pub use training::{TrainSpec, Trained, train};
