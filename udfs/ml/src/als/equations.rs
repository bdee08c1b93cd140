//! The normal equations of one row: gathers the neighbours' factors and sums their outer products.
//!
//! ```text
//! factors of the other side   panel (chunk × stride)            A += panelᵀ·panel (upper triangle)
//!   row 7   ───gather───►     [ y7 0 0 ]                ───►    [ ▪ ▪ ▪ ]  in tiles that stay in registers
//!   row 31  ───────────►      [ y31 0 0 ]                       [   ▪ ▪ ]
//!   …                                                           b += Σ target·y
//! ```

use super::kernel::{self, Aligned, Isa};
use super::{AlsParams, Factors, Feedback, LambdaScale};

/// Bytes of the panel: with a tile's sums it stays in the first-level cache.
const PANEL_BYTES: usize = 32 * 1024;
/// Rows of the other side that are fetched before they are copied.
const PREFETCH_ROWS: usize = 12;
/// Weights must not be zero, since targets are divided by them; nothing that small can be seen in an f32 sum.
const WEIGHT_MIN: f32 = 1e-10;

/// The fixed side of a half step, as seen from a row to solve.
#[derive(Debug, Clone, Copy)]
pub struct Others<'a> {
    pub rows: kernel::Rows<'a>,
    /// The Gram matrix of all rows, for implicit feedback.
    pub gram: Option<&'a Gram>,
}

/// The ratings of a row.
#[derive(Debug, Clone, Copy)]
pub struct RowRatings<'a> {
    pub neighbours: &'a [u32],
    pub values: &'a [f32],
    /// The neighbours of the row that comes next: their factors are fetched early.
    pub next: &'a [u32],
}

/// `YᵀY`: the equations of a user who has rated nothing, each item disliked with confidence 1.
#[derive(Debug, Clone)]
pub struct Gram {
    matrix: Aligned,
}

impl Gram {
    /// Sums the outer products of all rows; the same bits on any number of threads, because one does it.
    ///
    /// # Cost
    /// O(rows·rank²), less than a hundredth of a half step.
    pub fn new(factors: &Factors) -> Self {
        Self::with_isa(factors, Isa::detect())
    }

    pub(super) fn with_isa(factors: &Factors, isa: Isa) -> Self {
        let rank = factors.rank();
        let stride = kernel::stride_of(rank);
        let rows = kernel::Rows { data: factors.as_slice(), rank };
        let chunk = chunk_of(stride);
        let (mut panel, mut part) = (Aligned::zeros(chunk * stride), Aligned::zeros(stride * stride));
        let mut sums = vec![0f64; stride * stride];
        let places: Vec<u32> = (0..factors.n_rows() as u32).collect();
        // Parts in f32 and their sum in f64: all rows together are too many for f32.
        for part_places in places.chunks(16 * chunk) {
            part.fill(0.0);
            for places in part_places.chunks(chunk) {
                isa.gather(&rows, places, &[], None, &mut panel);
                isa.gram(&panel, places.len(), rank, &mut part);
            }
            for (sum, entry) in sums.iter_mut().zip(part.iter()) {
                *sum += f64::from(*entry);
            }
        }
        let mut matrix = Aligned::zeros(stride * stride);
        for (entry, sum) in matrix.iter_mut().zip(&sums) {
            *entry = *sum as f32;
        }
        Self { matrix }
    }
}

fn chunk_of(stride: usize) -> usize {
    (PANEL_BYTES / (4 * stride)).clamp(32, 256)
}

/// Scratch space and result of one row's equations `A x = b`; used again for row after row.
#[derive(Debug)]
pub struct Equations {
    pub isa: Isa,
    pub rank: usize,
    pub stride: usize,
    pub matrix: Aligned,
    pub right: Aligned,
    lambda: f64,
    lambda_scale: LambdaScale,
    feedback: Feedback,
    chunk: usize,
    panel: Aligned,
    weights: Vec<f32>,
    targets: Vec<f32>,
}

impl Equations {
    /// Space for `rank` unknowns.
    pub fn new(params: &AlsParams, rank: usize, isa: Isa) -> Self {
        let stride = kernel::stride_of(rank);
        let chunk = chunk_of(stride);
        Self {
            isa,
            rank,
            stride,
            matrix: Aligned::zeros(stride * stride),
            right: Aligned::zeros(stride),
            lambda: params.lambda,
            lambda_scale: params.lambda_scale,
            feedback: params.feedback,
            chunk,
            panel: Aligned::zeros(chunk * stride),
            weights: vec![0.0; chunk],
            targets: vec![0.0; chunk],
        }
    }

    /// Sums `A = λ·scale·I + Σ c·y yᵀ` and `b = Σ target·y` over the ratings of a row. `go_on` is asked before each chunk.
    ///
    /// Returns false, with unfinished sums, when `go_on` did.
    pub fn build(&mut self, others: &Others<'_>, row: &RowRatings<'_>, go_on: impl Fn() -> bool) -> bool {
        match others.gram {
            Some(gram) => self.matrix.copy_from_slice(&gram.matrix),
            None => self.matrix.fill(0.0),
        }
        self.right.fill(0.0);
        let mut start = 0;
        while start < row.neighbours.len() {
            if !go_on() {
                return false;
            }
            let end = (start + self.chunk).min(row.neighbours.len());
            let neighbours = &row.neighbours[start..end];
            let ahead = row.neighbours.get(start + PREFETCH_ROWS..).filter(|ahead| !ahead.is_empty()).unwrap_or(row.next);
            self.weigh(&row.values[start..end]);
            let is_weighted = self.feedback != Feedback::Explicit;
            let weights = is_weighted.then_some(&self.weights[..end - start]);
            self.isa.gather(&others.rows, neighbours, ahead, weights, &mut self.panel);
            self.isa.gram(&self.panel, neighbours.len(), self.rank, &mut self.matrix);
            let targets = if is_weighted { &self.targets[..end - start] } else { &row.values[start..end] };
            self.isa.right(&self.panel, self.rank, targets, &mut self.right);
            start = end;
        }
        let lambda = (self.lambda * self.scale(row.values)) as f32;
        for place in 0..self.rank {
            self.matrix[place * self.stride + place] += lambda;
        }
        true
    }

    /// What lambda is multiplied by for a row with these ratings.
    pub fn scale(&self, values: &[f32]) -> f64 {
        match (self.lambda_scale, self.feedback) {
            (LambdaScale::Row, _) => 1.0,
            (LambdaScale::Rating, Feedback::Explicit) => values.len() as f64,
            (LambdaScale::Rating, Feedback::Implicit { .. }) => values.iter().filter(|value| **value > 0.0).count() as f64,
        }
    }

    /// Weights and targets of a chunk of ratings.
    fn weigh(&mut self, values: &[f32]) {
        if let Feedback::Implicit { alpha } = self.feedback {
            let alpha = alpha as f32;
            for ((weight, target), value) in self.weights.iter_mut().zip(&mut self.targets).zip(values) {
                // What the Gram matrix does not have: A += c1·y yᵀ as the outer product of √c1·y, b += (1 + c1)·y.
                let confidence = alpha * value.abs();
                *weight = confidence.sqrt().max(WEIGHT_MIN);
                *target = if *value > 0.0 { (1.0 + confidence) / *weight } else { 0.0 };
            }
        }
    }
}
