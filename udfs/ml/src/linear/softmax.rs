//! Multinomial logistic regression by L-BFGS, preconditioned with a bound of the curvature.
//!
//! The Hessian of the log loss is at most `½·XᵀWX` for every class (Böhning 1992, *Multinomial Logistic Regression
//! Algorithm*). Its Cholesky factors are made once and start every direction, which takes the scales and
//! correlations of the features out of the problem.

use super::cholesky::{Cholesky, dot};
use super::gram::{Gram, RowTerms};
use super::regularisation::Penalty;
use super::targets::Training;
use crate::chunks;
use crate::control::{Control, Progress};
use crate::error::LearnError;
use std::collections::VecDeque;

/// What to minimise, and when to stop. Targets are the numbers of the classes.
pub(crate) struct Softmax<'a> {
    pub(crate) training: &'a Training<'a>,
    pub(crate) n_classes: usize,
    pub(crate) penalty: Penalty,
    pub(crate) fit_intercept: bool,
    pub(crate) tolerance: f64,
    pub(crate) max_iterations: usize,
}

/// The minimum, on standardised columns.
pub(crate) struct SoftmaxMinimum {
    /// Intercept and coefficients of each class.
    pub(crate) scores: Vec<(f64, Vec<f64>)>,
    pub(crate) loss: f64,
    pub(crate) iterations: usize,
    pub(crate) rank: usize,
}

/// Below this share of the loss at the start, the classes are separated and the scores run away to infinity.
const SEPARATED_SHARE: f64 = 1e-7;
/// Steps that shape the next direction.
const MEMORY: usize = 10;
const HALVINGS_MAX: usize = 40;

/// The curvature bound of one class: factors of the centred part, and the intercept beside it.
struct Bound {
    factors: Cholesky,
    means: Vec<f64>,
    weight: f64,
}

struct Correction {
    step: Vec<f64>,
    change: Vec<f64>,
    product: f64,
}

impl Softmax<'_> {
    /// Numbers of one class: its coefficients, a 0 for all-zero blocks, its intercept.
    fn stride(&self) -> usize {
        self.training.design.n_columns() + 2
    }

    /// Minimises the penalised loss from zero.
    ///
    /// # Errors
    /// [`LearnError::Diverged`] when the iterations run out (separated classes), [`LearnError::Cancelled`].
    ///
    /// # Source
    /// Nocedal, Wright 2006, *Numerical Optimization*, algorithm 7.4.
    pub(crate) fn minimise(&self, control: &Control) -> Result<SoftmaxMinimum, LearnError> {
        let bound = self.bound(control)?;
        let mut point = vec![0.0; self.n_classes * self.stride()];
        let (mut loss, mut gradient) = self.loss(&point, control)?;
        let start_loss = loss;
        let mut corrections: VecDeque<Correction> = VecDeque::with_capacity(MEMORY);
        for iteration in 1..=self.max_iterations {
            let decrement = dot(&self.precondition(&bound, &gradient), &gradient);
            if !decrement.is_finite() {
                return Err(LearnError::Diverged { what: "the loss is not finite" });
            }
            if self.penalty.l2.contains(&0.0) && loss <= SEPARATED_SHARE * start_loss {
                return Err(LearnError::Diverged {
                    what: "the features separate the classes, so that no finite coefficients fit best; l2_reg helps",
                });
            }
            if decrement <= self.tolerance * loss {
                return self.minimum(&point, iteration, bound.factors.rank(), control);
            }
            let mut direction = self.direction(&bound, &gradient, &corrections);
            let mut slope = dot(&direction, &gradient);
            if slope >= 0.0 {
                corrections.clear();
                direction = self.direction(&bound, &gradient, &corrections);
                slope = dot(&direction, &gradient);
            }
            let mut size = 1.0;
            let mut halvings = 0;
            let (next, next_loss, next_gradient) = loop {
                let next: Vec<f64> = point.iter().zip(&direction).map(|(point, direction)| point + size * direction).collect();
                let (next_loss, next_gradient) = self.loss(&next, control)?;
                if next_loss <= loss + 1e-4 * size * slope {
                    break (next, next_loss, next_gradient);
                }
                halvings += 1;
                if halvings == HALVINGS_MAX {
                    // The slope is below the rounding of the loss: this is the bottom.
                    return self.minimum(&point, iteration, bound.factors.rank(), control);
                }
                size /= 2.0;
            };
            let step: Vec<f64> = next.iter().zip(&point).map(|(next, point)| next - point).collect();
            let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(next, gradient)| next - gradient).collect();
            let product = dot(&step, &change);
            if product > 0.0 {
                if corrections.len() == MEMORY {
                    corrections.pop_front();
                }
                corrections.push_back(Correction { step, change, product });
            }
            (point, loss, gradient) = (next, next_loss, next_gradient);
            (control.progress)(Progress { iteration, max_iterations: self.max_iterations, loss: Some(loss) });
        }
        Err(LearnError::Diverged {
            what: "the loss still falls after max_iterations steps; l2_reg helps when the features separate the classes",
        })
    }

    fn minimum(&self, point: &[f64], iterations: usize, rank: usize, control: &Control) -> Result<SoftmaxMinimum, LearnError> {
        let n = self.training.design.n_columns();
        let scores: Vec<(f64, Vec<f64>)> = point.chunks_exact(self.stride()).map(|class| (class[n + 1], class[..n].to_vec())).collect();
        let penalty: f64 = scores.iter().map(|(_, coefficients)| self.penalty.half_squares(coefficients)).sum();
        Ok(SoftmaxMinimum { loss: self.loss(point, control)?.0 - penalty, scores, iterations, rank })
    }

    fn bound(&self, control: &Control) -> Result<Bound, LearnError> {
        let terms = |row: usize| RowTerms { curvature: 0.5 * self.training.weight(row), response: 0.0, loss: 0.0 };
        let gram = Gram::of(&self.training.design, terms, control)?;
        let equations = gram.normal_equations(self.fit_intercept);
        Ok(Bound { factors: equations.factor(&self.penalty.l2, control)?, means: equations.means, weight: gram.weight })
    }

    /// Solves with the bound, class by class.
    fn precondition(&self, bound: &Bound, gradient: &[f64]) -> Vec<f64> {
        let n = bound.means.len();
        let mut solved = vec![0.0; gradient.len()];
        for (class, solved) in gradient.chunks_exact(self.stride()).zip(solved.chunks_exact_mut(self.stride())) {
            let intercept = class[n + 1];
            let right: Vec<f64> = class[..n].iter().zip(&bound.means).map(|(gradient, mean)| gradient - mean * intercept).collect();
            let coefficients = bound.factors.solve(&right);
            if self.fit_intercept {
                solved[n + 1] = intercept / bound.weight - dot(&coefficients, &bound.means);
            }
            solved[..n].copy_from_slice(&coefficients);
        }
        solved
    }

    /// The quasi-Newton direction: the two loops of L-BFGS around the bound.
    fn direction(&self, bound: &Bound, gradient: &[f64], corrections: &VecDeque<Correction>) -> Vec<f64> {
        let mut direction: Vec<f64> = gradient.iter().map(|gradient| -gradient).collect();
        let mut shares = Vec::with_capacity(corrections.len());
        for correction in corrections.iter().rev() {
            let share = dot(&correction.step, &direction) / correction.product;
            direction.iter_mut().zip(&correction.change).for_each(|(direction, change)| *direction -= share * change);
            shares.push(share);
        }
        direction = self.precondition(bound, &direction);
        if let Some(last) = corrections.back() {
            let solved = self.precondition(bound, &last.change);
            let factor = last.product / dot(&solved, &last.change);
            if factor.is_finite() && factor > 0.0 {
                direction.iter_mut().for_each(|direction| *direction *= factor);
            }
        }
        for (correction, share) in corrections.iter().zip(shares.iter().rev()) {
            let back = dot(&correction.change, &direction) / correction.product;
            direction.iter_mut().zip(&correction.step).for_each(|(direction, step)| *direction += (share - back) * step);
        }
        direction
    }

    /// The penalised loss and its gradient.
    fn loss(&self, point: &[f64], control: &Control) -> Result<(f64, Vec<f64>), LearnError> {
        let (stride, n) = (self.stride(), self.training.design.n_columns());
        let start = || (0.0, vec![0.0; point.len()], vec![0.0; self.n_classes]);
        let step = |(loss, gradient, scores): &mut (f64, Vec<f64>, Vec<f64>), rows: std::ops::Range<usize>| {
            for row in rows.filter(|row| self.training.weight(*row) > 0.0) {
                let weight = self.training.weight(row);
                let target = self.training.targets[row] as usize;
                for (score, class) in scores.iter_mut().zip(point.chunks_exact(stride)) {
                    *score = class[n + 1] + self.training.design.dot(row, &class[..=n]);
                }
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let target_score = scores[target];
                scores.iter_mut().for_each(|score| *score = (*score - top).exp());
                let sum: f64 = scores.iter().sum();
                *loss += weight * (sum.ln() + top - target_score);
                let (numbers, levels) = self.training.design.row(row);
                for (class, (score, gradient)) in scores.iter().zip(gradient.chunks_exact_mut(stride)).enumerate() {
                    let slope = weight * (score / sum - f64::from(u8::from(class == target)));
                    gradient.iter_mut().zip(numbers).for_each(|(gradient, number)| *gradient += slope * number);
                    levels.iter().for_each(|level| gradient[*level as usize] += slope);
                    gradient[n + 1] += slope;
                }
            }
        };
        let merge = |sum: &mut (f64, Vec<f64>, Vec<f64>), later: (f64, Vec<f64>, Vec<f64>)| {
            sum.0 += later.0;
            sum.1.iter_mut().zip(&later.1).for_each(|(sum, later)| *sum += later);
        };
        let (mut loss, mut gradient, _) = chunks::fold(self.training.design.n_rows(), point.len(), control, start, step, merge)?;
        for (gradient, class) in gradient.chunks_exact_mut(stride).zip(point.chunks_exact(stride)) {
            loss += self.penalty.half_squares(&class[..n]);
            gradient
                .iter_mut()
                .zip(&class[..n])
                .zip(&self.penalty.l2)
                .for_each(|((gradient, coefficient), l2)| *gradient += l2 * coefficient);
            // Nobody may walk along the place of all-zero blocks, nor along a fixed intercept.
            gradient[n] = 0.0;
            if !self.fit_intercept {
                gradient[n + 1] = 0.0;
            }
        }
        Ok((loss, gradient))
    }
}
