//! Solves one row: the equations from its ratings, and the factors from the equations.

use super::AlsParams;
use super::cholesky::solve_f64;
use super::equations::{Equations, Others, RowRatings};
use super::kernel::{Aligned, Isa};
use super::nonnegative::NonNegative;

/// A pivot below this part of its diagonal entry has lost all its digits.
const PIVOT_MIN: f32 = 1e-5;

/// How the solution of a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Solved,
    /// There are no finite factors.
    Unsolvable,
    /// `go_on` said no; the factors are as they were.
    Stopped,
}

/// Scratch space to solve rows of one rank, one after the other.
#[derive(Debug)]
pub struct RowSolver {
    equations: Equations,
    limits: Vec<f32>,
    x: Aligned,
    nonnegative: Option<NonNegative>,
}

impl RowSolver {
    /// Space for the rank of `params`.
    pub fn new(params: &AlsParams, isa: Isa) -> Self {
        let rank = params.rank;
        let equations = Equations::new(params, rank, isa);
        let stride = equations.stride;
        Self {
            equations,
            limits: vec![0.0; stride],
            x: Aligned::zeros(stride),
            nonnegative: params.nonnegative.then(|| NonNegative::new(stride)),
        }
    }

    /// Solves `(Σ c·y yᵀ + λ·scale·I) x = Σ target·y`; `x` holds the last factors of the row, where the search
    /// of nonnegative factors begins. A row without ratings becomes zero.
    pub fn solve(&mut self, others: &Others<'_>, row: &RowRatings<'_>, go_on: impl Fn() -> bool, x: &mut [f32]) -> Outcome {
        if row.neighbours.is_empty() {
            x.fill(0.0);
            return Outcome::Solved;
        }
        if !self.equations.build(others, row, &go_on) {
            return Outcome::Stopped;
        }
        if let Some(nonnegative) = &mut self.nonnegative {
            return if nonnegative.solve(&self.equations, x) { Outcome::Solved } else { Outcome::Unsolvable };
        }
        if self.cholesky() {
            x.copy_from_slice(&self.x[..x.len()]);
            return Outcome::Solved;
        }
        // Singular in f32, and used up by trying.
        if !self.equations.build(others, row, &go_on) {
            return Outcome::Stopped;
        }
        let is_solved = solve_f64(&self.equations.matrix, self.equations.stride, &self.equations.right, x);
        if is_solved { Outcome::Solved } else { Outcome::Unsolvable }
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
