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
use super::row_solver::pivot_limits;
use crate::memory::Aligned;

/// Exchanges before coordinate descent takes over.
const EXCHANGES_MAX: usize = 60;
/// Exchanges of all wrong unknowns at once that may fail to lower their number before only one is exchanged.
const PATIENCE: usize = 3;
/// What is below 0 by less than this part of the largest unknown is 0, rounded.
const TOLERANCE: f32 = 1e-5;

/// Scratch space for systems of one rank.
#[derive(Debug)]
pub struct NonNegative {
    /// Unknowns from here on may be below 0: a bias.
    n_bound: usize,
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
    /// Space for matrices of `stride` rows; the first `n_bound` unknowns are bound.
    pub fn new(stride: usize, n_bound: usize) -> Self {
        Self {
            n_bound,
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
        for (place, (keep, value)) in self.keep.iter_mut().zip(x.iter_mut()).enumerate() {
            if place < self.n_bound {
                *value = value.max(0.0);
            }
            *keep = f32::from(u8::from(place >= self.n_bound || *value > 0.0));
        }
        let (mut fewest_wrong, mut patience) = (rank + 1, PATIENCE);
        for _ in 0..EXCHANGES_MAX {
            if !self.solve_support(equations) {
                break;
            }
            self.find_wrong(equations);
            if self.wrong.is_empty() {
                for (place, (target, value)) in x.iter_mut().zip(self.x.iter()).enumerate() {
                    *target = if place < self.n_bound { value.max(0.0) } else { *value };
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
        self.descent.get_or_insert_with(|| Descent::new(rank, self.n_bound)).solve(equations, x)
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
        for place in 0..self.n_bound {
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

#[cfg(test)]
mod tests {
    use super::super::equations::{Others, RowRatings};
    use super::super::kernel::{Isa, Rows};
    use super::super::{AlsParams, LambdaScale};
    use super::*;
    use crate::random::Stream;

    /// Equations of rows with `n` ratings, whose solutions have many zeros.
    fn equations(isa: Isa, rank: usize, n: usize, lambda: f64, seed: u64) -> Equations {
        let mut stream = Stream::new(seed, 3);
        let table: Vec<f32> = (0..40 * rank).map(|_| (stream.gaussian() + 0.3) as f32).collect();
        let neighbours: Vec<u32> = (0..n).map(|_| (stream.next_u64() % 40) as u32).collect();
        let values: Vec<f32> = (0..n).map(|_| stream.gaussian() as f32).collect();
        let params = AlsParams { rank, lambda, lambda_scale: LambdaScale::Row, ..Default::default() };
        let mut equations = Equations::new(&params, isa);
        let others = Others { rows: Rows { data: &table, rank, with_one: false }, bias: None, gram: None };
        assert!(equations.build(&others, &RowRatings { neighbours: &neighbours, values: &values, next: &[], base: 0.0 }, || true));
        equations
    }

    fn objective(equations: &Equations, x: &[f32]) -> f64 {
        let entry = |row: usize, column: usize| f64::from(equations.matrix[row.min(column) * equations.stride + row.max(column)]);
        (0..x.len())
            .map(|row| {
                let product: f64 = (0..x.len()).map(|column| entry(row, column) * f64::from(x[column])).sum();
                f64::from(x[row]) * (0.5 * product - f64::from(equations.right[row]))
            })
            .sum()
    }

    #[test]
    fn exchanges_end_where_coordinate_descent_ends() {
        for isa in Isa::available() {
            for (rank, n, lambda) in [(1, 3, 0.1), (5, 2, 0.1), (10, 30, 0.1), (33, 60, 0.5), (64, 200, 1.0), (64, 20, 1.0)] {
                for seed in 0..10 {
                    let equations = equations(isa, rank, n, lambda, seed);
                    // From nothing, and from a wrong support.
                    for start in [0.0, 1.0] {
                        let (mut exchanged, mut descended) = (vec![start; rank], vec![0f32; rank]);
                        let mut solver = NonNegative::new(equations.stride, rank);
                        assert!(solver.solve(&equations, &mut exchanged));
                        assert!(Descent::new(rank, rank).solve(&equations, &mut descended));
                        assert!(exchanged.iter().all(|value| *value >= 0.0));
                        let (reached, expected) = (objective(&equations, &exchanged), objective(&equations, &descended));
                        let case = format!("{isa:?}, rank {rank}, {n} ratings, seed {seed}");
                        assert!(reached <= expected + 1e-4 * expected.abs() + 1e-6, "{case}: {reached} for {expected}");
                        assert!(solver.descent.is_none(), "{case}: coordinate descent was needed");
                    }
                }
            }
        }
    }

    #[test]
    fn unknowns_beyond_the_bound_ones_are_free() {
        let equations = equations(Isa::detect(), 10, 30, 0.1, 2);
        let mut x = vec![0f32; 10];
        assert!(NonNegative::new(equations.stride, 0).solve(&equations, &mut x));
        assert!(x.iter().any(|value| *value < -0.01), "{x:?}");
        let mut descended = vec![0f32; 10];
        assert!(Descent::new(10, 0).solve(&equations, &mut descended));
        assert!(x.iter().zip(&descended).all(|(x, expected)| (x - expected).abs() < 1e-3), "{x:?} {descended:?}");
    }
}
