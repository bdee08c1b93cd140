//! The normal equations of one row: gathers the neighbours' factors and sums their outer products.
//!
//! ```text
//! factors of the other side   panel (chunk × stride)            A += panelᵀ·panel (upper triangle)
//!   row 7   ───gather───►     [ y7 0 0 ]                ───►    [ ▪ ▪ ▪ ]  in tiles that stay in registers
//!   row 31  ───────────►      [ y31 0 0 ]                       [   ▪ ▪ ]
//!   …                                                           b += Σ target·y
//! ```

use super::kernel::{self, Ahead, Isa, Start, Weighted};
use super::{AlsParams, Factors, Feedback, Solver, dot};
use crate::memory::Aligned;
use std::ops::Range;

/// Bytes of the panel: with the matrix of rank 64 it stays in a first-level cache of 48 KiB, and with tiles of it in one of 32.
const PANEL_BYTES: usize = 16 * 1024;
/// How far ahead of the copy rows of the other side are fetched: what fits the first-level cache beside the panel.
const PREFETCH_BYTES: usize = 12 * 1024;
/// A pivot below this part of its diagonal entry has lost all its digits.
pub const PIVOT_MIN: f32 = 1e-5;
/// Rows fetched ahead at most while others are copied, and of the row that is solved next.
pub const PREFETCH_ROWS_MAX: usize = 64;

/// The fixed side of a half step, as seen from a row to solve.
#[derive(Debug, Clone, Copy)]
pub struct Others<'a> {
    pub rows: kernel::Rows<'a>,
    /// What each row adds to its ratings besides the product of factors.
    pub bias: Option<&'a [f32]>,
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
    /// What all ratings of the row have in common: the mean, and a static bias. Counts only where the others have biases.
    pub base: f32,
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

    /// Both triangles: a product with a vector is then a sum of rows.
    pub(super) fn matrix(&self) -> &[f32] {
        &self.matrix
    }

    pub(super) fn with_isa(factors: &Factors, isa: Isa) -> Self {
        let rank = factors.rank();
        let stride = kernel::stride_of(rank);
        let rows = kernel::Rows { data: factors.as_slice(), rank, with_one: false };
        let chunk = chunk_of(stride);
        let (mut panel, mut part) = (Aligned::zeros(chunk * stride), Aligned::zeros(stride * stride));
        let mut sums = vec![0f64; stride * stride];
        let places: Vec<u32> = (0..factors.n_rows() as u32).collect();
        // Parts in f32 and their sum in f64: all rows together are too many for f32.
        for part_places in places.chunks(16 * chunk) {
            for (place, places) in part_places.chunks(chunk).enumerate() {
                isa.gather(&rows, places, &[], None, &mut panel);
                isa.gram(&panel, places.len(), rank, place == 0, None, &mut part);
            }
            for (sum, entry) in sums.iter_mut().zip(part.iter()) {
                *sum += f64::from(*entry);
            }
        }
        let mut matrix = Aligned::zeros(stride * stride);
        for row in 0..rank {
            for column in row..rank {
                let entry = sums[row * stride + column] as f32;
                (matrix[row * stride + column], matrix[column * stride + row]) = (entry, entry);
            }
        }
        Self { matrix }
    }
}

fn chunk_of(stride: usize) -> usize {
    (PANEL_BYTES / (4 * stride)).clamp(32, 256)
}

/// Bytes of a panel that holds all neighbours of a row: with conjugate gradients they are read again and again
/// from the second-level cache.
const WHOLE_PANEL_BYTES: usize = 512 * 1024;

/// Scratch space and result of one row's equations `A x = b`; used again for row after row.
#[derive(Debug)]
pub struct Equations {
    pub isa: Isa,
    /// The number of unknowns.
    pub rank: usize,
    pub stride: usize,
    pub matrix: Aligned,
    pub right: Aligned,
    /// The weighted sum of the squared targets: the loss of a row whose factors are zero. Not summed (0) for explicit
    /// ratings without biases, where it never changes.
    pub energy: f64,
    /// The neighbours' factors, times the roots of their weights: all of them after [`Self::collect`].
    pub panel: Aligned,
    params: AlsParams,
    chunk: usize,
    prefetch: usize,
    weights: Vec<f32>,
    targets: Vec<f32>,
}

impl Equations {
    /// Space for the unknowns of `params`.
    pub fn new(params: &AlsParams, isa: Isa) -> Self {
        let rank = params.n_unknowns();
        let stride = kernel::stride_of(rank);
        let chunk = chunk_of(stride);
        let n_panel = if matches!(params.solver, Solver::Cg { .. }) { chunk.max(WHOLE_PANEL_BYTES / (4 * stride)) } else { chunk };
        Self {
            isa,
            rank,
            stride,
            matrix: Aligned::zeros(stride * stride),
            right: Aligned::zeros(stride),
            energy: 0.0,
            panel: Aligned::zeros(n_panel * stride),
            params: params.clone(),
            chunk,
            prefetch: (PREFETCH_BYTES / (4 * stride)).clamp(8, PREFETCH_ROWS_MAX),
            weights: vec![0.0; chunk],
            targets: vec![0.0; chunk],
        }
    }

    /// Sums `A = λ·scale·I + Σ c·y yᵀ` and `b = Σ target·y` over the ratings of a row, of which there is one at least. `go_on` is asked before each chunk.
    ///
    /// Returns false, with unfinished sums, when `go_on` did.
    pub fn build(&mut self, others: &Others<'_>, row: &RowRatings<'_>, go_on: impl Fn() -> bool) -> bool {
        self.clear();
        let chunk = self.equal_chunk(row.neighbours.len());
        for start in (0..row.neighbours.len()).step_by(chunk) {
            if !go_on() {
                return false;
            }
            let n = self.add_chunk(others, row, start..start + chunk, 0, None);
            let next = &row.neighbours[start + n..];
            let next = if next.is_empty() { row.next } else { next };
            let ahead = Ahead { rows: &others.rows, places: &next[..next.len().min(self.chunk)] };
            let before = match others.gram {
                _ if start > 0 => Start::Sums,
                Some(gram) => Start::Base(gram.matrix()),
                None => Start::Zero,
            };
            self.isa.gram_fetching(&self.panel, n, self.rank, before, ahead, &mut self.matrix);
        }
        let lambda = self.lambda(row);
        for place in 0..self.rank {
            self.matrix[place * self.stride + place] += lambda;
        }
        true
    }

    /// Whether the panel has room for all neighbours of a row.
    pub fn can_collect(&self, row: &RowRatings<'_>) -> bool {
        row.neighbours.len() * self.stride <= self.panel.len()
    }

    /// Collects all neighbours in the panel, and sums the right side; the matrix is left alone.
    ///
    /// Returns false, unfinished, when `go_on` did.
    pub fn collect(&mut self, others: &Others<'_>, row: &RowRatings<'_>, go_on: impl Fn() -> bool) -> bool {
        self.clear();
        for start in (0..row.neighbours.len()).step_by(self.chunk) {
            if !go_on() {
                return false;
            }
            let ahead = row.neighbours.get(start + self.prefetch..).unwrap_or(&[]);
            self.add_chunk(others, row, start..start + self.chunk, start, Some(ahead));
        }
        true
    }

    /// The targets of a row that is one chunk and was the last to be collected.
    pub fn targets<'a>(&'a self, others: &Others<'_>, row: &RowRatings<'a>) -> &'a [f32] {
        match (self.params.feedback, others.bias) {
            (Feedback::Explicit, None) => row.values,
            _ => &self.targets[..row.values.len()],
        }
    }

    /// Lambda as it stands on the diagonal.
    pub fn lambda(&self, row: &RowRatings<'_>) -> f32 {
        (self.params.lambda * self.params.scale(row.values)) as f32
    }

    /// Makes the equation of an unknown `x = 0`, and takes it out of the others.
    pub fn fix_at_zero(&mut self, place: usize) {
        for other in 0..self.rank {
            self.matrix[place * self.stride + other] = 0.0;
            self.matrix[other * self.stride + place] = 0.0;
        }
        self.matrix[place * self.stride + place] = 1.0;
        self.right[place] = 0.0;
    }

    /// Chunks of one size, near enough: while one is summed the next is fetched, which takes as long.
    fn equal_chunk(&self, n_ratings: usize) -> usize {
        n_ratings.div_ceil(n_ratings.div_ceil(self.chunk)).next_multiple_of(4).min(self.chunk)
    }

    fn clear(&mut self) {
        self.right.fill(0.0);
        self.energy = 0.0;
    }

    /// Gathers the ratings of a chunk to row `panel_start` of the panel and adds them to the right side; how many it were.
    /// Meanwhile the factors of the neighbours `ahead` are fetched, unless that was done before.
    fn add_chunk(
        &mut self,
        others: &Others<'_>,
        row: &RowRatings<'_>,
        chunk: Range<usize>,
        panel_start: usize,
        ahead: Option<&[u32]>,
    ) -> usize {
        let (start, end) = (chunk.start, chunk.end.min(row.neighbours.len()));
        let n = end - start;
        let (neighbours, values) = (&row.neighbours[start..end], &row.values[start..end]);
        let (weights, targets) = match (self.params.feedback, others.bias) {
            (Feedback::Explicit, None) => (None, values),
            (Feedback::Explicit, Some(bias)) => {
                for ((target, value), neighbour) in self.targets.iter_mut().zip(values).zip(neighbours) {
                    *target = value - row.base - bias[*neighbour as usize];
                }
                (None, &self.targets[..n])
            }
            (Feedback::Implicit { alpha }, _) => {
                self.energy += self.isa.weigh(alpha as f32, values, &mut self.weights, &mut self.targets);
                (Some(&self.weights[..n]), &self.targets[..n])
            }
        };
        if weights.is_none() && others.bias.is_some() {
            self.energy += f64::from(dot(targets, targets));
        }
        let panel = &mut self.panel[panel_start * self.stride..];
        let Some(ahead) = ahead else {
            let ratings = Weighted { neighbours, weights, targets };
            self.isa.gather_right(&others.rows, &ratings, panel, &mut self.right);
            return n;
        };
        // While the last neighbours are copied, those of the next row are fetched.
        let n_first = ahead.len().min(n);
        let (first, last) = neighbours.split_at(n_first);
        self.isa.gather(&others.rows, first, ahead, weights.map(|weights| &weights[..n_first]), panel);
        self.isa.gather(&others.rows, last, row.next, weights.map(|weights| &weights[n_first..]), &mut panel[n_first * self.stride..]);
        self.isa.right(panel, self.rank, targets, &mut self.right);
        n
    }
}
