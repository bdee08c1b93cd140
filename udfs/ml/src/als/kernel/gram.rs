//! Sums of outer products: the upper triangle of `panelᵀ·panel`, tile by tile.
#![allow(unsafe_code)]
// The contract of each function is that of its tiles: pointers to whole matrices.
#![allow(unsafe_op_in_unsafe_fn)]
// Places count registers and memory at once; iterators over arrays of registers would put these in memory.
#![allow(clippy::needless_range_loop)]

use super::aligned::LANE;
use super::stride_of;
use super::vector::{Registers, Vector};

/// What becomes of the sums: they are added to what was there.
pub const ADD: u8 = 0;
/// They are taken off what was there.
pub const SUBTRACT: u8 = 1;
/// They replace what was there.
pub const WRITE: u8 = 2;

/// `matrix = base + panelᵀ·panel` over `depth` rows of the panel when `is_first`, else `+=`. Without a base it begins with 0.
///
/// # Safety
/// The machine has the instructions of `V`; the panel has `depth` rows and the matrix `stride` rows of whole lanes.
#[inline(always)]
pub unsafe fn gram<V: Vector>(panel: &[f32], depth: usize, rank: usize, is_first: bool, base: Option<&[f32]>, matrix: &mut [f32]) {
    let (panel, stride, matrix) = (panel.as_ptr(), stride_of(rank), matrix.as_mut_ptr());
    match base {
        Some(base) if is_first => update::<V, ADD>(panel, stride, depth, 0, rank, base.as_ptr(), matrix),
        None if is_first => update::<V, WRITE>(panel, stride, depth, 0, rank, matrix, matrix),
        _ => update::<V, ADD>(panel, stride, depth, 0, rank, matrix, matrix),
    }
}

/// Adds (subtracts) the outer products of `depth` rows to those of the base, or writes them, into the matrix rows from
/// `first_row`, a multiple of 8. The base may be the matrix.
///
/// # Safety
/// As [`gram`]; the panel and those matrix rows do not overlap.
#[inline(always)]
pub unsafe fn update<V: Vector, const THEN: u8>(
    panel: *const f32,
    stride: usize,
    depth: usize,
    first_row: usize,
    rank: usize,
    base: *const f32,
    matrix: *mut f32,
) {
    let n_lanes = stride / LANE;
    let mut row = first_row;
    while row < rank {
        let mut lane = row / LANE;
        match V::REGISTERS {
            Registers::Many => {
                if n_lanes - lane == 1 && row.is_multiple_of(LANE) && row + 8 < rank {
                    // 8 accumulators would wait for each other.
                    tile::<V, 16, 1, THEN>(panel, stride, depth, row, lane, base, matrix);
                    row += 16;
                    continue;
                }
                while lane < n_lanes {
                    match n_lanes - lane {
                        1 => {
                            tile::<V, 8, 1, THEN>(panel, stride, depth, row, lane, base, matrix);
                            lane += 1;
                        }
                        2 | 4 => {
                            tile::<V, 8, 2, THEN>(panel, stride, depth, row, lane, base, matrix);
                            lane += 2;
                        }
                        _ => {
                            tile::<V, 8, 3, THEN>(panel, stride, depth, row, lane, base, matrix);
                            lane += 3;
                        }
                    }
                }
            }
            Registers::Some => {
                for lane in lane..n_lanes {
                    tile::<V, 4, 1, THEN>(panel, stride, depth, row, lane, base, matrix);
                    tile::<V, 4, 1, THEN>(panel, stride, depth, row + 4, lane, base, matrix);
                }
            }
            Registers::Few => {
                for lane in lane..n_lanes {
                    for part in 0..4 {
                        tile::<V, 2, 1, THEN>(panel, stride, depth, row + 2 * part, lane, base, matrix);
                    }
                }
            }
        }
        row += 8;
    }
}

/// One tile of the sum, in registers from the first to the last row of the panel.
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const LANES: usize, const THEN: u8>(
    panel: *const f32,
    stride: usize,
    depth: usize,
    row: usize,
    lane: usize,
    base: *const f32,
    matrix: *mut f32,
) {
    let mut sums = [[V::splat(0.0); LANES]; ROWS];
    let mut left = panel.add(row);
    let mut right = panel.add(lane * LANE);
    for _ in 0..depth {
        let mut columns = [V::splat(0.0); LANES];
        for (place, column) in columns.iter_mut().enumerate() {
            *column = V::load(right.add(place * LANE));
        }
        for (place, sums) in sums.iter_mut().enumerate() {
            let factor = V::splat(*left.add(place));
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = factor.mul_add(column, *sum);
            }
        }
        left = left.add(stride);
        right = right.add(stride);
    }
    for (place, sums) in sums.iter().enumerate() {
        for (part, sum) in sums.iter().enumerate() {
            let offset = (row + place) * stride + (lane + part) * LANE;
            let (before, entry) = (base.add(offset), matrix.add(offset));
            match THEN {
                WRITE => sum.store(entry),
                SUBTRACT => V::load(before).sub(*sum).store(entry),
                _ => V::load(before).add(*sum).store(entry),
            }
        }
    }
}

/// `right += panelᵀ·targets`.
///
/// # Safety
/// The machine has the instructions of `V`; the panel has a row of `stride` floats per target, `right` one such row.
#[inline(always)]
pub unsafe fn right<V: Vector>(panel: &[f32], stride: usize, targets: &[f32], right: &mut [f32]) {
    let mut lane = 0;
    let n_lanes = stride / LANE;
    while lane < n_lanes {
        let (panel, right) = (panel.as_ptr().add(lane * LANE), right.as_mut_ptr().add(lane * LANE));
        if n_lanes - lane >= 4 {
            right_part::<V, 4>(panel, stride, targets, right);
            lane += 4;
        } else {
            right_part::<V, 1>(panel, stride, targets, right);
            lane += 1;
        }
    }
}

/// Even and odd rows are summed apart: their additions need not wait for each other.
#[inline(always)]
unsafe fn right_part<V: Vector, const LANES: usize>(panel: *const f32, stride: usize, targets: &[f32], right: *mut f32) {
    let mut sums = [[V::splat(0.0); LANES]; 2];
    let mut from = panel;
    let mut pairs = targets.chunks_exact(2);
    for pair in &mut pairs {
        for (target, sums) in pair.iter().zip(&mut sums) {
            let target = V::splat(*target);
            for (place, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(from.add(place * LANE)).mul_add(target, *sum);
            }
            from = from.add(stride);
        }
    }
    for target in pairs.remainder() {
        for (place, sum) in sums[0].iter_mut().enumerate() {
            *sum = V::load(from.add(place * LANE)).mul_add(V::splat(*target), *sum);
        }
    }
    for place in 0..LANES {
        let entry = right.add(place * LANE);
        V::load(entry).add(sums[0][place].add(sums[1][place])).store(entry);
    }
}
