//! The learners of weir_ml behind one door: fit a part of the rows, predict a frame.

use super::learner::LearnerOptions;
use super::rows::{Part, Target};
use serde::{Deserialize, Serialize};
use weir_ml::bayes::NaiveBayesModel;
use weir_ml::cluster::KmeansModel;
use weir_ml::control::Control;
use weir_ml::error::LearnError;
use weir_ml::frame::{Column, Frame, MISSING};
use weir_ml::linear::{LinearModel, LogisticModel};
use weir_ml::pca::PcaModel;
use weir_ml::tree::boost::{self, Boosted};
use weir_ml::tree::forest::{self, Forest};

/// What was fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Algorithm {
    /// Linear regression, elastic net, GLM.
    Linear(LinearModel),
    Logistic(LogisticModel),
    Forest(Forest),
    Boosted(Boosted),
    NaiveBayes(NaiveBayesModel),
    Kmeans(KmeansModel),
    Pca(PcaModel),
}

/// Clusters when nobody says how many: about the logarithm of the rows, as BigQuery does.
pub(super) fn default_clusters(n_rows: usize) -> usize {
    ((n_rows.max(1) as f64).log10().round() as usize).clamp(2, 12).min(n_rows.max(1))
}

/// Fits a learner to rows.
///
/// # Errors
/// Those of the learner; rows are places in `part`.
pub(super) fn fit(learner: &LearnerOptions, part: &Part, seed: u64, control: &Control) -> Result<Algorithm, LearnError> {
    let encoded;
    let frame = if learner.is_label_encoded() {
        encoded = label_encoded(&part.frame)?;
        &encoded
    } else {
        &part.frame
    };
    let weights = part.weights.as_deref();
    let unfit = LearnError::Shape { what: "the learner does not fit the target" };
    match (learner, &part.target) {
        (LearnerOptions::Linear { params, .. }, Target::Numbers(targets)) => {
            params.fit(frame, targets, weights, control).map(Algorithm::Linear)
        }
        (LearnerOptions::Glm { params, .. }, Target::Numbers(targets)) => {
            params.fit(frame, targets, weights, None, control).map(Algorithm::Linear)
        }
        (LearnerOptions::Logistic { params, .. }, Target::Classes(labels, n_classes)) => {
            params.fit(frame, labels, *n_classes, weights, control).map(Algorithm::Logistic)
        }
        (LearnerOptions::NaiveBayes(params), Target::Classes(labels, n_classes)) => {
            params.fit(frame, labels, *n_classes, weights, control).map(Algorithm::NaiveBayes)
        }
        (LearnerOptions::Forest(params), target) => {
            let params = forest::ForestParams { seed, ..params.clone() };
            match target {
                Target::Classes(labels, n_classes) => {
                    forest::train_classifier(frame, labels, *n_classes as usize, weights, &params, control).map(Algorithm::Forest)
                }
                Target::Numbers(targets) => forest::train_regressor(frame, targets, weights, &params, control).map(Algorithm::Forest),
                Target::None => Err(unfit),
            }
        }
        (LearnerOptions::Boosted(params), target) => {
            let params = boost::BoostParams { seed, ..params.clone() };
            match target {
                Target::Classes(labels, n_classes) => {
                    boost::train_classifier(frame, labels, *n_classes as usize, weights, None, &params, control).map(Algorithm::Boosted)
                }
                Target::Numbers(targets) => boost::train_regressor(frame, targets, weights, None, &params, control).map(Algorithm::Boosted),
                Target::None => Err(unfit),
            }
        }
        (LearnerOptions::Kmeans { params, n_clusters }, _) => {
            let n_clusters = n_clusters.unwrap_or_else(|| default_clusters(frame.n_rows()));
            let params = weir_ml::cluster::Kmeans { n_clusters, seed, ..params.clone() };
            params.fit(frame, weights, control).map(Algorithm::Kmeans)
        }
        (LearnerOptions::Pca(params), _) => params.fit(frame, control).map(Algorithm::Pca),
        _ => Err(unfit),
    }
}

/// Categories as numbers: their codes, which are in order of frequency.
pub(super) fn label_encoded(frame: &Frame) -> Result<Frame, LearnError> {
    let number = |code: &u32| if *code == MISSING { f64::NAN } else { f64::from(*code) };
    let columns = frame.columns().iter().map(|column| match column {
        Column::Numeric(_) => column.clone(),
        Column::Categorical { codes, .. } => Column::Numeric(codes.iter().map(number).collect()),
    });
    Frame::new(frame.n_rows(), columns.collect())
}

impl Algorithm {
    /// The numbers of [`super::learned::Predictions`].
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the frame is not of the features of training.
    pub fn predict(&self, frame: &Frame) -> Result<Vec<f64>, LearnError> {
        match self {
            Self::Linear(model) => model.predict(frame),
            Self::Logistic(model) => model.probabilities(frame),
            Self::Forest(model) => Ok(model.probabilities(frame)),
            Self::Boosted(model) => Ok(model.probabilities(frame)),
            Self::NaiveBayes(model) => model.probabilities(frame),
            Self::Kmeans(model) => Ok(model.predict(frame)?.distances.values().to_vec()),
            Self::Pca(model) => Ok(model.transform(frame)?.values().to_vec()),
        }
    }

    /// An estimate of the memory, in bytes.
    pub fn bytes(&self) -> usize {
        let matrix = |matrix: &weir_ml::design::Matrix| size_of_val(matrix.values());
        match self {
            Self::Linear(model) => 64 * model.coefficients.len(),
            Self::Logistic(model) => 64 * model.coefficients.len(),
            // 16 bytes of node, two times 8 of statistics, the values of half of the nodes.
            Self::Forest(model) => model.trees().iter().map(|tree| tree.n_nodes() * (40 + 4 * tree.width())).sum(),
            Self::Boosted(model) => model.trees().iter().map(|tree| tree.n_nodes() * (40 + 4 * tree.width())).sum(),
            Self::NaiveBayes(model) => model.features.len() * model.classes.len() * 64,
            Self::Kmeans(model) => matrix(&model.centroids),
            Self::Pca(model) => matrix(&model.components),
        }
    }

    /// What each feature gives, of sum 1, for trees.
    pub fn importances(&self) -> Option<&[f64]> {
        match self {
            Self::Forest(model) => Some(model.importances()),
            Self::Boosted(model) => Some(model.importances()),
            _ => None,
        }
    }

    /// How many components or clusters there are, for models that have them.
    pub fn n_parts(&self) -> usize {
        match self {
            Self::Kmeans(model) => model.centroids.n_rows(),
            Self::Pca(model) => model.components.n_rows(),
            _ => 0,
        }
    }
}
