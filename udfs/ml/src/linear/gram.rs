//! Sums of squares over the rows of a design: what least squares needs to know about the data.

use super::cholesky::Cholesky;
use crate::chunks;
use crate::control::Control;
use crate::design::Design;
use crate::error::LearnError;
use std::ops::Range;

/// Sums over rows `x` with curvature weights `h` and responses `g`: `Σh·x·xᵀ`, `Σh·x`, `Σg·x`, `Σh`, `Σg`.
///
/// In least squares `h` is the weight of the row and `g` its weight times its target; in a Newton step they are the
/// second and first derivative of the loss.
#[derive(Debug, Clone)]
pub(crate) struct Gram {
    n_columns: usize,
    /// `Σh·x·xᵀ`, lower triangle, `n_columns + 1` to a row: rows of all-zero blocks write behind the last column.
    squares: Vec<f64>,
    sums: Vec<f64>,
    responses: Vec<f64>,
    pub(crate) weight: f64,
    pub(crate) response: f64,
    /// A sum of the caller's: the loss.
    pub(crate) loss: f64,
}

/// What a row adds to the sums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowTerms {
    pub(crate) curvature: f64,
    pub(crate) response: f64,
    pub(crate) loss: f64,
}

impl Gram {
    /// Sums over all rows of `design` what `terms` says about each.
    ///
    /// # Errors
    /// [`LearnError::Cancelled`].
    ///
    /// # Cost
    /// Per row `(f + b)² / 2` additions for `f` numeric columns and `b` blocks, however many columns the blocks have.
    pub(crate) fn of(design: &Design, terms: impl Fn(usize) -> RowTerms + Sync, control: &Control) -> Result<Self, LearnError> {
        let n = design.n_columns() + 1;
        chunks::fold(
            design.n_rows(),
            n * n,
            control,
            || Self::new(design.n_columns()),
            |gram, rows| gram.add_rows(design, rows, &terms),
            |gram, later| gram.merge(&later),
        )
    }

    fn new(n_columns: usize) -> Self {
        let n = n_columns + 1;
        Self { n_columns, squares: vec![0.0; n * n], sums: vec![0.0; n], responses: vec![0.0; n], weight: 0.0, response: 0.0, loss: 0.0 }
    }

    /// Adds rows in order, four at a time: the matrix, which may not fit the first cache, is then passed over once for
    /// four rows.
    fn add_rows(&mut self, design: &Design, rows: Range<usize>, terms: impl Fn(usize) -> RowTerms) {
        let (first, end) = (rows.start, rows.end);
        let n_numeric = design.n_numeric();
        let n = self.n_columns + 1;
        for first in (first..end).step_by(4) {
            let last = end.min(first + 4);
            let mut curvatures = [0.0; 4];
            for row in first..last {
                let terms = terms(row);
                curvatures[row - first] = terms.curvature;
                self.add_beside_squares(design.row(row), terms);
            }
            // Behind the last row, the weight is 0.
            let numbers: [&[f64]; 4] = std::array::from_fn(|place| design.row((first + place).min(last - 1)).0);
            for place in 0..n_numeric {
                let [one, two, three, four] = std::array::from_fn(|row| curvatures[row] * numbers[row][place]);
                let squares = &mut self.squares[place * n..=place * n + place];
                let others = numbers[0].iter().zip(numbers[1]).zip(numbers[2]).zip(numbers[3]);
                for (square, (((a, b), c), d)) in squares.iter_mut().zip(others) {
                    *square += (one * a + two * b) + (three * c + four * d);
                }
            }
        }
    }

    /// Adds all of a row but the squares of its numbers.
    fn add_beside_squares(&mut self, (numbers, levels): (&[f64], &[u32]), terms: RowTerms) {
        let RowTerms { curvature, response, loss } = terms;
        let n = self.n_columns + 1;
        self.weight += curvature;
        self.response += response;
        self.loss += loss;
        for ((number, sum), total) in numbers.iter().zip(&mut self.sums).zip(&mut self.responses) {
            *sum += curvature * number;
            *total += response * number;
        }
        for (block, level) in levels.iter().enumerate() {
            let level = *level as usize;
            self.sums[level] += curvature;
            self.responses[level] += response;
            let squares = &mut self.squares[level * n..(level + 1) * n];
            squares.iter_mut().zip(numbers).for_each(|(square, number)| *square += curvature * number);
            levels[..=block].iter().for_each(|other| squares[*other as usize] += curvature);
        }
    }

    fn merge(&mut self, later: &Self) {
        let add = |to: &mut [f64], from: &[f64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        add(&mut self.squares, &later.squares);
        add(&mut self.sums, &later.sums);
        add(&mut self.responses, &later.responses);
        self.weight += later.weight;
        self.response += later.response;
        self.loss += later.loss;
    }

    /// The normal equations, around the weighted mean when there is an intercept.
    pub(crate) fn normal_equations(&self, fit_intercept: bool) -> NormalEquations {
        let n = self.n_columns;
        let mean = |sum: &f64| if fit_intercept && self.weight > 0.0 { sum / self.weight } else { 0.0 };
        let means: Vec<f64> = self.sums[..n].iter().map(mean).collect();
        let mut matrix = vec![0.0; n * n];
        for row in 0..n {
            let squares = &self.squares[row * (n + 1)..=row * (n + 1) + row];
            for (column, square) in squares.iter().enumerate() {
                matrix[row * n + column] = square - means[row] * self.sums[column];
            }
        }
        let right = self.responses[..n].iter().zip(&means).map(|(response, mean)| response - mean * self.response).collect();
        NormalEquations { means, matrix, right }
    }

    /// The weighted variance of each column around its mean.
    pub(crate) fn variances(&self) -> Vec<f64> {
        let n = self.n_columns + 1;
        let variance = |column: usize| {
            let mean = self.sums[column] / self.weight;
            (self.squares[column * n + column] / self.weight - mean * mean).max(0.0)
        };
        (0..self.n_columns).map(variance).collect()
    }
}

/// `matrix · coefficients = right`, with the intercept eliminated.
#[derive(Debug, Clone)]
pub(crate) struct NormalEquations {
    /// The weighted means that were taken off the columns; zeros without an intercept.
    pub(crate) means: Vec<f64>,
    /// The lower triangle, `n_columns` to a row.
    pub(crate) matrix: Vec<f64>,
    pub(crate) right: Vec<f64>,
}

impl NormalEquations {
    /// Adds `l2` to the diagonal and factors the matrix.
    pub(crate) fn factor(&self, l2: &[f64], control: &Control) -> Result<Cholesky, LearnError> {
        let n = self.right.len();
        let mut matrix = self.matrix.clone();
        l2.iter().enumerate().for_each(|(column, l2)| matrix[column * n + column] += l2);
        Cholesky::new(n, &matrix, control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::{DesignOptions, DesignSpec, Levels};
    use crate::frame::{Column, Frame, MISSING};
    use crate::linear::tests::control;
    use crate::random::Stream;

    #[test]
    fn sums_over_codes_are_those_over_the_dense_matrix() {
        let mut stream = Stream::new(3, 0);
        let n_rows = 5_000;
        let mut codes = |n: u64| -> Vec<u32> {
            (0..n_rows).map(|_| stream.next_u64() % (n + 1)).map(|code| if code == n { MISSING } else { code as u32 }).collect()
        };
        let (first, second) = (codes(3), codes(40));
        let mut numbers = || (0..n_rows).map(|_| stream.gaussian()).collect::<Vec<f64>>();
        let columns = vec![
            Column::Categorical { codes: first, n_categories: 3 },
            Column::Numeric(numbers()),
            Column::Categorical { codes: second, n_categories: 40 },
            Column::Numeric(numbers()),
        ];
        let frame = Frame::new(n_rows, columns).unwrap();
        for levels in [Levels::All, Levels::DropMostFrequent] {
            let spec = DesignSpec::learn(&frame, DesignOptions { levels, standardise: false }, &control(1)).unwrap();
            let (design, matrix, n) = (spec.compact(&frame).unwrap(), spec.transform(&frame).unwrap(), spec.n_columns());
            let terms = |row: usize| RowTerms { curvature: 1.0 + (row % 3) as f64, response: row as f64 * 1e-3, loss: 1.0 };
            let gram = Gram::of(&design, terms, &control(1)).unwrap();
            let sum = |value: &dyn Fn(usize) -> f64| (0..n_rows).map(value).sum::<f64>();
            for column in 0..n {
                let right = sum(&|row| terms(row).response * matrix.row(row)[column]);
                assert!((gram.responses[column] - right).abs() < 1e-7, "response of column {column}");
                for other in 0..=column {
                    let square = sum(&|row| terms(row).curvature * matrix.row(row)[column] * matrix.row(row)[other]);
                    assert!((gram.squares[column * (n + 1) + other] - square).abs() < 1e-7, "columns {column} and {other}");
                }
            }
            assert_eq!(gram.loss, n_rows as f64);
            let parallel = Gram::of(&design, terms, &control(5)).unwrap();
            assert_eq!(gram.squares, parallel.squares);
        }
    }
}
