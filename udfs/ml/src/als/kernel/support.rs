//! Equations restricted to some of their unknowns, the others being zero.
#![allow(unsafe_code)]
// The contract of each function is that of the whole: pointers to whole matrices.
#![allow(unsafe_op_in_unsafe_fn)]

use super::aligned::LANE;
use super::stride_of;
use super::vector::Vector;

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
