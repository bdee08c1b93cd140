//! A few steps of conjugate gradients towards the solution of a row's equations, from its last factors.
//!
//! The matrix is only ever multiplied: for a row whose neighbours fit the panel it is never made.

use super::dot;
use super::equations::{Equations, Gram};
use crate::memory::Aligned;

/// Scratch space for one rank.
#[derive(Debug)]
pub struct Gradient {
    steps: usize,
    direction: Aligned,
    residual: Aligned,
    product: Aligned,
    x: Aligned,
}

/// The matrix of a row's equations, as a product.
#[derive(Debug, Clone, Copy)]
pub enum Operator<'a> {
    /// The one in [`Equations::matrix`].
    Matrix,
    /// `λ·I + panelᵀ·panel`, plus the Gram matrix of all rows for implicit feedback.
    Panel { n_rows: usize, lambda: f32, gram: Option<&'a Gram> },
}

impl Gradient {
    /// Space for rows of `stride` floats.
    pub fn new(steps: usize, stride: usize) -> Self {
        let zeros = || Aligned::zeros(stride);
        Self { steps, direction: zeros(), residual: zeros(), product: zeros(), x: zeros() }
    }

    /// Improves `x`. Returns `bᵀx + (b - A x)ᵀx`, what the row's loss is below its energy; `None` when `x` is not finite.
    pub fn solve(&mut self, equations: &Equations, operator: Operator<'_>, x: &mut [f32]) -> Option<f64> {
        self.x.fill(0.0);
        self.x[..x.len()].copy_from_slice(x);
        multiply(equations, operator, &self.x, &mut self.product);
        for ((residual, right), product) in self.residual.iter_mut().zip(equations.right.iter()).zip(self.product.iter()) {
            *residual = right - product;
        }
        self.direction.copy_from_slice(&self.residual);
        let mut size = dot(&self.residual, &self.residual);
        // Below this the residual is rounding.
        let enough = 1e-12 * dot(&equations.right, &equations.right);
        for _ in 0..self.steps {
            if size <= enough {
                break;
            }
            multiply(equations, operator, &self.direction, &mut self.product);
            let curvature = dot(&self.direction, &self.product);
            if curvature <= 0.0 {
                break;
            }
            let step = size / curvature;
            for (x, direction) in self.x.iter_mut().zip(self.direction.iter()) {
                *x += step * direction;
            }
            for (residual, product) in self.residual.iter_mut().zip(self.product.iter()) {
                *residual -= step * product;
            }
            let before = std::mem::replace(&mut size, dot(&self.residual, &self.residual));
            let share = size / before;
            for (direction, residual) in self.direction.iter_mut().zip(self.residual.iter()) {
                *direction = residual + share * *direction;
            }
        }
        let n = x.len();
        x.copy_from_slice(&self.x[..n]);
        let gain = f64::from(dot(x, &equations.right[..n])) + f64::from(dot(x, &self.residual[..n]));
        x.iter().all(|value| value.is_finite()).then_some(gain)
    }
}

fn multiply(equations: &Equations, operator: Operator<'_>, x: &[f32], product: &mut [f32]) {
    let (isa, rank) = (equations.isa, equations.rank);
    product.fill(0.0);
    match operator {
        Operator::Matrix => isa.symmetric(&equations.matrix, rank, x, product),
        Operator::Panel { n_rows, lambda, gram } => {
            isa.twice(&equations.panel, n_rows, rank, x, product);
            if let Some(gram) = gram {
                isa.right(gram.matrix(), rank, &x[..rank], product);
            }
            for (product, x) in product.iter_mut().zip(x) {
                *product += lambda * x;
            }
        }
    }
}
