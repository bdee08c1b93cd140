//! Logistic regression: probabilities of two or more classes.
//!
//! Two classes are fitted by [iteratively reweighted least squares](super::irls), more by L-BFGS
//! (`softmax`), both over the compact design. linfa-logistic is not used: it has neither row nor class
//! weights, wants a dense matrix, and cannot be cancelled.

use super::family::{Family, logistic};
use super::irls::Irls;
use super::model::{FitSummary, Weight, weights};
use super::regularisation::Regularisation;
use super::softmax::Softmax;
use super::targets::{Training, TrainingOptions, check_weights};
use crate::control::Control;
use crate::design::{DesignSpec, Levels};
use crate::error::LearnError;
use crate::frame::Frame;
use serde::{Deserialize, Serialize};

/// How much the rows of each class count, on top of their own weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ClassWeights {
    /// Every row counts as it is.
    #[default]
    None,
    /// All classes count the same in sum: total weight / (classes · weight of the class), as scikit-learn's `balanced`
    /// and BigQuery's `auto_class_weights`.
    Balanced,
    /// One factor per class.
    Given(Vec<f64>),
}

impl ClassWeights {
    /// The weight of every row; `None` when all are 1.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when there is not one factor per class, [`LearnError::Value`] for a factor or weight that is
    /// negative or not finite.
    pub fn of_rows(&self, labels: &[u32], n_classes: u32, weights: Option<&[f64]>) -> Result<Option<Vec<f64>>, LearnError> {
        check_labels(labels, n_classes)?;
        check_weights(labels.len(), weights)?;
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        let factors = match self {
            Self::None => return Ok(weights.map(<[f64]>::to_vec)),
            Self::Given(factors) if factors.len() != n_classes as usize => {
                return Err(LearnError::Shape { what: "there is not one weight for each class" });
            }
            Self::Given(factors) => {
                if let Some(class) = factors.iter().position(|factor| !(factor.is_finite() && *factor >= 0.0)) {
                    let expected = "a finite number of at least 0";
                    return Err(LearnError::Value { what: "class weight", row: class, value: factors[class], expected });
                }
                factors.clone()
            }
            Self::Balanced => {
                let mut totals = vec![0.0; n_classes as usize];
                labels.iter().enumerate().for_each(|(row, label)| totals[*label as usize] += weight(row));
                let n_present = totals.iter().filter(|total| **total > 0.0).count() as f64;
                let sum: f64 = totals.iter().sum();
                totals.iter().map(|total| if *total > 0.0 { sum / (n_present * total) } else { 0.0 }).collect()
            }
        };
        Ok(Some(labels.iter().enumerate().map(|(row, label)| weight(row) * factors[*label as usize]).collect()))
    }
}

/// The parameters of a logistic regression: it minimises the sum of `weight · log loss` plus the penalty.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    /// `l1` must be 0. `Regularisation::ridge(1.0)` is scikit-learn's default, `C = 1`.
    pub regularisation: Regularisation,
    pub fit_intercept: bool,
    /// `None`: all levels with a penalty, without the most frequent one otherwise.
    pub levels: Option<Levels>,
    pub class_weights: ClassWeights,
    /// Training stops when a step would lower the loss by less than half this share of it.
    pub tolerance: f64,
    pub max_iterations: usize,
}

impl Default for LogisticRegression {
    fn default() -> Self {
        let (regularisation, class_weights) = (Regularisation::ridge(1.0), ClassWeights::None);
        Self { regularisation, fit_intercept: true, levels: None, class_weights, tolerance: 1e-10, max_iterations: 1_000 }
    }
}

/// A fitted logistic regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogisticModel {
    /// How features become the columns of the coefficients, not standardised.
    pub design: DesignSpec,
    /// The number of classes; those that training did not see have probability 0.
    pub n_classes: u32,
    /// The classes that training saw, ascending.
    pub classes: Vec<u32>,
    /// Of two classes one number, for the second one; otherwise one number per seen class.
    pub intercepts: Vec<f64>,
    /// A row of one number per design column for each intercept.
    pub coefficients: Vec<f64>,
    pub fit: FitSummary,
}

impl LogisticRegression {
    /// Fits the model to labels below `n_classes`.
    ///
    /// # Errors
    /// [`LearnError::OneClass`], [`LearnError::Empty`], [`LearnError::NoFeature`], [`LearnError::Value`] for a label or weight
    /// out of range, [`LearnError::Parameter`] for `l1`, [`LearnError::Diverged`] when no finite coefficients fit
    /// best (separated classes without `l2`), [`LearnError::Cancelled`].
    ///
    /// # Cost
    /// Two classes: 5 to 10 times a linear regression. More: some 20 to 100 passes over the rows.
    pub fn fit(
        &self,
        frame: &Frame,
        labels: &[u32],
        n_classes: u32,
        weights: Option<&[f64]>,
        control: &Control,
    ) -> Result<LogisticModel, LearnError> {
        self.regularisation.check()?;
        if self.regularisation.l1 > 0.0 {
            let value = self.regularisation.l1.to_string();
            return Err(LearnError::Parameter { name: "l1_reg", value, range: "0 for logistic regression" });
        }
        if labels.len() != frame.n_rows() {
            return Err(LearnError::Shape { what: "features and labels differ in rows" });
        }
        let weights = self.class_weights.of_rows(labels, n_classes, weights)?;
        let weights = weights.as_deref();
        let mut totals = vec![0.0; n_classes as usize];
        labels.iter().enumerate().for_each(|(row, label)| totals[*label as usize] += weights.map_or(1.0, |weights| weights[row]));
        let classes: Vec<u32> = (0..n_classes).filter(|class| totals[*class as usize] > 0.0).collect();
        if classes.len() < 2 {
            return Err(LearnError::OneClass);
        }
        // Among the seen classes; a class without weight counts as the first one, its rows do not count at all.
        let place = |label: &u32| classes.binary_search(label).unwrap_or(0) as f64;
        let targets: Vec<f64> = labels.iter().map(place).collect();
        let levels = self.levels.unwrap_or(if self.regularisation.is_none() { Levels::DropMostFrequent } else { Levels::All });
        let training = Training::new(frame, &targets, weights, TrainingOptions { levels, fit_intercept: self.fit_intercept }, control)?;
        let (intercepts, coefficients, fit) =
            if classes.len() == 2 { self.fit_two(&training, control)? } else { self.fit_many(&training, classes.len(), control)? };
        Ok(LogisticModel { design: training.spec.with_standardised(false), n_classes, classes, intercepts, coefficients, fit })
    }

    fn fit_two(&self, training: &Training, control: &Control) -> Result<(Vec<f64>, Vec<f64>, FitSummary), LearnError> {
        let family = Family::Binomial;
        let mean = training.target_mean();
        let start = if self.fit_intercept { family.score(mean) } else { 0.0 };
        let irls = Irls {
            training,
            family,
            offsets: None,
            penalty: training.penalty(&self.regularisation, control)?,
            fit_intercept: self.fit_intercept,
            tolerance: self.tolerance,
            max_iterations: self.max_iterations,
        };
        let minimum = irls.minimise(start, control)?;
        let is_free = self.regularisation.is_none();
        let standard_errors =
            if is_free { training.standard_errors(&minimum.estimates(self.fit_intercept, 1.0, None), control)? } else { None };
        let rank = minimum.factors.rank() as u64;
        let (intercept, coefficients) = training.on_original_scale(minimum.intercept, &minimum.coefficients);
        let null_deviance = training.total_weight * 2.0 * entropy(&[1.0 - mean, mean]);
        let fit = FitSummary {
            n_rows: training.n_rows as u64,
            iterations: minimum.iterations as u64,
            deviance: 2.0 * minimum.loss,
            null_deviance,
            dispersion: Some(1.0),
            rank,
            standard_errors,
        };
        Ok((vec![intercept], coefficients, fit))
    }

    fn fit_many(&self, training: &Training, n_classes: usize, control: &Control) -> Result<(Vec<f64>, Vec<f64>, FitSummary), LearnError> {
        let softmax = Softmax {
            training,
            n_classes,
            penalty: training.penalty(&self.regularisation, control)?,
            fit_intercept: self.fit_intercept,
            tolerance: self.tolerance,
            max_iterations: self.max_iterations,
        };
        let minimum = softmax.minimise(control)?;
        let (mut intercepts, mut coefficients) = (Vec::with_capacity(n_classes), Vec::new());
        for (intercept, standardised) in &minimum.scores {
            let (intercept, original) = training.on_original_scale(*intercept, standardised);
            intercepts.push(intercept);
            coefficients.extend(original);
        }
        let mut shares = vec![0.0; n_classes];
        for (row, target) in training.targets.iter().enumerate() {
            shares[*target as usize] += training.weight(row) / training.total_weight;
        }
        let fit = FitSummary {
            n_rows: training.n_rows as u64,
            iterations: minimum.iterations as u64,
            deviance: 2.0 * minimum.loss,
            null_deviance: training.total_weight * 2.0 * entropy(&shares),
            dispersion: Some(1.0),
            rank: minimum.rank as u64,
            standard_errors: None,
        };
        Ok((intercepts, coefficients, fit))
    }
}

impl LogisticModel {
    /// The probabilities of the classes, `n_classes` to a row.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training.
    pub fn probabilities(&self, frame: &Frame) -> Result<Vec<f64>, LearnError> {
        let (n_rows, n_classes, n_columns) = (frame.n_rows(), self.n_classes as usize, self.design.n_columns());
        let mut probabilities = vec![0.0; n_rows * n_classes];
        let mut scores = vec![0.0; n_rows];
        for (score, intercept) in self.intercepts.iter().enumerate() {
            scores.fill(*intercept);
            self.design.add_scores(frame, &self.coefficients[score * n_columns..(score + 1) * n_columns], &mut scores)?;
            // The one score of two classes is that of the second one.
            let class = self.classes[if self.intercepts.len() == 1 { 1 } else { score }] as usize;
            probabilities.iter_mut().skip(class).step_by(n_classes).zip(&scores).for_each(|(place, score)| *place = *score);
        }
        for row in probabilities.chunks_exact_mut(n_classes.max(1)) {
            if let [first, second] = self.classes[..] {
                let score = row[second as usize];
                (row[first as usize], row[second as usize]) = (logistic(-score), logistic(score));
            } else {
                let top = self.classes.iter().map(|class| row[*class as usize]).fold(f64::NEG_INFINITY, f64::max);
                self.classes.iter().for_each(|class| row[*class as usize] = (row[*class as usize] - top).exp());
                let sum: f64 = self.classes.iter().map(|class| row[*class as usize]).sum();
                self.classes.iter().for_each(|class| row[*class as usize] /= sum);
            }
        }
        Ok(probabilities)
    }

    /// The intercepts and coefficients with what they stand for: of two classes those of the second one, otherwise
    /// those of each seen class.
    pub fn weights(&self) -> Vec<ClassWeightTable> {
        let (terms, n_columns) = (self.design.terms(), self.design.n_columns());
        let table = |(score, intercept): (usize, &f64)| {
            let coefficients = &self.coefficients[score * n_columns..(score + 1) * n_columns];
            let class = self.classes[if self.intercepts.len() == 1 { 1 } else { score }];
            ClassWeightTable { class, weights: weights(&terms, *intercept, coefficients, self.fit.standard_errors.as_ref()) }
        };
        self.intercepts.iter().enumerate().map(table).collect()
    }

    /// The most probable class of every row; ties go to the smaller class.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training.
    pub fn predict(&self, frame: &Frame) -> Result<Vec<u32>, LearnError> {
        let probabilities = self.probabilities(frame)?;
        Ok(probabilities.chunks_exact((self.n_classes as usize).max(1)).map(most_probable).collect())
    }
}

/// The intercept and coefficients of one score.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassWeightTable {
    /// The class whose probability they raise.
    pub class: u32,
    pub weights: Vec<Weight>,
}

/// The place of the largest number; the first one of equals.
pub(crate) fn most_probable(probabilities: &[f64]) -> u32 {
    (0..probabilities.len()).rev().max_by(|one, other| probabilities[*one].total_cmp(&probabilities[*other])).unwrap_or(0) as u32
}

/// Checks that labels are below the number of classes.
pub(crate) fn check_labels(labels: &[u32], n_classes: u32) -> Result<(), LearnError> {
    match labels.iter().position(|label| *label >= n_classes) {
        Some(row) => {
            let expected = "the number of a class";
            Err(LearnError::Value { what: "label", row, value: f64::from(labels[row]), expected })
        }
        None => Ok(()),
    }
}

/// The mean log loss of predicting the shares themselves.
fn entropy(shares: &[f64]) -> f64 {
    shares.iter().filter(|share| **share > 0.0).map(|share| -share * share.ln()).sum()
}
