//! The normal equations of one row: gathers the neighbours' factors and sums their outer products.
//!
//! ```text
//! factors of the other side   panel (CHUNK × stride)            A += panelᵀ·panel (lower triangle)
//!   row 7   ───gather───►     [ y7 0 0 ]                ───►    [ ▪         ]  in tiles of 4 × 8 that
//!   row 31  ───────────►      [ y31 0 0 ]                       [ ▪ ▪       ]  stay in registers
//!   …                                                           b += Σ r·y
//! ```

use super::Factors;

/// Ratings gathered at once: at rank 64 the panel takes 64 KiB.
const CHUNK: usize = 256;
/// Rows and columns of a tile. The stride of the panel is a multiple of both.
const TILE_ROWS: usize = 4;
const TILE_COLUMNS: usize = 8;

/// Scratch space and result of one row's equations `A x = b`; used again for row after row.
#[derive(Debug)]
pub struct NormalEquations {
    rank: usize,
    stride: usize,
    panel: Vec<f32>,
    /// `stride` × `stride`; the lower triangle is valid.
    matrix: Vec<f32>,
    right: Vec<f32>,
}

impl NormalEquations {
    /// Space for a rank.
    pub fn new(rank: usize) -> Self {
        let stride = rank.next_multiple_of(TILE_COLUMNS);
        Self { rank, stride, panel: vec![0.0; CHUNK * stride], matrix: vec![0.0; stride * stride], right: vec![0.0; stride] }
    }

    /// Sums `A = Σ y yᵀ` and `b = Σ r·y` over the neighbours of a row. `go_on` is asked before each chunk.
    ///
    /// Returns false, with unfinished sums, when `go_on` did.
    pub fn gather(&mut self, others: &Factors, neighbours: &[u32], ratings: &[f32], go_on: impl Fn() -> bool) -> bool {
        self.matrix.fill(0.0);
        self.right.fill(0.0);
        for (neighbours, ratings) in neighbours.chunks(CHUNK).zip(ratings.chunks(CHUNK)) {
            if !go_on() {
                return false;
            }
            for ((neighbour, rating), slot) in neighbours.iter().zip(ratings).zip(self.panel.chunks_exact_mut(self.stride)) {
                let factors = others.row(*neighbour as usize);
                slot[..self.rank].copy_from_slice(factors);
                for (sum, factor) in self.right.iter_mut().zip(factors) {
                    *sum += rating * factor;
                }
            }
            self.add_panel(neighbours.len());
        }
        true
    }

    /// Adds the outer products of the first `n_rows` rows of the panel.
    fn add_panel(&mut self, n_rows: usize) {
        let panel = &self.panel[..n_rows * self.stride];
        for row_start in (0..self.rank).step_by(TILE_ROWS) {
            for column_start in (0..row_start + TILE_ROWS).step_by(TILE_COLUMNS) {
                let tile = outer_products(panel, self.stride, row_start, column_start);
                for (row, sums) in tile.iter().enumerate() {
                    let start = (row_start + row) * self.stride + column_start;
                    for (entry, sum) in self.matrix[start..start + TILE_COLUMNS].iter_mut().zip(sums) {
                        *entry += sum;
                    }
                }
            }
        }
    }

    /// Adds `lambda` to the diagonal.
    pub fn add_diagonal(&mut self, lambda: f32) {
        for place in 0..self.rank {
            self.matrix[place * self.stride + place] += lambda;
        }
    }

    /// Entries `(row, 0..=row)` of the matrix.
    pub fn lower_row(&self, row: usize) -> &[f32] {
        &self.matrix[row * self.stride..row * self.stride + row + 1]
    }

    /// The right side.
    pub fn right(&self) -> &[f32] {
        &self.right[..self.rank]
    }
}

/// The 4 × 8 tile of the sum of outer products at a row and a column.
fn outer_products(panel: &[f32], stride: usize, row_start: usize, column_start: usize) -> [[f32; TILE_COLUMNS]; TILE_ROWS] {
    let mut tile = [[0f32; TILE_COLUMNS]; TILE_ROWS];
    for factors in panel.chunks_exact(stride) {
        let (Some(left), Some(right)) =
            (factors[row_start..].first_chunk::<TILE_ROWS>(), factors[column_start..].first_chunk::<TILE_COLUMNS>())
        else {
            // The stride is a multiple of both tile sizes.
            return tile;
        };
        for (sums, factor) in tile.iter_mut().zip(left) {
            for (sum, other) in sums.iter_mut().zip(right) {
                *sum += factor * other;
            }
        }
    }
    tile
}
