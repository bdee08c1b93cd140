//! Gradient-boosted trees (Friedman 2001), with second-order gains (Chen and Guestrin 2016, *XGBoost*).

use super::binning::BINS_MAX;
use super::boosting::{Evaluation, Training};
use super::forest::{FeatureSubset, check_trees, importances, largest, sums};
use super::labels::{check_frame, check_labels, check_parameter, check_targets, check_two_classes, check_weights, pick, rows_with_weight};
use super::model::Tree;
use crate::control::Control;
use crate::error::LearnError;
use crate::frame::Frame;
use serde::{Deserialize, Serialize};

/// How boosted trees are trained. The defaults are those that BigQuery and XGBoost share; the number of
/// iterations is BigQuery's, bins are as fine as they can be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoostParams {
    /// Trees per class: one each for numbers and two classes, one per class for more.
    pub n_iterations: usize,
    pub learning_rate: f64,
    pub max_depth: Option<usize>,
    /// The most bins of a numeric feature, 2 to 255.
    pub max_bins: usize,
    /// Added to the second derivatives of a leaf: draws its prediction to 0.
    pub l2: f64,
    /// The sum of second derivatives that each side of a split must have.
    pub min_child_weight: f64,
    /// A split must lower the loss by more than half of this.
    pub min_split_gain: f64,
    /// The share of the rows that a tree is grown from, drawn without replacement.
    pub subsample: f64,
    /// The share of the features that a tree may use.
    pub feature_fraction: f64,
    /// How many of these, drawn anew for each node, are looked at; [`FeatureSubset::Auto`] is all.
    pub feature_subset: FeatureSubset,
    /// Ends training when the loss of the held-out rows has not fallen for so many iterations, and drops
    /// the trees after the best iteration.
    pub early_stopping_rounds: Option<usize>,
    /// The loss of the held-out rows has fallen when it is lower by more than this share of what it was.
    pub min_progress: f64,
    /// The share of the rows held out when training may stop early and no evaluation rows are given.
    pub evaluation_fraction: f64,
    pub seed: u64,
}

impl Default for BoostParams {
    fn default() -> Self {
        Self {
            n_iterations: 20,
            learning_rate: 0.3,
            max_depth: Some(6),
            max_bins: BINS_MAX,
            l2: 1.0,
            min_child_weight: 1.0,
            min_split_gain: 0.0,
            subsample: 1.0,
            feature_fraction: 1.0,
            feature_subset: FeatureSubset::All,
            early_stopping_rounds: None,
            min_progress: 0.0,
            evaluation_fraction: 0.1,
            seed: 0,
        }
    }
}

/// The loss that is lowered, and what the sum of the trees means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Objective {
    /// (prediction - target)² / 2; the sum is the prediction.
    SquaredError,
    /// Two classes: the sum is the log-odds of class 1.
    Logistic,
    /// The sums, one per class, are the logarithms of unnormalised probabilities.
    Softmax { n_classes: usize },
}

impl Objective {
    /// Sums per row.
    pub(super) fn width(self) -> usize {
        match self {
            Self::SquaredError | Self::Logistic => 1,
            Self::Softmax { n_classes } => n_classes,
        }
    }
}

/// A trained sum of trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boosted {
    objective: Objective,
    n_features: usize,
    base: Vec<f64>,
    trees: Vec<Tree>,
    tree_weights: Vec<f64>,
    importances: Vec<f64>,
    losses: Vec<f64>,
    evaluation_losses: Vec<f64>,
}

/// Trains a regressor with squared loss. `targets` are from -1e100 to 1e100; `weights`, one per row, are 0 or
/// from 1e-20 to 1e20; `evaluation` is rows held out. Features are treated as by [`super::forest::train_classifier`].
///
/// # Errors
/// [`LearnError::Empty`], [`LearnError::NoFeature`], [`LearnError::Value`], [`LearnError::Parameter`],
/// [`LearnError::Shape`], [`LearnError::Diverged`] and [`LearnError::Cancelled`].
///
/// # Cost
/// O(iterations · rows · features · depth) time; a byte per value and some 100 bytes per row.
pub fn train_regressor(
    frame: &Frame,
    targets: &[f64],
    weights: Option<&[f64]>,
    evaluation: Option<(&Frame, &[f64])>,
    params: &BoostParams,
    control: &Control,
) -> Result<Boosted, LearnError> {
    params.check()?;
    check_targets(targets, frame.n_rows())?;
    if let Some((frame, targets)) = evaluation {
        check_targets(targets, frame.n_rows())?;
    }
    let evaluation = evaluation.map(|(frame, targets)| Evaluation { frame: frame.clone(), responses: targets.to_vec() });
    train(frame, targets.to_vec(), weights, evaluation, Objective::SquaredError, params, control)
}

/// Trains a classifier: logistic loss for two classes, softmax for more. `labels` are below `n_classes`.
///
/// # Errors
/// As [`train_regressor`], and [`LearnError::OneClass`].
///
/// # Cost
/// As [`train_regressor`]; with more than two classes times their number.
pub fn train_classifier(
    frame: &Frame,
    labels: &[u32],
    n_classes: usize,
    weights: Option<&[f64]>,
    evaluation: Option<(&Frame, &[u32])>,
    params: &BoostParams,
    control: &Control,
) -> Result<Boosted, LearnError> {
    params.check()?;
    check_labels(labels, n_classes, frame.n_rows())?;
    if let Some((frame, labels)) = evaluation {
        check_labels(labels, n_classes, frame.n_rows())?;
    }
    let numbers = |labels: &[u32]| labels.iter().map(|label| f64::from(*label)).collect();
    let evaluation = evaluation.map(|(frame, labels)| Evaluation { frame: frame.clone(), responses: numbers(labels) });
    let objective = if n_classes > 2 { Objective::Softmax { n_classes } } else { Objective::Logistic };
    check_weights(weights, frame.n_rows())?;
    let counted = rows_with_weight(weights).map_or_else(|| labels.to_vec(), |rows| pick(labels, &rows));
    if !counted.is_empty() && !frame.columns().is_empty() {
        check_two_classes(&counted)?;
    }
    train(frame, numbers(labels), weights, evaluation, objective, params, control)
}

fn train(
    frame: &Frame,
    responses: Vec<f64>,
    weights: Option<&[f64]>,
    evaluation: Option<Evaluation>,
    objective: Objective,
    params: &BoostParams,
    control: &Control,
) -> Result<Boosted, LearnError> {
    check_weights(weights, frame.n_rows())?;
    if let Some(rows) = rows_with_weight(weights) {
        let weights = weights.map(|weights| pick(weights, &rows));
        return train(&frame.take(&rows), pick(&responses, &rows), weights.as_deref(), evaluation, objective, params, control);
    }
    check_frame(frame)?;
    let evaluation = evaluation.filter(|evaluation| evaluation.frame.n_rows() > 0);
    if evaluation.is_none() && params.early_stopping_rounds.is_some() {
        let (train_rows, evaluation_rows) = Evaluation::hold_out(frame.n_rows(), params);
        if !train_rows.is_empty() && !evaluation_rows.is_empty() {
            let held_out = Evaluation { frame: frame.take(&evaluation_rows), responses: pick(&responses, &evaluation_rows) };
            let weights = weights.map(|weights| pick(weights, &train_rows));
            let (frame, responses) = (frame.take(&train_rows), pick(&responses, &train_rows));
            return Training {
                frame: &frame,
                responses,
                weights: weights.as_deref(),
                evaluation: Some(held_out),
                objective,
                params,
                control,
            }
            .run();
        }
    }
    Training { frame, responses, weights, evaluation, objective, params, control }.run()
}

impl BoostParams {
    fn check(&self) -> Result<(), LearnError> {
        let is_share = |share: f64| share > 0.0 && share <= 1.0;
        let is_amount = |amount: f64| amount >= 0.0 && amount.is_finite();
        let share = "above 0, up to 1";
        let amount = "a finite number of at least 0";
        check_parameter("n_iterations", self.n_iterations as f64, (1..=u32::MAX as usize).contains(&self.n_iterations), "at least 1")?;
        check_parameter("learning_rate", self.learning_rate, is_share(self.learning_rate), share)?;
        check_parameter("max_bins", self.max_bins as f64, (2..=BINS_MAX).contains(&self.max_bins), "2 to 255")?;
        check_parameter("l2", self.l2, is_amount(self.l2), amount)?;
        check_parameter("min_child_weight", self.min_child_weight, is_amount(self.min_child_weight), amount)?;
        check_parameter("min_split_gain", self.min_split_gain, is_amount(self.min_split_gain), amount)?;
        check_parameter("subsample", self.subsample, is_share(self.subsample), share)?;
        check_parameter("feature_fraction", self.feature_fraction, is_share(self.feature_fraction), share)?;
        self.feature_subset.check()?;
        check_parameter("min_progress", self.min_progress, (0.0..=1.0).contains(&self.min_progress), "from 0 to 1")?;
        let fraction = self.evaluation_fraction;
        check_parameter("evaluation_fraction", fraction, fraction > 0.0 && fraction < 1.0, "between 0 and 1, both excluded")?;
        let rounds = self.early_stopping_rounds;
        check_parameter("early_stopping_rounds", 0.0, rounds != Some(0), "at least 1")
    }
}

impl Boosted {
    /// Puts trees together that were trained elsewhere: the sums are `base` plus the weighted trees. With more
    /// than two classes, tree `t` adds to class `t` modulo the number of classes.
    ///
    /// For boosted trees of Spark, `base` is `[0.0]` and `tree_weights` are those of `treesMetadata`: as they are for a
    /// `GBTRegressionModel`, and **doubled** for a `GBTClassificationModel`, whose probability is
    /// 1 / (1 + exp(-2 · sum)) ([`Objective::Logistic`]).
    ///
    /// # Errors
    /// [`LearnError::Shape`] unless there is a tree, each has one finite weight and leaves of one value, `base` has
    /// a finite number per sum, and features are below `n_features`.
    pub fn from_trees(
        objective: Objective,
        n_features: usize,
        base: Vec<f64>,
        trees: Vec<Tree>,
        tree_weights: Vec<f64>,
    ) -> Result<Self, LearnError> {
        check_trees(&trees, &tree_weights, 1, n_features)?;
        if base.is_empty() || base.len() != objective.width() || base.iter().any(|base| !base.is_finite()) {
            return Err(LearnError::Shape { what: "there is not one finite base for each sum of the model" });
        }
        let importances = importances(&trees, n_features, false);
        Ok(Self { objective, n_features, base, trees, tree_weights, importances, losses: Vec::new(), evaluation_losses: Vec::new() })
    }

    pub(super) fn with_losses(mut self, losses: Vec<f64>, evaluation_losses: Vec<f64>) -> Self {
        (self.losses, self.evaluation_losses) = (losses, evaluation_losses);
        self
    }

    /// The sums of the trees, before any link: rows × classes (one without more than two classes), row by row.
    ///
    /// # Cost
    /// O(trees · depth) per row.
    pub fn raw(&self, frame: &Frame) -> Vec<f64> {
        sums(&self.trees, &self.tree_weights, &self.base, frame, self.n_features)
    }

    /// Predicts numbers (regression) or the most probable class of each row (of equals the smallest).
    ///
    /// Trees look at raw values. A column that the frame lacks counts as missing.
    pub fn predict(&self, frame: &Frame) -> Vec<f64> {
        let raw = self.raw(frame);
        match self.objective {
            Objective::SquaredError => raw,
            Objective::Logistic => raw.into_iter().map(|sum| f64::from(u8::from(sum > 0.0))).collect(),
            Objective::Softmax { n_classes } => raw.chunks_exact(n_classes).map(|row| largest(row.iter().copied()) as f64).collect(),
        }
    }

    /// The probabilities of the classes: rows × classes, row by row. For regression, the predictions.
    pub fn probabilities(&self, frame: &Frame) -> Vec<f64> {
        let mut raw = self.raw(frame);
        match self.objective {
            Objective::SquaredError => {}
            Objective::Logistic => raw = raw.into_iter().flat_map(|sum| [sigmoid(-sum), sigmoid(sum)]).collect(),
            Objective::Softmax { n_classes } => raw.chunks_exact_mut(n_classes).for_each(softmax),
        }
        raw
    }

    /// The loss it was trained for.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// The number of columns that it was trained on.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// What the sums start from.
    pub fn base(&self) -> &[f64] {
        &self.base
    }

    /// The trees: iteration by iteration, in it class by class.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// The weight of each tree: 1 when trained here, since leaves hold the learning rate already.
    pub fn tree_weights(&self) -> &[f64] {
        &self.tree_weights
    }

    /// The total gain of each feature, with sum 1. All 0 when no tree splits.
    pub fn importances(&self) -> &[f64] {
        &self.importances
    }

    /// The mean loss of the training rows after each iteration, those after the best included. Empty if imported.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// The mean loss of the held-out rows after each iteration; empty without any.
    pub fn evaluation_losses(&self) -> &[f64] {
        &self.evaluation_losses
    }
}

pub(super) fn sigmoid(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}

/// Turns sums into probabilities.
pub(super) fn softmax(sums: &mut [f64]) {
    let largest = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    sums.iter_mut().for_each(|sum| *sum = (*sum - largest).exp());
    let total: f64 = sums.iter().sum();
    sums.iter_mut().for_each(|sum| *sum /= total);
}
