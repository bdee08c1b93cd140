//! Linear regression: ordinary least squares, ridge and elastic net from one pass over the data.

use super::coordinate_descent;
use super::family::Family;
use super::gram::{Gram, RowTerms};
use super::model::{FitSummary, LinearModel};
use super::regularisation::Regularisation;
use super::targets::{Estimates, Training, TrainingOptions};
use crate::chunks;
use crate::control::{Control, Progress};
use crate::design::Levels;
use crate::error::LearnError;
use crate::frame::Frame;

/// The parameters of a linear regression.
///
/// It minimises `½·Σ weight·(target - prediction)²` plus the penalty. Without `l1` the solution is exact (normal
/// equations, Cholesky); with it, coordinate descent runs on the Gram matrix until it stands still.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearRegression {
    pub regularisation: Regularisation,
    pub fit_intercept: bool,
    /// `None`: all levels with a penalty, without the most frequent one otherwise.
    pub levels: Option<Levels>,
    /// Elastic net stops when no coefficient moves the predictions by more than this share of the target's spread.
    pub tolerance: f64,
    /// The most sweeps of elastic net.
    pub max_iterations: usize,
}

impl Default for LinearRegression {
    fn default() -> Self {
        Self { regularisation: Regularisation::NONE, fit_intercept: true, levels: None, tolerance: 1e-8, max_iterations: 20_000 }
    }
}

impl LinearRegression {
    /// Fits the model.
    ///
    /// Columns that depend on each other get the coefficients of smallest norm (on standardised columns); predictions do
    /// not depend on that choice.
    ///
    /// # Errors
    /// [`LearnError::Empty`], [`LearnError::NoFeature`], [`LearnError::Value`] for a target or weight that is not finite,
    /// [`LearnError::Diverged`] when elastic net needs more sweeps than allowed or numbers overflow,
    /// [`LearnError::Cancelled`].
    ///
    /// # Cost
    /// One pass of `n_rows·features²` additions and `columns³ / 3` multiplications.
    ///
    /// # Source
    /// Elastic net: Friedman, Hastie, Tibshirani 2010, *Regularization Paths for Generalized Linear Models via
    /// Coordinate Descent*, section 2.2 (covariance updates).
    pub fn fit(&self, frame: &Frame, targets: &[f64], weights: Option<&[f64]>, control: &Control) -> Result<LinearModel, LearnError> {
        self.regularisation.check()?;
        for (row, target) in targets.iter().enumerate() {
            Family::Gaussian.check(row, *target)?;
        }
        let levels = self.levels.unwrap_or(if self.regularisation.is_none() { Levels::DropMostFrequent } else { Levels::All });
        let training = Training::new(frame, targets, weights, TrainingOptions { levels, fit_intercept: self.fit_intercept }, control)?;
        let mean = training.target_mean();
        let centre = if self.fit_intercept { mean } else { 0.0 };
        let terms = |row: usize| {
            let weight = training.weight(row);
            RowTerms { curvature: weight, response: weight * (targets[row] - centre), loss: 0.0 }
        };
        let gram = Gram::of(&training.design, terms, control)?;
        let equations = gram.normal_equations(self.fit_intercept);
        let deviation = (training.target_squares(mean) / training.total_weight).sqrt();
        let deviation = if deviation > 0.0 { deviation } else { 1.0 };
        let penalty = self.regularisation.per_column(&training.scales, &gram.variances(), gram.weight, deviation);
        let factors = equations.factor(&penalty.l2, control)?;
        let (coefficients, iterations) = if self.regularisation.l1 > 0.0 {
            let tolerance = self.tolerance * training.target_squares(centre).sqrt();
            coordinate_descent::solve(&equations, &penalty, tolerance, self.max_iterations, control)?
        } else {
            (factors.solve(&equations.right), 1)
        };
        let shift: f64 = coefficients.iter().zip(&equations.means).map(|(coefficient, mean)| coefficient * mean).sum();
        let intercept = if self.fit_intercept { centre + gram.response / gram.weight - shift } else { 0.0 };
        if !intercept.is_finite() || !coefficients.iter().all(|coefficient| coefficient.is_finite()) {
            return Err(LearnError::Diverged { what: "the coefficients are not finite" });
        }
        let deviance = squared_errors(&training, intercept, &coefficients, control)?;
        let rank = factors.rank();
        let freedom = training.n_rows as f64 - rank as f64 - f64::from(u8::from(self.fit_intercept));
        let dispersion = (freedom > 0.0).then(|| deviance / freedom);
        let standard_errors = match dispersion.filter(|_| self.regularisation.is_none()) {
            Some(dispersion) => {
                let (curvature, fit_intercept) = (gram.weight, self.fit_intercept);
                let (equations, factors, freedom) = (&equations, &factors, Some(freedom));
                training.standard_errors(&Estimates { equations, factors, curvature, fit_intercept, dispersion, freedom }, control)?
            }
            None => None,
        };
        (control.progress)(Progress { iteration: iterations, max_iterations: iterations, loss: Some(deviance / 2.0) });
        let (intercept, coefficients) = training.on_original_scale(intercept, &coefficients);
        let fit = FitSummary {
            n_rows: training.n_rows as u64,
            iterations: iterations as u64,
            deviance,
            null_deviance: training.target_squares(centre),
            dispersion,
            rank: rank as u64,
            standard_errors,
        };
        Ok(LinearModel { family: Family::Gaussian, design: training.spec.with_standardised(false), intercept, coefficients, fit })
    }
}

/// The weighted sum of squared errors, from the rows: differences of sums of squares would lose its digits.
fn squared_errors(training: &Training, intercept: f64, coefficients: &[f64], control: &Control) -> Result<f64, LearnError> {
    let mut padded = coefficients.to_vec();
    padded.push(0.0);
    let step = |sum: &mut f64, rows: std::ops::Range<usize>| {
        for row in rows {
            let error = training.targets[row] - intercept - training.design.dot(row, &padded);
            *sum += training.weight(row) * error * error;
        }
    };
    chunks::fold(training.design.n_rows(), 1, control, || 0.0, step, |sum, later| *sum += later)
}
