//! The targets and weights of the rows, checked, beside the design of their features.

use super::cholesky::Cholesky;
use super::gram::{Gram, NormalEquations, RowTerms};
use super::model::StandardErrors;
use super::regularisation::{Penalty, Regularisation, Scaling};
use crate::control::Control;
use crate::design::{Design, DesignOptions, DesignSpec, Levels};
use crate::error::LearnError;
use crate::frame::Frame;

/// How the training data of a linear learner are put up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrainingOptions {
    pub(crate) levels: Levels,
    pub(crate) fit_intercept: bool,
}

/// What a linear learner reads: standardised features, targets, weights.
pub(crate) struct Training<'a> {
    pub(crate) spec: DesignSpec,
    pub(crate) design: Design,
    pub(crate) targets: &'a [f64],
    weights: Option<&'a [f64]>,
    /// Rows with a positive weight.
    pub(crate) n_rows: usize,
    pub(crate) total_weight: f64,
    /// The mean and standard deviation that were taken off each column (0 and 1 for 0/1 columns).
    centres: Vec<f64>,
    pub(crate) scales: Vec<f64>,
}

impl<'a> Training<'a> {
    /// Checks lengths and weights and encodes the features; targets are checked by the family.
    pub(crate) fn new(
        frame: &Frame,
        targets: &'a [f64],
        weights: Option<&'a [f64]>,
        options: TrainingOptions,
        control: &Control,
    ) -> Result<Self, LearnError> {
        if targets.len() != frame.n_rows() {
            return Err(LearnError::Shape { what: "features and targets differ in rows" });
        }
        let (n_rows, total_weight) = check_weights(frame.n_rows(), weights)?;
        let spec = DesignSpec::learn(frame, DesignOptions { levels: options.levels, standardise: true }, control)?;
        let mut design = spec.compact_for_training(frame, control)?;
        let (mut centres, mut scales) = (vec![0.0; spec.n_columns()], vec![1.0; spec.n_columns()]);
        for (column, (mean, scale)) in spec.moments().into_iter().enumerate() {
            scales[column] = scale;
            if options.fit_intercept {
                centres[column] = mean;
            } else {
                // Without an intercept nothing can take up the shift.
                design.shift(column, mean / scale);
            }
        }
        Ok(Self { spec, design, targets, weights, n_rows, total_weight, centres, scales })
    }

    /// The weight of a row.
    pub(crate) fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// The weighted mean of the targets.
    pub(crate) fn target_mean(&self) -> f64 {
        let first = self.targets.first().copied().unwrap_or_default();
        // Around the first target, so that large targets lose no digits.
        let sum: f64 = self.targets.iter().enumerate().map(|(row, target)| self.weight(row) * (target - first)).sum();
        first + sum / self.total_weight
    }

    /// The weighted sum of squares of the targets around `centre`.
    pub(crate) fn target_squares(&self, centre: f64) -> f64 {
        self.targets.iter().enumerate().map(|(row, target)| self.weight(row) * (target - centre).powi(2)).sum()
    }

    /// The penalties of the standardised columns, for a target that has no scale.
    pub(crate) fn penalty(&self, regularisation: &Regularisation, control: &Control) -> Result<Penalty, LearnError> {
        let variances = if regularisation.scaling == Scaling::Spark {
            let terms = |row: usize| RowTerms { curvature: self.weight(row), response: 0.0, loss: 0.0 };
            let squares: f64 = (0..self.targets.len()).map(|row| self.weight(row).powi(2)).sum();
            // Here Spark standardises by the deviation of a sample, in linear regression by that of the whole.
            let freedom = self.total_weight - squares / self.total_weight;
            let sample = if freedom > 0.0 { self.total_weight / freedom } else { 1.0 };
            Gram::of(&self.design, terms, control)?.variances().iter().map(|variance| variance * sample).collect()
        } else {
            vec![1.0; self.scales.len()]
        };
        Ok(regularisation.per_column(&self.scales, &variances, self.total_weight, 1.0))
    }

    /// The intercept and coefficients of features that are not standardised.
    pub(crate) fn on_original_scale(&self, intercept: f64, coefficients: &[f64]) -> (f64, Vec<f64>) {
        let coefficients: Vec<f64> = coefficients.iter().zip(&self.scales).map(|(coefficient, scale)| coefficient / scale).collect();
        let shift: f64 = coefficients.iter().zip(&self.centres).map(|(coefficient, centre)| coefficient * centre).sum();
        (intercept - shift, coefficients)
    }

    /// Standard errors on the original scale from unpenalised normal equations; `None` for dependent columns.
    pub(crate) fn standard_errors(&self, estimates: &Estimates, control: &Control) -> Result<Option<StandardErrors>, LearnError> {
        let Estimates { equations, factors, curvature, fit_intercept, dispersion, freedom } = *estimates;
        let Some(diagonal) = factors.inverse_diagonal(control)? else { return Ok(None) };
        let coefficients = diagonal.iter().zip(&self.scales).map(|(inverse, scale)| (dispersion * inverse).sqrt() / scale).collect();
        // The intercept is the prediction where all features are 0.
        let zero = equations.means.iter().zip(&self.centres).zip(&self.scales).map(|((mean, centre), scale)| mean + centre / scale);
        let zero: Vec<f64> = zero.collect();
        let spread: f64 = factors.solve(&zero).iter().zip(&zero).map(|(left, right)| left * right).sum();
        let intercept = if fit_intercept { (dispersion * (1.0 / curvature + spread)).sqrt() } else { 0.0 };
        Ok(Some(StandardErrors { intercept, coefficients, freedom }))
    }
}

/// What says how well coefficients are known.
pub(crate) struct Estimates<'a> {
    pub(crate) equations: &'a NormalEquations,
    pub(crate) factors: &'a Cholesky,
    /// The sum of the curvature weights.
    pub(crate) curvature: f64,
    pub(crate) fit_intercept: bool,
    pub(crate) dispersion: f64,
    /// Degrees of freedom; `None` when the dispersion is known.
    pub(crate) freedom: Option<f64>,
}

/// Checks the weights of rows and counts the positive ones and their sum.
pub(crate) fn check_weights(n_rows: usize, weights: Option<&[f64]>) -> Result<(usize, f64), LearnError> {
    if n_rows == 0 {
        return Err(LearnError::Empty);
    }
    let Some(weights) = weights else { return Ok((n_rows, n_rows as f64)) };
    if weights.len() != n_rows {
        return Err(LearnError::Shape { what: "features and weights differ in rows" });
    }
    if let Some(row) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        return Err(LearnError::Value { what: "weight", row, value: weights[row], expected: "a finite number of at least 0" });
    }
    let total: f64 = weights.iter().sum();
    if total == 0.0 {
        return Err(LearnError::Empty);
    }
    if !total.is_finite() {
        return Err(LearnError::Diverged { what: "the sum of the weights is not finite" });
    }
    Ok((weights.iter().filter(|weight| **weight > 0.0).count(), total))
}
