//! Collects scattered rows into a contiguous panel.
#![allow(unsafe_code)]

use super::aligned::LANE;
use super::stride_of;
use super::vector::Vector;

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
