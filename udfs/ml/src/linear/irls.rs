//! Iteratively reweighted least squares: Newton's method with Fisher's expected curvature and step-halving.

use super::cholesky::Cholesky;
use super::family::Family;
use super::gram::{Gram, NormalEquations, RowTerms};
use super::regularisation::Penalty;
use super::targets::{Estimates, Training};
use crate::chunks;
use crate::control::{Control, Progress};
use crate::error::LearnError;

/// What to minimise, and when to stop.
pub(crate) struct Irls<'a> {
    pub(crate) training: &'a Training<'a>,
    pub(crate) family: Family,
    /// Added to the score of each row.
    pub(crate) offsets: Option<&'a [f64]>,
    pub(crate) penalty: Penalty,
    pub(crate) fit_intercept: bool,
    pub(crate) tolerance: f64,
    pub(crate) max_iterations: usize,
}

/// The minimum, on standardised columns.
pub(crate) struct Minimum {
    pub(crate) intercept: f64,
    pub(crate) coefficients: Vec<f64>,
    pub(crate) iterations: usize,
    /// Half the deviance, without the penalty.
    pub(crate) loss: f64,
    pub(crate) equations: NormalEquations,
    pub(crate) factors: Cholesky,
    pub(crate) curvature: f64,
}

impl Minimum {
    /// What the standard errors are made from.
    pub(crate) fn estimates(&self, fit_intercept: bool, dispersion: f64, freedom: Option<f64>) -> Estimates<'_> {
        let Self { equations, factors, curvature, .. } = self;
        Estimates { equations, factors, curvature: *curvature, fit_intercept, dispersion, freedom }
    }
}

/// The most times a step is halved: 2⁻³⁰ of a step is no step.
const HALVINGS_MAX: usize = 30;
/// A score that still moves by this much when the loss stands still runs away to infinity.
const RUNAWAY_MOVE: f64 = 0.1;
/// The loss stands still when a step lowers it by less than this share of the loss at the start.
const RUNAWAY_DECREMENT: f64 = 1e-5;
/// Steps of that kind in a row after which there is no doubt: the scores have moved by 15 for nothing.
const RUNAWAY_STEPS: usize = 15;

impl Irls<'_> {
    /// Minimises the penalised loss from a score of `intercept` everywhere.
    ///
    /// # Errors
    /// [`LearnError::Diverged`] when a score grows without bound (separated data), the loss is not finite, or the
    /// iterations run out; [`LearnError::Cancelled`].
    ///
    /// # Source
    /// McCullagh, Nelder 1989, *Generalized Linear Models*, section 2.5; the halving is that of R's `glm.fit`.
    pub(crate) fn minimise(&self, start: f64, control: &Control) -> Result<Minimum, LearnError> {
        let n = self.training.design.n_columns();
        let (mut intercept, mut coefficients) = (start, vec![0.0; n]);
        let mut gram = self.sums(intercept, &coefficients, control)?;
        let mut objective = gram.loss;
        let start_objective = objective;
        let is_free = self.penalty.l2.contains(&0.0) && self.family.can_separate();
        let mut runaway_steps = 0;
        if !objective.is_finite() {
            return Err(LearnError::Diverged { what: "the loss of the intercept alone is not finite" });
        }
        for iteration in 1..=self.max_iterations {
            let mut equations = gram.normal_equations(self.fit_intercept);
            let factors = equations.factor(&self.penalty.l2, control)?;
            // The slope of the penalty at where we are.
            let slopes = self.penalty.l2.iter().zip(&coefficients).map(|(l2, coefficient)| l2 * coefficient);
            equations.right.iter_mut().zip(slopes).for_each(|(right, slope)| *right -= slope);
            let step = factors.solve(&equations.right);
            let means: f64 = step.iter().zip(&equations.means).map(|(step, mean)| step * mean).sum();
            let intercept_step = if self.fit_intercept { gram.response / gram.weight - means } else { 0.0 };
            // How much the loss would fall, were it quadratic, twice.
            let mut decrement: f64 = step.iter().zip(&equations.right).map(|(step, right)| step * right).sum();
            if self.fit_intercept {
                decrement += gram.response * gram.response / gram.weight;
            }
            if !decrement.is_finite() || !intercept_step.is_finite() {
                return Err(LearnError::Diverged { what: "a step is not finite" });
            }
            // The second part is the rounding of the scores: where the fit is perfect, there is no loss to compare with.
            let is_last = decrement <= self.tolerance * objective + 1e-24 * gram.weight * start * start;
            let (size, next) = self.shortened(intercept, intercept_step, &coefficients, &step, objective, is_last, control)?;
            if let Some(next) = next {
                intercept += size * intercept_step;
                coefficients.iter_mut().zip(&step).for_each(|(coefficient, step)| *coefficient += size * step);
                objective = next.loss + self.penalty.half_squares(&coefficients);
                gram = next;
            }
            (control.progress)(Progress { iteration, max_iterations: self.max_iterations, loss: Some(gram.loss) });
            let is_flat = is_last || decrement <= RUNAWAY_DECREMENT * start_objective;
            if is_free && is_flat && size == 1.0 && self.largest_move(intercept_step, &step, control)? > RUNAWAY_MOVE {
                runaway_steps += 1;
                if is_last || runaway_steps == RUNAWAY_STEPS {
                    let what = "the features separate the targets, so that no finite coefficients fit best; l2_reg helps";
                    return Err(LearnError::Diverged { what });
                }
            } else {
                runaway_steps = 0;
            }
            if is_last {
                let (loss, curvature) = (gram.loss, gram.weight);
                let equations = gram.normal_equations(self.fit_intercept);
                let factors = equations.factor(&self.penalty.l2, control)?;
                return Ok(Minimum { intercept, coefficients, iterations: iteration, loss, equations, factors, curvature });
            }
        }
        Err(LearnError::Diverged {
            what: "the loss still falls after max_iterations steps; l2_reg helps when the features separate the targets",
        })
    }

    /// Halves a step until the penalised loss does not rise; `None` when the last step no longer lowers it.
    #[expect(clippy::too_many_arguments, reason = "a point and a direction, each of two parts")]
    fn shortened(
        &self,
        intercept: f64,
        intercept_step: f64,
        coefficients: &[f64],
        step: &[f64],
        objective: f64,
        is_last: bool,
        control: &Control,
    ) -> Result<(f64, Option<Gram>), LearnError> {
        let mut size = 1.0;
        for _ in 0..HALVINGS_MAX {
            let moved: Vec<f64> = coefficients.iter().zip(step).map(|(coefficient, step)| coefficient + size * step).collect();
            let next = self.sums(intercept + size * intercept_step, &moved, control)?;
            let next_objective = next.loss + self.penalty.half_squares(&moved);
            // A rise within rounding is none.
            if next_objective <= objective + 1e-12 * objective.abs() && next.weight > 0.0 && next.weight.is_finite() {
                return Ok((size, Some(next)));
            }
            if is_last {
                return Ok((size, None));
            }
            size /= 2.0;
        }
        Err(LearnError::Diverged { what: "no step lowers the loss" })
    }

    /// The derivatives of the loss where the model is.
    fn sums(&self, intercept: f64, coefficients: &[f64], control: &Control) -> Result<Gram, LearnError> {
        let mut padded = coefficients.to_vec();
        padded.push(0.0);
        let terms = |row: usize| {
            let score = intercept + self.offset(row) + self.training.design.dot(row, &padded);
            let (weight, loss) = (self.training.weight(row), self.family.loss(self.training.targets[row], score));
            if weight == 0.0 {
                return RowTerms { curvature: 0.0, response: 0.0, loss: 0.0 };
            }
            RowTerms { curvature: weight * loss.curvature, response: weight * loss.descent, loss: weight * loss.value }
        };
        Gram::of(&self.training.design, terms, control)
    }

    /// The largest change of a score in a step.
    fn largest_move(&self, intercept_step: f64, step: &[f64], control: &Control) -> Result<f64, LearnError> {
        let mut padded = step.to_vec();
        padded.push(0.0);
        let find = |largest: &mut f64, rows: std::ops::Range<usize>| {
            for row in rows.filter(|row| self.training.weight(*row) > 0.0) {
                *largest = largest.max((intercept_step + self.training.design.dot(row, &padded)).abs());
            }
        };
        chunks::fold(self.training.design.n_rows(), 1, control, || 0.0, find, |largest, later| *largest = largest.max(later))
    }

    fn offset(&self, row: usize) -> f64 {
        self.offsets.map_or(0.0, |offsets| offsets[row])
    }
}
