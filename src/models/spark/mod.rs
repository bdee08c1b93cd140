//! Models saved by Spark ML: a directory of JSON and Parquet becomes a model of ours.

use super::training::Trained;
use crate::error::Result;
use crate::models::option::ModelOption;
use crate::storage::Storage;

/// The name of the model type.
pub(super) const MODEL_TYPE: &str = "spark";

/// The checked options of an import.
#[derive(Debug, Clone)]
pub struct SparkOptions {
    /// The model's name, for messages.
    pub model: String,
    /// A directory inside the configured roots, as written.
    pub model_path: String,
}

impl SparkOptions {
    /// Reads the options of `CREATE MODEL <model>`.
    ///
    /// # Errors
    /// `InvalidParameter` with the option's name.
    pub fn parse(_model: &str, _options: &[(String, ModelOption)]) -> Result<Self> {
        todo!()
    }
}

/// Reads the directory and makes a model of it: a recommender from ALS, a predictor from everything else.
///
/// # Errors
/// Those of the roots for the path; `DataCorrupted` naming the file; `NotSupported` naming the stage.
pub async fn import(_options: &SparkOptions, _storage: &Storage) -> Result<Trained> {
    todo!()
}
