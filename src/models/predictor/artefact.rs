//! A predictor as files.

use super::PredictorModel;
use crate::error::Result;
use crate::models::artefact::{Files, Parts};

/// What is written of a model.
pub(in crate::models) fn write(_model: &PredictorModel) -> Result<Parts> {
    todo!()
}

/// Reads what [`write`] wrote; `None` when the parts do not fit together.
pub(in crate::models) fn read(_manifest: serde_json::Value, _files: &Files) -> Result<Option<PredictorModel>> {
    todo!()
}
