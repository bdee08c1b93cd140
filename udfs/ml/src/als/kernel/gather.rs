//! Collects scattered rows into a contiguous panel.
#![allow(unsafe_code)]

use super::stride_of;
use super::vector::Vector;
use crate::memory::{LANE, prefetch};

/// Dense rows of any rank, not aligned, as a model holds them.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub data: &'a [f32],
    pub rank: usize,
    /// A column of ones after the others, for a bias that is learned with the factors.
    pub with_one: bool,
}

impl Rows<'_> {
    /// The columns of the panel.
    pub fn n_columns(&self) -> usize {
        self.rank + usize::from(self.with_one)
    }
}

/// Neighbours of a row, with their weights (1 without) and targets.
#[derive(Debug, Clone, Copy)]
pub struct Weighted<'a> {
    pub neighbours: &'a [u32],
    pub weights: Option<&'a [f32]>,
    pub targets: &'a [f32],
}

/// Begins to fetch the first numbers of a slice; the processor finds the later ones by itself.
pub fn fetch<T>(numbers: &[T]) {
    const LINES_MAX: usize = 8;
    let per_line = (size_of::<[f32; LANE]>() / size_of::<T>()).max(1);
    for line in 0..numbers.len().div_ceil(per_line).min(LINES_MAX) {
        prefetch(numbers, line * per_line);
    }
}

/// Copies rows; `ahead[i]` is prefetched while `neighbours[i]` is copied.
///
/// # Safety
/// The machine has the instructions of `V`; `panel` has room for a row of whole lanes per neighbour.
#[inline(always)]
pub unsafe fn gather<V: Vector>(rows: &Rows<'_>, neighbours: &[u32], ahead: &[u32], weights: Option<&[f32]>, panel: &mut [f32]) {
    let stride = stride_of(rows.n_columns());
    match weights {
        // SAFETY: passed on.
        None => unsafe { copy::<V>(rows, neighbours, ahead, |_| 1.0, false, panel, stride) },
        Some(weights) => unsafe { copy::<V>(rows, neighbours, ahead, |place| weights[place], true, panel, stride) },
    }
}

#[inline(always)]
unsafe fn copy<V: Vector>(
    rows: &Rows<'_>,
    neighbours: &[u32],
    ahead: &[u32],
    weight: impl Fn(usize) -> f32,
    is_weighted: bool,
    panel: &mut [f32],
    stride: usize,
) {
    let rank = rows.rank;
    let (n_full, n_rest) = (rank / LANE, rank % LANE);
    for (place, (neighbour, target)) in neighbours.iter().zip(panel.chunks_exact_mut(stride)).enumerate() {
        if let Some(next) = ahead.get(place) {
            let address = rows.data.as_ptr().wrapping_add(*next as usize * rank);
            for line in 0..rank.div_ceil(LANE) {
                // SAFETY: a prefetch of any address is harmless.
                unsafe { V::prefetch(address.wrapping_add(line * LANE)) };
            }
        }
        let start = *neighbour as usize * rank;
        let source = &rows.data[start..start + rank];
        let weight = weight(place);
        let weight = is_weighted.then_some(weight);
        // SAFETY: `source` has `n_full` lanes and `n_rest` floats more, `target` as many whole lanes.
        unsafe {
            let (from, to) = (source.as_ptr(), target.as_mut_ptr());
            // Unrolled for the usual ranks: the compiler would make a call of memcpy out of a loop.
            match n_full {
                0 => {}
                1 => copy_lanes::<V, 1>(from, to, weight),
                2 => copy_lanes::<V, 2>(from, to, weight),
                3 => copy_lanes::<V, 3>(from, to, weight),
                _ => {
                    for lane in (0..n_full - 3).step_by(4) {
                        copy_lanes::<V, 4>(from.add(lane * LANE), to.add(lane * LANE), weight);
                    }
                    for lane in n_full / 4 * 4..n_full {
                        copy_lanes::<V, 1>(from.add(lane * LANE), to.add(lane * LANE), weight);
                    }
                }
            }
            if n_rest > 0 {
                let value = V::load_first(from.add(n_full * LANE), n_rest);
                weight.map_or(value, |weight| value.mul(V::splat(weight))).store(to.add(n_full * LANE));
            }
        }
        if rows.with_one {
            target[rank] = weight.unwrap_or(1.0);
        }
    }
}

/// Copies rows as [`gather`] does, and adds them times their targets to `right` on the way: they are in registers.
///
/// # Safety
/// As [`gather`]; as many targets as neighbours, and `right` has whole lanes for a row.
#[inline(always)]
pub unsafe fn gather_right<V: Vector>(rows: &Rows<'_>, ratings: &Weighted<'_>, panel: &mut [f32], right: &mut [f32]) {
    let (stride, n_full) = (stride_of(rows.n_columns()), rows.rank / LANE);
    // SAFETY: the caller's promises.
    unsafe {
        match ratings.weights {
            None => gather_full::<V>(rows, ratings, |_| None, panel, right),
            Some(weights) => gather_full::<V>(rows, ratings, |place| Some(weights[place]), panel, right),
        }
    }
    if n_full * LANE == stride {
        return;
    }
    // The last lane is not full, or has the column of ones alone.
    let n_rest = rows.rank % LANE;
    let mut sum = unsafe { V::splat(0.0) };
    for (place, (neighbour, target)) in ratings.neighbours.iter().zip(ratings.targets).enumerate() {
        let source = &rows.data[*neighbour as usize * rows.rank..][..rows.rank];
        let entry = &mut panel[place * stride + n_full * LANE..][..LANE];
        let weight = ratings.weights.map_or(1.0, |weights| weights[place]);
        // SAFETY: `n_rest` floats are left in the source, and a lane in the panel.
        unsafe {
            V::load_first(source.as_ptr().wrapping_add(n_full * LANE), n_rest).mul(V::splat(weight)).store(entry.as_mut_ptr());
            if rows.with_one {
                entry[n_rest] = weight;
            }
            sum = V::load(entry.as_ptr()).mul_add(V::splat(*target), sum);
        }
    }
    let last = &mut right[n_full * LANE..][..LANE];
    // SAFETY: a whole lane.
    unsafe { V::load(last.as_ptr()).add(sum).store(last.as_mut_ptr()) };
}

/// The lanes that are full, for [`gather_right`].
#[inline(always)]
unsafe fn gather_full<V: Vector>(
    rows: &Rows<'_>,
    ratings: &Weighted<'_>,
    weight: impl Fn(usize) -> Option<f32>,
    panel: &mut [f32],
    right: &mut [f32],
) {
    let n_full = rows.rank / LANE;
    let mut lane = 0;
    // SAFETY: passed on; `lane + LANES` full lanes are in each row.
    unsafe {
        while lane + 4 <= n_full {
            gather_lanes::<V, 4>(rows, ratings, &weight, lane, panel, right);
            lane += 4;
        }
        while lane < n_full {
            gather_lanes::<V, 1>(rows, ratings, &weight, lane, panel, right);
            lane += 1;
        }
    }
}

/// Copies `n_rows` rows of a panel, whole lanes of them, as columns.
///
/// # Safety
/// The machine has the instructions of `V`; `panel` and `turned` have room for `n_rows · stride` floats.
#[inline(always)]
pub unsafe fn turn<V: Vector>(panel: &[f32], stride: usize, n_rows: usize, turned: &mut [f32]) {
    for row in (0..n_rows).step_by(8) {
        for column in (0..stride).step_by(8) {
            // SAFETY: blocks of 8 × 8 inside both.
            unsafe {
                let (from, to) = (panel.as_ptr().add(row * stride + column), turned.as_mut_ptr().add(column * n_rows + row));
                V::transpose(from, stride, to, n_rows);
            }
        }
    }
}

/// `LANES` lanes from `lane` on, all of them full, for [`gather_right`].
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn gather_lanes<V: Vector, const LANES: usize>(
    rows: &Rows<'_>,
    ratings: &Weighted<'_>,
    weight: impl Fn(usize) -> Option<f32>,
    lane: usize,
    panel: &mut [f32],
    right: &mut [f32],
) {
    let stride = stride_of(rows.n_columns());
    // SAFETY: the bounds of source, panel and right side are checked; lanes are whole.
    unsafe {
        let mut sums = [V::splat(0.0); LANES];
        let places = ratings.neighbours.iter().zip(ratings.targets).zip(panel.chunks_exact_mut(stride));
        for (place, ((neighbour, target), row)) in places.enumerate() {
            let source = &rows.data[*neighbour as usize * rows.rank..][..rows.rank];
            let (from, to) = (source[lane * LANE..][..LANES * LANE].as_ptr(), row[lane * LANE..][..LANES * LANE].as_mut_ptr());
            let target = V::splat(*target);
            let weight = weight(place);
            // By index: an iterator over the array would keep it in memory.
            for part in 0..LANES {
                let value = V::load(from.add(part * LANE));
                let value = weight.map_or(value, |weight| value.mul(V::splat(weight)));
                value.store(to.add(part * LANE));
                sums[part] = value.mul_add(target, sums[part]);
            }
        }
        let right = &mut right[lane * LANE..][..LANES * LANE];
        for part in 0..LANES {
            let entry = right.as_mut_ptr().add(part * LANE);
            V::load(entry).add(sums[part]).store(entry);
        }
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn copy_lanes<V: Vector, const LANES: usize>(from: *const f32, to: *mut f32, weight: Option<f32>) {
    // SAFETY: the caller has as many lanes on both sides.
    unsafe {
        let mut values = [V::splat(0.0); LANES];
        // By index: an iterator over the array would keep it in memory.
        for lane in 0..LANES {
            values[lane] = V::load(from.add(lane * LANE));
            if let Some(weight) = weight {
                values[lane] = values[lane].mul(V::splat(weight));
            }
        }
        for lane in 0..LANES {
            values[lane].store(to.add(lane * LANE));
        }
    }
}
