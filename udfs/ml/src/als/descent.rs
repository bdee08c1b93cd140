//! Solves the normal equations under `x >= 0` by coordinate descent in f64: slow, and sure to get there.

use super::equations::Equations;

/// Sweeps over all coordinates before giving up on more digits; the result is feasible after each one.
const SWEEPS_MAX: usize = 500;
/// A sweep that moves no coordinate by more than this part of the largest one is the last.
const TOLERANCE: f64 = 1e-6;

/// Scratch space for systems of one rank.
#[derive(Debug)]
pub struct Descent {
    rank: usize,
    /// Both triangles.
    matrix: Vec<f64>,
    gradient: Vec<f64>,
    x: Vec<f64>,
}

impl Descent {
    /// Space for a rank.
    pub fn new(rank: usize) -> Self {
        Self { rank, matrix: vec![0.0; rank * rank], gradient: vec![0.0; rank], x: vec![0.0; rank] }
    }

    /// Minimises `½ xᵀAx - bᵀx` over `x >= 0`, starting at the `x` given; false when it is not finite.
    ///
    /// # Source
    /// Franc, Hlaváč, Navara 2005, *Sequential Coordinate-Wise Algorithm for the Non-negative Least Squares Problem*.
    pub fn solve(&mut self, equations: &Equations, x: &mut [f32]) -> bool {
        let rank = self.rank;
        for row in 0..rank {
            for column in row..rank {
                let entry = f64::from(equations.matrix[row * equations.stride + column]);
                self.matrix[row * rank + column] = entry;
                self.matrix[column * rank + row] = entry;
            }
        }
        for (start, value) in self.x.iter_mut().zip(x.iter()) {
            *start = f64::from(value.max(0.0));
        }
        // The gradient A x - b, kept up to date as coordinates move.
        for (row, (gradient, right)) in self.gradient.iter_mut().zip(&equations.right[..rank]).enumerate() {
            let products = self.matrix[row * rank..(row + 1) * rank].iter().zip(&self.x).map(|(entry, value)| entry * value);
            *gradient = products.sum::<f64>() - f64::from(*right);
        }
        for _ in 0..SWEEPS_MAX {
            if !self.sweep() {
                break;
            }
        }
        for (target, value) in x.iter_mut().zip(&self.x) {
            *target = *value as f32;
        }
        x.iter().all(|value| value.is_finite())
    }

    /// Moves every coordinate to its best value in turn; false when nothing moved any more.
    fn sweep(&mut self) -> bool {
        let rank = self.rank;
        let (mut largest, mut moved) = (0f64, 0f64);
        for place in 0..rank {
            let row = &self.matrix[place * rank..(place + 1) * rank];
            let curvature = row[place];
            // A factor that no neighbour has: any value is as good, the smallest is 0.
            let value = if curvature > 0.0 { (self.x[place] - self.gradient[place] / curvature).max(0.0) } else { 0.0 };
            let step = value - self.x[place];
            if step != 0.0 {
                self.x[place] = value;
                for (gradient, entry) in self.gradient.iter_mut().zip(row) {
                    *gradient += step * entry;
                }
                moved = moved.max(step.abs());
            }
            largest = largest.max(value);
        }
        moved > TOLERANCE * largest
    }
}
