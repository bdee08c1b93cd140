//! Solves the normal equations under `x >= 0`: guesses which unknowns are above 0, solves for them exactly, and
//! exchanges those that turn out wrong.
//!
//! ```text
//! last factors ─► support ─► Cholesky on the support ─► none below 0 inside, no slope downwards outside? ─► done
//!                    ▲                                                   │ no
//!                    └────────────── exchange the wrong ones ◄───────────┘
//! ```
//!
//! The support of a row hardly changes from one iteration to the next, so a few small decompositions replace the
//! hundred or so sweeps that coordinate descent takes for the same digits.

use super::descent::Descent;
use super::equations::Equations;
use super::kernel::Aligned;
use super::row_solver::pivot_limits;

/// Exchanges before coordinate descent takes over.
const EXCHANGES_MAX: usize = 60;
/// Exchanges of all wrong unknowns at once that may fail to lower their number before only one is exchanged.
const PATIENCE: usize = 3;
/// What is below 0 by less than this part of the largest unknown is 0, rounded.
const TOLERANCE: f32 = 1e-5;

/// Scratch space for systems of one rank.
#[derive(Debug)]
pub struct NonNegative {
    /// 1 for unknowns above 0, else 0.
    keep: Aligned,
    matrix: Aligned,
    right: Aligned,
    limits: Vec<f32>,
    x: Aligned,
    product: Aligned,
    wrong: Vec<usize>,
    descent: Option<Descent>,
}

impl NonNegative {
    /// Space for matrices of `stride` rows.
    pub fn new(stride: usize) -> Self {
        Self {
            keep: Aligned::zeros(stride),
            matrix: Aligned::zeros(stride * stride),
            right: Aligned::zeros(stride),
            limits: vec![0.0; stride],
            x: Aligned::zeros(stride),
            product: Aligned::zeros(stride),
            wrong: Vec::with_capacity(stride),
            descent: None,
        }
    }

    /// Minimises `½ xᵀAx - bᵀx` over `x >= 0`, starting at the support of the `x` given; false when it is not finite.
    ///
    /// # Source
    /// Kim, Park 2011, *Fast Nonnegative Matrix Factorization: An Active-set-like Method And Comparisons*, §3.2 (block principal pivoting).
    pub fn solve(&mut self, equations: &Equations, x: &mut [f32]) -> bool {
        let rank = equations.rank;
        pivot_limits(equations, &mut self.limits);
        for (keep, value) in self.keep.iter_mut().zip(x.iter()) {
            *keep = f32::from(u8::from(*value > 0.0));
        }
        let (mut fewest_wrong, mut patience) = (rank + 1, PATIENCE);
        for _ in 0..EXCHANGES_MAX {
            if !self.solve_support(equations) {
                break;
            }
            self.find_wrong(equations);
            if self.wrong.is_empty() {
                for (target, value) in x.iter_mut().zip(self.x.iter()) {
                    *target = value.max(0.0);
                }
                return true;
            }
            let mut wrong = &self.wrong[..];
            if wrong.len() < fewest_wrong {
                (fewest_wrong, patience) = (wrong.len(), PATIENCE);
            } else if patience > 0 {
                patience -= 1;
            } else {
                // One at a time cannot go round in circles.
                wrong = &self.wrong[self.wrong.len() - 1..];
            }
            for place in wrong {
                self.keep[*place] = 1.0 - self.keep[*place];
            }
        }
        // Singular in f32, or degenerate.
        self.descent.get_or_insert_with(|| Descent::new(rank)).solve(equations, x)
    }

    fn solve_support(&mut self, equations: &Equations) -> bool {
        let (isa, rank) = (equations.isa, equations.rank);
        isa.restrict(&equations.matrix, rank, &self.keep, &mut self.matrix);
        for ((right, target), keep) in self.right.iter_mut().zip(equations.right.iter()).zip(self.keep.iter()) {
            *right = target * keep;
        }
        isa.cholesky(&mut self.matrix, rank, &mut self.right, &self.limits, &mut self.x)
    }

    /// Unknowns below 0 inside the support, and those outside that want to rise.
    fn find_wrong(&mut self, equations: &Equations) {
        let (isa, rank, stride) = (equations.isa, equations.rank, equations.stride);
        isa.outside(&equations.matrix, rank, &self.keep, &self.x, &mut self.product);
        let largest = self.x[..rank].iter().fold(0f32, |largest, value| largest.max(*value));
        let tolerance = TOLERANCE * largest;
        self.wrong.clear();
        for place in 0..rank {
            let is_wrong = if self.keep[place] != 0.0 {
                self.x[place] < -tolerance
            } else {
                let curvature = equations.matrix[place * stride + place];
                equations.right[place] - self.product[place] > tolerance * curvature
            };
            if is_wrong {
                self.wrong.push(place);
            }
        }
    }
}
