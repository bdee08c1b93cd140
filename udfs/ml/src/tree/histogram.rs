//! The sums of one node for all features: made from its rows, or from its parent's and its sibling's.

use super::binning::Binned;
use super::learner::Learner;

/// Where the cells of each feature lie.
#[derive(Debug)]
pub(super) struct Layout {
    /// The first integer of each feature, and the end.
    offsets: Vec<usize>,
}

/// Memory of histograms that are no longer needed.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: Vec<Vec<i64>>,
}

impl Layout {
    /// The layout for the features of a frame and cells of `width`.
    pub(super) fn new(binned: &Binned, width: usize) -> Self {
        let mut offsets = vec![0];
        let mut end = 0;
        for feature in binned.features() {
            end += (feature.n_bins() + 1) * width;
            offsets.push(end);
        }
        Self { offsets }
    }

    /// The integers of a histogram.
    pub(super) fn len(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// The cells of one feature.
    pub(super) fn of<'a>(&self, histogram: &'a [i64], feature: usize) -> &'a [i64] {
        &histogram[self.offsets[feature]..self.offsets[feature + 1]]
    }

    /// Adds rows to the cells of the given features (ascending), on several threads.
    pub(super) fn accumulate<L: Learner>(
        &self,
        learner: &L,
        binned: &Binned,
        features: &[usize],
        (rows, sums): (&[u32], &[L::Row]),
        histogram: &mut [i64],
        threads: usize,
    ) {
        let mut parts: Vec<(usize, &mut [i64])> = Vec::with_capacity(features.len());
        let (mut rest, mut start) = (histogram, 0);
        for feature in features {
            let (_, tail) = rest.split_at_mut(self.offsets[*feature] - start);
            let (part, tail) = tail.split_at_mut(self.offsets[feature + 1] - self.offsets[*feature]);
            parts.push((*feature, part));
            (rest, start) = (tail, self.offsets[feature + 1]);
        }
        let run = |parts: &mut [(usize, &mut [i64])]| {
            for (feature, cells) in parts {
                learner.accumulate(cells, &binned.features()[*feature].bins, rows, sums);
            }
        };
        if threads <= 1 {
            return run(&mut parts);
        }
        let size = parts.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| parts.chunks_mut(size).for_each(|parts| drop(scope.spawn(|| run(parts)))));
    }
}

impl Pool {
    /// A histogram of zeros.
    pub(super) fn zeros(&mut self, len: usize) -> Vec<i64> {
        let mut histogram = self.free.pop().unwrap_or_default();
        histogram.clear();
        histogram.resize(len, 0);
        histogram
    }

    /// Takes back a histogram.
    pub(super) fn give_back(&mut self, histogram: Option<Vec<i64>>) {
        self.free.extend(histogram);
    }
}
