//! Products of symmetric matrices and vectors; equations restricted to some of their unknowns.
#![allow(unsafe_code)]
// The contract of each function is that of the whole: pointers to whole matrices.
#![allow(unsafe_op_in_unsafe_fn)]
// Places count several matrices at once.
#![allow(clippy::needless_range_loop)]

use super::stride_of;
use super::vector::Vector;
use crate::memory::LANE;

/// Writes the equations of the unknowns that `keep` marks with 1; the others (0) get the equation `x = 0`.
///
/// # Safety
/// The machine has the instructions of `V`; the matrices have `stride` rows of whole lanes, `keep` one.
#[inline(always)]
pub unsafe fn restrict<V: Vector>(matrix: &[f32], rank: usize, keep: &[f32], restricted: &mut [f32]) {
    let stride = stride_of(rank);
    let (from, to) = (matrix.as_ptr(), restricted.as_mut_ptr());
    for row in 0..rank.next_multiple_of(8) {
        let kept = V::splat(keep[row]);
        for lane in (row / LANE * LANE..stride).step_by(LANE) {
            let place = row * stride + lane;
            V::load(from.add(place)).mul(kept.mul(V::load(keep.as_ptr().add(lane)))).store(to.add(place));
        }
        if keep[row] == 0.0 {
            *to.add(row * stride + row) = 1.0;
        }
    }
}

/// The entries of `matrix · x` where `keep` is 0, for an `x` that is zero there; other entries mean nothing.
///
/// The blocks of 16 × 16 on the diagonal of the matrix must be whole, as [`super::Isa::gram`] makes them.
///
/// # Safety
/// As [`restrict`]; `x` and `product` are whole lanes too.
#[inline(always)]
pub unsafe fn outside<V: Vector>(matrix: &[f32], rank: usize, keep: &[f32], x: &[f32], product: &mut [f32]) {
    let stride = stride_of(rank);
    product[..stride].fill(0.0);
    let (x, product) = (x.as_ptr(), product.as_mut_ptr());
    for row in 0..rank {
        let entries = matrix.as_ptr().add(row * stride);
        let diagonal = row / LANE * LANE;
        if keep[row] != 0.0 {
            let factor = V::splat(*x.add(row));
            for lane in (diagonal..stride).step_by(LANE) {
                V::load(entries.add(lane)).mul_add(factor, V::load(product.add(lane))).store(product.add(lane));
            }
        } else {
            let mut sum = V::splat(0.0);
            for lane in (diagonal + LANE..stride).step_by(LANE) {
                sum = V::load(entries.add(lane)).mul_add(V::load(x.add(lane)), sum);
            }
            *product.add(row) += sum.sum();
        }
    }
}

/// `product += matrix · x`, where the blocks on the diagonal of the matrix are whole.
///
/// # Safety
/// As [`outside`].
#[inline(always)]
pub unsafe fn symmetric<V: Vector>(matrix: &[f32], rank: usize, x: &[f32], product: &mut [f32]) {
    let stride = stride_of(rank);
    let (x, product) = (x.as_ptr(), product.as_mut_ptr());
    for row in 0..rank {
        let entries = matrix.as_ptr().add(row * stride);
        let diagonal = row / LANE * LANE;
        let factor = V::splat(*x.add(row));
        V::load(entries.add(diagonal)).mul_add(factor, V::load(product.add(diagonal))).store(product.add(diagonal));
        let mut sum = V::splat(0.0);
        for lane in (diagonal + LANE..stride).step_by(LANE) {
            let entries = V::load(entries.add(lane));
            entries.mul_add(factor, V::load(product.add(lane))).store(product.add(lane));
            sum = entries.mul_add(V::load(x.add(lane)), sum);
        }
        *product.add(row) += sum.sum();
    }
}

/// `product += panelᵀ·(panel·x)` over `depth` rows: the Gram matrix times `x`, without the matrix.
///
/// # Safety
/// The machine has the instructions of `V`; the panel has `depth` rows of `stride` floats, `x` and `product` one.
#[inline(always)]
pub unsafe fn twice<V: Vector>(panel: &[f32], depth: usize, stride: usize, x: &[f32], product: &mut [f32]) {
    let (x, product) = (x.as_ptr(), product.as_mut_ptr());
    // Eight rows at a time: their dot products do not wait for each other.
    for start in (0..depth).step_by(8) {
        let rows = panel.as_ptr().add(start * stride);
        let n_rows = (depth - start).min(8);
        let mut dots = [0f32; 8];
        for (place, dot) in dots.iter_mut().enumerate().take(n_rows) {
            let mut sum = V::splat(0.0);
            for lane in (0..stride).step_by(LANE) {
                sum = V::load(rows.add(place * stride + lane)).mul_add(V::load(x.add(lane)), sum);
            }
            *dot = sum.sum();
        }
        for lane in (0..stride).step_by(LANE) {
            let mut sum = V::load(product.add(lane));
            for (place, dot) in dots.iter().enumerate().take(n_rows) {
                sum = V::load(rows.add(place * stride + lane)).mul_add(V::splat(*dot), sum);
            }
            sum.store(product.add(lane));
        }
    }
}
