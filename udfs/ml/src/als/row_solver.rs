//! Solves one row: the equations from its ratings, and the factors from the equations.

use super::cholesky::solve_f64;
use super::equations::{Equations, Others, PIVOT_MIN, RowRatings};
use super::factors::dot_f64;
use super::few_ratings::FewRatings;
use super::gradient::{Gradient, Operator};
use super::kernel::Isa;
use super::nonnegative::NonNegative;
use super::{AlsParams, Solver};
use crate::memory::Aligned;

/// How the solution of a row ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    Solved {
        /// The row's part of the loss, with the regularisation of its own factors. Without the energy of its targets
        /// ([`Equations::energy`]) for explicit ratings without biases.
        loss: f64,
    },
    /// There are no finite factors.
    Unsolvable,
    /// `go_on` said no; the factors mean nothing.
    Stopped,
}

/// Scratch space to solve rows of one rank, one after the other.
#[derive(Debug)]
pub struct RowSolver {
    equations: Equations,
    limits: Vec<f32>,
    x: Aligned,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Cholesky(Box<FewRatings>),
    NonNegative(Box<NonNegative>),
    Gradient(Box<Gradient>),
}

impl RowSolver {
    /// Space for the rank of `params`.
    pub fn new(params: &AlsParams, isa: Isa) -> Self {
        let equations = Equations::new(params, isa);
        let stride = equations.stride;
        let method = match params.solver {
            _ if params.nonnegative => Method::NonNegative(Box::new(NonNegative::new(stride, params.rank))),
            Solver::Cholesky => Method::Cholesky(Box::new(FewRatings::new(&equations))),
            Solver::Cg { steps } => Method::Gradient(Box::new(Gradient::new(steps, stride))),
        };
        Self { equations, limits: vec![0.0; stride], x: Aligned::zeros(stride), method }
    }

    /// Solves `(Σ c·y yᵀ + λ·scale·I) x = Σ target·y`; `x` holds the last unknowns of the row, where a search
    /// begins. A row without ratings becomes zero.
    pub fn solve(&mut self, others: &Others<'_>, row: &RowRatings<'_>, go_on: impl Fn() -> bool, x: &mut [f32]) -> Outcome {
        if row.neighbours.is_empty() {
            x.fill(0.0);
            return Outcome::Solved { loss: 0.0 };
        }
        let gain = match &mut self.method {
            Method::Gradient(gradient) if self.equations.can_collect(row) => {
                if !self.equations.collect(others, row, &go_on) {
                    return Outcome::Stopped;
                }
                let lambda = self.equations.lambda(row);
                gradient.solve(&self.equations, Operator::Panel { n_rows: row.neighbours.len(), lambda, gram: others.gram }, x)
            }
            Method::Gradient(gradient) => {
                if !self.equations.build(others, row, &go_on) {
                    return Outcome::Stopped;
                }
                gradient.solve(&self.equations, Operator::Matrix, x)
            }
            Method::NonNegative(nonnegative) => {
                if !self.equations.build(others, row, &go_on) {
                    return Outcome::Stopped;
                }
                nonnegative.solve(&self.equations, x).then(|| dot_f64(&self.equations.right[..x.len()], x))
            }
            Method::Cholesky(few) => {
                if others.gram.is_none() && self.equations.lambda(row) > 0.0 && row.neighbours.len() <= few.n_max() {
                    if !self.equations.collect(others, row, &go_on) {
                        return Outcome::Stopped;
                    }
                    if few.solve(&mut self.equations, others, row, x) {
                        let loss = self.equations.energy - dot_f64(&self.equations.right[..x.len()], x);
                        return Outcome::Solved { loss };
                    }
                }
                if !self.equations.build(others, row, &go_on) {
                    return Outcome::Stopped;
                }
                if self.cholesky() {
                    x.copy_from_slice(&self.x[..x.len()]);
                    // The right side has become y of `Uᵀy = b`, and bᵀx = yᵀy.
                    let y = &self.equations.right[..x.len()];
                    Some(dot_f64(y, y))
                } else {
                    // Singular in f32, and used up by trying.
                    if !self.equations.build(others, row, &go_on) {
                        return Outcome::Stopped;
                    }
                    let equations = &self.equations;
                    solve_f64(&equations.matrix, equations.stride, &equations.right, x).then(|| dot_f64(&equations.right[..x.len()], x))
                }
            }
        };
        // For the exact solution, the factors' share of the loss is -bᵀx.
        gain.map_or(Outcome::Unsolvable, |gain| Outcome::Solved { loss: self.equations.energy - gain })
    }

    /// Solves a row's equations for another right side, `target`, with the unknowns for which `is_free`; the others are
    /// zero. False when they are singular.
    pub fn solve_for(
        &mut self,
        others: &Others<'_>,
        row: &RowRatings<'_>,
        target: &[f32],
        is_free: impl Fn(usize) -> bool,
        x: &mut [f32],
    ) -> bool {
        (0..2).any(|attempt| {
            self.equations.build(others, row, || true);
            self.equations.right.fill(0.0);
            self.equations.right[..target.len()].copy_from_slice(target);
            (0..target.len()).filter(|place| !is_free(*place)).for_each(|place| self.equations.fix_at_zero(place));
            if attempt == 0 {
                let is_solved = self.cholesky();
                x.copy_from_slice(&self.x[..x.len()]);
                is_solved
            } else {
                solve_f64(&self.equations.matrix, self.equations.stride, &self.equations.right, x)
            }
        })
    }

    fn cholesky(&mut self) -> bool {
        let equations = &mut self.equations;
        pivot_limits(equations, &mut self.limits);
        equations.isa.cholesky(&mut equations.matrix, equations.rank, &mut equations.right, &self.limits, &mut self.x)
    }
}

/// The smallest pivots that still have digits.
pub fn pivot_limits(equations: &Equations, limits: &mut [f32]) {
    for (place, limit) in limits.iter_mut().enumerate().take(equations.rank) {
        // A negative diagonal would make the limit negative too.
        *limit = (PIVOT_MIN * equations.matrix[place * equations.stride + place]).max(0.0);
    }
}
