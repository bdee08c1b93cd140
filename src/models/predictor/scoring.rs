//! How good predictions are: measures in BigQuery's names, the confusion matrix, the ROC curve.

use super::learned::{Predictions, Task};
use crate::error::Result;
use crate::models::evaluation::{Evaluation, Measure};
use crate::models::report;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use weir_ml::metrics::{ConfusionMatrix, ProbabilityErrors, RankedScores, RegressionErrors, median_absolute_error, roc_auc_macro};

/// Points of a ROC curve that are kept, evenly spaced, with both ends.
const ROC_POINTS_MAX: usize = 101;

/// How good the predictions of some rows were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    pub evaluation: Evaluation,
    /// Rows by true class, then by predicted class; classifiers only.
    pub(super) confusion: Vec<u64>,
    /// Of two classes.
    pub(super) roc: Vec<RocLine>,
}

/// A row of `ML.ROC_CURVE`: rows from `threshold` up are called positive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct RocLine {
    threshold: f64,
    recall: f64,
    false_positive_rate: f64,
    true_positives: u64,
    false_positives: u64,
    true_negatives: u64,
    false_negatives: u64,
}

/// What the rows to score are known to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Truth<'a> {
    Numbers(&'a [f64]),
    Classes(&'a [u32]),
    /// Clusters and components: nothing is known; the sum of squared distances from the mean of training, if there is one.
    Nothing {
        spread: Option<f64>,
    },
}

/// Takes predictions with the truth, part by part. Rows without a prediction do not count.
#[derive(Debug)]
pub(super) enum Scorer {
    Regression { predicted: Vec<f64>, actual: Vec<f64> },
    Classification { n_classes: u32, probabilities: Vec<f64>, predicted: Vec<u32>, actual: Vec<u32> },
    Clustering { radii: Vec<f64>, sizes: Vec<u64>, squares: f64, centroid_distances: Option<Vec<f64>> },
    Reduction { width: usize, explained: f64, spread: Option<f64>, n_rows: u64 },
}

impl Scorer {
    /// For a task; `centroid_distances` as of [`super::learned::Learned`].
    pub fn new(task: &Task, centroid_distances: Option<Vec<f64>>) -> Self {
        match task {
            Task::Regression { .. } => Self::Regression { predicted: Vec::new(), actual: Vec::new() },
            Task::Classification { classes, .. } => {
                let n_classes = u32::try_from(classes.len()).unwrap_or(u32::MAX);
                Self::Classification { n_classes, probabilities: Vec::new(), predicted: Vec::new(), actual: Vec::new() }
            }
            Task::Clustering { n_clusters, .. } => {
                Self::Clustering { radii: vec![0.0; *n_clusters], sizes: vec![0; *n_clusters], squares: 0.0, centroid_distances }
            }
            Task::Reduction { n_components } => Self::Reduction { width: *n_components, explained: 0.0, spread: Some(0.0), n_rows: 0 },
        }
    }

    /// Adds some rows.
    pub fn add(&mut self, predictions: &Predictions, truth: Truth) {
        let values = predictions.values.as_slice();
        match (self, truth) {
            (Self::Regression { predicted, actual }, Truth::Numbers(truth)) => {
                for (value, truth) in values.iter().zip(truth).filter(|(value, _)| !value.is_nan()) {
                    predicted.push(*value);
                    actual.push(*truth);
                }
            }
            (Self::Classification { n_classes, probabilities, predicted, actual }, Truth::Classes(truth)) => {
                for (row, (scores, truth)) in values.chunks_exact((*n_classes).max(1) as usize).zip(truth).enumerate() {
                    if scores.iter().any(|score| score.is_nan()) {
                        continue;
                    }
                    probabilities.extend_from_slice(scores);
                    predicted
                        .push(predictions.chosen.as_ref().map_or_else(|| best(scores, |one, other| one > other), |chosen| chosen[row]));
                    actual.push(*truth);
                }
            }
            (Self::Clustering { radii, sizes, squares, .. }, Truth::Nothing { .. }) => {
                for distances in values.chunks_exact(radii.len().max(1)).filter(|row| !row.iter().any(|value| value.is_nan())) {
                    let nearest = best(distances, |one, other| one < other) as usize;
                    radii[nearest] += distances[nearest];
                    sizes[nearest] += 1;
                    *squares += distances[nearest].powi(2);
                }
            }
            (Self::Reduction { width, explained, spread, n_rows }, Truth::Nothing { spread: more }) => {
                *explained += values.iter().filter(|value| !value.is_nan()).map(|value| value * value).sum::<f64>();
                *spread = spread.zip(more).map(|(spread, more)| spread + more);
                *n_rows += (values.len() / (*width).max(1)) as u64;
            }
            _ => {}
        }
    }

    /// The measures; without rows they are undefined, but there.
    pub fn finish(self) -> Scores {
        match self {
            Self::Regression { predicted, actual } => {
                let errors = RegressionErrors::of(&predicted, &actual);
                Scores::of(
                    vec![
                        ("mean_absolute_error", errors.mae()),
                        ("mean_squared_error", errors.mse()),
                        ("mean_squared_log_error", errors.mean_squared_log_error()),
                        ("median_absolute_error", median_absolute_error(&predicted, &actual)),
                        ("r2_score", errors.r2()),
                        ("explained_variance", errors.explained_variance()),
                    ],
                    errors.n_rows(),
                )
            }
            Self::Classification { n_classes, probabilities, predicted, actual } => {
                classification(n_classes, &probabilities, &predicted, &actual)
            }
            Self::Clustering { radii, sizes, squares, centroid_distances } => {
                let n_rows: u64 = sizes.iter().sum();
                let index = centroid_distances.and_then(|distances| davies_bouldin(&radii, &sizes, &distances));
                let mean = (n_rows > 0).then(|| squares / n_rows as f64);
                Scores::of(vec![("davies_bouldin_index", index), ("mean_squared_distance", mean)], n_rows)
            }
            Self::Reduction { explained, spread, n_rows, .. } => {
                let ratio = spread.filter(|spread| *spread > 0.0).map(|spread| (explained / spread).min(1.0));
                Scores::of(vec![("total_explained_variance_ratio", ratio)], n_rows)
            }
        }
    }
}

/// Measures that predictions can make undefined: a mean over some of the folds would prefer fits that have none in the others.
const OF_PREDICTIONS: &[&str] = &["precision", "mean_squared_log_error"];

/// The scores of the folds of a cross-validation: measures are means over the folds, the confusion matrix and the ROC curve
/// are of all rows, each predicted by the fit that has not seen it.
#[derive(Debug, Default)]
pub(super) struct FoldScores {
    folds: Vec<Scores>,
    /// Of two classes.
    ranked: RankedScores,
}

impl FoldScores {
    /// Adds a fold, which has all its rows.
    pub fn add(&mut self, fold: Scorer) {
        if let Scorer::Classification { n_classes: 2, probabilities, actual, .. } = &fold {
            probabilities.iter().skip(1).step_by(2).zip(actual).for_each(|(score, class)| self.ranked.add(*score, *class == 1));
        }
        self.folds.push(fold.finish());
    }

    /// What the folds say together.
    pub fn finish(self) -> Scores {
        let mut confusion: Vec<u64> = Vec::new();
        for fold in &self.folds {
            confusion.resize(fold.confusion.len(), 0);
            confusion.iter_mut().zip(&fold.confusion).for_each(|(sum, count)| *sum += count);
        }
        let evaluations: Vec<Evaluation> = self.folds.into_iter().map(|fold| fold.evaluation).collect();
        let mut evaluation = Evaluation::mean(&evaluations);
        for (name, measure) in &mut evaluation.measures {
            if OF_PREDICTIONS.contains(&name.as_str()) && evaluations.iter().any(|fold| fold.get(name).is_none()) {
                *measure = Measure::Number(None);
            }
        }
        Scores { evaluation, confusion, roc: roc_lines(&self.ranked) }
    }
}

/// The place of the best number; of equals the first.
fn best(numbers: &[f64], is_better: impl Fn(f64, f64) -> bool) -> u32 {
    let mut best = 0;
    for (place, number) in numbers.iter().enumerate() {
        if is_better(*number, numbers[best]) {
            best = place;
        }
    }
    best as u32
}

fn classification(n_classes: u32, probabilities: &[f64], predicted: &[u32], actual: &[u32]) -> Scores {
    let mut confusion = ConfusionMatrix::new(n_classes);
    let mut errors = ProbabilityErrors::default();
    for ((scores, predicted), actual) in probabilities.chunks_exact(n_classes.max(1) as usize).zip(predicted).zip(actual) {
        confusion.add(*predicted, *actual);
        errors.add(scores, *actual);
    }
    let is_binary = n_classes == 2;
    let ranked = is_binary.then(|| {
        let scores: Vec<f64> = probabilities.iter().skip(1).step_by(2).copied().collect();
        RankedScores::of(&scores, &actual.iter().map(|class| *class == 1).collect::<Vec<_>>())
    });
    // Of two classes the measures of the positive one, of more the means over classes.
    let measure = |of_class: fn(&ConfusionMatrix, u32) -> Option<f64>, mean: fn(&ConfusionMatrix) -> Option<f64>| {
        if is_binary { of_class(&confusion, 1) } else { mean(&confusion) }
    };
    let auc = match &ranked {
        Some(ranked) => ranked.auc(),
        None => roc_auc_macro(probabilities, actual, n_classes),
    };
    let scores = Scores::of(
        vec![
            ("precision", measure(ConfusionMatrix::precision, ConfusionMatrix::macro_precision)),
            ("recall", measure(ConfusionMatrix::recall, ConfusionMatrix::macro_recall)),
            ("accuracy", confusion.accuracy()),
            ("f1_score", measure(ConfusionMatrix::f1, ConfusionMatrix::macro_f1)),
            ("log_loss", errors.log_loss()),
            ("roc_auc", auc),
        ],
        confusion.n_rows(),
    );
    let counts = (0..n_classes).flat_map(|actual| (0..n_classes).map(move |predicted| (actual, predicted)));
    Scores {
        confusion: counts.map(|(actual, predicted)| confusion.count(actual, predicted)).collect(),
        roc: ranked.map(|ranked| roc_lines(&ranked)).unwrap_or_default(),
        ..scores
    }
}

fn roc_lines(ranked: &RankedScores) -> Vec<RocLine> {
    let Some(curve) = ranked.curve() else { return Vec::new() };
    let Some(last) = curve.last() else { return Vec::new() };
    let (n_positive, n_negative) = (last.n_true_positive, last.n_false_positive);
    let n_kept = curve.len().min(ROC_POINTS_MAX);
    let place = |line: usize| line * (curve.len() - 1) / (n_kept - 1).max(1);
    let line = |line: usize| {
        let point = &curve[place(line)];
        RocLine {
            threshold: point.threshold,
            recall: point.true_positive_rate,
            false_positive_rate: point.false_positive_rate,
            true_positives: point.n_true_positive,
            false_positives: point.n_false_positive,
            true_negatives: n_negative - point.n_false_positive,
            false_negatives: n_positive - point.n_true_positive,
        }
    };
    (0..n_kept).map(line).collect()
}

/// The mean over clusters of the worst ratio of two mean radii to the distance of the centroids (Davies and Bouldin
/// 1979), over clusters that have rows. `None` for fewer than two of them, or centroids in one place.
fn davies_bouldin(radii: &[f64], sizes: &[u64], centroid_distances: &[f64]) -> Option<f64> {
    let n = radii.len();
    let present: Vec<usize> = (0..n).filter(|cluster| sizes[*cluster] > 0).collect();
    if present.len() < 2 || centroid_distances.len() != n * n {
        return None;
    }
    let radius = |cluster: usize| radii[cluster] / sizes[cluster] as f64;
    let worst = |cluster: &usize| {
        let others = present.iter().filter(|other| *other != cluster);
        others.map(|other| (radius(*cluster) + radius(*other)) / centroid_distances[cluster * n + other]).fold(0.0, f64::max)
    };
    let index = present.iter().map(worst).sum::<f64>() / present.len() as f64;
    index.is_finite().then_some(index)
}

impl Scores {
    fn of(measures: Vec<(&str, Option<f64>)>, n_rows: u64) -> Self {
        let measures = measures.into_iter().map(|(name, value)| (name, Measure::Number(value.filter(|value| value.is_finite()))));
        let evaluation = Evaluation::new(measures.chain([("rows_eval", Measure::Count(n_rows))]));
        Self { evaluation, confusion: Vec::new(), roc: Vec::new() }
    }

    /// The rows of `ML.CONFUSION_MATRIX`: `expected_label`, and a column for each predicted class; a class of that very name
    /// has a number after it.
    ///
    /// # Errors
    /// Only internal ones.
    pub(super) fn confusion_matrix(&self, classes: &ArrayRef, class_names: &[String]) -> Result<RecordBatch> {
        let n_classes = classes.len();
        let column = |predicted: usize| -> ArrayRef {
            let counts = self.confusion.iter().skip(predicted).step_by(n_classes.max(1));
            Arc::new(counts.map(|count| Some(count.cast_signed())).collect::<Int64Array>())
        };
        const EXPECTED: &str = "expected_label";
        let other_name = (1..).map(|number| format!("{EXPECTED}_{number}")).find(|name| !class_names.contains(name)).unwrap_or_default();
        let mut columns = vec![(EXPECTED, Arc::clone(classes))];
        columns.extend(class_names.iter().enumerate().map(|(class, name)| {
            let name = if name == EXPECTED { &other_name } else { name };
            (name.as_str(), column(class))
        }));
        report::batch(columns)
    }

    /// The rows of `ML.ROC_CURVE`.
    ///
    /// # Errors
    /// Only internal ones.
    pub(super) fn roc_curve(&self) -> Result<RecordBatch> {
        let number =
            |of: fn(&RocLine) -> f64| -> ArrayRef { Arc::new(self.roc.iter().map(|line| Some(of(line))).collect::<Float64Array>()) };
        let count = |of: fn(&RocLine) -> u64| -> ArrayRef {
            Arc::new(self.roc.iter().map(|line| Some(of(line).cast_signed())).collect::<Int64Array>())
        };
        report::batch(vec![
            ("threshold", number(|line| line.threshold)),
            ("recall", number(|line| line.recall)),
            ("false_positive_rate", number(|line| line.false_positive_rate)),
            ("true_positives", count(|line| line.true_positives)),
            ("false_positives", count(|line| line.false_positives)),
            ("true_negatives", count(|line| line.true_negatives)),
            ("false_negatives", count(|line| line.false_negatives)),
        ])
    }
}
