//! A model that we trained ourselves: features and what a learner of weir_ml made of them.

use super::ModelTable;
use super::algorithm::{Algorithm, label_encoded};
use super::features::{self, Feature};
use super::learned::{Input, Learned, LearnedKind, Predictions};
use super::{statistics, stored, tables};
use crate::error::{Error, Result};
use crate::models::artefact::Parts;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use weir_ml::error::LearnError;
use weir_ml::frame::Frame;

/// Features and a fitted learner.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TrainedPredictor {
    pub features: Vec<Feature>,
    inputs: Vec<Input>,
    /// The labels of the classes as text, for tables.
    pub class_names: Vec<String>,
    /// Whether the learner sees categories as numbers.
    pub is_label_encoded: bool,
    pub algorithm: Algorithm,
}

impl TrainedPredictor {
    /// Puts a model together.
    pub fn new(features: Vec<Feature>, class_names: Vec<String>, is_label_encoded: bool, algorithm: Algorithm) -> Self {
        let inputs = features.iter().map(|feature| feature.input.clone()).collect();
        Self { features, inputs, class_names, is_label_encoded, algorithm }
    }

    /// Predicts rows whose features are encoded already.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the frame is not of these features.
    pub fn predict_frame(&self, frame: &Frame) -> Result<Predictions, LearnError> {
        let values = if self.is_label_encoded { self.algorithm.predict(&label_encoded(frame)?)? } else { self.algorithm.predict(frame)? };
        Ok(Predictions { values, chosen: None })
    }

    /// The sum of the squared distances of rows from the mean of training, in design columns; components only.
    pub fn frame_spread(&self, frame: &Frame) -> Result<Option<f64>, LearnError> {
        let Algorithm::Pca(model) = &self.algorithm else { return Ok(None) };
        let rows = model.design.transform(frame)?;
        let squares = (0..rows.n_rows())
            .map(|row| -> f64 { rows.row(row).iter().zip(&model.means).map(|(value, mean)| (value - mean).powi(2)).sum() });
        Ok(Some(squares.sum()))
    }
}

fn unpredicted(error: LearnError) -> Error {
    Error::internal(format!("a model does not fit its features: {error}"))
}

impl Learned for TrainedPredictor {
    fn kind(&self) -> LearnedKind {
        LearnedKind::Trained
    }

    fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    fn predict(&self, columns: &[ArrayRef], n_rows: usize) -> Result<Predictions> {
        self.predict_frame(&features::encode(&self.features, columns, n_rows)?).map_err(unpredicted)
    }

    fn bytes(&self) -> usize {
        self.algorithm.bytes() + self.features.iter().map(Feature::bytes).sum::<usize>()
    }

    fn table(&self, table: ModelTable) -> Result<Option<RecordBatch>> {
        match (table, &self.algorithm) {
            (ModelTable::FeatureInfo, _) => statistics::feature_info(&self.features).map(Some),
            (ModelTable::FeatureImportance, algorithm) => match algorithm.importances() {
                Some(importances) => tables::feature_importance(&self.features, importances).map(Some),
                None => Ok(None),
            },
            (ModelTable::Weights, Algorithm::Linear(model)) => tables::linear_weights(&self.features, model).map(Some),
            (ModelTable::Weights, Algorithm::Logistic(model)) => {
                tables::logistic_weights(&self.features, &self.class_names, model).map(Some)
            }
            (ModelTable::Centroids, Algorithm::Kmeans(model)) => tables::centroids(&self.features, model).map(Some),
            (ModelTable::PrincipalComponents, Algorithm::Pca(model)) => tables::principal_components(&self.features, model).map(Some),
            _ => Ok(None),
        }
    }

    fn centroid_distances(&self) -> Option<Vec<f64>> {
        let Algorithm::Kmeans(model) = &self.algorithm else { return None };
        let n = model.centroids.n_rows();
        let distance = |one: usize, other: usize| -> f64 {
            let squares = model.centroids.row(one).iter().zip(model.centroids.row(other)).map(|(one, other)| (one - other).powi(2));
            squares.sum::<f64>().sqrt()
        };
        Some((0..n * n).map(|place| distance(place / n, place % n)).collect())
    }

    fn spread(&self, columns: &[ArrayRef], n_rows: usize) -> Result<Option<f64>> {
        self.frame_spread(&features::encode(&self.features, columns, n_rows)?).map_err(unpredicted)
    }

    fn write(&self) -> Result<Parts> {
        stored::write(self)
    }
}
