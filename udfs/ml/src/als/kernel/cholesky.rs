//! Cholesky's decomposition `A = UᵀU`, blocks of 8 rows at a time, with the forward substitution in it.
//!
//! ```text
//!        ┌ ◥▪▪▪▪▪▪ │ ▪▪▪▪▪▪ ┐    finished rows
//!        │   ◥▪▪▪▪ │ ▪▪▪▪▪▪ │
//!    A = │     ◥▪▪ │ ▪▪▪▪▪▪ │ ── 1. subtract the outer products of all finished rows from the next 8, as for the Gram matrix
//!        │         │        │    2. eliminate inside the block on the diagonal; 3. the same to the other columns
//!        └         │        ┘
//! ```
//!
//! Each sum of products stays in a register from the first finished row to the last (the left-looking order): the rows
//! of the matrix are written once.
//!
//! Source: Golub, Van Loan 2013, *Matrix Computations*, §4.2.9 (block Cholesky).
#![allow(unsafe_code)]
// The contract of each function is that of the whole: pointers to whole matrices.
#![allow(unsafe_op_in_unsafe_fn)]

use super::gram;
use super::stride_of;
use super::vector::{Floats, Vector};
use crate::memory::LANE;

const BLOCK: usize = 8;

/// A loop over constants, written out: of one with a changing end the compiler makes a loop, and keeps in memory the
/// registers that it counts.
macro_rules! unrolled {
    ($place:ident in $($value:literal)* $body:block) => {
        $({
            const $place: usize = $value;
            $body
        })*
    };
}

/// What the elimination inside a block did, to do it to the other columns of its rows.
#[repr(C, align(64))]
struct Elimination {
    /// Row `i` loses `factors[k][half + i]` times row `k`.
    factors: [[f32; LANE]; BLOCK],
    /// The right side loses `right_factors[k]` times row `k`.
    right_factors: [f32; BLOCK],
    /// One over the root of each pivot.
    scales: [f32; BLOCK],
}

/// Solves `matrix · x = right`, using both up; false when a pivot is not above its limit or `x` not finite.
///
/// # Safety
/// The machine has the instructions of `V`; the matrix has `stride` rows of whole lanes, the vectors one.
#[inline(always)]
pub unsafe fn cholesky<V: Vector>(matrix: &mut [f32], rank: usize, right: &mut [f32], limits: &[f32], x: &mut [f32]) -> bool {
    let stride = stride_of(rank);
    let n_rows = rank.next_multiple_of(BLOCK);
    for row in rank..n_rows {
        // Rows that nobody asked for: x = 0.
        matrix[row * stride + row] = 1.0;
    }
    let (matrix, right) = (matrix.as_mut_ptr(), right.as_mut_ptr());
    let mut done = Elimination { factors: [[0.0; LANE]; BLOCK], right_factors: [0.0; BLOCK], scales: [0.0; BLOCK] };
    let mut is_definite = true;
    for start in (0..n_rows).step_by(BLOCK) {
        if start > 0 {
            gram::update::<V, { gram::SUBTRACT }>(matrix, stride, start, start..start + BLOCK, matrix, matrix, || {});
        }
        let limits = &limits[start..start + BLOCK];
        let (width, half) = (V::Register::WIDTH, start % V::Register::WIDTH);
        is_definite &= if half == 0 {
            eliminate::<V::Register, 0>(matrix, stride, start, right, limits, &mut done)
        } else {
            eliminate::<V::Register, BLOCK>(matrix, stride, start, right, limits, &mut done)
        };
        for column in (start - half + width..stride).step_by(width) {
            follow::<V::Register>(matrix.add(start * stride + column), stride, right.add(column), half, &done);
        }
        // The scales are needed again on the way back; the diagonal is not.
        for (row, scale) in done.scales.iter().enumerate() {
            *matrix.add((start + row) * stride + start + row) = *scale;
        }
    }
    x[..stride].fill(0.0);
    substitute::<V>(matrix, stride, n_rows, right, x.as_mut_ptr());
    is_definite && x[..stride].iter().all(|value| value.is_finite())
}

/// Eliminates inside the register that holds the block's diagonal, which begins at place `HALF` of it.
#[inline(always)]
unsafe fn eliminate<F: Floats, const HALF: usize>(
    matrix: *mut f32,
    stride: usize,
    start: usize,
    right: *mut f32,
    limits: &[f32],
    done: &mut Elimination,
) -> bool {
    let column = start - HALF;
    let first = matrix.add(start * stride + column);
    let mut rows = [F::splat(0.0); BLOCK];
    for (place, row) in rows.iter_mut().enumerate() {
        *row = F::load(first.add(place * stride));
    }
    let mut targets = F::load(right.add(column));
    let mut is_definite = true;
    // The inverse pivot is all that the next pivot waits for: the root is taken beside it, and what it is multiplied
    // with is ready before it.
    unrolled!(K in 0 1 2 3 4 5 6 7 {
        let pivot = rows[K].spread(HALF + K).first();
        is_definite &= pivot > limits[K];
        let (inverse, scale) = (F::splat(1.0 / pivot), 1.0 / pivot.sqrt());
        let target = targets.spread(HALF + K);
        let right_factor = target.mul(inverse);
        unrolled!(I in 1 2 3 4 5 6 7 {
            if I > K {
                rows[I] = rows[K].spread(HALF + I).mul(inverse).mul_sub_from(rows[K], rows[I]);
            }
        });
        targets = right_factor.mul_sub_from(rows[K], targets);
        rows[K].mul(inverse).store(done.factors[K].as_mut_ptr());
        done.right_factors[K] = right_factor.first();
        done.scales[K] = scale;
        rows[K].mul(F::splat(scale)).store(first.add(K * stride));
        // Finished: the solution of the forward substitution.
        *right.add(start + K) = target.first() * scale;
    });
    // The places after the block in this register are not finished.
    if HALF + BLOCK < F::WIDTH {
        let mut rest = [0f32; LANE];
        targets.store(rest.as_mut_ptr());
        std::ptr::copy_nonoverlapping(rest.as_ptr().add(BLOCK), right.add(start + BLOCK), BLOCK);
    }
    is_definite
}

/// Does to another register of the block's rows, and of the right side, what was done inside the block.
#[inline(always)]
unsafe fn follow<F: Floats>(first: *mut f32, stride: usize, right: *mut f32, half: usize, done: &Elimination) {
    let mut rows = [F::splat(0.0); BLOCK];
    for (place, row) in rows.iter_mut().enumerate() {
        *row = F::load(first.add(place * stride));
    }
    let mut targets = F::load(right);
    for k in 0..BLOCK {
        let factors = done.factors[k].as_ptr().add(half);
        targets = F::splat(done.right_factors[k]).mul_sub_from(rows[k], targets);
        for i in k + 1..BLOCK {
            rows[i] = F::splat(*factors.add(i)).mul_sub_from(rows[k], rows[i]);
        }
        rows[k].mul(F::splat(done.scales[k])).store(first.add(k * stride));
    }
    targets.store(right);
}

/// Back substitution `U x = y`; `x` is zero, and the diagonal of `matrix` holds the inverse of that of `U`.
#[inline(always)]
unsafe fn substitute<V: Vector>(matrix: *const f32, stride: usize, n_rows: usize, right: *const f32, x: *mut f32) {
    for start in (0..n_rows).step_by(BLOCK).rev() {
        let mut rest = [0f32; BLOCK];
        for (place, rest) in rest.iter_mut().enumerate() {
            let row = matrix.add((start + place) * stride);
            let mut sum = V::splat(0.0);
            // What is not solved yet is zero in `x`.
            for lane in start / LANE..stride / LANE {
                sum = V::load(row.add(lane * LANE)).mul_add(V::load(x.add(lane * LANE)), sum);
            }
            *rest = *right.add(start + place) - sum.sum();
        }
        let block = matrix.add(start * stride + start);
        for k in (0..BLOCK).rev() {
            let value = rest[k] * *block.add(k * stride + k);
            *x.add(start + k) = value;
            for (i, rest) in rest.iter_mut().enumerate().take(k) {
                *rest = V::scalar_mul_sub_from(*block.add(i * stride + k), value, *rest);
            }
        }
    }
}
