//! What a predictor has learned, whoever trained it: our own learners or an imported Spark pipeline.
//!
//! A [`super::PredictorModel`] finds the columns of a query, lets its [`Learned`] compute plain numbers, and
//! turns those into the columns that SQL shows. What the numbers mean is in its [`Task`].

use super::ModelTable;
use crate::error::Result;
use crate::models::artefact::Parts;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// A column that a model reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::models) struct Input {
    /// As in the training query; found without regard to case.
    pub name: String,
    pub holds: Holds,
}

/// What a column of a query must hold to be an input; widths and encodings may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::models) enum Holds {
    /// An integer, a float, a decimal, a boolean (0 and 1), a date (days since 1970), a timestamp (seconds
    /// since 1970, UTC), or text that is such a number; see [`super::columns::numbers`].
    Number,
    /// Anything but nested values, compared as text; see [`super::columns::texts`].
    Category,
    /// An array of numbers, or a vector as Spark writes it to Parquet: the features of an imported model that has
    /// no names for them.
    Vector,
}

/// What a model is for, and how its [`Predictions`] become columns.
#[derive(Debug, Clone)]
pub(in crate::models) enum Task {
    /// `predicted_<label>` DOUBLE.
    Regression { label: String },
    /// `predicted_<label>` in the type of `classes`, and `predicted_<label>_probs`.
    Classification {
        label: String,
        /// The values of the label, one for each class, without NULL, in the order of the probabilities. Of two
        /// classes the second is the positive one.
        classes: ArrayRef,
    },
    /// `centroid_id` BIGINT and `nearest_centroids_distance`; the first centroid has the number `first_id` (1 in
    /// BigQuery, 0 in Spark).
    Clustering { n_clusters: usize, first_id: i64 },
    /// `principal_component_1` to `_n` DOUBLE.
    Reduction { n_components: usize },
}

impl Task {
    /// The name of the label, for tasks that have one.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Regression { label } | Self::Classification { label, .. } => Some(label),
            Self::Clustering { .. } | Self::Reduction { .. } => None,
        }
    }

    /// How many numbers [`Predictions`] has for a row.
    pub fn width(&self) -> usize {
        match self {
            Self::Regression { .. } => 1,
            Self::Classification { classes, .. } => classes.len(),
            Self::Clustering { n_clusters, .. } => *n_clusters,
            Self::Reduction { n_components } => *n_components,
        }
    }
}

/// What a model says about some rows. NaN is no answer (a row that the model skips): it becomes NULL.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::models) struct Predictions {
    /// Row by row, [`Task::width`] numbers each: the prediction, the probability of every class, the distance to
    /// every centroid, the components.
    pub values: Vec<f64>,
    /// The chosen class of every row, where it is not the most probable one (thresholds); ties go to the first class.
    pub chosen: Option<Vec<u32>>,
}

/// Which module reads a [`Learned`] back from its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::models) enum LearnedKind {
    /// `predictor::trained`.
    Trained,
    /// `spark`: see `predictor::artefact::read_learned`.
    Spark,
}

/// A function from columns to numbers, with what it can tell about itself. Immutable; used from many threads.
pub(in crate::models) trait Learned: Debug + Send + Sync {
    /// Who reads it back.
    fn kind(&self) -> LearnedKind;

    /// The columns that it reads, in the order in which [`Learned::predict`] gets them.
    fn inputs(&self) -> &[Input];

    /// Predicts `n_rows` rows. `columns` are those of [`Learned::inputs`], as the query has them: of any Arrow
    /// type that [`Holds`] allows, sliced, dictionary-encoded, with NULLs. A row's answer does not depend on the
    /// rows around it.
    ///
    /// # Errors
    /// `InvalidValue` with the row (from 1) for a value that it cannot work with.
    fn predict(&self, columns: &[ArrayRef], n_rows: usize) -> Result<Predictions>;

    /// Memory in bytes.
    fn bytes(&self) -> usize;

    /// A table about the model; `None` when there is no such table.
    ///
    /// # Errors
    /// Only internal ones.
    fn table(&self, table: ModelTable) -> Result<Option<RecordBatch>>;

    /// The distances between the centroids, row by row, in the space in which rows are measured; models of
    /// clusters only. `None`: the evaluation has no Davies-Bouldin index.
    fn centroid_distances(&self) -> Option<Vec<f64>> {
        None
    }

    /// The sum of the squared distances of rows from the mean of training, in the space whose directions the components
    /// are; models of components only. `None`: the evaluation has no explained variance.
    ///
    /// # Errors
    /// Those of [`Learned::predict`].
    fn spread(&self, _columns: &[ArrayRef], _n_rows: usize) -> Result<Option<f64>> {
        Ok(None)
    }

    /// What is written of it: a JSON value and files, whose names must not begin with `predictor`.
    ///
    /// # Errors
    /// Only internal ones.
    fn write(&self) -> Result<Parts>;
}
