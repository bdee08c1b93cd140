//! The last stage: from vectors of features to numbers, as Spark computes them.

use super::column::Vectors;
use super::exact;
use super::link::{Family, Link};
use super::stage::wrong_width;
use super::tree::Trees;
use crate::error::Result;
use crate::models::predictor::learned::Predictions;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A model over a vector.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "snake_case")]
pub(super) enum Model {
    /// Linear and generalised linear regression.
    Linear {
        #[serde(with = "exact")]
        coefficients: Vec<f64>,
        #[serde(with = "exact::one")]
        intercept: f64,
        family: Family,
        link: Link,
    },
    /// Logistic regression: one row of coefficients (of the second of two classes), or one for each class.
    Logistic {
        n_features: usize,
        #[serde(with = "exact")]
        coefficients: Vec<f64>,
        #[serde(with = "exact")]
        intercepts: Vec<f64>,
        decision: Decision,
    },
    /// A tree, a forest, boosted trees.
    Trees {
        n_features: usize,
        /// Numbers of a leaf.
        width: usize,
        rule: Rule,
        #[serde(with = "exact")]
        weights: Vec<f64>,
        decision: Decision,
        /// Spark's `featureImportances`.
        #[serde(with = "exact")]
        importances: Vec<f64>,
        /// In a file of its own.
        #[serde(skip)]
        trees: Option<Arc<Trees>>,
    },
    /// K-means: the distances to the centres.
    Clusters { n_features: usize, centres: Vec<Vec<f64>>, is_cosine: bool },
    /// Naive Bayes: for each class a prior and a row for the features.
    Bayes {
        n_features: usize,
        kind: BayesKind,
        #[serde(with = "exact")]
        priors: Vec<f64>,
        /// Logarithms of probabilities; of a Gaussian model the means.
        #[serde(with = "exact")]
        theta: Vec<f64>,
        /// The variances of a Gaussian model.
        #[serde(with = "exact")]
        sigma: Vec<f64>,
        decision: Decision,
    },
}

/// What becomes of the leaves of several trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rule {
    /// Shares of the classes, added up and divided by their sum.
    Votes,
    /// The mean.
    Mean,
    /// The weighted sum.
    Sum,
    /// Half the log-odds of the second class, as a weighted sum.
    Margin,
}

/// The variant of naive Bayes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BayesKind {
    Multinomial,
    Bernoulli,
    Gaussian,
    Complement,
}

/// Which class is chosen, given the probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Decision {
    /// The most probable one; of equal ones the first.
    Argmax,
    /// Of two classes the second, when it is more probable than this.
    Above(f64),
    /// The largest probability divided by the threshold of the class.
    Thresholds(Vec<f64>),
}

impl Decision {
    fn choose(&self, probabilities: &[f64]) -> u32 {
        let largest = |scaled: &mut dyn Iterator<Item = f64>| {
            let (mut best, mut chosen) = (f64::NEG_INFINITY, 0);
            for (value, class) in scaled.zip(0u32..) {
                if value > best {
                    (best, chosen) = (value, class);
                }
            }
            chosen
        };
        match self {
            Self::Argmax => largest(&mut probabilities.iter().copied()),
            Self::Above(threshold) => u32::from(probabilities.get(1).is_some_and(|probability| probability > threshold)),
            Self::Thresholds(thresholds) => {
                largest(&mut probabilities.iter().zip(thresholds).map(|(probability, threshold)| probability / threshold))
            }
        }
    }
}

/// `e^x / (1 + e^x)`.
fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Logarithms, up to a common summand, to probabilities; an infinite one takes all.
fn softmax(row: &mut [f64]) {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::INFINITY {
        // The first one that is infinite, as Spark's argmax finds it.
        let first = row.iter().position(|value| *value == f64::INFINITY);
        row.iter_mut().enumerate().for_each(|(place, value)| *value = if Some(place) == first { 1.0 } else { 0.0 });
        return;
    }
    row.iter_mut().for_each(|value| *value = (*value - most).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

impl Model {
    /// The length of the vectors that it takes.
    pub fn n_features(&self) -> usize {
        match self {
            Self::Linear { coefficients, .. } => coefficients.len(),
            Self::Logistic { n_features, .. }
            | Self::Trees { n_features, .. }
            | Self::Clusters { n_features, .. }
            | Self::Bayes { n_features, .. } => *n_features,
        }
    }

    /// How many numbers it gives for a row.
    pub fn width(&self) -> usize {
        match self {
            Self::Linear { .. } => 1,
            Self::Logistic { intercepts, .. } => intercepts.len().max(2),
            Self::Trees { width, rule, .. } => match rule {
                Rule::Votes => *width,
                Rule::Mean | Rule::Sum => 1,
                Rule::Margin => 2,
            },
            Self::Clusters { centres, .. } => centres.len(),
            Self::Bayes { priors, .. } => priors.len(),
        }
    }

    /// Whether its parts fit together: what was read from a file may not.
    pub fn is_whole(&self) -> bool {
        let has_thresholds = |decision: &Decision| !matches!(decision, Decision::Thresholds(given) if given.len() != self.width());
        match self {
            Self::Linear { .. } => true,
            Self::Logistic { n_features, coefficients, intercepts, decision } => {
                !intercepts.is_empty() && coefficients.len() == n_features * intercepts.len() && has_thresholds(decision)
            }
            Self::Trees { n_features, width, rule, weights, decision, trees, .. } => {
                let is_single = *width == 1 || *rule == Rule::Votes;
                let fits =
                    |trees: &Arc<Trees>| trees.n_features() == *n_features && trees.width() == *width && trees.n_trees() == weights.len();
                is_single && trees.as_ref().is_some_and(fits) && has_thresholds(decision)
            }
            Self::Clusters { n_features, centres, .. } => !centres.is_empty() && centres.iter().all(|centre| centre.len() == *n_features),
            Self::Bayes { n_features, kind, priors, theta, sigma, decision } => {
                let n = n_features * priors.len();
                !priors.is_empty() && theta.len() == n && (*kind != BayesKind::Gaussian || sigma.len() == n) && has_thresholds(decision)
            }
        }
    }

    fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Linear { .. } | Self::Clusters { .. } => None,
            Self::Trees { rule: Rule::Mean | Rule::Sum, .. } => None,
            Self::Logistic { decision, .. } | Self::Trees { decision, .. } | Self::Bayes { decision, .. } => Some(decision),
        }
    }

    /// Appends what it says of some rows; rows that are not `kept`, or whose vector is NULL, get NaN. `offset` is
    /// added to the linear predictor.
    ///
    /// # Errors
    /// `InvalidValue` for vectors of another length than in training.
    pub fn score(&self, column: &str, vectors: &Vectors, offset: Option<&[f64]>, kept: &[bool], to: &mut Predictions) -> Result<()> {
        let (n_rows, width) = (kept.len(), self.width());
        let begin = to.values.len();
        to.values.resize(begin + n_rows * width, f64::NAN);
        let values = &mut to.values[begin..];
        // Vectors that are all NULL have no width.
        let has_rows = !super::stage::all_null(vectors.nulls.as_ref());
        if has_rows && vectors.width != self.n_features() {
            return Err(wrong_width(column, vectors, self.n_features()));
        }
        if has_rows {
            self.rows(vectors, offset, values);
        }
        for row in 0..n_rows {
            if !kept[row] || vectors.is_null(row) {
                values[row * width..(row + 1) * width].fill(f64::NAN);
            }
        }
        if let Some(decision) = self.decision() {
            let chosen = values.chunks_exact(width).map(|row| decision.choose(row));
            to.chosen.get_or_insert_default().extend(chosen);
        }
        Ok(())
    }

    fn rows(&self, vectors: &Vectors, offset: Option<&[f64]>, values: &mut [f64]) {
        let width = self.width();
        let rows = (0..values.len() / width).map(|row| vectors.row(row));
        let targets = values.chunks_exact_mut(width);
        match self {
            Self::Linear { coefficients, intercept, family, link } => {
                for (place, (row, target)) in rows.zip(targets).enumerate() {
                    let eta = dot(row, coefficients) + intercept + offset.map_or(0.0, |offset| offset[place]);
                    target[0] = family.project(link.inverse(eta));
                }
            }
            Self::Logistic { n_features, coefficients, intercepts, .. } => {
                let margin = |class: usize, row: &[f64]| dot(row, &coefficients[class * n_features..][..*n_features]) + intercepts[class];
                for (row, target) in rows.zip(targets) {
                    if intercepts.len() == 1 {
                        let margin = margin(0, row);
                        (target[0], target[1]) = (1.0 - logistic(margin), logistic(margin));
                    } else {
                        target.iter_mut().enumerate().for_each(|(class, target)| *target = margin(class, row));
                        softmax(target);
                    }
                }
            }
            Self::Trees { rule, weights, trees, .. } => {
                let Some(trees) = trees else { return };
                walk(trees, *rule, weights, vectors, values);
            }
            Self::Clusters { centres, is_cosine, .. } => {
                let lengths: Vec<f64> = centres.iter().map(|centre| dot(centre, centre).sqrt()).collect();
                for (row, target) in rows.zip(targets) {
                    for ((target, centre), centre_length) in target.iter_mut().zip(centres).zip(&lengths) {
                        *target = if *is_cosine {
                            1.0 - dot(row, centre) / dot(row, row).sqrt() / centre_length
                        } else {
                            row.iter().zip(centre).map(|(value, centre)| (value - centre).powi(2)).sum::<f64>().sqrt()
                        };
                    }
                }
            }
            Self::Bayes { n_features, kind, priors, theta, sigma, .. } => {
                for (row, target) in rows.zip(targets) {
                    for (class, (target, prior)) in target.iter_mut().zip(priors).enumerate() {
                        let theta = &theta[class * n_features..][..*n_features];
                        let sigma = sigma.get(class * n_features..(class + 1) * n_features).unwrap_or_default();
                        *target = kind.log_likelihood(row, *prior, theta, sigma);
                    }
                    softmax(target);
                }
            }
        }
    }
}

/// Walks all trees: a tree after the other, so that its nodes stay in the cache.
fn walk(trees: &Trees, rule: Rule, weights: &[f64], vectors: &Vectors, values: &mut [f64]) {
    let width = if rule == Rule::Margin { 2 } else { trees.width() };
    values.fill(0.0);
    for (tree, weight) in weights.iter().enumerate() {
        for (row, target) in values.chunks_exact_mut(width).enumerate() {
            let leaf = trees.leaf(tree, vectors.row(row));
            match rule {
                Rule::Votes | Rule::Mean => target.iter_mut().zip(leaf).for_each(|(target, leaf)| *target += leaf),
                Rule::Sum | Rule::Margin => target[0] += weight * leaf[0],
            }
        }
    }
    for target in values.chunks_exact_mut(width) {
        match rule {
            Rule::Sum => {}
            Rule::Mean => target[0] /= trees.n_trees() as f64,
            Rule::Margin => {
                // Spark minimises log(1 + exp(-2 y F)).
                let negative = logistic(-2.0 * target[0]);
                (target[0], target[1]) = (negative, 1.0 - negative);
            }
            Rule::Votes => {
                let sum: f64 = target.iter().sum();
                if sum != 0.0 {
                    target.iter_mut().for_each(|value| *value /= sum);
                }
            }
        }
    }
}

impl BayesKind {
    /// Up to a summand that all classes have.
    fn log_likelihood(self, row: &[f64], prior: f64, theta: &[f64], sigma: &[f64]) -> f64 {
        match self {
            Self::Multinomial => prior + dot(row, theta),
            Self::Complement => dot(row, theta),
            // log(1 - p) for features that are absent.
            Self::Bernoulli => {
                let absent = |theta: f64| (-theta.exp()).ln_1p();
                prior + row.iter().zip(theta).map(|(value, theta)| absent(*theta) + value * (theta - absent(*theta))).sum::<f64>()
            }
            Self::Gaussian => {
                let of = |((value, mean), variance): ((&f64, &f64), &f64)| (value - mean).powi(2) / variance + variance.ln();
                prior - row.iter().zip(theta).zip(sigma).map(of).sum::<f64>() / 2.0
            }
        }
    }
}
