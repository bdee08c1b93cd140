//! Models: options, training, durable artefacts, and answers from memory.
//!
//! ```text
//! CREATE MODEL ─► ModelOptions::parse ─► train(rows) ─► Trained ─► Models::save ─► <dir>/<id>/<version>/
//!                                                          │                              │
//!                       metrics, parameters ─► catalog     └────── TrainedModel ◄──── Models::load (cache)
//!                                                                      ▲
//! recommend('m', ..), ML.PREDICT(MODEL m, ..) ────► CatalogLookup ─────┘
//! ```
//! There are two kinds of models: recommenders (users, items, ratings) and predictors (a label from
//! features). The catalog decides which version is live (the engine puts it there in one change); this
//! module keeps the files and the memory. It knows no SQL text and no session.

mod artefact;
mod evaluation;
mod lookup;
mod option;
mod predictor;
mod recommender;
mod registry;
mod report;
mod spark;
mod training;
mod tuning;

pub use evaluation::{Evaluation, Measure};
pub use lookup::CatalogLookup;
pub use option::ModelOption;
pub use predictor::{ModelTable, PredictorModel, PredictorOptions, ScoreTable, Scores};
pub use recommender::{NewRatings, Online, OnlineNumbers, RecommendRequest, RecommendedRows, RecommenderModel, RecommenderOptions};
pub use registry::{Loaded, Models};
pub use report::{Iteration, TrainingReport, Trial};
pub use spark::{SparkOptions, import};
pub use training::{ModelOptions, Observer, Rows, TrainSpec, Trained, TrainedModel, TrainingProgress, train};
