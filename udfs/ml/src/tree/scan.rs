//! The best split of one feature from the cells of its bins.

use super::binning::{Feature, Kind, midway};
use super::learner::{Learner, add, cell};
use super::model::Rule;

/// The best split of a node so far, and memory to look for it.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Of one feature; all zero between two looks.
    cells: Vec<i64>,
    /// The bins with rows, in the order of the scan.
    present: Vec<u8>,
    left: Vec<i64>,
    left_and_missing: Vec<i64>,
    pub(super) best: Best,
}

/// A split.
#[derive(Debug, Default)]
pub(super) struct Best {
    pub(super) gain: f64,
    /// `None` when there is no split.
    pub(super) feature: Option<usize>,
    /// The bins with rows in the node that go left, and the first one that goes right.
    left_bins: Vec<u8>,
    right_bin: Option<u8>,
    pub(super) missing_left: bool,
    /// The sums of the left side.
    pub(super) left: Vec<i64>,
}

/// Below this many rows per bin, looking at all bins costs more than marking those with rows.
const ROWS_PER_BIN: f64 = 0.5;

impl Search {
    /// Forgets the best split.
    pub(super) fn restart(&mut self) {
        self.best.gain = f64::NEG_INFINITY;
        self.best.feature = None;
    }

    /// Adds up the rows of a node for one feature and scans it. Returns false when all rows are in one bin.
    pub(super) fn add_and_scan<L: Learner>(
        &mut self,
        learner: &L,
        (number, feature): (usize, &Feature),
        (rows, sums): (&[u32], &[L::Row]),
        total: &[i64],
    ) -> bool {
        let (width, n_bins) = (learner.width(), feature.n_bins());
        let mut cells = std::mem::take(&mut self.cells);
        cells.resize(256 * width, 0);
        let is_sparse = (rows.len() as f64) < n_bins as f64 * ROWS_PER_BIN;
        let is_varied;
        if is_sparse {
            let mut marks = [0u64; 4];
            rows.iter().map(|row| feature.bins[*row as usize]).for_each(|bin| marks[usize::from(bin >> 6)] |= 1 << (bin & 63));
            is_varied = marks.iter().map(|word| word.count_ones()).sum::<u32>() > 1;
            if is_varied {
                learner.accumulate(&mut cells, &feature.bins, rows, sums);
                self.present.clear();
                self.present.extend(ones(marks).filter(|bin| usize::from(*bin) < n_bins));
                self.scan(learner, (number, feature), &cells, total);
                ones(marks).for_each(|bin| cells[usize::from(bin) * width..][..width].fill(0));
            }
        } else {
            learner.accumulate(&mut cells, &feature.bins, rows, sums);
            is_varied = self.scan_all(learner, (number, feature), &cells, total);
            cells[..(n_bins + 1) * width].fill(0);
        }
        self.cells = cells;
        is_varied
    }

    /// Scans a feature whose cells are given. Returns false when all rows are in one bin.
    pub(super) fn scan_all<L: Learner>(&mut self, learner: &L, (number, feature): (usize, &Feature), cells: &[i64], total: &[i64]) -> bool {
        let (width, n_bins) = (learner.width(), feature.n_bins());
        self.present.clear();
        self.present.extend((0..n_bins).filter(|bin| cells[bin * width] != 0).map(|bin| bin as u8));
        let is_varied = self.present.len() + usize::from(cells[n_bins * width] != 0) > 1;
        if is_varied {
            self.scan(learner, (number, feature), cells, total);
        }
        is_varied
    }

    /// Looks at all divisions of the bins in `present`, with missing values on either side.
    fn scan<L: Learner>(&mut self, learner: &L, (number, feature): (usize, &Feature), cells: &[i64], total: &[i64]) {
        let width = learner.width();
        let missing = cell(cells, width, feature.n_bins());
        let has_missing = missing[0] != 0;
        if let Kind::Categorical { .. } = feature.kind {
            learner.order(cells, total, &mut self.present);
        }
        self.left.clear();
        self.left.resize(width, 0);
        let (mut gain_max, mut place_max, mut missing_left) = (self.best.gain, None, false);
        let last = self.present.len().saturating_sub(1);
        for (place, bin) in self.present.iter().enumerate() {
            add(&mut self.left, cell(cells, width, usize::from(*bin)));
            // All values left, missing right is a division too.
            if place < last || has_missing {
                let gain = learner.gain(&self.left, total);
                if gain > gain_max {
                    (gain_max, place_max, missing_left) = (gain, Some(place), false);
                }
            }
            if has_missing && place < last {
                self.left_and_missing.clone_from(&self.left);
                add(&mut self.left_and_missing, missing);
                let gain = learner.gain(&self.left_and_missing, total);
                if gain > gain_max {
                    (gain_max, place_max, missing_left) = (gain, Some(place), true);
                }
            }
        }
        let Some(place) = place_max else { return };
        let best = &mut self.best;
        (best.gain, best.feature) = (gain_max, Some(number));
        best.left_bins.clear();
        best.left_bins.extend(&self.present[..=place]);
        best.right_bin = self.present.get(place + 1).copied();
        best.left.clear();
        best.left.resize(width, 0);
        best.left_bins.iter().for_each(|bin| add(&mut best.left, cell(cells, width, usize::from(*bin))));
        if missing_left {
            add(&mut best.left, missing);
        }
        // Without a missing value to learn from, they go with the crowd.
        best.missing_left = if has_missing { missing_left } else { 2.0 * learner.weight(&best.left) >= learner.weight(total) };
    }
}

impl Best {
    /// Which bins go left, the missing one included.
    pub(super) fn table(&self, feature: &Feature) -> [bool; 256] {
        let mut table = [false; 256];
        match &feature.kind {
            Kind::Numeric { .. } => {
                let last = self.left_bins.last().copied().unwrap_or(0);
                table[..=usize::from(last)].fill(true);
            }
            Kind::Categorical { .. } => self.left_bins.iter().for_each(|bin| table[usize::from(*bin)] = true),
        }
        table[feature.n_bins()] = self.missing_left;
        table
    }

    /// The split in terms of values. `has_rows` tells which bins have rows in the node.
    pub(super) fn rule(&self, feature: &Feature, has_rows: impl Fn() -> [bool; 256]) -> Rule {
        match &feature.kind {
            Kind::Numeric { low, high } => {
                let last = high[self.left_bins.last().copied().map_or(0, usize::from)];
                // Without a value on the right, any value goes left.
                Rule::AtMost(self.right_bin.map_or(f64::MAX, |bin| midway(last, low[usize::from(bin)])))
            }
            Kind::Categorical { n_bins, is_pooled } => {
                // A category that did not occur here goes where missing values go.
                let has_rows = has_rows();
                let is_left = |bin: usize| if has_rows[bin] { self.left_bins.contains(&(bin as u8)) } else { self.missing_left };
                let left = (0..*n_bins).filter(|bin| is_left(*bin)).map(|bin| bin as u32).collect();
                // What is beyond the bins was pooled into the last one, or never seen.
                let others_left = if *is_pooled { is_left(n_bins - 1) } else { self.missing_left };
                Rule::Categories { left, n_categories: *n_bins as u32, others_left }
            }
        }
    }

    /// Replaces this split by a better one; of equals the first stays.
    pub(super) fn improve(&mut self, other: Self) {
        if other.feature.is_some() && other.gain > self.gain {
            *self = other;
        }
    }
}

/// The places of the ones, ascending.
fn ones(words: [u64; 4]) -> impl Iterator<Item = u8> {
    words.into_iter().enumerate().flat_map(|(number, mut word)| {
        std::iter::from_fn(move || {
            (word != 0).then(|| {
                let place = word.trailing_zeros();
                word &= word - 1;
                (number as u32 * 64 + place) as u8
            })
        })
    })
}
