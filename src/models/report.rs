//! What a training run tells about itself: iterations and trials, for `ML.TRAINING_INFO` and `ML.TRIAL_INFO`.

use crate::error::{Error, Result};
use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

/// One iteration (tree, epoch) of the fit that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// From 1.
    pub iteration: u64,
    /// The training loss, where the algorithm knows it.
    pub loss: Option<f64>,
    /// The loss on held-out rows, where it is computed between iterations: of a recommender the rmse.
    pub eval_loss: Option<f64>,
    pub duration_ms: f64,
}

/// One trial of a hyper-parameter search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// From 1.
    pub trial: u64,
    /// The searched options with the values of this trial.
    pub hyperparameters: BTreeMap<String, String>,
    /// What the trial scored on its held-out rows, by name; empty when it failed.
    pub metrics: BTreeMap<String, f64>,
    /// Why it has no metrics.
    pub error: Option<String>,
    /// Whether its parameters are those of the model.
    pub is_optimal: bool,
    pub duration_ms: f64,
}

/// The run that made a version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingReport {
    pub iterations: Vec<Iteration>,
    pub trials: Vec<Trial>,
}

impl TrainingReport {
    /// The rows of `ML.TRAINING_INFO`.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn training_info(&self) -> Result<RecordBatch> {
        let rows = &self.iterations;
        batch(vec![
            ("iteration", Arc::new(rows.iter().map(|row| Some(row.iteration.cast_signed())).collect::<Int64Array>())),
            ("loss", Arc::new(rows.iter().map(|row| row.loss).collect::<Float64Array>())),
            ("eval_loss", Arc::new(rows.iter().map(|row| row.eval_loss).collect::<Float64Array>())),
            ("duration_ms", Arc::new(rows.iter().map(|row| Some(row.duration_ms)).collect::<Float64Array>())),
        ])
    }

    /// The rows of `ML.TRIAL_INFO`: a column for each searched option and each metric.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn trial_info(&self) -> Result<RecordBatch> {
        let rows = &self.trials;
        let mut columns: Vec<(String, ArrayRef)> =
            vec![("trial_id".into(), Arc::new(rows.iter().map(|row| Some(row.trial.cast_signed())).collect::<Int64Array>()))];
        let mut options: Vec<&String> = rows.iter().flat_map(|row| row.hyperparameters.keys()).collect();
        options.sort();
        options.dedup();
        for option in options {
            let values: Vec<Option<&String>> = rows.iter().map(|row| row.hyperparameters.get(option)).collect();
            columns.push((option.clone(), typed(&values)));
        }
        let mut metrics: Vec<&String> = rows.iter().flat_map(|row| row.metrics.keys()).collect();
        metrics.sort();
        metrics.dedup();
        for metric in metrics {
            let values: Float64Array = rows.iter().map(|row| row.metrics.get(metric).copied()).collect();
            columns.push((metric.clone(), Arc::new(values)));
        }
        columns.push(("error".into(), Arc::new(rows.iter().map(|row| row.error.as_ref()).collect::<StringArray>())));
        columns.push(("is_optimal".into(), Arc::new(rows.iter().map(|row| Some(row.is_optimal)).collect::<BooleanArray>())));
        columns.push(("duration_ms".into(), Arc::new(rows.iter().map(|row| Some(row.duration_ms)).collect::<Float64Array>())));
        batch(columns.iter().map(|(name, array)| (name.as_str(), Arc::clone(array))).collect())
    }
}

/// Values as numbers if all of them are, whole ones if they can be: they are compared and averaged.
fn typed(values: &[Option<&String>]) -> ArrayRef {
    fn numbers<T: FromStr>(values: &[Option<&String>]) -> Option<Vec<Option<T>>> {
        values.iter().map(|value| value.map(|value| value.parse()).transpose().ok()).collect()
    }
    if let Some(whole) = numbers::<i64>(values) {
        return Arc::new(Int64Array::from(whole));
    }
    match numbers::<f64>(values) {
        Some(numbers) => Arc::new(Float64Array::from(numbers)),
        None => Arc::new(values.iter().copied().collect::<StringArray>()),
    }
}

/// Columns as a batch; all of them may be NULL.
pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, DataType::clone(array.data_type()), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect())
        .map_err(|error| Error::internal(format!("could not build a table about a model: {error}")))
}
