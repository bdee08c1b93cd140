//! Solves symmetric positive definite equations by Cholesky's decomposition: f32, then f64 when that breaks down.

use super::NormalEquations;
use super::factors::dot;

/// A pivot below this part of its diagonal entry has lost all its digits.
const PIVOT_MIN_F32: f32 = 1e-5;
const PIVOT_MIN_F64: f64 = 1e-12;
/// The ridge that makes a singular system solvable, relative to the mean of the diagonal.
const RIDGES: [f64; 3] = [0.0, 1e-8, 1e-5];

/// Scratch space for systems of one rank.
#[derive(Debug)]
pub struct Cholesky {
    rank: usize,
    lower: Vec<f32>,
    lower_f64: Vec<f64>,
}

impl Cholesky {
    /// Space for a rank; the f64 part is taken when first needed.
    pub fn new(rank: usize) -> Self {
        Self { rank, lower: vec![0.0; rank * rank], lower_f64: Vec::new() }
    }

    /// Solves `A x = b` into `x`; false when no finite solution was found.
    ///
    /// A system that is singular in f32 is solved in f64, and one that is singular there too with the
    /// smallest ridge that helps: the caller always gets finite factors or an error, never NaN.
    pub fn solve(&mut self, equations: &NormalEquations, x: &mut [f32]) -> bool {
        self.solve_f32(equations, x) || RIDGES.iter().any(|ridge| self.solve_f64(equations, *ridge, x))
    }

    fn solve_f32(&mut self, equations: &NormalEquations, x: &mut [f32]) -> bool {
        let rank = self.rank;
        let lower = &mut self.lower;
        for row in 0..rank {
            let source = equations.lower_row(row);
            let (done, rest) = lower.split_at_mut(row * rank);
            let current = &mut rest[..rank];
            for column in 0..row {
                let above = &done[column * rank..column * rank + column + 1];
                current[column] = (source[column] - dot(&current[..column], &above[..column])) / above[column];
            }
            let pivot = source[row] - dot(&current[..row], &current[..row]);
            let limit = PIVOT_MIN_F32 * source[row];
            // A negative diagonal would make the limit negative too.
            if pivot.is_nan() || pivot <= limit.max(0.0) {
                return false;
            }
            current[row] = pivot.sqrt();
        }
        x.copy_from_slice(equations.right());
        for row in 0..rank {
            let current = &lower[row * rank..row * rank + row + 1];
            x[row] = (x[row] - dot(&current[..row], &x[..row])) / current[row];
        }
        for row in (0..rank).rev() {
            let current = &lower[row * rank..row * rank + row + 1];
            x[row] /= current[row];
            let value = x[row];
            for (entry, factor) in x[..row].iter_mut().zip(current) {
                *entry -= factor * value;
            }
        }
        x.iter().all(|value| value.is_finite())
    }

    fn solve_f64(&mut self, equations: &NormalEquations, ridge: f64, x: &mut [f32]) -> bool {
        let rank = self.rank;
        self.lower_f64.resize(rank * rank, 0.0);
        let lower = &mut self.lower_f64;
        let trace: f64 = (0..rank).map(|row| f64::from(equations.lower_row(row)[row])).sum();
        let ridge = ridge * trace / rank as f64;
        for row in 0..rank {
            let source = equations.lower_row(row);
            for column in 0..=row {
                let products: f64 = (0..column).map(|place| lower[row * rank + place] * lower[column * rank + place]).sum();
                let entry = f64::from(source[column]) - products;
                if column < row {
                    lower[row * rank + column] = entry / lower[column * rank + column];
                } else {
                    let pivot = entry + ridge;
                    let limit = PIVOT_MIN_F64 * f64::from(source[row]);
                    if pivot.is_nan() || pivot <= limit.max(0.0) {
                        return false;
                    }
                    lower[row * rank + row] = pivot.sqrt();
                }
            }
        }
        let mut solution: Vec<f64> = equations.right().iter().map(|value| f64::from(*value)).collect();
        for row in 0..rank {
            let products: f64 = (0..row).map(|place| lower[row * rank + place] * solution[place]).sum();
            solution[row] = (solution[row] - products) / lower[row * rank + row];
        }
        for row in (0..rank).rev() {
            let products: f64 = (row + 1..rank).map(|place| lower[place * rank + row] * solution[place]).sum();
            solution[row] = (solution[row] - products) / lower[row * rank + row];
        }
        for (target, value) in x.iter_mut().zip(&solution) {
            *target = *value as f32;
        }
        x.iter().all(|value| value.is_finite())
    }
}
