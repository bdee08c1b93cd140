//! Random forests (Breiman 2001): trees of bootstrap samples and random features, averaged.

use super::binning::{BINS_MAX, Binned};
use super::classes::Classes;
use super::fixed::Scale;
use super::grow::Growth;
use super::labels::{check_frame, check_labels, check_parameter, check_targets, check_two_classes, check_weights, pick, rows_with_weight};
use super::learner::Learner;
use super::model::{LANES, Tree, for_each_block, value};
use super::moments::{Criterion, Limits, Moments};
use super::sampling::multiplicities;
use super::workers;
use crate::control::{Control, Progress};
use crate::error::LearnError;
use crate::frame::Frame;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a forest is trained. The default is Spark's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForestParams {
    pub n_trees: usize,
    /// Splits from the root to a leaf; `None` is without limit.
    pub max_depth: Option<usize>,
    /// The most bins of a numeric feature, 2 to 255. Categorical features always have up to 255.
    pub max_bins: usize,
    /// The rows that each side of a split must have, counted as often as they are in the sample.
    pub min_instances_per_node: usize,
    /// How much a split must lower the impurity. At 0 a split that gains nothing is made too, as in
    /// scikit-learn: exclusive or needs it.
    pub min_info_gain: f64,
    pub feature_subset: FeatureSubset,
    /// The size of the sample of a tree as a share of the rows.
    pub subsampling_rate: f64,
    /// Whether rows are drawn with replacement.
    pub bootstrap: bool,
    pub impurity: Impurity,
    pub seed: u64,
}

impl Default for ForestParams {
    fn default() -> Self {
        Self {
            n_trees: 20,
            max_depth: Some(5),
            max_bins: 32,
            min_instances_per_node: 1,
            min_info_gain: 0.0,
            feature_subset: FeatureSubset::Auto,
            subsampling_rate: 1.0,
            bootstrap: true,
            impurity: Impurity::Auto,
            seed: 0,
        }
    }
}

/// How many features, drawn anew for each node, are looked at. Parts are rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum FeatureSubset {
    /// All for a single tree; otherwise the square root (classification) or a third (regression).
    Auto,
    Sqrt,
    OneThird,
    Log2,
    All,
    /// Above 0, up to 1.
    Fraction(f64),
    /// At least 1; more than there are is all.
    Count(usize),
}

/// What splits lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Impurity {
    /// Gini for classification, variance for regression.
    Auto,
    Gini,
    /// In bits.
    Entropy,
    Variance,
}

/// What a forest predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForestKind {
    Classification { n_classes: usize },
    Regression,
}

/// A trained forest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forest {
    kind: ForestKind,
    n_features: usize,
    trees: Vec<Tree>,
    tree_weights: Vec<f64>,
    importances: Vec<f64>,
    out_of_bag: Option<OutOfBag>,
}

/// How well rows are predicted by the trees that have not seen them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OutOfBag {
    /// Accuracy (classification) or R² (regression), each row counting once.
    pub score: f64,
    /// The rows that at least one tree has not seen.
    pub n_rows: usize,
}

/// Trains a classifier. `labels` are below `n_classes`; `weights`, one per row, are 0 or from 1e-20 to 1e20.
///
/// A numeric feature with more than `max_bins` distinct values is cut where about equal numbers of rows fall
/// between; categories beyond the 254 most frequent count as one. Missing values go to the side where they gain
/// more; if a node saw none in training, to its heavier child. The same holds for categories that a node
/// has not seen.
///
/// # Errors
/// [`LearnError::Empty`], [`LearnError::NoFeature`], [`LearnError::OneClass`] (of the rows with weight),
/// [`LearnError::Value`], [`LearnError::Parameter`], [`LearnError::Shape`] and [`LearnError::Cancelled`].
///
/// # Cost
/// O(trees · rows · features looked at · depth) time; a byte per value, and per thread some 30 bytes per row.
///
/// # Source
/// Breiman 2001, *Random Forests*; histograms as in Ke et al. 2017, *LightGBM*.
pub fn train_classifier(
    frame: &Frame,
    labels: &[u32],
    n_classes: usize,
    weights: Option<&[f64]>,
    params: &ForestParams,
    control: &Control,
) -> Result<Forest, LearnError> {
    params.check()?;
    check_labels(labels, n_classes, frame.n_rows())?;
    check_weights(weights, frame.n_rows())?;
    if let Some(rows) = rows_with_weight(weights) {
        let weights = weights.map(|weights| pick(weights, &rows));
        return train_classifier(&frame.take(&rows), &pick(labels, &rows), n_classes, weights.as_deref(), params, control);
    }
    check_frame(frame)?;
    check_two_classes(labels)?;
    let is_entropy = match params.impurity {
        Impurity::Auto | Impurity::Gini => false,
        Impurity::Entropy => true,
        Impurity::Variance => return Err(wrong_impurity("variance", "gini or entropy for a classifier")),
    };
    let kind = ForestKind::Classification { n_classes };
    let job = Job { frame, kind, params, control, scale: (0.0, Scale::fitting(1.0, params.n_trees)) };
    let limits = params.limits();
    let score = |sums: &OutOfBagSums| sums.accuracy(labels);
    if n_classes > 2 {
        return job.run(&Classes::new(is_entropy, labels.to_vec(), n_classes, weights, limits), score);
    }
    let criterion = if is_entropy { Criterion::Entropy } else { Criterion::Gini };
    let responses = labels.iter().map(|label| f64::from(*label)).collect();
    match weights {
        None => job.run(&Moments::unweighted(criterion, responses, limits), score),
        Some(weights) => job.run(&Moments::weighted(criterion, responses, weights, limits), score),
    }
}

/// Trains a regressor. `targets` are from -1e100 to 1e100; `weights`, one per row, are 0 or from 1e-20 to 1e20. Features are treated as
/// by [`train_classifier`].
///
/// # Errors
/// As [`train_classifier`], without [`LearnError::OneClass`]: from equal targets comes a constant model.
///
/// # Cost
/// As [`train_classifier`].
pub fn train_regressor(
    frame: &Frame,
    targets: &[f64],
    weights: Option<&[f64]>,
    params: &ForestParams,
    control: &Control,
) -> Result<Forest, LearnError> {
    params.check()?;
    check_targets(targets, frame.n_rows())?;
    check_weights(weights, frame.n_rows())?;
    if let Some(rows) = rows_with_weight(weights) {
        let weights = weights.map(|weights| pick(weights, &rows));
        return train_regressor(&frame.take(&rows), &pick(targets, &rows), weights.as_deref(), params, control);
    }
    check_frame(frame)?;
    match params.impurity {
        Impurity::Auto | Impurity::Variance => {}
        Impurity::Gini => return Err(wrong_impurity("gini", "variance for a regressor")),
        Impurity::Entropy => return Err(wrong_impurity("entropy", "variance for a regressor")),
    }
    let job = |scale| Job { frame, kind: ForestKind::Regression, params, control, scale };
    let score = |sums: &OutOfBagSums| sums.r2(targets);
    match weights {
        None => {
            let learner = Moments::unweighted(Criterion::Variance, targets.to_vec(), params.limits());
            job(learner.prediction_scale(params.n_trees)).run(&learner, score)
        }
        Some(weights) => {
            let learner = Moments::weighted(Criterion::Variance, targets.to_vec(), weights, params.limits());
            job(learner.prediction_scale(params.n_trees)).run(&learner, score)
        }
    }
}

fn wrong_impurity(value: &str, range: &'static str) -> LearnError {
    LearnError::Parameter { name: "impurity", value: value.to_owned(), range }
}

impl ForestParams {
    fn check(&self) -> Result<(), LearnError> {
        check_parameter("n_trees", self.n_trees as f64, (1..=u32::MAX as usize).contains(&self.n_trees), "at least 1")?;
        check_parameter("max_bins", self.max_bins as f64, (2..=BINS_MAX).contains(&self.max_bins), "2 to 255")?;
        check_parameter("min_instances_per_node", self.min_instances_per_node as f64, self.min_instances_per_node > 0, "at least 1")?;
        check_parameter("min_info_gain", self.min_info_gain, self.min_info_gain >= 0.0, "at least 0")?;
        let is_rate = |rate: f64| rate > 0.0 && rate <= 1.0;
        check_parameter("subsampling_rate", self.subsampling_rate, is_rate(self.subsampling_rate), "above 0, up to 1")?;
        self.feature_subset.check()
    }

    fn limits(&self) -> Limits {
        Limits { min_instances: self.min_instances_per_node, min_gain: self.min_info_gain }
    }

    fn n_features_per_node(&self, n_features: usize, kind: ForestKind) -> usize {
        let auto = match kind {
            _ if self.n_trees == 1 => FeatureSubset::All,
            ForestKind::Regression => FeatureSubset::OneThird,
            ForestKind::Classification { .. } => FeatureSubset::Sqrt,
        };
        self.feature_subset.count(n_features, auto)
    }
}

impl FeatureSubset {
    pub(super) fn check(self) -> Result<(), LearnError> {
        match self {
            Self::Fraction(share) => check_parameter("feature_subset", share, share > 0.0 && share <= 1.0, "above 0, up to 1"),
            Self::Count(count) => check_parameter("feature_subset", count as f64, count > 0, "at least 1"),
            _ => Ok(()),
        }
    }

    /// How many of `n_features` (at least one) these are; `auto` is what [`FeatureSubset::Auto`] stands for.
    pub(super) fn count(self, n_features: usize, auto: Self) -> usize {
        let n = n_features as f64;
        let subset = if self == Self::Auto { auto } else { self };
        let count = match subset {
            Self::Sqrt => n.sqrt().ceil(),
            Self::OneThird => (n / 3.0).ceil(),
            Self::Log2 => n.log2().ceil(),
            Self::Fraction(share) => (n * share).ceil(),
            Self::Count(count) => count as f64,
            Self::Auto | Self::All => n,
        };
        (count as usize).clamp(1, n_features)
    }
}

/// A checked training.
struct Job<'a> {
    frame: &'a Frame,
    kind: ForestKind,
    params: &'a ForestParams,
    control: &'a Control<'a>,
    /// On what predictions are added up: less the first, on the second.
    scale: (f64, Scale),
}

impl Job<'_> {
    fn run<L: Learner>(&self, learner: &L, score: impl Fn(&OutOfBagSums) -> Option<OutOfBag>) -> Result<Forest, LearnError> {
        let binned = Binned::new(self.frame, self.params.max_bins, self.control)?;
        let n_features = binned.features().len();
        let features: Vec<usize> = (0..n_features).collect();
        let n_finished = AtomicUsize::new(0);
        let threads = self.control.threads.get();
        let n_trees = self.params.n_trees;
        let (trees, sums) = workers::map_with(
            threads,
            n_trees,
            || OutOfBagSums::new(if self.params.bootstrap { self.frame.n_rows() } else { 0 }, learner.n_values(), self.scale),
            |sums, tree| {
                let growth = Growth {
                    binned: &binned,
                    learner,
                    features: &features,
                    n_features_per_node: self.params.n_features_per_node(n_features, self.kind),
                    max_depth: self.params.max_depth,
                    seed: self.params.seed,
                    number: tree as u64,
                    threads: threads.div_ceil(n_trees),
                    control: self.control,
                };
                let tree = self.grow(&growth, sums)?;
                let iteration = n_finished.fetch_add(1, Ordering::Relaxed) + 1;
                (self.control.progress)(Progress { iteration, max_iterations: n_trees, loss: None });
                Ok(tree)
            },
        );
        let trees: Vec<Tree> = trees.into_iter().collect::<Result<_, LearnError>>()?;
        let tree_weights = vec![1.0; trees.len()];
        let mut forest = Forest::from_trees(self.kind, n_features, trees, tree_weights)?;
        let sums = sums.into_iter().reduce(OutOfBagSums::merge);
        forest.out_of_bag = sums.filter(|_| self.params.bootstrap).and_then(|sums| score(&sums));
        Ok(forest)
    }

    /// One tree; adds its predictions of the rows it has not seen.
    fn grow<L: Learner>(&self, growth: &Growth<L>, sums: &mut OutOfBagSums) -> Result<Tree, LearnError> {
        if self.control.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        let (params, n_rows) = (self.params, growth.binned.n_rows());
        let counts = multiplicities(n_rows, params.bootstrap, params.subsampling_rate, params.seed, growth.number);
        let rows: Vec<u32> = (0..n_rows as u32).filter(|row| counts[*row as usize] > 0).collect();
        let row_sums = rows.iter().map(|row| growth.learner.row(*row, counts[*row as usize])).collect();
        let tree = growth.grow(rows, row_sums)?.tree;
        if params.bootstrap {
            let unseen: Vec<usize> = (0..n_rows).filter(|row| counts[*row] == 0).collect();
            let (groups, rest) = unseen.as_chunks::<LANES>();
            for (number, rows) in groups.iter().enumerate() {
                if number % 1024 == 0 && self.control.is_cancelled() {
                    return Err(LearnError::Cancelled);
                }
                let leaves = tree.leaves(|lane, feature| value(self.frame, feature, rows[lane]));
                rows.iter().zip(leaves).for_each(|(row, leaf)| sums.add(*row, tree.leaf_values(leaf)));
            }
            rest.iter().for_each(|row| sums.add(*row, tree.leaf_values(tree.leaf(|feature| value(self.frame, feature, *row)))));
        }
        Ok(tree)
    }
}

/// Predictions of rows by the trees that have not seen them, in fixed point: the order of trees does not show.
struct OutOfBagSums {
    width: usize,
    centre: f64,
    scale: Scale,
    sums: Vec<i64>,
    counts: Vec<u32>,
}

impl OutOfBagSums {
    fn new(n_rows: usize, width: usize, (centre, scale): (f64, Scale)) -> Self {
        Self { width, centre, scale, sums: vec![0; n_rows * width], counts: vec![0; n_rows] }
    }

    fn add(&mut self, row: usize, values: &[f64]) {
        self.counts[row] += 1;
        let sums = &mut self.sums[row * self.width..][..self.width];
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += self.scale.fixed(value - self.centre));
    }

    fn merge(mut self, other: Self) -> Self {
        super::learner::add(&mut self.sums, &other.sums);
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
        self
    }

    fn rows(&self) -> impl Iterator<Item = usize> {
        (0..self.counts.len()).filter(|row| self.counts[*row] > 0)
    }

    fn accuracy(&self, labels: &[u32]) -> Option<OutOfBag> {
        let label = |row: usize| largest(self.sums[row * self.width..][..self.width].iter().copied());
        let n_correct = self.rows().filter(|row| label(*row) == labels[*row] as usize).count();
        let n_rows = self.rows().count();
        (n_rows > 0).then(|| OutOfBag { score: n_correct as f64 / n_rows as f64, n_rows })
    }

    fn r2(&self, targets: &[f64]) -> Option<OutOfBag> {
        let n_rows = self.rows().count();
        let mean = self.rows().map(|row| targets[row] / n_rows as f64).sum::<f64>();
        let prediction = |row: usize| self.centre + self.scale.real(self.sums[row]) / f64::from(self.counts[row]);
        let errors: f64 = self.rows().map(|row| (targets[row] - prediction(row)).powi(2)).sum();
        let total: f64 = self.rows().map(|row| (targets[row] - mean).powi(2)).sum();
        (total > 0.0).then(|| OutOfBag { score: 1.0 - errors / total, n_rows })
    }
}

/// The place of the largest number; of equals the first.
pub(super) fn largest<T: PartialOrd + Copy>(numbers: impl Iterator<Item = T>) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (place, number) in numbers.enumerate() {
        if best.is_none_or(|(_, largest)| number > largest) {
            best = Some((place, number));
        }
    }
    best.map_or(0, |(place, _)| place)
}

impl Forest {
    /// Puts trees together that were trained elsewhere; the prediction is their weighted mean. Trees of Spark
    /// come from [`Tree::from_nodes`], their weights from `treesMetadata` (1 each in a random forest).
    ///
    /// # Errors
    /// [`LearnError::Shape`] unless there is a tree, each has a finite weight of at least 0, not all 0, all
    /// leaves have a value per class (classification) or one (regression), and features are below `n_features`.
    pub fn from_trees(kind: ForestKind, n_features: usize, trees: Vec<Tree>, tree_weights: Vec<f64>) -> Result<Self, LearnError> {
        let width = match kind {
            ForestKind::Classification { n_classes } => n_classes,
            ForestKind::Regression => 1,
        };
        check_trees(&trees, &tree_weights, width, n_features)?;
        if tree_weights.iter().any(|weight| *weight < 0.0) || tree_weights.iter().sum::<f64>() <= 0.0 {
            return Err(LearnError::Shape { what: "the weights of trees are negative or all zero" });
        }
        let importances = importances(&trees, n_features, true);
        Ok(Self { kind, n_features, trees, tree_weights, importances, out_of_bag: None })
    }

    /// Predicts numbers (regression) or the most probable class of each row (of equals the smallest).
    ///
    /// Trees look at raw values. A column that the frame lacks counts as missing.
    ///
    /// # Cost
    /// O(trees · depth) per row.
    pub fn predict(&self, frame: &Frame) -> Vec<f64> {
        let probabilities = self.probabilities(frame);
        match self.kind {
            ForestKind::Regression => probabilities,
            ForestKind::Classification { n_classes } => {
                probabilities.chunks_exact(n_classes.max(1)).map(|row| largest(row.iter().copied()) as f64).collect()
            }
        }
    }

    /// The mean of the trees' class distributions: rows × classes, row by row. For regression, the predictions.
    pub fn probabilities(&self, frame: &Frame) -> Vec<f64> {
        let width = self.trees[0].width();
        let mut sums = sums(&self.trees, &self.tree_weights, &vec![0.0; width], frame, self.n_features);
        let total: f64 = self.tree_weights.iter().sum();
        sums.iter_mut().for_each(|sum| *sum /= total);
        sums
    }

    /// What it predicts.
    pub fn kind(&self) -> ForestKind {
        self.kind
    }

    /// The number of columns that it was trained on.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// The trees.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// The weight of each tree.
    pub fn tree_weights(&self) -> &[f64] {
        &self.tree_weights
    }

    /// How much each feature lowers the impurity: gain × weight over all nodes, each tree brought to sum 1, and
    /// the whole to sum 1, as Spark does. All 0 when no tree splits.
    pub fn importances(&self) -> &[f64] {
        &self.importances
    }

    /// The score of rows outside the samples; `None` without bootstrap, or when every tree has seen every row.
    pub fn out_of_bag(&self) -> Option<OutOfBag> {
        self.out_of_bag
    }
}

pub(super) fn check_trees(trees: &[Tree], tree_weights: &[f64], width: usize, n_features: usize) -> Result<(), LearnError> {
    let shape = |what| Err(LearnError::Shape { what });
    if trees.is_empty() || trees.len() != tree_weights.len() || tree_weights.iter().any(|weight| !weight.is_finite()) {
        return shape("there is no tree, or not one finite weight for each");
    }
    if trees.iter().any(|tree| tree.width() != width) {
        return shape("the leaves of a tree do not have the number of values that the model needs");
    }
    if trees.iter().any(|tree| tree.n_features_used() > n_features) {
        return shape("a tree splits on a feature that the model does not have");
    }
    Ok(())
}

/// The weighted sum of the trees' values per row, plus `base`: rows × width, row by row. Each row is summed in
/// the order of the trees, so that it does not matter which rows stand beside it. Tree `t` adds to the values
/// from `t` × its width on, modulo the length of `base`.
pub(super) fn sums(trees: &[Tree], tree_weights: &[f64], base: &[f64], frame: &Frame, n_features: usize) -> Vec<f64> {
    let width = base.len();
    let mut sums: Vec<f64> = base.iter().copied().cycle().take(frame.n_rows() * width).collect();
    let stride = n_features.max(1);
    for_each_block(frame, n_features, |first, block| {
        let sums = &mut sums[first * width..][..block.len() / stride * width];
        for (number, (tree, weight)) in trees.iter().zip(tree_weights).enumerate() {
            let first_value = number * tree.width() % width;
            let add = |sums: &mut [f64], leaf: u32| {
                let values = tree.leaf_values(leaf);
                sums[first_value..].iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
            };
            let (mut groups, mut group_sums) = (block.chunks_exact(stride * LANES), sums.chunks_exact_mut(width * LANES));
            for (rows, sums) in groups.by_ref().zip(group_sums.by_ref()) {
                let leaves = tree.leaves(|lane, feature| rows[lane * stride + feature]);
                sums.chunks_exact_mut(width).zip(leaves).for_each(|(sums, leaf)| add(sums, leaf));
            }
            let rest = groups.remainder().chunks_exact(stride).zip(group_sums.into_remainder().chunks_exact_mut(width));
            rest.for_each(|(row, sums)| add(sums, tree.leaf(|feature| row[feature])));
        }
    });
    sums
}

/// Gain × weight per feature, with sum 1; of each tree first when `is_normalised_per_tree`.
pub(super) fn importances(trees: &[Tree], n_features: usize, is_normalised_per_tree: bool) -> Vec<f64> {
    let normalise = |importances: &mut [f64]| {
        let total: f64 = importances.iter().sum();
        if total > 0.0 && total.is_finite() {
            importances.iter_mut().for_each(|importance| *importance /= total);
        }
    };
    let mut total = vec![0.0; n_features];
    for tree in trees {
        let mut own = vec![0.0; n_features];
        tree.add_importances(&mut own);
        if is_normalised_per_tree {
            normalise(&mut own);
        }
        total.iter_mut().zip(own).for_each(|(total, own)| *total += own);
    }
    normalise(&mut total);
    total
}
