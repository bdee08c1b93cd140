//! Sums of outer products: the upper triangle of `panelᵀ·panel`, tile by tile.
#![allow(unsafe_code)]
// The contract of each function is that of its tiles: pointers to whole matrices.
#![allow(unsafe_op_in_unsafe_fn)]
// Places count registers and memory at once; iterators over arrays of registers would put these in memory.
#![allow(clippy::needless_range_loop)]

use super::gather::Rows;
use super::stride_of;
use super::vector::{Floats, Registers, Vector};
use crate::memory::LANE;
use std::ops::Range;

/// What becomes of the sums: they are added to what was there.
pub const ADD: u8 = 0;
/// They are taken off what was there.
pub const SUBTRACT: u8 = 1;
/// They replace what was there.
pub const WRITE: u8 = 2;

/// What the sums are added to.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// Nothing.
    Zero,
    /// A matrix of the same shape.
    Base(&'a [f32]),
    /// What the matrix holds.
    Sums,
}

/// Rows that are fetched into the caches while others are worked on.
#[derive(Debug, Clone, Copy)]
pub struct Ahead<'a> {
    pub rows: &'a Rows<'a>,
    pub places: &'a [u32],
}

/// Fetches rows, a cache line or a whole one at a time.
struct Lines<'a> {
    rows: &'a Rows<'a>,
    places: std::slice::Iter<'a, u32>,
    address: *const f32,
    n_left: usize,
}

impl<'a> Lines<'a> {
    fn new(ahead: Ahead<'a>) -> Self {
        Self { rows: ahead.rows, places: ahead.places.iter(), address: std::ptr::null(), n_left: 0 }
    }

    /// Begins to fetch the next line; false when there is none.
    ///
    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    unsafe fn fetch<V: Vector>(&mut self) -> bool {
        if self.n_left == 0 {
            let Some(place) = self.places.next() else { return false };
            self.address = self.rows.data.as_ptr().wrapping_add(*place as usize * self.rows.rank);
            self.n_left = self.rows.rank.div_ceil(LANE);
        }
        V::prefetch_far(self.address);
        self.address = self.address.wrapping_add(LANE);
        self.n_left -= 1;
        true
    }

    /// Begins to fetch the next row, if there is one.
    ///
    /// # Safety
    /// As [`Self::fetch`].
    #[inline(always)]
    unsafe fn fetch_row<V: Vector>(&mut self) {
        let Some(place) = self.places.next() else { return };
        let address = self.rows.data.as_ptr().wrapping_add(*place as usize * self.rows.rank);
        for line in 0..self.rows.rank.div_ceil(LANE) {
            V::prefetch_far(address.wrapping_add(line * LANE));
        }
    }
}

/// `matrix = start + panelᵀ·panel` over `depth` rows of the panel, while the rows ahead are fetched: here memory has
/// nothing else to do.
///
/// # Safety
/// The machine has the instructions of `V`; the panel has `depth` rows and the matrices `stride` rows of whole lanes.
#[inline(always)]
pub unsafe fn gram<V: Vector>(panel: &[f32], depth: usize, rank: usize, start: Start<'_>, ahead: Ahead<'_>, matrix: &mut [f32]) {
    let (panel, stride, matrix) = (panel.as_ptr(), stride_of(rank), matrix.as_mut_ptr());
    // Spread over all sums: many at once would fill the queue of what memory has to bring, and all would wait for it.
    let n_lanes = stride / LANE;
    let n_lines = ahead.places.len() * ahead.rows.rank.div_ceil(LANE);
    // A tile has 20 registers on average.
    let pause = (n_lanes * (n_lanes + 1) / 2 * LANE * depth / (20 * n_lines.max(1))).max(1);
    // A pair of columns has a tile for some 6 of its rows.
    let rows_per_tile = ahead.places.len().div_ceil((n_lanes * n_lanes * 3 / 2).max(1));
    let (mut lines, mut wait) = (Lines::new(ahead), pause);
    let fetch = || {
        if V::REGISTERS == Registers::Some {
            for _ in 0..rows_per_tile {
                lines.fetch_row::<V>();
            }
            return;
        }
        wait -= 1;
        if wait == 0 {
            wait = pause;
            lines.fetch::<V>();
        }
    };
    match start {
        Start::Base(base) => update::<V, ADD>(panel, stride, depth, 0..rank, base.as_ptr(), matrix, fetch),
        Start::Zero => update::<V, WRITE>(panel, stride, depth, 0..rank, matrix, matrix, fetch),
        Start::Sums => update::<V, ADD>(panel, stride, depth, 0..rank, matrix, matrix, fetch),
    }
    while lines.fetch::<V>() {}
    if V::Register::WIDTH < LANE {
        // The tiles left out the lower half of the blocks on the diagonal.
        for block in (0..stride).step_by(LANE) {
            let (upper, lower) = (block * stride + block + 8, (block + 8) * stride + block);
            V::transpose(matrix.add(upper), stride, matrix.add(lower), stride);
        }
    }
}

/// Adds (subtracts) the outer products of `depth` rows to those of the base, or writes them, into the matrix rows
/// `rows`, whole eights. The base may be the matrix. `beside` is for what the processor can do beside the sums: it is
/// called for each row of one; for each tile with 16 registers, where a core has less to spare.
///
/// # Safety
/// As [`gram`]; the panel and those matrix rows do not overlap.
#[inline(always)]
pub unsafe fn update<V: Vector, const THEN: u8>(
    panel: *const f32,
    stride: usize,
    depth: usize,
    rows: Range<usize>,
    base: *const f32,
    matrix: *mut f32,
    mut beside: impl FnMut(),
) {
    let width = V::Register::WIDTH;
    if V::REGISTERS == Registers::Some && rows.start == 0 {
        return triangle::<V, THEN>(panel, stride, depth, rows.end.next_multiple_of(8), base, matrix, beside);
    }
    let mut row = rows.start;
    while row < rows.end {
        // Whole registers, from the one with the diagonal on.
        let mut column = row / width * width;
        if V::REGISTERS == Registers::Many && stride - column == LANE && row.is_multiple_of(LANE) && row + 8 < rows.end {
            // 8 accumulators would wait for each other.
            tile::<V::Register, 16, 1, THEN>(panel, stride, depth, (row, column), base, matrix, &mut beside);
            row += 16;
            continue;
        }
        while column < stride {
            let n_left = (stride - column) / width;
            column += width
                * match V::REGISTERS {
                    Registers::Many if n_left == 2 || n_left == 4 => {
                        tile::<V::Register, 8, 2, THEN>(panel, stride, depth, (row, column), base, matrix, &mut beside);
                        2
                    }
                    Registers::Many if n_left > 1 => {
                        tile::<V::Register, 8, 3, THEN>(panel, stride, depth, (row, column), base, matrix, &mut beside);
                        3
                    }
                    Registers::Some if n_left.is_multiple_of(2) => {
                        tile::<V::Register, 4, 2, THEN>(panel, stride, depth, (row, column), base, matrix, &mut beside);
                        tile::<V::Register, 4, 2, THEN>(panel, stride, depth, (row + 4, column), base, matrix, &mut beside);
                        2
                    }
                    Registers::Many | Registers::Some => {
                        tile::<V::Register, 8, 1, THEN>(panel, stride, depth, (row, column), base, matrix, &mut beside);
                        1
                    }
                    Registers::Few => {
                        for row in (row..row + 8).step_by(2) {
                            tile::<V::Register, 2, 1, THEN>(panel, stride, depth, (row, column), base, matrix, &mut beside);
                        }
                        1
                    }
                };
        }
        row += 8;
    }
}

/// [`update`] of the whole triangle with 16 registers: down pairs of their columns, where tiles of 6 rows have 12
/// sums (8 wait for each other, and 4 rows by 3 columns need a register more than there are).
/// What a core can issue at once limits these tiles, above all when its other thread is busy: nothing is beside the sums.
#[inline(always)]
unsafe fn triangle<V: Vector, const THEN: u8>(
    panel: *const f32,
    stride: usize,
    depth: usize,
    n_rows: usize,
    base: *const f32,
    matrix: *mut f32,
    mut beside: impl FnMut(),
) {
    for column in (0..stride).step_by(LANE) {
        let diagonal = (column + 8).min(n_rows);
        let mut row = 0;
        while row < diagonal {
            beside();
            if matches!(diagonal - row, 4 | 8) {
                tile::<V::Register, 4, 2, THEN>(panel, stride, depth, (row, column), base, matrix, &mut || {});
                row += 4;
            } else {
                tile::<V::Register, 6, 2, THEN>(panel, stride, depth, (row, column), base, matrix, &mut || {});
                row += 6;
            }
        }
        if diagonal < n_rows {
            tile::<V::Register, 8, 1, THEN>(panel, stride, depth, (diagonal, diagonal), base, matrix, &mut || {});
        }
    }
}

/// One tile of the sum, in registers from the first to the last row of the panel: `ROWS` from `row`, `PARTS` registers from `column`.
#[inline(always)]
unsafe fn tile<F: Floats, const ROWS: usize, const PARTS: usize, const THEN: u8>(
    panel: *const f32,
    stride: usize,
    depth: usize,
    (row, column): (usize, usize),
    base: *const f32,
    matrix: *mut f32,
    beside: &mut impl FnMut(),
) {
    let mut sums = [[F::splat(0.0); PARTS]; ROWS];
    let mut left = panel.add(row);
    let mut right = panel.add(column);
    // Counting costs what the tiles of 16 registers cannot spare.
    let together = if F::WIDTH == LANE { 1 } else { 4 };
    for _ in 0..depth / together {
        beside();
        for place in 0..together {
            add_row(left.add(place * stride), right.add(place * stride), &mut sums);
        }
        left = left.add(together * stride);
        right = right.add(together * stride);
    }
    for _ in 0..depth % together {
        add_row(left, right, &mut sums);
        left = left.add(stride);
        right = right.add(stride);
    }
    for (place, sums) in sums.iter().enumerate() {
        for (part, sum) in sums.iter().enumerate() {
            let offset = (row + place) * stride + column + part * F::WIDTH;
            let (before, entry) = (base.add(offset), matrix.add(offset));
            match THEN {
                WRITE => sum.store(entry),
                SUBTRACT => F::load(before).sub(*sum).store(entry),
                _ => F::load(before).add(*sum).store(entry),
            }
        }
    }
}

/// Adds the products of one row of the panel: its floats at `left` with those at `right`.
#[inline(always)]
unsafe fn add_row<F: Floats, const ROWS: usize, const PARTS: usize>(left: *const f32, right: *const f32, sums: &mut [[F; PARTS]; ROWS]) {
    let mut columns = [F::splat(0.0); PARTS];
    for (place, column) in columns.iter_mut().enumerate() {
        *column = F::load(right.add(place * F::WIDTH));
    }
    for (place, sums) in sums.iter_mut().enumerate() {
        let factor = F::splat(*left.add(place));
        for (sum, column) in sums.iter_mut().zip(columns) {
            *sum = factor.mul_add(column, *sum);
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
