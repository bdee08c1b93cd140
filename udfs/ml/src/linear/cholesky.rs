//! Solves `A x = b` for a symmetric positive semidefinite `A`, singular ones included.
//!
//! Pivoted Cholesky of the matrix scaled to a unit diagonal (Higham 2002, *Accuracy and Stability of Numerical
//! Algorithms*, section 10.3): it stops at the numerical rank. What it leaves out is filled by the solution of
//! the smallest norm.

use crate::control::Control;
use crate::error::LearnError;

/// A pivot below this share of its column is rounding: the column is a combination of others.
const PIVOT_MIN: f64 = 1e-11;

/// `A = D·L·Lᵀ·D` with `L` of `n` rows and `rank` columns.
#[derive(Debug, Clone)]
pub(crate) struct Cholesky {
    n: usize,
    /// The row of each pivot.
    order: Vec<usize>,
    /// `L` by the rows of `A`, `n` places each: row `order[k]` ends with its pivot at `k`.
    lower: Vec<f64>,
    /// `D`, the roots of the diagonal of `A`; 1 for a zero column.
    scale: Vec<f64>,
    /// The factors of `LᵀL`, when columns are missing: they project onto the range of `A`.
    projection: Option<Box<Cholesky>>,
}

impl Cholesky {
    /// Factors an `n x n` matrix of which only the lower triangle is read.
    ///
    /// # Errors
    /// [`LearnError::Diverged`] when a number of the matrix is not finite, [`LearnError::Cancelled`].
    ///
    /// # Cost
    /// `n·rank²` multiplications, twice as many for a singular matrix.
    pub(crate) fn new(n: usize, matrix: &[f64], control: &Control) -> Result<Self, LearnError> {
        let root = |row: usize| if matrix[row * n + row] > 0.0 { matrix[row * n + row].sqrt() } else { 1.0 };
        let scale: Vec<f64> = (0..n).map(root).collect();
        let entry = |row: usize, column: usize| {
            let (row, column) = (row.max(column), row.min(column));
            matrix[row * n + column] / (scale[row] * scale[column])
        };
        let mut left: Vec<f64> = (0..n).map(|row| entry(row, row)).collect();
        let triangle = |row: usize| &matrix[row * n..=row * n + row];
        if !(0..n).all(|row| triangle(row).iter().all(|number| number.is_finite())) {
            return Err(LearnError::Diverged { what: "the sums of squares are not finite" });
        }
        let mut lower = vec![0.0; n * n];
        let (mut order, mut open): (Vec<usize>, Vec<usize>) = (Vec::with_capacity(n), (0..n).collect());
        let mut pivots = vec![0.0; n];
        while let Some(place) = (0..open.len()).rev().max_by(|one, other| left[open[*one]].total_cmp(&left[open[*other]])) {
            let (pivot, step) = (open[place], order.len());
            if left[pivot] <= PIVOT_MIN {
                break;
            }
            if control.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            open.remove(place);
            order.push(pivot);
            let diagonal = left[pivot].sqrt();
            lower[pivot * n + step] = diagonal;
            pivots[..step].copy_from_slice(&lower[pivot * n..pivot * n + step]);
            for row in &open {
                let factor = (entry(*row, pivot) - dot(&lower[row * n..row * n + step], &pivots[..step])) / diagonal;
                lower[row * n + step] = factor;
                left[*row] -= factor * factor;
            }
        }
        let mut factors = Self { n, order, lower, scale, projection: None };
        if factors.rank() < n {
            factors.projection = Some(Box::new(factors.project(control)?));
        }
        Ok(factors)
    }

    /// The number of independent columns.
    pub(crate) fn rank(&self) -> usize {
        self.order.len()
    }

    /// Solves for one right-hand side. Of a singular system, the solution with the smallest norm of `D·x`,
    /// for the part of `right` that has a solution.
    pub(crate) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let (n, rank) = (self.n, self.rank());
        let mut steps = vec![0.0; rank];
        for (step, row) in self.order.iter().enumerate() {
            let known = dot(&self.lower[row * n..row * n + step], &steps[..step]);
            steps[step] = (right[*row] / self.scale[*row] - known) / self.lower[row * n + step];
        }
        let mut solution = vec![0.0; n];
        for (step, row) in self.order.iter().enumerate().rev() {
            let value = steps[step] / self.lower[row * n + step];
            let factors = &self.lower[row * n..row * n + step];
            steps.iter_mut().zip(factors).for_each(|(step, factor)| *step -= value * factor);
            solution[*row] = value;
        }
        if let Some(projection) = &self.projection {
            let mut inner = vec![0.0; rank];
            for (row, value) in self.lower.chunks_exact(n).zip(&solution) {
                inner.iter_mut().zip(row).for_each(|(inner, factor)| *inner += factor * value);
            }
            let inner = projection.solve(&inner);
            solution = self.lower.chunks_exact(n).map(|row| dot(&row[..rank], &inner)).collect();
        }
        solution.iter_mut().zip(&self.scale).for_each(|(value, scale)| *value /= scale);
        solution
    }

    /// The diagonal of the inverse; `None` for a singular matrix.
    ///
    /// # Errors
    /// [`LearnError::Cancelled`].
    ///
    /// # Cost
    /// `n³ / 6` multiplications: the squares of the columns of `L⁻¹`.
    pub(crate) fn inverse_diagonal(&self, control: &Control) -> Result<Option<Vec<f64>>, LearnError> {
        let n = self.n;
        if self.rank() < n {
            return Ok(None);
        }
        let mut diagonal = vec![0.0; n];
        let mut column = vec![0.0; n];
        for (first, row) in self.order.iter().enumerate() {
            if control.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            column[first] = 1.0 / self.lower[row * n + first];
            for (step, row) in self.order.iter().enumerate().skip(first + 1) {
                let factors = &self.lower[row * n..=row * n + step];
                column[step] = -dot(&factors[first..step], &column[first..step]) / factors[step];
            }
            diagonal[*row] = dot(&column[first..], &column[first..]) / (self.scale[*row] * self.scale[*row]);
        }
        Ok(Some(diagonal))
    }

    /// The factors of `LᵀL`.
    fn project(&self, control: &Control) -> Result<Self, LearnError> {
        let (n, rank) = (self.n, self.rank());
        let mut inner = vec![0.0; rank * rank];
        for row in self.lower.chunks_exact(n.max(1)) {
            if control.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            for (place, factor) in row[..rank].iter().enumerate().filter(|(_, factor)| **factor != 0.0) {
                let sums = &mut inner[place * rank..=place * rank + place];
                sums.iter_mut().zip(row).for_each(|(sum, other)| *sum += factor * other);
            }
        }
        Self::new(rank, &inner, control)
    }
}

/// A dot product in eight sums, so that it runs in vector registers.
pub(crate) fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (lefts, rights) = (left.chunks_exact(8), right.chunks_exact(8));
    let rest: f64 = lefts.remainder().iter().zip(rights.remainder()).map(|(left, right)| left * right).sum();
    for (left, right) in lefts.zip(rights) {
        for lane in 0..8 {
            sums[lane] += left[lane] * right[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::tests::{cancelled, control};
    use crate::random::Stream;

    /// `X·Xᵀ` of a random `n x inner` matrix.
    fn gram(n: usize, inner: usize, seed: u64) -> Vec<f64> {
        let mut stream = Stream::new(seed, 0);
        let rows: Vec<Vec<f64>> = (0..n).map(|_| (0..inner).map(|_| stream.gaussian()).collect()).collect();
        (0..n * n).map(|place| dot(&rows[place / n], &rows[place % n])).collect()
    }

    fn product(n: usize, matrix: &[f64], vector: &[f64]) -> Vec<f64> {
        (0..n).map(|row| dot(&matrix[row * n..(row + 1) * n], vector)).collect()
    }

    #[test]
    fn bad_numbers_and_cancellation_are_errors() {
        assert!(matches!(Cholesky::new(2, &[1.0, 0.0, f64::NAN, 1.0], &control(1)), Err(LearnError::Diverged { .. })));
        assert!(matches!(Cholesky::new(1, &[f64::INFINITY], &control(1)), Err(LearnError::Diverged { .. })));
        assert_eq!(Cholesky::new(1, &[1.0], &cancelled()).err(), Some(LearnError::Cancelled));
    }

    #[test]
    fn regular_systems_are_solved() {
        for n in [1, 2, 7, 40] {
            let matrix = gram(n, n + 5, n as u64);
            let truth: Vec<f64> = (0..n).map(|place| place as f64 - 2.5).collect();
            let factors = Cholesky::new(n, &matrix, &control(1)).unwrap();
            let solution = factors.solve(&product(n, &matrix, &truth));
            assert!(solution.iter().zip(&truth).all(|(value, truth)| (value - truth).abs() < 1e-8), "{n}: {solution:?}");
            let column = factors.solve(&(0..n).map(|row| f64::from(u8::from(row == n - 1))).collect::<Vec<_>>());
            assert!((factors.inverse_diagonal(&control(1)).unwrap().unwrap()[n - 1] - column[n - 1]).abs() < 1e-12);
        }
    }

    #[test]
    fn singular_systems_get_the_solution_of_smallest_norm() {
        // x + y = 2 in three columns, the third empty.
        let matrix = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let factors = Cholesky::new(3, &matrix, &control(1)).unwrap();
        assert_eq!((factors.rank(), factors.inverse_diagonal(&control(1))), (1, Ok(None)));
        let solution = factors.solve(&[2.0, 2.0, 0.0]);
        assert!(solution.iter().zip([1.0, 1.0, 0.0]).all(|(value, truth)| (value - truth).abs() < 1e-15), "{solution:?}");
        let matrix = gram(30, 12, 9);
        let right = product(30, &matrix, &[1.0; 30]);
        let factors = Cholesky::new(30, &matrix, &control(1)).unwrap();
        assert_eq!(factors.rank(), 12);
        let solution = factors.solve(&right);
        let again = product(30, &matrix, &solution);
        assert!(again.iter().zip(&right).all(|(value, truth)| (value - truth).abs() < 1e-8 * right[0].abs().max(1.0)), "{again:?}");
        let norm = |vector: &[f64]| vector.iter().enumerate().map(|(row, value)| value * value * matrix[row * 31]).sum::<f64>();
        assert!(norm(&solution) <= norm(&[1.0; 30]));
    }
}
