//! Models of a table: a label from features, clusters, components. Trained here or imported.
//!
//! ```text
//! rows ─► TrainingRows ─► Frame (weir_ml) ─► Algorithm ─► TrainedPredictor ┐
//!                                                                          ├─ dyn Learned ─► PredictorModel
//! Spark's directory ─► models::spark ─► its pipeline ──────────────────────┘
//! ```
//! A [`PredictorModel`] finds columns, shows predictions and scores them; a [`learned::Learned`] computes.

pub(super) mod artefact;
pub(super) mod columns;
pub(super) mod learned;
mod options;
mod output;
mod training;

pub use options::PredictorOptions;
pub(super) use training::train;

use self::learned::{Holds, Learned, Task};
use super::evaluation::Evaluation;
use super::training::Rows;
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Field, Schema};
use std::fmt::Debug;
use std::sync::Arc;

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

impl ModelTable {
    /// The name of the function.
    fn function(self) -> &'static str {
        match self {
            Self::FeatureInfo => "ML.FEATURE_INFO",
            Self::FeatureImportance => "ML.FEATURE_IMPORTANCE",
            Self::Weights => "ML.WEIGHTS",
            Self::ConfusionMatrix => "ML.CONFUSION_MATRIX",
            Self::RocCurve => "ML.ROC_CURVE",
            Self::Centroids => "ML.CENTROIDS",
            Self::PrincipalComponents => "ML.PRINCIPAL_COMPONENTS",
        }
    }
}

/// A trained predictor: immutable, shared by all statements that use it.
#[derive(Debug)]
pub struct PredictorModel {
    pub(super) name: String,
    /// One of [`MODEL_TYPES`], or `spark`.
    pub(super) model_type: String,
    pub(super) task: Task,
    pub(super) learned: Arc<dyn Learned>,
    pub(super) held_out: Option<Evaluation>,
}

impl PredictorModel {
    /// A model that was trained elsewhere; `name` is for messages, `model_type` as in the catalog.
    pub(super) fn imported(name: &str, model_type: &str, task: Task, learned: Arc<dyn Learned>) -> Self {
        Self { name: name.to_owned(), model_type: model_type.to_owned(), task, learned, held_out: None }
    }

    /// The model's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.learned.bytes() + size_of::<Self>()
    }

    /// The columns that [`PredictorModel::predict`] adds to rows of this schema: `predicted_<label>`, `predicted_<label>_probs`.
    ///
    /// # Errors
    /// `UndefinedColumn` for a feature that is not there, `InvalidStatement` for one of a type that does not fit.
    pub fn output_fields(&self, input: &Schema) -> Result<Vec<Field>> {
        self.input_places(input)?;
        Ok(output::fields(&self.task))
    }

    /// The added columns for the rows of a batch; features are found by name, without regard to case.
    ///
    /// # Errors
    /// Those of [`PredictorModel::output_fields`].
    pub fn predict(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let columns: Vec<ArrayRef> = self.input_places(rows.schema_ref())?.into_iter().map(|place| Arc::clone(rows.column(place))).collect();
        output::columns(&self.task, &self.learned.predict(&columns, rows.num_rows())?, rows.num_rows())
    }

    /// The places of the columns that the model reads in a schema.
    ///
    /// # Errors
    /// `UndefinedColumn` for a feature that is not there, `InvalidStatement` for one of a type that does not fit.
    pub fn input_places(&self, schema: &Schema) -> Result<Vec<usize>> {
        let what = format!("model \"{}\"", self.name);
        let place = |input: &learned::Input| {
            let place = columns::find(&what, &input.name, schema)?;
            let field = schema.field(place);
            let fits = match input.holds {
                Holds::Number => columns::is_number(field.data_type()) || columns::is_text(field.data_type()),
                Holds::Category => !field.data_type().is_nested(),
                Holds::Vector => field.data_type().is_nested(),
            };
            let expected = match input.holds {
                Holds::Number => "a number, as in training",
                Holds::Category => "a text, as in training",
                Holds::Vector => "an array of numbers, as in training",
            };
            if fits { Ok(place) } else { Err(columns::wrong_type(&what, field, expected)) }
        };
        self.learned.inputs().iter().map(place).collect()
    }

    /// The evaluation on the rows held out in training: the answer of `ML.EVALUATE(MODEL m)`.
    ///
    /// # Errors
    /// `InvalidStatement` when no rows were held out.
    pub fn held_out(&self) -> Result<&Evaluation> {
        self.held_out.as_ref().ok_or_else(|| self.none_held_out())
    }

    fn none_held_out(&self) -> Error {
        Error::new(Code::InvalidStatement, format!("no rows were held out when model \"{}\" was trained", self.name))
            .hint("Give the rows to score it on, as in ML.EVALUATE(MODEL m, TABLE t).")
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
    pub fn table(&self, table: ModelTable) -> Result<RecordBatch> {
        self.learned.table(table)?.ok_or_else(|| {
            let what = format!("model \"{}\" of type {} has no {}", self.name, self.model_type, table.function());
            Error::new(Code::WrongObject, what)
        })
    }
}
