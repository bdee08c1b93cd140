//! The best k items so far.

use super::Scored;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Keeps the best `k` of the items it is offered, in any order: score descending, then the smaller item.
#[derive(Debug, Clone)]
pub(crate) struct Best {
    k: usize,
    /// Keys (see [`key`]); the worst is on top. It grows as needed: k may be far more than there are items.
    heap: BinaryHeap<Reverse<u64>>,
    threshold: f32,
}

impl Best {
    /// Keeps nothing yet.
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::with_capacity(k.min(1024)), threshold: Self::threshold_at_first(k) }
    }

    /// With k = 0 nothing reaches the threshold.
    fn threshold_at_first(k: usize) -> f32 {
        if k == 0 { f32::NAN } else { f32::NEG_INFINITY }
    }

    /// An item whose score is not at least this cannot enter; NaN when nothing can.
    #[inline]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Takes the item when it is among the best so far. The score must not be NaN.
    #[inline]
    pub fn offer(&mut self, item: u32, score: f32) {
        let key = key(item, score);
        if self.heap.len() < self.k {
            self.heap.push(Reverse(key));
            if self.heap.len() < self.k {
                return;
            }
        } else {
            match self.heap.peek_mut() {
                Some(mut worst) if key > worst.0 => *worst = Reverse(key),
                _ => return,
            }
        }
        if let Some(Reverse(worst)) = self.heap.peek() {
            self.threshold = scored(*worst).score;
        }
    }

    /// Appends the items to `list`, best first, and is empty again with the same `k`.
    pub fn drain_into(&mut self, list: &mut Vec<Scored>) {
        let start = list.len();
        list.extend(self.heap.drain().map(|Reverse(key)| scored(key)));
        list[start..].sort_unstable_by_key(|scored| Reverse(key(scored.item, scored.score)));
        self.threshold = Self::threshold_at_first(self.k);
    }

    /// The items, best first.
    pub fn into_sorted(mut self) -> Vec<Scored> {
        let mut list = Vec::with_capacity(self.heap.len());
        self.drain_into(&mut list);
        list
    }
}

/// A number that is larger for the better item, so that one integer comparison decides.
#[inline]
fn key(item: u32, score: f32) -> u64 {
    // Adding zero makes -0 and 0 the same score: they are a tie.
    let bits = (score + 0.0).to_bits();
    // The order of IEEE numbers as integers: all bits of a negative one turned, the sign bit of a positive one.
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(ordered) << 32 | u64::from(!item)
}

/// The inverse of [`key`].
#[inline]
fn scored(key: u64) -> Scored {
    let ordered = (key >> 32) as u32;
    let bits = if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered };
    Scored { item: !(key as u32), score: f32::from_bits(bits) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_scores_do_and_come_back() {
        let scores = [f32::NEG_INFINITY, f32::MIN, -1.5, -f32::MIN_POSITIVE, -1e-45, 0.0, 1e-45, 0.1, 3.0, f32::MAX, f32::INFINITY];
        let mut last = None;
        for score in scores {
            for item in [u32::MAX, 7, 6, 0] {
                let key = key(item, score);
                assert!(last.is_none_or(|last| last < key), "{score} {item}");
                assert_eq!(scored(key), Scored { item, score });
                last = Some(key);
            }
        }
        assert_eq!(key(3, -0.0), key(3, 0.0));
    }

    #[test]
    fn a_drained_one_begins_anew() {
        let mut best = Best::new(2);
        let mut list = Vec::new();
        for item in 0..5 {
            best.offer(item, item as f32);
        }
        assert_eq!(best.threshold(), 3.0);
        best.drain_into(&mut list);
        assert_eq!(best.threshold(), f32::NEG_INFINITY);
        best.offer(9, -1.0);
        best.drain_into(&mut list);
        assert_eq!(list.iter().map(|scored| scored.item).collect::<Vec<_>>(), [4, 3, 9]);
    }
}
