//! The best k items of a user, exactly: every item is scored, the rest is bookkeeping.

use crate::als::{Factors, dot};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

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
/// `excluded` lists items to leave out, ascending. When fewer than `k` items remain, all of them are
/// returned: no list is ever filled up with excluded items.
///
/// # Cost
/// O(items·rank + hits·log k), where a hit is an item that enters the list.
pub fn of_user(user: &[f32], items: &Factors, k: usize, excluded: &[u32]) -> Vec<Scored> {
    debug_assert!(excluded.is_sorted());
    // An `as u32` cannot cut: items are numbered by u32 from the start.
    let scores = items.rows().enumerate().map(|(item, factors)| Scored { item: item as u32, score: dot(user, factors) });
    select(scores, k, excluded)
}

/// Returns the best `k` of scored items that come in ascending order of item.
pub fn select(scored: impl Iterator<Item = Scored>, k: usize, excluded: &[u32]) -> Vec<Scored> {
    if k == 0 {
        return Vec::new();
    }
    let mut excluded = excluded.iter().copied().peekable();
    // The worst of the best is on top. It grows as needed: k may be far more than there are items.
    let mut best: BinaryHeap<Reverse<Scored>> = BinaryHeap::with_capacity(k.min(1024) + 1);
    for candidate in scored {
        while excluded.next_if(|item| *item < candidate.item).is_some() {}
        if excluded.peek() == Some(&candidate.item) {
            continue;
        }
        if best.len() < k {
            best.push(Reverse(candidate));
        } else if let Some(mut worst) = best.peek_mut()
            && candidate > worst.0
        {
            *worst = Reverse(candidate);
        }
    }
    // Ascending by `Reverse` is descending by score.
    best.into_sorted_vec().into_iter().map(|Reverse(scored)| scored).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items_of(scored: &[Scored]) -> Vec<u32> {
        scored.iter().map(|scored| scored.item).collect()
    }

    #[test]
    fn nothing_is_invented_when_too_few_items_remain() {
        let items = Factors::from_vec(1, vec![1.0, 2.0, 3.0]);
        assert_eq!(items_of(&of_user(&[1.0], &items, 10, &[])), [2, 1, 0]);
        assert_eq!(items_of(&of_user(&[1.0], &items, 10, &[0, 2])), [1]);
        assert_eq!(of_user(&[1.0], &items, 10, &[0, 1, 2]), []);
        assert_eq!(of_user(&[1.0], &items, 0, &[]), []);
        assert_eq!(of_user(&[1.0], &Factors::zeros(0, 1), 5, &[]), []);
    }

    #[test]
    fn ties_go_to_the_smaller_item() {
        let items = Factors::from_vec(1, vec![1.0, 2.0, 2.0, 1.0, 2.0, 1.0]);
        assert_eq!(items_of(&of_user(&[1.0], &items, 2, &[])), [1, 2]);
        assert_eq!(items_of(&of_user(&[1.0], &items, 4, &[])), [1, 2, 4, 0]);
        assert_eq!(items_of(&of_user(&[0.0], &items, 3, &[0])), [1, 2, 3]);
    }

    #[test]
    fn it_equals_a_full_sort() {
        for seed in 0..20u64 {
            let mut stream = crate::random::Stream::new(seed, 0);
            // Few distinct values: many ties.
            let items = Factors::from_vec(2, (0..400).map(|_| (stream.next_u64() % 7) as f32 - 3.0).collect());
            let user = [stream.gaussian() as f32, 1.0];
            let excluded: Vec<u32> = (0..200).filter(|_| stream.uniform() < 0.3).collect();
            let mut all: Vec<Scored> =
                items.rows().enumerate().map(|(item, row)| Scored { item: item as u32, score: dot(&user, row) }).collect();
            all.retain(|scored| !excluded.contains(&scored.item));
            all.sort_by(|left, right| right.score.total_cmp(&left.score).then(left.item.cmp(&right.item)));
            for k in [1, 7, 50, 199, 500] {
                assert_eq!(of_user(&user, &items, k, &excluded), all[..k.min(all.len())], "seed {seed}, k {k}");
            }
        }
    }
}
