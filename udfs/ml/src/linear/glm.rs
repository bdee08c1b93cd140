//! Generalised linear regression: counts, positive amounts and shares.

use super::family::Family;
use super::irls::{Irls, Minimum};
use super::model::{FitSummary, LinearModel};
use super::regularisation::Regularisation;
use super::targets::{Training, TrainingOptions};
use crate::chunks;
use crate::control::Control;
use crate::design::Levels;
use crate::error::LearnError;
use crate::frame::Frame;

/// The parameters of a generalised linear regression.
///
/// It minimises half the weighted deviance plus the penalty. Columns are standardised inside, so that a year beside
/// a mileage converges; coefficients are those of the features as they came.
///
/// Spark's `GeneralizedLinearRegression` divides by the sum of the working weights where [`super::Scaling::Mean`]
/// divides by the sum of the row weights; unpenalised models agree.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneralisedLinearRegression {
    pub family: Family,
    /// `l1` must be 0.
    pub regularisation: Regularisation,
    pub fit_intercept: bool,
    /// `None`: all levels with a penalty, without the most frequent one otherwise.
    pub levels: Option<Levels>,
    /// Training stops when a step would lower the loss by less than half this share of it.
    pub tolerance: f64,
    pub max_iterations: usize,
}

impl GeneralisedLinearRegression {
    /// The defaults for a distribution.
    pub fn of(family: Family) -> Self {
        Self { family, regularisation: Regularisation::NONE, fit_intercept: true, levels: None, tolerance: 1e-12, max_iterations: 100 }
    }

    /// Fits the model. `offsets` are added to the scores of training rows (the logarithm of an exposure); predictions
    /// have an offset of 0.
    ///
    /// # Errors
    /// [`LearnError::Empty`], [`LearnError::NoFeature`], [`LearnError::Value`] for a target outside the distribution
    /// or an offset that is not finite, [`LearnError::Parameter`] for `l1`, [`LearnError::Diverged`] when no finite
    /// coefficients fit best, [`LearnError::Cancelled`].
    ///
    /// # Cost
    /// 4 to 10 times a linear regression.
    pub fn fit(
        &self,
        frame: &Frame,
        targets: &[f64],
        weights: Option<&[f64]>,
        offsets: Option<&[f64]>,
        control: &Control,
    ) -> Result<LinearModel, LearnError> {
        self.regularisation.check()?;
        if self.regularisation.l1 > 0.0 {
            let value = self.regularisation.l1.to_string();
            return Err(LearnError::Parameter { name: "l1_reg", value, range: "0 for a generalised linear model" });
        }
        for (row, target) in targets.iter().enumerate() {
            self.family.check(row, *target)?;
        }
        check_offsets(frame.n_rows(), offsets)?;
        let levels = self.levels.unwrap_or(if self.regularisation.is_none() { Levels::DropMostFrequent } else { Levels::All });
        let training = Training::new(frame, targets, weights, TrainingOptions { levels, fit_intercept: self.fit_intercept }, control)?;
        let mean = training.target_mean();
        let start = self.start(mean, offsets, &training)?;
        let penalty = training.penalty(&self.regularisation, control)?;
        let irls = Irls {
            training: &training,
            family: self.family,
            offsets,
            penalty,
            fit_intercept: self.fit_intercept,
            tolerance: self.tolerance,
            max_iterations: self.max_iterations,
        };
        let minimum = irls.minimise(start, control)?;
        self.model(&training, offsets, &minimum, start, control)
    }

    /// The score to start from: the best constant, or as near to none as the distribution allows.
    fn start(&self, mean: f64, offsets: Option<&[f64]>, training: &Training) -> Result<f64, LearnError> {
        if !self.fit_intercept {
            // An inverse link has no mean at a score of 0; its features must lift it from there.
            return if self.family == Family::GammaInverse {
                Err(LearnError::Parameter { name: "fit_intercept", value: "false".to_owned(), range: "true for the inverse link" })
            } else {
                Ok(0.0)
            };
        }
        let offset: f64 = offsets.map_or(0.0, |offsets| {
            offsets.iter().enumerate().map(|(row, offset)| training.weight(row) * offset).sum::<f64>() / training.total_weight
        });
        let start = self.family.score(mean);
        if !start.is_finite() {
            return Err(LearnError::Diverged { what: "all targets are at the end of their range" });
        }
        Ok(start - offset)
    }

    fn model(
        &self,
        training: &Training,
        offsets: Option<&[f64]>,
        minimum: &Minimum,
        start: f64,
        control: &Control,
    ) -> Result<LinearModel, LearnError> {
        let mut padded = minimum.coefficients.clone();
        padded.push(0.0);
        // Pearson's statistic and the deviance of the intercept alone, in one pass.
        let step = |(pearson, null): &mut (f64, f64), rows: std::ops::Range<usize>| {
            for row in rows.filter(|row| training.weight(*row) > 0.0) {
                let offset = offsets.map_or(0.0, |offsets| offsets[row]);
                let mean = self.family.mean(minimum.intercept + offset + training.design.dot(row, &padded));
                let (target, weight) = (training.targets[row], training.weight(row));
                *pearson += weight * (target - mean).powi(2) / self.family.variance(mean);
                *null += 2.0 * weight * self.family.loss(target, start + offset).value;
            }
        };
        let merge = |sum: &mut (f64, f64), later: (f64, f64)| *sum = (sum.0 + later.0, sum.1 + later.1);
        let (pearson, null_deviance) = chunks::fold(training.design.n_rows(), 2, control, || (0.0, 0.0), step, merge)?;
        let rank = minimum.factors.rank();
        let freedom = training.n_rows as f64 - rank as f64 - f64::from(u8::from(self.fit_intercept));
        let estimated = (freedom > 0.0).then(|| pearson / freedom);
        let dispersion = if self.family.has_fixed_dispersion() { Some(1.0) } else { estimated };
        let degrees = (!self.family.has_fixed_dispersion()).then_some(freedom);
        let standard_errors = match dispersion.filter(|_| self.regularisation.is_none()) {
            Some(dispersion) => training.standard_errors(&minimum.estimates(self.fit_intercept, dispersion, degrees), control)?,
            None => None,
        };
        let (intercept, coefficients) = training.on_original_scale(minimum.intercept, &minimum.coefficients);
        let fit = FitSummary {
            n_rows: training.n_rows as u64,
            iterations: minimum.iterations as u64,
            deviance: 2.0 * minimum.loss,
            null_deviance,
            dispersion,
            rank: rank as u64,
            standard_errors,
        };
        Ok(LinearModel { family: self.family, design: training.spec.clone().with_standardised(false), intercept, coefficients, fit })
    }
}

fn check_offsets(n_rows: usize, offsets: Option<&[f64]>) -> Result<(), LearnError> {
    let Some(offsets) = offsets else { return Ok(()) };
    if offsets.len() != n_rows {
        return Err(LearnError::Shape { what: "features and offsets differ in rows" });
    }
    match offsets.iter().position(|offset| !offset.is_finite()) {
        Some(row) => Err(LearnError::Value { what: "offset", row, value: offsets[row], expected: "a finite number" }),
        None => Ok(()),
    }
}
