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
}

/// Copies rows; `ahead[i]` is prefetched while `neighbours[i]` is copied.
///
/// # Safety
/// The machine has the instructions of `V`; `panel` has room for a row of whole lanes per neighbour.
#[inline(always)]
pub unsafe fn gather<V: Vector>(rows: &Rows<'_>, neighbours: &[u32], ahead: &[u32], weights: Option<&[f32]>, panel: &mut [f32]) {
    let stride = stride_of(rows.rank);
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
        // SAFETY: `source` has `n_full` lanes and `n_rest` floats more, `target` as many whole lanes.
        unsafe {
            let (from, to) = (source.as_ptr(), target.as_mut_ptr());
            let factor = V::splat(weight);
            for lane in 0..n_full {
                let value = V::load(from.add(lane * LANE));
                (if is_weighted { value.mul(factor) } else { value }).store(to.add(lane * LANE));
            }
            if n_rest > 0 {
                let value = V::load_first(from.add(n_full * LANE), n_rest);
                (if is_weighted { value.mul(factor) } else { value }).store(to.add(n_full * LANE));
            }
        }
    }
}
