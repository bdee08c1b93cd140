//! A fitted linear model: coefficients on the scale of the features, and how well they are known.

use super::distribution;
use super::family::Family;
use crate::design::{DesignSpec, Term};
use crate::error::LearnError;
use crate::frame::Frame;
use serde::{Deserialize, Serialize};

/// A model whose prediction is a function of `intercept + x·coefficients`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    pub family: Family,
    /// How features become the columns of the coefficients, not standardised.
    pub design: DesignSpec,
    pub intercept: f64,
    /// One per column of the design.
    pub coefficients: Vec<f64>,
    pub fit: FitSummary,
}

/// How the fit went, and what it says about its coefficients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitSummary {
    /// Rows with a positive weight.
    pub n_rows: u64,
    pub iterations: u64,
    /// Twice the loss: the sum of squared errors for a gaussian target.
    pub deviance: f64,
    /// The deviance of the intercept alone (of a score of 0 without an intercept).
    pub null_deviance: f64,
    /// The variance of the target as a multiple of that of its distribution; 1 where that is fixed. `None` without
    /// degrees of freedom.
    pub dispersion: Option<f64>,
    /// Columns that are not combinations of others. Below the number of columns, the coefficients are those of
    /// smallest norm.
    pub rank: u64,
    /// The standard error of the intercept and of each coefficient; `None` for penalised or dependent columns.
    pub standard_errors: Option<StandardErrors>,
}

/// How far estimates may be off, one standard deviation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StandardErrors {
    /// 0 without an intercept.
    pub intercept: f64,
    pub coefficients: Vec<f64>,
    /// Degrees of freedom of the t distribution of the estimates; `None` when they are normal (known dispersion).
    pub freedom: Option<f64>,
}

impl StandardErrors {
    /// The probability of an estimate at least this far from zero, were the truth zero. `None` when the error is 0.
    pub fn p_value(&self, estimate: f64, standard_error: f64) -> Option<f64> {
        let ratio = estimate / standard_error;
        let p_value = match self.freedom {
            Some(freedom) => distribution::student_two_sided(ratio, freedom),
            None => distribution::normal_two_sided(ratio),
        };
        ratio.is_finite().then_some(p_value)
    }
}

/// A line of the table of weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight {
    /// `None` for the intercept.
    pub term: Option<Term>,
    pub estimate: f64,
    pub standard_error: Option<f64>,
    pub p_value: Option<f64>,
}

impl LinearModel {
    /// A model trained elsewhere, over numeric features; `fills` replace their missing values.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when there is not one coefficient for each feature.
    pub fn imported(family: Family, intercept: f64, coefficients: Vec<f64>, fills: &[f64]) -> Result<Self, LearnError> {
        if coefficients.len() != fills.len() {
            return Err(LearnError::Shape { what: "the model has not one coefficient for each feature" });
        }
        let rank = coefficients.len() as u64;
        let fit = FitSummary { n_rows: 0, iterations: 0, deviance: 0.0, null_deviance: 0.0, dispersion: None, rank, standard_errors: None };
        Ok(Self { family, design: DesignSpec::numeric(fills), intercept, coefficients, fit })
    }

    /// `intercept + x·coefficients` of every row.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training.
    pub fn scores(&self, frame: &Frame) -> Result<Vec<f64>, LearnError> {
        let mut scores = vec![self.intercept; frame.n_rows()];
        self.design.add_scores(frame, &self.coefficients, &mut scores)?;
        Ok(scores)
    }

    /// The mean of the target for every row.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training.
    pub fn predict(&self, frame: &Frame) -> Result<Vec<f64>, LearnError> {
        let mut predictions = self.scores(frame)?;
        predictions.iter_mut().for_each(|score| *score = self.family.mean(*score));
        Ok(predictions)
    }

    /// The intercept and the coefficients with what they stand for.
    pub fn weights(&self) -> Vec<Weight> {
        weights(&self.design.terms(), self.intercept, &self.coefficients, self.fit.standard_errors.as_ref())
    }

    /// The share of the deviance that the features explain: R² for a gaussian target. `None` when there is none.
    pub fn explained_deviance(&self) -> Option<f64> {
        (self.fit.null_deviance > 0.0).then(|| 1.0 - self.fit.deviance / self.fit.null_deviance)
    }
}

/// The table of an intercept and its coefficients.
pub(crate) fn weights(terms: &[Term], intercept: f64, coefficients: &[f64], errors: Option<&StandardErrors>) -> Vec<Weight> {
    let line = |term, estimate, standard_error: Option<f64>| {
        let p_value = errors.zip(standard_error).and_then(|(errors, error)| errors.p_value(estimate, error));
        Weight { term, estimate, standard_error, p_value }
    };
    let first = line(None, intercept, errors.map(|errors| errors.intercept));
    let coefficient =
        |(place, (term, estimate)): (usize, (&Term, &f64))| line(Some(*term), *estimate, errors.map(|errors| errors.coefficients[place]));
    std::iter::once(first).chain(terms.iter().zip(coefficients).enumerate().map(coefficient)).collect()
}
