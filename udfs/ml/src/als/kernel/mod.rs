//! The arithmetic of one row, for the instruction sets of this machine.
//!
//! Each algorithm is written once, over a [`vector::Vector`] of 16 floats, and compiled for each instruction set:
//!
//! ```text
//! gather.rs    rows of the other side ──► panel (turned)     avx512.rs   one register of 16
//! gram.rs      A += panelᵀ·panel, b += panelᵀ·targets    ×   avx2.rs     two registers of 8
//! cholesky.rs  A x = b                                       portable.rs an array; the compiler's choice
//! support.rs   A·x; A x = b for some of the unknowns
//! weights.rs   what implicit ratings weigh
//! ```
//!
//! All matrices have rows of whole lanes (16 floats, 64 bytes aligned); what is beyond the rank is zero. Of a
//! symmetric matrix the upper triangle is kept, in whole lanes: its diagonal blocks of 16 x 16 are complete.
//!
//! Sums are made in the same order everywhere, so AVX2 and AVX-512 give the same bits; the portable kernels
//! round products before they add them (where the machine has no fused multiply-add) and differ in the last bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod cholesky;
mod gather;
mod gram;
mod portable;
mod support;
mod vector;
mod weights;

#[cfg(test)]
mod tests;

pub use gather::{Rows, Weighted, fetch};
pub use gram::{Ahead, Start};

use crate::memory::LANE;

/// The kernels of one instruction set; each method of [`Isa`] explains its own.
#[allow(clippy::type_complexity)]
struct Kernels {
    gather: unsafe fn(&Rows<'_>, &[u32], &[u32], Option<&[f32]>, &mut [f32]),
    gather_right: unsafe fn(&Rows<'_>, &Weighted<'_>, &mut [f32], &mut [f32]),
    gram: unsafe fn(&[f32], usize, usize, Start<'_>, Ahead<'_>, &mut [f32]),
    right: unsafe fn(&[f32], usize, &[f32], &mut [f32]),
    cholesky: unsafe fn(&mut [f32], usize, &mut [f32], &[f32], &mut [f32]) -> bool,
    turn: unsafe fn(&[f32], usize, usize, &mut [f32]),
    restrict: unsafe fn(&[f32], usize, &[f32], &mut [f32]),
    outside: unsafe fn(&[f32], usize, &[f32], &[f32], &mut [f32]),
    symmetric: unsafe fn(&[f32], usize, &[f32], &mut [f32]),
    twice: unsafe fn(&[f32], usize, usize, &[f32], &mut [f32]),
    weigh: unsafe fn(f32, &[f32], &mut [f32], &mut [f32]) -> f64,
}

/// An instruction set that this machine has: the proof that its kernels may run.
#[derive(Clone, Copy)]
pub struct Isa {
    name: &'static str,
    kernels: &'static Kernels,
}

impl std::fmt::Debug for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Isa {
    /// The best one of this machine; asked once per training.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// All of this machine, the best first.
    pub fn available() -> Vec<Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                available.push(Self { name: "avx512", kernels: &avx512::KERNELS });
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                available.push(Self { name: "avx2", kernels: &avx2::KERNELS });
            }
        }
        available.push(Self { name: "portable", kernels: &portable::KERNELS });
        available
    }

    /// `avx512`, `avx2` or `portable`.
    #[cfg(test)]
    pub fn name(self) -> &'static str {
        self.name
    }
}

// Each method checks the shapes, so that the kernels behind it stay inside their slices.
#[allow(unsafe_code)]
impl Isa {
    /// Copies the rows `neighbours` into `panel`, each times its weight; begins to fetch the rows `ahead` on the way.
    pub fn gather(self, rows: &Rows<'_>, neighbours: &[u32], ahead: &[u32], weights: Option<&[f32]>, panel: &mut [f32]) {
        assert!(
            panel.len() >= neighbours.len() * stride_of(rows.n_columns())
                && weights.is_none_or(|weights| weights.len() == neighbours.len())
        );
        // SAFETY: an `Isa` exists only where the machine has its instructions; the shapes are checked here and in the kernel.
        unsafe { (self.kernels.gather)(rows, neighbours, ahead, weights, panel) }
    }

    /// Copies the neighbours of `ratings` into `panel`, each times its weight, and adds the products with the targets: `right += panelᵀ·targets`.
    pub fn gather_right(self, rows: &Rows<'_>, ratings: &Weighted<'_>, panel: &mut [f32], right: &mut [f32]) {
        let (stride, n) = (stride_of(rows.n_columns()), ratings.neighbours.len());
        assert!(panel.len() >= n * stride && right.len() >= stride && ratings.targets.len() == n);
        assert!(ratings.weights.is_none_or(|weights| weights.len() == n));
        // SAFETY: as above.
        unsafe { (self.kernels.gather_right)(rows, ratings, panel, right) }
    }

    /// `matrix = base + panelᵀ·panel` (upper triangle) over the first `depth` rows of the panel when `is_first`, else `+=`.
    /// Without a base it begins with 0.
    pub fn gram(self, panel: &[f32], depth: usize, rank: usize, is_first: bool, base: Option<&[f32]>, matrix: &mut [f32]) {
        let start = match base {
            _ if !is_first => Start::Sums,
            Some(base) => Start::Base(base),
            None => Start::Zero,
        };
        let nothing = Rows { data: &[], rank, with_one: false };
        self.gram_fetching(panel, depth, rank, start, Ahead { rows: &nothing, places: &[] }, matrix);
    }

    /// `matrix = start + panelᵀ·panel` (upper triangle) over the first `depth` rows of the panel; begins to fetch the rows
    /// `ahead` on the way.
    pub fn gram_fetching(self, panel: &[f32], depth: usize, rank: usize, start: Start<'_>, ahead: Ahead<'_>, matrix: &mut [f32]) {
        let stride = stride_of(rank);
        assert!(panel.len() >= depth * stride && matrix.len() >= stride * stride);
        assert!(!matches!(start, Start::Base(base) if base.len() < stride * stride));
        // SAFETY: as above.
        unsafe { (self.kernels.gram)(panel, depth, rank, start, ahead, matrix) }
    }

    /// `right += panelᵀ·targets`.
    pub fn right(self, panel: &[f32], rank: usize, targets: &[f32], right: &mut [f32]) {
        let stride = stride_of(rank);
        assert!(panel.len() >= targets.len() * stride && right.len() >= stride);
        // SAFETY: as above.
        unsafe { (self.kernels.right)(panel, stride, targets, right) }
    }

    /// Solves `matrix · x = right` in place; false when a pivot is below its limit or the solution not finite.
    ///
    /// `limits` has one entry per row. `matrix` and `right` are used up.
    pub fn cholesky(self, matrix: &mut [f32], rank: usize, right: &mut [f32], limits: &[f32], x: &mut [f32]) -> bool {
        let stride = stride_of(rank);
        assert!(matrix.len() >= stride * stride && right.len() >= stride && limits.len() >= stride && x.len() >= stride);
        // SAFETY: as above.
        unsafe { (self.kernels.cholesky)(matrix, rank, right, limits, x) }
    }

    /// Copies the first `n_rows` rows of a panel, whole lanes of them, as columns: `turned[c][r] = panel[r][c]`.
    pub fn turn(self, panel: &[f32], stride: usize, n_rows: usize, turned: &mut [f32]) {
        assert!(stride.is_multiple_of(LANE) && n_rows.is_multiple_of(LANE));
        assert!(panel.len() >= n_rows * stride && turned.len() >= n_rows * stride);
        // SAFETY: as above.
        unsafe { (self.kernels.turn)(panel, stride, n_rows, turned) }
    }

    /// Copies the equations of the unknowns that `keep` marks with 1; the others (0) get the equation `x = 0`.
    pub fn restrict(self, matrix: &[f32], rank: usize, keep: &[f32], restricted: &mut [f32]) {
        let stride = stride_of(rank);
        assert!(matrix.len() >= stride * stride && restricted.len() >= stride * stride && keep.len() >= stride);
        // SAFETY: as above.
        unsafe { (self.kernels.restrict)(matrix, rank, keep, restricted) }
    }

    /// The entries of `matrix · x` where `keep` is 0, for an `x` that is zero there; other entries mean nothing.
    pub fn outside(self, matrix: &[f32], rank: usize, keep: &[f32], x: &[f32], product: &mut [f32]) {
        let stride = stride_of(rank);
        assert!(matrix.len() >= stride * stride && keep.len() >= stride && x.len() >= stride && product.len() >= stride);
        // SAFETY: as above.
        unsafe { (self.kernels.outside)(matrix, rank, keep, x, product) }
    }

    /// `product += matrix · x`.
    pub fn symmetric(self, matrix: &[f32], rank: usize, x: &[f32], product: &mut [f32]) {
        let stride = stride_of(rank);
        assert!(matrix.len() >= stride * stride && x.len() >= stride && product.len() >= stride);
        // SAFETY: as above.
        unsafe { (self.kernels.symmetric)(matrix, rank, x, product) }
    }

    /// `product += panelᵀ·(panel·x)` over the first `depth` rows of the panel.
    pub fn twice(self, panel: &[f32], depth: usize, rank: usize, x: &[f32], product: &mut [f32]) {
        let stride = stride_of(rank);
        assert!(panel.len() >= depth * stride && x.len() >= stride && product.len() >= stride);
        // SAFETY: as above.
        unsafe { (self.kernels.twice)(panel, depth, stride, x, product) }
    }

    /// Writes weights and targets of implicit ratings; returns the loss of predicting 0 for all of them.
    pub fn weigh(self, alpha: f32, values: &[f32], weights: &mut [f32], targets: &mut [f32]) -> f64 {
        assert!(weights.len() >= values.len() && targets.len() >= values.len());
        // SAFETY: as above.
        unsafe { (self.kernels.weigh)(alpha, values, weights, targets) }
    }
}

/// The floats between two rows of a matrix: whole lanes.
pub fn stride_of(rank: usize) -> usize {
    rank.next_multiple_of(LANE)
}

/// The table of kernels compiled for one vector type and its instructions.
macro_rules! kernels {
    ($vector:ty $(, $feature:literal)?) => {
        /// The kernels of these instructions.
        pub static KERNELS: super::Kernels = super::Kernels { gather, gather_right, gram, right, cholesky, turn, restrict, outside, symmetric, twice, weigh };

        $(#[target_feature(enable = $feature)])?
        unsafe fn gather(rows: &super::Rows<'_>, neighbours: &[u32], ahead: &[u32], weights: Option<&[f32]>, panel: &mut [f32]) {
            // SAFETY: this function is called where the instructions exist, and passes the caller's shapes on.
            unsafe { super::gather::gather::<$vector>(rows, neighbours, ahead, weights, panel) }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn gather_right(rows: &super::Rows<'_>, ratings: &super::Weighted<'_>, panel: &mut [f32], right: &mut [f32]) {
            // SAFETY: as above.
            unsafe { super::gather::gather_right::<$vector>(rows, ratings, panel, right) }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn gram(
            panel: &[f32],
            depth: usize,
            rank: usize,
            start: super::Start<'_>,
            ahead: super::Ahead<'_>,
            matrix: &mut [f32],
        ) {
            // SAFETY: as above.
            unsafe { super::gram::gram::<$vector>(panel, depth, rank, start, ahead, matrix) }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn right(panel: &[f32], stride: usize, targets: &[f32], right: &mut [f32]) {
            // SAFETY: as above.
            unsafe { super::gram::right::<$vector>(panel, stride, targets, right) }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn cholesky(matrix: &mut [f32], rank: usize, right: &mut [f32], limits: &[f32], x: &mut [f32]) -> bool {
            // SAFETY: as above.
            unsafe { super::cholesky::cholesky::<$vector>(matrix, rank, right, limits, x) }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn turn(panel: &[f32], stride: usize, n_rows: usize, turned: &mut [f32]) {
            // SAFETY: as above.
            unsafe { super::gather::turn::<$vector>(panel, stride, n_rows, turned) }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn restrict(matrix: &[f32], rank: usize, keep: &[f32], restricted: &mut [f32]) {
            // SAFETY: as above.
            unsafe { super::support::restrict::<$vector>(matrix, rank, keep, restricted) }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn outside(matrix: &[f32], rank: usize, keep: &[f32], x: &[f32], product: &mut [f32]) {
            // SAFETY: as above.
            unsafe { super::support::outside::<$vector>(matrix, rank, keep, x, product) }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn symmetric(matrix: &[f32], rank: usize, x: &[f32], product: &mut [f32]) {
            // SAFETY: as above.
            unsafe { super::support::symmetric::<$vector>(matrix, rank, x, product) }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn twice(panel: &[f32], depth: usize, stride: usize, x: &[f32], product: &mut [f32]) {
            // SAFETY: as above.
            unsafe { super::support::twice::<$vector>(panel, depth, stride, x, product) }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn weigh(alpha: f32, values: &[f32], weights: &mut [f32], targets: &mut [f32]) -> f64 {
            super::weights::weigh(alpha, values, weights, targets)
        }
    };
}
use kernels;
