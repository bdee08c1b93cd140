//! A row with fewer ratings than factors: as many equations as ratings instead of as many as factors.
//!
//! ```text
//!   (YᵀY + λI) x = Yᵀr        rank × rank
//!   (Y Yᵀ + λI) z = r         n × n, then  x = Yᵀz
//! ```
//!
//! Both have the same solution for every λ above 0 (with no base, so for explicit ratings). `Y Yᵀ` is summed by the kernel
//! of `YᵀY`, from the panel turned.
//!
//! Source: the push-through identity, Golub, Van Loan 2013, *Matrix Computations*, §2.1.4.

use super::equations::{Equations, Others, PIVOT_MIN, RowRatings};
use super::kernel::stride_of;
use crate::memory::{Aligned, LANE};

/// Scratch space for rows of at most [`FewRatings::n_max`] ratings.
#[derive(Debug)]
pub struct FewRatings {
    n_max: usize,
    /// The panel with columns for rows.
    turned: Aligned,
    matrix: Aligned,
    right: Aligned,
    z: Aligned,
    limits: Vec<f32>,
    x: Aligned,
}

impl FewRatings {
    /// Space for rows with the unknowns of `equations`.
    pub fn new(equations: &Equations) -> Self {
        let stride = equations.stride;
        // Whole lanes, at most three quarters of the factors: then turning the panel costs less than it saves (44 to 48 ratings at rank 64: 7 % of a fit).
        let n_max = (stride * 3 / 4).min(equations.panel.len() / stride) / LANE * LANE;
        Self {
            n_max,
            turned: Aligned::zeros(stride * n_max),
            matrix: Aligned::zeros(n_max * n_max),
            right: Aligned::zeros(n_max),
            z: Aligned::zeros(n_max),
            limits: vec![0.0; n_max],
            x: Aligned::zeros(stride),
        }
    }

    /// The largest number of ratings that is better solved here; 0 for low ranks.
    pub fn n_max(&self) -> usize {
        self.n_max
    }

    /// Writes the unknowns of a row that `equations` has collected; false, with `x` meaning nothing, when f32 is not
    /// enough for its equations.
    pub fn solve(&mut self, equations: &mut Equations, others: &Others<'_>, row: &RowRatings<'_>, x: &mut [f32]) -> bool {
        let (isa, n, stride) = (equations.isa, row.neighbours.len(), equations.stride);
        let (n_columns, lambda) = (stride_of(n), equations.lambda(row));
        self.right[..n].copy_from_slice(equations.targets(others, row));
        self.right[n..].fill(0.0);
        // What an earlier row left there would become columns.
        equations.panel[n * stride..n_columns * stride].fill(0.0);
        isa.turn(&equations.panel, stride, n_columns, &mut self.turned);
        isa.gram(&self.turned, equations.rank, n, true, None, &mut self.matrix);
        for (place, limit) in self.limits.iter_mut().enumerate().take(n) {
            let diagonal = &mut self.matrix[place * n_columns + place];
            *diagonal += lambda;
            *limit = PIVOT_MIN * *diagonal;
        }
        // Of rows that nobody asked for; those of an earlier row would make this one depend on it.
        self.limits[n..].fill(0.0);
        if !isa.cholesky(&mut self.matrix, n, &mut self.right, &self.limits, &mut self.z) {
            return false;
        }
        self.x.fill(0.0);
        isa.right(&equations.panel, equations.rank, &self.z[..n], &mut self.x);
        x.copy_from_slice(&self.x[..x.len()]);
        x.iter().all(|factor| factor.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::super::cholesky::solve_f64;
    use super::super::kernel::{Isa, Rows};
    use super::super::row_solver::{Outcome, RowSolver};
    use super::super::{AlsParams, Bias, Factors};
    use super::*;

    /// The row's unknowns, and those that the equations of the factors have in f64. The losses are compared here.
    fn solve(isa: Isa, params: &AlsParams, n: usize) -> (Vec<f32>, Vec<f32>) {
        let items = Factors::random(300, params.rank, 7, false);
        let biases: Vec<f32> = (0..300u16).map(|place| f32::from(place % 5) / 10.0).collect();
        let neighbours: Vec<u32> = (0..n as u32).map(|place| place * 7 % 300).collect();
        let values: Vec<f32> = (0..n).map(|place| 1.0 + (place % 9) as f32 / 2.0).collect();
        let others = Others {
            rows: Rows { data: items.as_slice(), rank: params.rank, with_one: params.bias == Bias::Learned },
            bias: (params.bias != Bias::None).then_some(&biases),
            gram: None,
        };
        let row = RowRatings { neighbours: &neighbours, values: &values, next: &neighbours, base: 3.0 };
        let mut x = vec![0.0; params.n_unknowns()];
        // Rows of other lengths came before.
        let mut solver = RowSolver::new(params, isa);
        for n in [n.min(3), 40.min(n), n] {
            let part = RowRatings { neighbours: &neighbours[..n], values: &values[..n], ..row };
            assert!(matches!(solver.solve(&others, &part, || true, &mut x), Outcome::Solved { .. }), "{n}");
        }
        let Outcome::Solved { loss } = solver.solve(&others, &row, || true, &mut x) else { panic!("{n} ratings") };
        let mut equations = Equations::new(params, isa);
        assert!(equations.build(&others, &row, || true));
        let mut expected = vec![0.0; params.n_unknowns()];
        assert!(solve_f64(&equations.matrix, equations.stride, &equations.right, &mut expected));
        let gain: f64 = equations.right.iter().zip(&expected).map(|(right, x)| f64::from(*right) * f64::from(*x)).sum();
        let expected_loss = equations.energy - gain;
        assert!((loss - expected_loss).abs() < 1e-3 * (1.0 + expected_loss.abs()), "{n} ratings: loss {loss} for {expected_loss}");
        (x, expected)
    }

    #[test]
    fn ratings_and_factors_have_the_same_solution() {
        for isa in Isa::available() {
            for rank in [24, 33, 64, 100, 128] {
                for bias in [Bias::None, Bias::Learned, Bias::Static { damping: 5.0 }] {
                    let params = AlsParams { rank, bias, lambda: 0.05, ..AlsParams::default() };
                    let n_max = FewRatings::new(&Equations::new(&params, isa)).n_max();
                    assert!(n_max >= 16 && n_max <= params.n_unknowns(), "rank {rank}: {n_max}");
                    for n in [1, 2, 8, 15, 16, 17, n_max - 1, n_max, n_max + 1].into_iter().filter(|n| *n <= n_max + 1) {
                        let (x, expected) = solve(isa, &params, n);
                        let size = expected.iter().map(|factor| factor.abs()).fold(0.0, f32::max);
                        for (factor, expected) in x.iter().zip(&expected) {
                            assert!(
                                (factor - expected).abs() < 1e-4 * size,
                                "{isa:?}, rank {rank}, {bias:?}, {n} ratings: {factor} for {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn low_ranks_and_no_regularisation_have_the_equations_of_the_factors() {
        let isa = Isa::detect();
        assert_eq!(FewRatings::new(&Equations::new(&AlsParams { rank: 16, ..AlsParams::default() }, isa)).n_max(), 0);
        // As many ratings as would do with some regularisation; of a row with fewer than factors nothing else is known.
        let (x, expected) = solve(isa, &AlsParams { rank: 24, lambda: 0.0, ..AlsParams::default() }, 12);
        assert!(x.iter().zip(&expected).all(|(factor, expected)| (factor - expected).abs() < 1e-3), "{x:?} for {expected:?}");
    }

    #[test]
    fn a_row_does_not_depend_on_the_rows_before_it() {
        let params = AlsParams { rank: 64, lambda: 0.05, ..AlsParams::default() };
        // So large that the smallest pivots of one row are more than the pivots that fill up the next.
        let large = Factors::from_vec(64, Factors::random(300, 64, 7, false).as_slice().iter().map(|factor| factor * 1e4).collect());
        let others = Others { rows: Rows { data: large.as_slice(), rank: 64, with_one: false }, bias: None, gram: None };
        let (neighbours, values): (Vec<u32>, Vec<f32>) = (0..32u8).map(|place| (u32::from(place) * 7, f32::from(place % 5))).unzip();
        for isa in Isa::available() {
            let solved = |lengths: &[usize]| {
                let (mut solver, mut x) = (FewRatings::new(&Equations::new(&params, isa)), vec![0.0; 64]);
                let mut equations = Equations::new(&params, isa);
                let solved = lengths.iter().map(|n| {
                    let row = RowRatings { neighbours: &neighbours[..*n], values: &values[..*n], next: &[], base: 0.0 };
                    assert!(equations.collect(&others, &row, || true));
                    solver.solve(&mut equations, &others, &row, &mut x)
                });
                (solved.last(), x)
            };
            assert_eq!(solved(&[3]), solved(&[32, 16, 3]), "{isa:?}");
            assert_eq!(solved(&[3]).0, Some(true), "{isa:?}");
        }
    }

    #[test]
    fn a_panel_is_turned() {
        for isa in Isa::available() {
            for (n_rows, stride) in [(16, 16), (16, 64), (32, 48), (64, 128)] {
                let mut panel = Aligned::zeros(n_rows * stride);
                panel.iter_mut().enumerate().for_each(|(place, entry)| *entry = place as f32);
                let mut turned = Aligned::zeros(n_rows * stride);
                isa.turn(&panel, stride, n_rows, &mut turned);
                for (place, entry) in turned[..n_rows * stride].iter().enumerate() {
                    assert_eq!(*entry, (place % n_rows * stride + place / n_rows) as f32, "{isa:?}, {n_rows} x {stride}, {place}");
                }
            }
        }
    }
}
