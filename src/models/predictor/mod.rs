//! Models of a table: a label from features, clusters, components. Trained here or imported.
//!
//! ```text
//! rows ─► TrainingSet ─► Frame (weir_ml) ─► Algorithm ─► TrainedPredictor ┐
//!                                                                         ├─ dyn Learned ─► PredictorModel
//! Spark's directory ─► models::spark ─► its pipeline ─────────────────────┘
//! ```
//! A [`PredictorModel`] finds columns, shows predictions and scores them; a [`learned::Learned`] computes.

mod algorithm; //            the learners of weir_ml behind one door
pub(super) mod artefact; //  a predictor as files
pub(super) mod columns; //   columns of a query as numbers and texts
mod features; //             how columns become features, and are kept with the model
mod fixed; //                options that have one value here
mod known; //                which options each model type knows
mod labels; //               labels of any type as classes
pub(super) mod learned; //   what was learned, whoever trained it
mod learner; //              options as parameters of learners
mod options; //              the options of CREATE MODEL
mod output; //               predictions as columns
mod rows; //                 the rows of a training query
mod scoring; //              measures, confusion matrix, ROC curve
mod search; //               HPARAM_CANDIDATES and HPARAM_RANGE
mod statistics; //           ML.FEATURE_INFO
mod stored; //               a model of our own as files
mod tables; //               weights, importances, centroids
mod trained; //              a model of our own
mod training; //             a training run
mod trials; //               a search over options
mod validation; //           fits scored on rows that they have not seen

#[cfg(test)]
mod tests;

pub use options::PredictorOptions;
pub use scoring::Scores;
pub(super) use training::train;

use self::labels::ClassLookup;
use self::learned::{Holds, Learned, Predictions, Task};
use self::scoring::{Scorer, Truth};
use super::evaluation::Evaluation;
use super::training::Rows;
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Field, Schema};
use futures::StreamExt;
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

/// The other spellings of an option of a model type, one of [`MODEL_TYPES`].
pub(super) fn aliases(model_type: &str, option: &str) -> &'static [&'static str] {
    known::of_type(model_type).iter().find(|known| known.name == option).map(|known| known.aliases).unwrap_or_default()
}

/// A table about a model, by the name of its `ML.` function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelTable {
    FeatureInfo,
    FeatureImportance,
    Weights,
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
            Self::Centroids => "ML.CENTROIDS",
            Self::PrincipalComponents => "ML.PRINCIPAL_COMPONENTS",
        }
    }
}

/// A table about predictions whose truth is known, by the name of its `ML.` function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreTable {
    Evaluate,
    ConfusionMatrix,
    RocCurve,
}

impl ScoreTable {
    /// The name of the function.
    fn function(self) -> &'static str {
        match self {
            Self::Evaluate => "ML.EVALUATE",
            Self::ConfusionMatrix => "ML.CONFUSION_MATRIX",
            Self::RocCurve => "ML.ROC_CURVE",
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
    held_out: Option<Scores>,
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

    /// The added columns for the rows of a batch; features are found by name, without regard to case. `threshold`: rows of at
    /// least this probability of the second class are of that class, instead of the more probable one.
    ///
    /// # Errors
    /// Those of [`PredictorModel::output_fields`] and [`PredictorModel::check_threshold`].
    pub fn predict(&self, rows: &RecordBatch, threshold: Option<f64>) -> Result<Vec<ArrayRef>> {
        let columns: Vec<ArrayRef> =
            self.input_places(rows.schema_ref())?.into_iter().map(|place| Arc::clone(rows.column(place))).collect();
        output::columns(&self.task, &self.predictions(&columns, rows.num_rows(), threshold)?, rows.num_rows())
    }

    fn predictions(&self, columns: &[ArrayRef], n_rows: usize, threshold: Option<f64>) -> Result<Predictions> {
        let mut predictions = self.learned.predict(columns, n_rows)?;
        if let Some(threshold) = threshold {
            self.check_threshold(threshold)?;
            predictions.chosen = Some(predictions.values.iter().skip(1).step_by(2).map(|score| u32::from(*score >= threshold)).collect());
        }
        Ok(predictions)
    }

    /// Whether the model has a threshold of the probability of its second class.
    ///
    /// # Errors
    /// `WrongObject` for a model without exactly two classes, `InvalidParameter` for what is no probability.
    pub fn check_threshold(&self, threshold: f64) -> Result<()> {
        match &self.task {
            Task::Classification { classes, .. } if classes.len() == 2 => {}
            Task::Classification { classes, .. } => {
                let what = format!("model \"{}\" has {} classes, and a threshold is for two", self.name, classes.len());
                return Err(Error::new(Code::WrongObject, what));
            }
            _ => {
                let what = format!("model \"{}\" of type {} has no classes, and a threshold is for two", self.name, self.model_type);
                return Err(Error::new(Code::WrongObject, what));
            }
        }
        match (0.0..=1.0).contains(&threshold) {
            true => Ok(()),
            false => Err(Error::new(Code::InvalidParameter, format!("a threshold is a probability from 0 to 1, not {threshold}"))),
        }
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
        self.held_out_scores(ScoreTable::Evaluate).map(|scores| &scores.evaluation)
    }

    /// The scores of the rows held out in training; `table` is what they are wanted for.
    ///
    /// # Errors
    /// `InvalidStatement` when no rows were held out.
    pub fn held_out_scores(&self, table: ScoreTable) -> Result<&Scores> {
        self.held_out.as_ref().ok_or_else(|| {
            Error::new(Code::InvalidStatement, format!("no rows were held out when model \"{}\" was trained", self.name))
                .hint(format!("Give it rows to score, as in {}(MODEL m, TABLE t).", table.function()))
        })
    }

    /// What [`PredictorModel::score`] answers, without numbers.
    pub fn scores_form(&self) -> Scores {
        Scorer::new(&self.task, None).finish()
    }

    /// Scores the rows of a query, which have the label too. Rows that the model gives no answer for do not count. `threshold` as
    /// of [`PredictorModel::predict`].
    ///
    /// # Errors
    /// `UndefinedColumn`, `InvalidValue` with the row, those of [`PredictorModel::check_threshold`], and those of `rows`.
    pub async fn score(&self, schema: &Schema, mut rows: Rows<'_>, threshold: Option<f64>) -> Result<Scores> {
        let places = self.input_places(schema)?;
        let what = format!("model \"{}\"", self.name);
        let label = self.task.label().map(|label| columns::find(&what, label, schema)).transpose()?;
        let lookup = match (&self.task, label) {
            (Task::Classification { classes, .. }, Some(place)) => Some(ClassLookup::new(schema.field(place).name(), classes)?),
            _ => None,
        };
        let mut scorer = Scorer::new(&self.task, self.learned.centroid_distances());
        let (mut codes, mut numbers, mut first_row) = (Vec::new(), Vec::new(), 1);
        while let Some(batch) = rows.next().await.transpose()? {
            let inputs: Vec<ArrayRef> = places.iter().map(|place| Arc::clone(batch.column(*place))).collect();
            let n_rows = batch.num_rows();
            let truth = match (&lookup, label) {
                (Some(lookup), Some(place)) => {
                    codes.clear();
                    lookup.add(batch.column(place), first_row, &mut codes)?;
                    Truth::Classes(&codes)
                }
                (None, Some(place)) => {
                    numbers.clear();
                    labels::add_numbers(batch.column(place), schema.field(place).name(), first_row, &mut numbers)?;
                    Truth::Numbers(&numbers)
                }
                _ => Truth::Nothing { spread: self.learned.spread(&inputs, n_rows)? },
            };
            scorer.add(&self.predictions(&inputs, n_rows, threshold)?, truth);
            first_row += n_rows as u64;
            // A forest takes a while for a batch: let others on.
            tokio::task::yield_now().await;
        }
        Ok(scorer.finish())
    }

    /// Scores of this model as a table.
    ///
    /// # Errors
    /// `WrongObject` when a model of its type has no such table.
    pub fn score_table(&self, table: ScoreTable, scores: &Scores) -> Result<RecordBatch> {
        match (table, &self.task) {
            (ScoreTable::Evaluate, _) => scores.evaluation.to_batch(),
            (ScoreTable::ConfusionMatrix, Task::Classification { classes, .. }) => {
                let names = columns::texts(classes)?.iter().map(|name| name.unwrap_or_default().to_owned()).collect::<Vec<_>>();
                scores.confusion_matrix(classes, &names)
            }
            (ScoreTable::RocCurve, Task::Classification { classes, .. }) if classes.len() == 2 => scores.roc_curve(),
            (ScoreTable::RocCurve, Task::Classification { classes, .. }) => {
                let what = format!("model \"{}\" has {} classes, and a ROC curve is for two", self.name, classes.len());
                Err(Error::new(Code::WrongObject, what).hint("ML.CONFUSION_MATRIX and ML.EVALUATE are for any number of classes."))
            }
            _ => Err(self.no_table(table.function())),
        }
    }

    /// A table about the model.
    ///
    /// # Errors
    /// `WrongObject` when a model of its type has no such table.
    pub fn table(&self, table: ModelTable) -> Result<RecordBatch> {
        self.learned.table(table)?.ok_or_else(|| self.no_table(table.function()))
    }

    fn no_table(&self, function: &str) -> Error {
        Error::new(Code::WrongObject, format!("model \"{}\" of type {} has no {function}", self.name, self.model_type))
    }
}
