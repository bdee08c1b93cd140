//! What chance decides: the rows of a tree and the features of a node.

use crate::random::Stream;

/// Keep the draws for different purposes apart under one seed.
const ROWS: u64 = 0x0B00_7574_7261_7000;
const FEATURES: u64 = 0x0FEA_7042_E500_0000;

/// How often each of `n_rows` rows is in the sample of a tree.
///
/// With replacement, `rate` × `n_rows` rows are drawn (at least one); without, that many different rows.
pub(super) fn multiplicities(n_rows: usize, with_replacement: bool, rate: f64, seed: u64, tree: u64) -> Vec<u32> {
    if !with_replacement && rate >= 1.0 {
        return vec![1; n_rows];
    }
    let n_draws = ((n_rows as f64 * rate).round() as usize).max(1);
    let mut stream = Stream::new(seed ^ ROWS, tree);
    let mut counts = vec![0; n_rows];
    if with_replacement {
        (0..n_draws).for_each(|_| counts[below(&mut stream, n_rows)] += 1);
        return counts;
    }
    // Selection sampling (Knuth, volume 2, algorithm 3.4.2 S): each subset is equally likely.
    let mut n_wanted = n_draws;
    for (row, count) in counts.iter_mut().enumerate() {
        if below(&mut stream, n_rows - row) < n_wanted {
            *count = 1;
            n_wanted -= 1;
        }
    }
    counts
}

/// A random number below `n`.
fn below(stream: &mut Stream, n: usize) -> usize {
    // The upper half of a product: without the bias of a remainder as far as anyone could measure.
    ((u128::from(stream.next_u64()) * n as u128) >> 64) as usize
}

/// Draws features in random order, without repetition.
#[derive(Debug)]
pub(super) struct FeatureDraw {
    stream: Stream,
    order: Vec<u32>,
    n_drawn: usize,
}

impl FeatureDraw {
    /// A draw from `n_features` features for the nodes of a tree.
    pub(super) fn new(n_features: usize, seed: u64, tree: u64) -> Self {
        Self { stream: Stream::new(seed ^ FEATURES, tree), order: (0..n_features as u32).collect(), n_drawn: 0 }
    }

    /// Starts again: all features can be drawn.
    pub(super) fn restart(&mut self) {
        self.n_drawn = 0;
    }

    /// How many have been drawn since the last start.
    pub(super) fn n_drawn(&self) -> usize {
        self.n_drawn
    }

    /// The next feature, or `None` when all have been drawn.
    pub(super) fn next(&mut self) -> Option<usize> {
        let n_left = self.order.len() - self.n_drawn;
        if n_left == 0 {
            return None;
        }
        let place = self.n_drawn + below(&mut self.stream, n_left);
        self.order.swap(self.n_drawn, place);
        self.n_drawn += 1;
        Some(self.order[self.n_drawn - 1] as usize)
    }
}

/// Some of the features, ascending: those of one boosted tree.
pub(super) fn feature_sample(n_features: usize, n_wanted: usize, seed: u64, tree: u64) -> Vec<usize> {
    let mut draw = FeatureDraw::new(n_features, seed ^ 1, tree);
    let mut features: Vec<usize> = std::iter::from_fn(|| draw.next()).take(n_wanted.clamp(1, n_features.max(1))).collect();
    features.sort_unstable();
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_their_size() {
        let n = 10_000;
        for (rate, with_replacement) in [(1.0, true), (0.5, true), (0.5, false), (1.0, false), (1e-9, true), (1e-9, false)] {
            let counts = multiplicities(n, with_replacement, rate, 3, 1);
            assert_eq!(counts.iter().sum::<u32>() as usize, ((n as f64 * rate) as usize).max(1), "{rate} {with_replacement}");
            assert!(with_replacement || counts.iter().all(|count| *count <= 1));
        }
        // One row in e is left out of a bootstrap sample.
        let left_out = multiplicities(n, true, 1.0, 3, 1).iter().filter(|count| **count == 0).count() as f64 / n as f64;
        assert!((left_out - (-1f64).exp()).abs() < 0.01, "{left_out}");
        assert_ne!(multiplicities(n, true, 1.0, 3, 1), multiplicities(n, true, 1.0, 3, 2));
    }

    #[test]
    fn features_are_drawn_evenly_and_once() {
        let mut draw = FeatureDraw::new(5, 1, 1);
        let mut counts = [0; 5];
        for _ in 0..5000 {
            draw.restart();
            let pair = [draw.next().unwrap(), draw.next().unwrap()];
            assert_ne!(pair[0], pair[1]);
            pair.iter().for_each(|feature| counts[*feature] += 1);
        }
        assert!(counts.iter().all(|count| (1850..2150).contains(count)), "{counts:?}");
        draw.restart();
        assert_eq!(std::iter::from_fn(|| draw.next()).count(), 5);
        assert_eq!(feature_sample(10, 4, 1, 1).len(), 4);
        assert_eq!(feature_sample(3, 9, 1, 1), [0, 1, 2]);
    }
}
