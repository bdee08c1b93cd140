//! The best k items of a user, exactly: no list is approximate, and ties never depend on the order of work.
//!
//! ```text
//! item Factors (+ biases) ─► ItemIndex ──┬─ top          one user                  ─► Vec<Scored>
//!   (norm descending, blocks of 64)      ├─ top_of_many  users × items in tiles    ─► TopLists
//!                                        └─ score        one pair, the same bits
//! any Factors ─► CosineIndex ─ similar ─► the nearest rows by angle
//! ```

mod batch; //   many users at once, on several threads
mod best; //    the best k so far
mod bitmap; //  a set of items
mod coarse; //  factors of 8 bits: what need not be scored exactly
mod index; //   items in blocks, and the search of one user
mod kernel; //  the scores of a block: SIMD
mod similar; // rows by cosine

#[cfg(test)]
mod tests;

pub use batch::{Batch, Excluded, TopLists};
pub use bitmap::Bitmap;
pub use index::{Filter, ItemIndex};
pub use similar::CosineIndex;

pub(crate) use best::Best;
pub(crate) use kernel::TILE;

use kernel::LANES;

use crate::als::{Factors, dot};
use std::cmp::Ordering;

/// An item with its score. The order is by score, then by the smaller item: a total order, so that
/// ties never depend on the order of work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    pub item: u32,
    pub score: f32,
}

impl Eq for Scored {}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.item.cmp(&self.item))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Returns the `k` items with the highest dot product with `user`, best first, ties by the smaller item.
///
/// It needs no index, so it is what to call when the items change between calls; a model that stays builds
/// an [`ItemIndex`] once, which is several times as fast (and sums in another order: the last bits differ).
/// `excluded` lists items to leave out, ascending. When fewer than `k` items remain, all of them are
/// returned: no list is ever filled up with excluded items.
///
/// # Cost
/// O(items·rank + hits·log k), where a hit is an item that enters the list.
pub fn of_user(user: &[f32], items: &Factors, k: usize, excluded: &[u32]) -> Vec<Scored> {
    // An `as u32` cannot cut: items are numbered by u32 from the start.
    let scores = items.rows().enumerate().map(|(item, factors)| Scored { item: item as u32, score: dot(user, factors) });
    select(scores, k, excluded)
}

/// Returns the best `k` of scored items that come in ascending order of item; `excluded` ascending. An item
/// whose score is NaN is never among them.
pub fn select(scored: impl Iterator<Item = Scored>, k: usize, excluded: &[u32]) -> Vec<Scored> {
    debug_assert!(excluded.is_sorted());
    let mut excluded = excluded.iter().copied().peekable();
    let mut best = Best::new(k);
    for candidate in scored {
        while excluded.next_if(|item| *item < candidate.item).is_some() {}
        if excluded.peek() != Some(&candidate.item) && candidate.score >= best.threshold() {
            best.offer(candidate.item, candidate.score);
        }
    }
    best.into_sorted()
}
