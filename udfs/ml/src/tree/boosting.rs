//! The training of boosted trees: derivatives of the loss, a tree for them, and again.

use super::binning::Binned;
use super::boost::{BoostParams, Boosted, Objective, sigmoid, softmax};
use super::fixed::Scale;
use super::forest::{FeatureSubset, sums};
use super::grow::{Grown, Growth};
use super::learner::Learner;
use super::model::{Tree, value};
use super::moments::{Criterion, Moments};
use super::sampling::{feature_sample, multiplicities};
use super::workers;
use crate::control::{Control, Progress};
use crate::error::LearnError;
use crate::frame::Frame;
use crate::random::Stream;

/// Rows whose derivatives one thread computes at once.
const CHUNK_ROWS: usize = 1 << 15;
/// Second derivatives are at least this: a sure prediction stays finite.
const CURVATURE_MIN: f64 = 1e-16;
/// Keeps the choice of held-out rows apart from other draws under the same seed.
const HOLD_OUT: u64 = 0x0E5A_1A71_0000_0000;

/// Rows that training does not see.
pub(super) struct Evaluation {
    pub(super) frame: Frame,
    pub(super) responses: Vec<f64>,
}

impl Evaluation {
    /// The rows to train on and those held out, at random.
    pub(super) fn hold_out(n_rows: usize, params: &BoostParams) -> (Vec<u32>, Vec<u32>) {
        let is_training = |row: &u32| Stream::new(params.seed ^ HOLD_OUT, u64::from(*row)).uniform() >= params.evaluation_fraction;
        (0..n_rows as u32).partition(is_training)
    }
}

/// A checked training. Responses are targets, or labels as numbers.
pub(super) struct Training<'a> {
    pub(super) frame: &'a Frame,
    pub(super) responses: Vec<f64>,
    pub(super) weights: Option<&'a [f64]>,
    pub(super) evaluation: Option<Evaluation>,
    pub(super) objective: Objective,
    pub(super) params: &'a BoostParams,
    pub(super) control: &'a Control<'a>,
}

impl Training<'_> {
    pub(super) fn run(&self) -> Result<Boosted, LearnError> {
        let (params, width) = (self.params, self.objective.width());
        let binned = Binned::new(self.frame, params.max_bins, self.control)?;
        let base = self.base();
        let mut scores: Vec<f64> = base.iter().copied().cycle().take(width * self.frame.n_rows()).collect();
        let n_evaluated = self.evaluation.as_ref().map_or(0, |evaluation| evaluation.frame.n_rows());
        let mut evaluation_scores: Vec<f64> = base.iter().copied().cycle().take(width * n_evaluated).collect();
        let (mut trees, mut losses, mut evaluation_losses) = (Vec::new(), Vec::new(), Vec::new());
        let (mut best, mut progress) = ((f64::INFINITY, 0), (f64::INFINITY, 0));
        for iteration in 0..params.n_iterations {
            let grown = self.grow(&binned, &scores, iteration)?;
            for (class, grown) in grown.into_iter().enumerate() {
                self.add_scores(&grown, class, &mut scores)?;
                trees.push(grown.tree);
            }
            let newest = &trees[iteration * width..];
            let loss = self.loss(&self.responses, self.weights, &scores);
            if !loss.is_finite() {
                return Err(LearnError::Diverged { what: "the loss of the training rows is not finite" });
            }
            losses.push(loss);
            if let Some(evaluation) = &self.evaluation {
                let step = sums(newest, &vec![1.0; width], &vec![0.0; width], &evaluation.frame, binned.features().len());
                evaluation_scores.iter_mut().zip(step).for_each(|(score, step)| *score += step);
                let loss = self.loss(&evaluation.responses, None, &evaluation_scores);
                evaluation_losses.push(loss);
                if loss < best.0 {
                    best = (loss, iteration);
                }
                if iteration == 0 || loss < progress.0 * (1.0 - params.min_progress) {
                    progress = (loss, iteration);
                }
            }
            (self.control.progress)(Progress { iteration: iteration + 1, max_iterations: params.n_iterations, loss: Some(loss) });
            let has_evaluation = !evaluation_losses.is_empty();
            if has_evaluation && params.early_stopping_rounds.is_some_and(|rounds| iteration - progress.1 >= rounds) {
                break;
            }
        }
        if !evaluation_losses.is_empty() && params.early_stopping_rounds.is_some() {
            trees.truncate((best.1 + 1) * width);
        }
        let tree_weights = vec![1.0; trees.len()];
        let boosted = Boosted::from_trees(self.objective, binned.features().len(), base, trees, tree_weights)?;
        Ok(boosted.with_losses(losses, evaluation_losses))
    }

    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// The best constant prediction, from sums in fixed point: no order of rows shows.
    fn base(&self) -> Vec<f64> {
        let n_rows = self.responses.len();
        let sum = |term: &dyn Fn(usize) -> f64| {
            let magnitude = (0..n_rows).map(|row| term(row).abs()).fold(0.0, f64::max);
            let scale = Scale::fitting(magnitude, n_rows);
            scale.real((0..n_rows).map(|row| scale.fixed(term(row))).sum())
        };
        let total = sum(&|row| self.weight(row));
        let share = |class: usize| sum(&|row| self.weight(row) * f64::from(self.responses[row] == class as f64)) / total;
        match self.objective {
            Objective::SquaredError => vec![sum(&|row| self.weight(row) * self.responses[row]) / total],
            Objective::Logistic => {
                let share = share(1).clamp(1e-9, 1.0 - 1e-9);
                vec![(share / (1.0 - share)).ln()]
            }
            // A class without rows starts as an unlikely one.
            Objective::Softmax { n_classes } => (0..n_classes).map(|class| share(class).max(1e-9).ln()).collect(),
        }
    }

    /// The trees of one iteration, one per sum.
    fn grow(&self, binned: &Binned, scores: &[f64], iteration: usize) -> Result<Vec<Grown>, LearnError> {
        let (params, n_rows, width) = (self.params, self.frame.n_rows(), self.objective.width());
        let threads = self.control.threads.get();
        let counts = multiplicities(n_rows, false, params.subsample, params.seed, iteration as u64);
        let rows: Vec<u32> = (0..n_rows as u32).filter(|row| counts[*row as usize] > 0).collect();
        let n_features = binned.features().len();
        let n_wanted = (n_features as f64 * params.feature_fraction).ceil() as usize;
        let criterion =
            Criterion::Gradient { l2: params.l2, learning_rate: params.learning_rate, min_child_weight: params.min_child_weight };
        let grown = workers::map(threads, width, |class| {
            let number = (iteration * width + class) as u64;
            let derivatives = self.derivatives(scores, class, threads.div_ceil(width))?;
            let learner = Moments::gradients(criterion, &derivatives, params.min_split_gain);
            let features = feature_sample(n_features, n_wanted, params.seed, number);
            let growth = Growth {
                binned,
                learner: &learner,
                features: &features,
                n_features_per_node: params.feature_subset.count(features.len(), FeatureSubset::All),
                max_depth: params.max_depth,
                seed: params.seed,
                number,
                threads: threads.div_ceil(width),
                control: self.control,
            };
            growth.grow(rows.clone(), rows.iter().map(|row| learner.row(*row, 1)).collect())
        });
        grown.into_iter().collect()
    }

    /// First and second derivatives of the loss in one sum of each row.
    fn derivatives(&self, scores: &[f64], class: usize, threads: usize) -> Result<Vec<(f64, f64)>, LearnError> {
        let (n_rows, width) = (self.responses.len(), self.objective.width());
        let chunks = workers::map(threads, n_rows.div_ceil(CHUNK_ROWS), |chunk| {
            let mut probabilities = vec![0.0; width];
            let end = ((chunk + 1) * CHUNK_ROWS).min(n_rows);
            let rows = if self.control.is_cancelled() { 0..0 } else { chunk * CHUNK_ROWS..end };
            rows.map(|row| {
                let (response, weight) = (self.responses[row], self.weight(row));
                let (first, second) = match self.objective {
                    Objective::SquaredError => (scores[row] - response, 1.0),
                    Objective::Logistic => {
                        let probability = sigmoid(scores[row]);
                        (probability - response, probability * (1.0 - probability))
                    }
                    Objective::Softmax { .. } => {
                        probabilities.copy_from_slice(&scores[row * width..][..width]);
                        softmax(&mut probabilities);
                        let probability = probabilities[class];
                        // Twice the diagonal of the Hessian, as XGBoost: steps of all classes together stay stable.
                        (probability - f64::from(response == class as f64), 2.0 * probability * (1.0 - probability))
                    }
                };
                (weight * first, weight * second.max(CURVATURE_MIN))
            })
            .collect::<Vec<_>>()
        });
        if self.control.is_cancelled() { Err(LearnError::Cancelled) } else { Ok(chunks.concat()) }
    }

    /// Adds the predictions of a new tree to the scores of all rows.
    fn add_scores(&self, grown: &Grown, class: usize, scores: &mut [f64]) -> Result<(), LearnError> {
        let (width, n_rows) = (self.objective.width(), self.frame.n_rows());
        let step = |tree: &Tree, leaf: u32| tree.leaf_values(leaf)[0];
        let mut start = 0;
        for (leaf, end) in &grown.leaves {
            let step = step(&grown.tree, *leaf);
            grown.rows[start..*end].iter().for_each(|row| scores[*row as usize * width + class] += step);
            start = *end;
        }
        if grown.rows.len() == n_rows {
            return Ok(());
        }
        let mut is_seen = vec![false; n_rows];
        grown.rows.iter().for_each(|row| is_seen[*row as usize] = true);
        for row in (0..n_rows).filter(|row| !is_seen[*row]) {
            if row % 4096 == 0 && self.control.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            let leaf = grown.tree.leaf(|feature| value(self.frame, feature, row));
            scores[row * width + class] += step(&grown.tree, leaf);
        }
        Ok(())
    }

    /// The mean loss: half the squared error, or the negative log-likelihood.
    fn loss(&self, responses: &[f64], weights: Option<&[f64]>, scores: &[f64]) -> f64 {
        let width = self.objective.width();
        let (mut sum, mut total) = (0.0, 0.0);
        for (row, (response, scores)) in responses.iter().zip(scores.chunks_exact(width)).enumerate() {
            let loss = match self.objective {
                Objective::SquaredError => (scores[0] - response).powi(2) / 2.0,
                // ln(1 + exp(score)) - response · score, without overflow.
                Objective::Logistic => scores[0].max(0.0) + (-scores[0].abs()).exp().ln_1p() - response * scores[0],
                Objective::Softmax { .. } => {
                    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
                    largest + sum.ln() - scores[*response as usize]
                }
            };
            let weight = weights.map_or(1.0, |weights| weights[row]);
            sum += weight * loss;
            total += weight;
        }
        sum / total
    }
}
