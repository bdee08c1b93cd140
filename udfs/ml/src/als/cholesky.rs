//! Solves symmetric positive definite equations that break down in f32: in f64, with a ridge if need be.

/// A pivot below this part of its diagonal entry has lost all its digits.
const PIVOT_MIN: f64 = 1e-12;
/// The ridge that makes a singular system solvable, relative to the mean of the diagonal.
const RIDGES: [f64; 3] = [0.0, 1e-8, 1e-5];

/// Solves `A x = b` for the upper triangle of `A` into `x`, with the smallest ridge that helps; false when none does.
///
/// The caller gets finite factors or false, never NaN. Rare: it takes its space anew each time.
pub fn solve_f64(matrix: &[f32], stride: usize, right: &[f32], x: &mut [f32]) -> bool {
    RIDGES.iter().any(|ridge| solve_with_ridge(matrix, stride, right, *ridge, x))
}

fn solve_with_ridge(matrix: &[f32], stride: usize, right: &[f32], ridge: f64, x: &mut [f32]) -> bool {
    let rank = x.len();
    let source = |row: usize, column: usize| f64::from(matrix[column * stride + row]);
    let mut lower = vec![0f64; rank * rank];
    let trace: f64 = (0..rank).map(|row| source(row, row)).sum();
    let ridge = ridge * trace / rank as f64;
    for row in 0..rank {
        for column in 0..=row {
            let products: f64 = (0..column).map(|place| lower[row * rank + place] * lower[column * rank + place]).sum();
            let entry = source(row, column) - products;
            if column < row {
                lower[row * rank + column] = entry / lower[column * rank + column];
            } else {
                let pivot = entry + ridge;
                let limit = PIVOT_MIN * source(row, row);
                // A negative diagonal would make the limit negative too.
                if pivot.is_nan() || pivot <= limit.max(0.0) {
                    return false;
                }
                lower[row * rank + row] = pivot.sqrt();
            }
        }
    }
    let mut solution: Vec<f64> = right[..rank].iter().map(|value| f64::from(*value)).collect();
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
