//! Models of a table: a label from features, clusters, components. Trained here or imported.

pub(super) mod artefact;
mod options;
mod training;

pub use options::PredictorOptions;
pub(super) use training::train;

use super::evaluation::Evaluation;
use super::training::Rows;
use crate::error::Result;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Field, Schema};
use std::fmt::Debug;

/// Names of the model types.
pub(super) const MODEL_TYPES: &[&str] = &[
    "linear_reg",
    "elastic_net",
    "glm",
    "logistic_reg",
    "random_forest_classifier",
    "random_forest_regressor",
    "boosted_tree_classifier",
    "boosted_tree_regressor",
    "kmeans",
    "pca",
    "naive_bayes",
];

/// A table about a model, by the name of its `ML.` function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelTable {
    FeatureInfo,
    FeatureImportance,
    Weights,
    ConfusionMatrix,
    RocCurve,
    Centroids,
    PrincipalComponents,
}

/// A trained predictor: immutable, shared by all statements that use it.
#[derive(Debug)]
pub struct PredictorModel {
    pub(super) name: String,
    pub(super) held_out: Option<Evaluation>,
}

impl PredictorModel {
    /// The model's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        todo!()
    }

    /// The columns that [`PredictorModel::predict`] adds to rows of this schema: `predicted_<label>`, `predicted_<label>_probs`.
    ///
    /// # Errors
    /// `UndefinedColumn` for a feature that is not there, `InvalidStatement` for one of a type that does not fit.
    pub fn output_fields(&self, _input: &Schema) -> Result<Vec<Field>> {
        todo!()
    }

    /// The added columns for the rows of a batch; features are found by name, without regard to case.
    ///
    /// # Errors
    /// Those of [`PredictorModel::output_fields`].
    pub fn predict(&self, _rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        todo!()
    }

    /// The evaluation on the rows held out in training: the answer of `ML.EVALUATE(MODEL m)`.
    pub fn held_out(&self) -> Result<&Evaluation> {
        todo!()
    }

    /// What [`PredictorModel::evaluate`] answers, without numbers.
    pub fn evaluation_form(&self) -> Evaluation {
        todo!()
    }

    /// Scores the rows of a query, which have the label too.
    ///
    /// # Errors
    /// `UndefinedColumn`, `InvalidValue` with the row, and those of `rows`.
    pub async fn evaluate(&self, _schema: &Schema, _rows: Rows<'_>) -> Result<Evaluation> {
        todo!()
    }

    /// A table about the model.
    ///
    /// # Errors
    /// `WrongObject` when a model of its type has no such table.
    pub fn table(&self, _table: ModelTable) -> Result<RecordBatch> {
        todo!()
    }
}
