//! A training run of a predictor.

use super::PredictorOptions;
use crate::error::Result;
use crate::models::training::{Rows, TrainSpec, Trained};
use datafusion::arrow::datatypes::SchemaRef;
use tokio_util::sync::CancellationToken;

/// Reads the rows and trains; see [`crate::models::train`].
pub(in crate::models) async fn train(
    _spec: TrainSpec,
    _options: PredictorOptions,
    _schema: &SchemaRef,
    _rows: Rows<'_>,
    _cancel: &CancellationToken,
) -> Result<Trained> {
    todo!()
}
