//! Dense factor matrices.

use crate::memory::Aligned;
use crate::random::Stream;

/// A dense matrix of `n_rows` × `rank`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    rank: usize,
    n_rows: usize,
    /// Rows from a cache line on: one of 64 factors is in four lines, not five.
    data: Aligned,
}

impl Factors {
    /// All zero.
    pub fn zeros(n_rows: usize, rank: usize) -> Self {
        let rank = rank.max(1);
        Self { rank, n_rows, data: Aligned::zeros(n_rows * rank) }
    }

    /// Copies row-major data; `data` must be whole rows (a trailing part of one is left out).
    pub fn from_vec(rank: usize, data: Vec<f32>) -> Self {
        let mut factors = Self::zeros(data.len() / rank.max(1), rank);
        let len = factors.len();
        factors.data[..len].copy_from_slice(&data[..len]);
        factors
    }

    /// Spark's start: normal numbers, each row scaled to length 1; absolute when `nonnegative`.
    ///
    /// Row `r` depends on the seed and `r` only.
    pub fn random(n_rows: usize, rank: usize, seed: u64, nonnegative: bool) -> Self {
        let mut factors = Self::zeros(n_rows, rank);
        let mut normal = vec![0f64; rank.next_multiple_of(2)];
        for (place, row) in factors.rows_mut().enumerate() {
            let mut stream = Stream::new(seed, place as u64);
            for pair in normal.chunks_exact_mut(2) {
                (pair[0], pair[1]) = stream.gaussians();
            }
            let length = normal[..rank].iter().map(|value| value * value).sum::<f64>().sqrt();
            for (factor, value) in row.iter_mut().zip(&normal) {
                // Length 0 has probability zero, and NaN factors must not exist.
                let value = if length > 0.0 { value / length } else { 0.0 };
                *factor = (if nonnegative { value.abs() } else { value }) as f32;
            }
        }
        factors
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The number of columns.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.rank..(row + 1) * self.rank]
    }

    /// One row, to write.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.rank..(row + 1) * self.rank]
    }

    /// All rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.as_slice().chunks_exact(self.rank)
    }

    /// All rows in order, to write.
    pub fn rows_mut(&mut self) -> impl ExactSizeIterator<Item = &mut [f32]> {
        let len = self.len();
        self.data[..len].chunks_exact_mut(self.rank)
    }

    /// Row-major numbers.
    pub fn as_slice(&self) -> &[f32] {
        &self.data[..self.len()]
    }

    fn len(&self) -> usize {
        self.n_rows * self.rank
    }
}

/// The dot product, summed in eight lanes: the order of additions is fixed, and the compiler can vectorise it.
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    let (left_chunks, right_chunks) = (left.chunks_exact(8), right.chunks_exact(8));
    let rest: f32 = left_chunks.remainder().iter().zip(right_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left_chunks.zip(right_chunks) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let halves = [lanes[0] + lanes[4], lanes[1] + lanes[5], lanes[2] + lanes[6], lanes[3] + lanes[7]];
    (halves[0] + halves[2]) + (halves[1] + halves[3]) + rest
}

/// [`dot`] in f64, for sums whose small terms count; of equally many numbers.
pub fn dot_f64(left: &[f32], right: &[f32]) -> f64 {
    debug_assert_eq!(left.len(), right.len());
    let product = |(left, right): (&f32, &f32)| f64::from(*left) * f64::from(*right);
    let mut lanes = [0f64; 8];
    let (left_chunks, right_chunks) = (left.chunks_exact(8), right.chunks_exact(8));
    let rest: f64 = left_chunks.remainder().iter().zip(right_chunks.remainder()).map(product).sum();
    for (left, right) in left_chunks.zip(right_chunks) {
        for (lane, pair) in lanes.iter_mut().zip(left.iter().zip(right)) {
            *lane += product(pair);
        }
    }
    lanes.iter().sum::<f64>() + rest
}
