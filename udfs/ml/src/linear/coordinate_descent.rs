//! Elastic net over a Gram matrix: one coefficient at a time, rows are never read again.
//!
//! Sweeps find out which coefficients are zero, but crawl where columns are correlated (a full one-hot block
//! nearly is, with the intercept). Every few sweeps, the others are therefore solved for at once.

use super::cholesky::Cholesky;
use super::gram::NormalEquations;
use super::regularisation::Penalty;
use crate::control::{Control, Progress};
use crate::error::LearnError;

/// Sweeps between two exact solutions for the coefficients that are not zero.
const SWEEPS_PER_SOLUTION: usize = 25;

/// Minimises `½·wᵀAw - bᵀw + Σ l1·|w| + ½·Σ l2·w²` and returns `w` with the number of sweeps.
///
/// A sweep over all columns is followed by sweeps over those that are not zero, until these stand still; the end
/// is a full sweep in which no coefficient moved the predictions by more than `tolerance` (in their norm).
///
/// # Source
/// The exact steps: Lee, Battle, Raina, Ng 2006, *Efficient sparse coding algorithms* (feature-sign search).
///
/// # Errors
/// [`LearnError::Diverged`] after `max_iterations` sweeps, [`LearnError::Cancelled`].
pub(crate) fn solve(
    equations: &NormalEquations,
    penalty: &Penalty,
    tolerance: f64,
    max_iterations: usize,
    control: &Control,
) -> Result<(Vec<f64>, usize), LearnError> {
    let n = equations.right.len();
    // Rows of the full matrix: a step reads one of them.
    let mut matrix = equations.matrix.clone();
    for row in 0..n {
        for column in 0..row {
            matrix[column * n + row] = matrix[row * n + column];
        }
    }
    let mut coefficients = vec![0.0; n];
    // bᵀ - A·w: how much each column still explains.
    let mut open = equations.right.clone();
    let mut is_full = true;
    for iteration in 1..=max_iterations {
        if control.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        let mut largest_move = 0.0f64;
        for column in 0..n {
            let (square, old) = (matrix[column * n + column], coefficients[column]);
            if square + penalty.l2[column] <= 0.0 || (!is_full && old == 0.0) {
                continue;
            }
            let pull = open[column] + square * old;
            let free = (pull.abs() - penalty.l1[column]).max(0.0).copysign(pull);
            let new = free / (square + penalty.l2[column]);
            let step = new - old;
            if step != 0.0 {
                coefficients[column] = new;
                let row = &matrix[column * n..(column + 1) * n];
                open.iter_mut().zip(row).for_each(|(open, square)| *open -= step * square);
                largest_move = largest_move.max(step.abs() * square.sqrt());
            }
        }
        if iteration % SWEEPS_PER_SOLUTION == 0 && largest_move > tolerance {
            solve_signed(&matrix, &equations.right, penalty, &mut coefficients, control)?;
            open.copy_from_slice(&equations.right);
            for (column, coefficient) in coefficients.iter().enumerate().filter(|(_, coefficient)| **coefficient != 0.0) {
                let row = &matrix[column * n..(column + 1) * n];
                open.iter_mut().zip(row).for_each(|(open, square)| *open -= coefficient * square);
            }
        }
        (control.progress)(Progress { iteration, max_iterations, loss: None });
        if largest_move <= tolerance {
            if is_full {
                return Ok((coefficients, iteration));
            }
            is_full = true;
        } else {
            is_full = false;
        }
    }
    Err(LearnError::Diverged { what: "coordinate descent still moves after max_iterations sweeps" })
}

/// Moves the coefficients that are not zero to where they are best together, or until the first of them becomes zero.
/// Nothing moves when their columns depend on each other.
fn solve_signed(matrix: &[f64], right: &[f64], penalty: &Penalty, coefficients: &mut [f64], control: &Control) -> Result<(), LearnError> {
    let n = coefficients.len();
    let active: Vec<usize> = (0..n).filter(|column| coefficients[*column] != 0.0).collect();
    let mut system = vec![0.0; active.len() * active.len()];
    for (place, row) in active.iter().enumerate() {
        for (other, column) in active[..=place].iter().enumerate() {
            system[place * active.len() + other] = matrix[row * n + column];
        }
        system[place * active.len() + place] += penalty.l2[*row];
    }
    let factors = Cholesky::new(active.len(), &system, control)?;
    if factors.rank() < active.len() {
        return Ok(());
    }
    let pulls: Vec<f64> = active.iter().map(|column| right[*column] - penalty.l1[*column].copysign(coefficients[*column])).collect();
    let best = factors.solve(&pulls);
    // The penalty is a line only as long as no sign changes.
    let crossing = |(column, best): (&usize, &f64)| {
        let old = coefficients[*column];
        if best * old < 0.0 { old / (old - best) } else { 1.0 }
    };
    let size = active.iter().zip(&best).map(crossing).fold(1.0, f64::min);
    for (column, best) in active.iter().zip(best) {
        let old = coefficients[*column];
        let new = old + size * (best - old);
        coefficients[*column] = if new * old > 0.0 { new } else { 0.0 };
    }
    Ok(())
}
