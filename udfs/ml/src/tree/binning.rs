//! Numbers and categories as bins of one byte: what histograms are made of.

use super::workers;
use crate::control::Control;
use crate::error::LearnError;
use crate::frame::{Column, Frame, MISSING};

/// The most bins of a feature; the code after its last bin is the missing value.
pub const BINS_MAX: usize = 255;

/// Numbers sorted at once between two looks at the cancel flag: some 20 ms.
const CHUNK_ROWS: usize = 1 << 18;

/// A frame in bins.
#[derive(Debug)]
pub(super) struct Binned {
    n_rows: usize,
    features: Vec<Feature>,
}

/// One feature in bins.
#[derive(Debug)]
pub(super) struct Feature {
    /// The bin of each row; [`Feature::n_bins`] is the missing value.
    pub(super) bins: Vec<u8>,
    pub(super) kind: Kind,
}

/// What the bins of a feature stand for.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// Bin `b` holds the values from `low[b]` to `high[b]`, both included; `high[b] < low[b + 1]`.
    Numeric { low: Vec<f64>, high: Vec<f64> },
    /// Bin `b` is category `b`. When `is_pooled`, the last bin holds all rarer categories too.
    Categorical { n_bins: usize, is_pooled: bool },
}

impl Feature {
    /// The number of bins without the one of missing values.
    pub(super) fn n_bins(&self) -> usize {
        match &self.kind {
            Kind::Numeric { high, .. } => high.len(),
            Kind::Categorical { n_bins, .. } => *n_bins,
        }
    }
}

impl Binned {
    /// Puts the values of a frame into bins: at most `max_bins` (at most [`BINS_MAX`]) per numeric feature.
    ///
    /// A numeric feature with no more distinct values than that has one bin per value, so that trees see it
    /// exactly; otherwise bins hold about equal numbers of rows, and a value is never in two bins. Categories
    /// beyond the [`BINS_MAX`] - 1 most frequent share the last bin.
    ///
    /// # Cost
    /// O(rows·log rows) per numeric feature, features in parallel.
    pub(super) fn new(frame: &Frame, max_bins: usize, control: &Control) -> Result<Self, LearnError> {
        let columns = frame.columns();
        let features = workers::map(control.threads.get(), columns.len(), |feature| match &columns[feature] {
            Column::Numeric(values) => numeric(values, max_bins, control),
            Column::Categorical { codes, n_categories } => Ok(categorical(codes, *n_categories)),
        });
        Ok(Self { n_rows: frame.n_rows(), features: features.into_iter().collect::<Result<_, _>>()? })
    }

    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub(super) fn features(&self) -> &[Feature] {
        &self.features
    }
}

fn categorical(codes: &[u32], n_categories: u32) -> Feature {
    let n_bins = (n_categories as usize).min(BINS_MAX);
    let bin = |code: &u32| if *code == MISSING { n_bins as u8 } else { (*code as usize).min(n_bins - 1) as u8 };
    Feature { bins: codes.iter().map(bin).collect(), kind: Kind::Categorical { n_bins, is_pooled: n_categories as usize > n_bins } }
}

fn numeric(values: &[f64], max_bins: usize, control: &Control) -> Result<Feature, LearnError> {
    let distinct = distinct(values, control)?;
    let (low, high) = bounds(&distinct, max_bins);
    let missing = high.len() as u8;
    let mut bins = Vec::with_capacity(values.len());
    for chunk in values.chunks(CHUNK_ROWS) {
        if control.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        let bin = |value: &f64| if value.is_nan() { missing } else { high.partition_point(|bound| bound < value) as u8 };
        bins.extend(chunk.iter().map(bin));
    }
    Ok(Feature { bins, kind: Kind::Numeric { low, high } })
}

/// A value and how many rows have it.
type Run = (f64, usize);

/// The distinct values in ascending order, without NaN.
fn distinct(values: &[f64], control: &Control) -> Result<Vec<Run>, LearnError> {
    // Sorted runs, merged when two are of about the same length, as in a binary counter.
    let mut runs: Vec<Vec<Run>> = Vec::new();
    for chunk in values.chunks(CHUNK_ROWS) {
        if control.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        let mut sorted: Vec<f64> = chunk.iter().copied().filter(|value| !value.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut run: Vec<Run> = Vec::new();
        sorted.iter().for_each(|value| push(&mut run, (*value, 1)));
        while let Some(last) = runs.pop_if(|last| last.len() <= run.len()) {
            run = merge(&last, &run);
        }
        runs.push(run);
    }
    Ok(runs.into_iter().rev().reduce(|right, left| merge(&left, &right)).unwrap_or_default())
}

/// Adds to the last value if it is the same. Zero and minus zero are.
fn push(run: &mut Vec<Run>, (value, count): Run) {
    match run.last_mut() {
        Some(last) if last.0 == value => last.1 += count,
        // One spelling of zero, so that the order of rows cannot matter.
        _ => run.push((value + 0.0, count)),
    }
}

fn merge(left: &[Run], right: &[Run]) -> Vec<Run> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
        let next = if first.0 <= second.0 { left.next() } else { right.next() };
        next.into_iter().for_each(|run| push(&mut merged, *run));
    }
    left.chain(right).for_each(|run| push(&mut merged, *run));
    merged
}

/// The lowest and the highest value of each bin.
fn bounds(distinct: &[Run], max_bins: usize) -> (Vec<f64>, Vec<f64>) {
    if distinct.len() <= max_bins {
        let values: Vec<f64> = distinct.iter().map(|run| run.0).collect();
        return (values.clone(), values);
    }
    let (mut low, mut high) = (Vec::with_capacity(max_bins), Vec::with_capacity(max_bins));
    let mut rows_left: usize = distinct.iter().map(|run| run.1).sum();
    let mut in_bin = 0;
    for (place, (value, count)) in distinct.iter().enumerate() {
        if in_bin == 0 {
            low.push(*value);
        }
        in_bin += count;
        let values_left = distinct.len() - place - 1;
        let bins_left = max_bins - low.len();
        // What the open bin and those after it should hold each.
        let share = rows_left as f64 / (bins_left + 1) as f64;
        let next = distinct.get(place + 1).map_or(0, |run| run.1);
        // Closed when full, or nearer to full without the next value, or when the values left must have a bin each.
        let is_full = in_bin as f64 >= share || (in_bin as f64 + next as f64 / 2.0) > share;
        if values_left == 0 || (bins_left > 0 && (is_full || values_left <= bins_left)) {
            high.push(*value);
            rows_left -= in_bin;
            in_bin = 0;
        }
    }
    (low, high)
}

/// A number from `low` up to, but without, `high`: the middle where it can be represented.
pub(super) fn midway(low: f64, high: f64) -> f64 {
    let width = high - low;
    let middle = if width.is_finite() { low + width / 2.0 } else { low / 2.0 + high / 2.0 };
    // Between neighbours of f64 the middle rounds to one of them.
    if middle < high && middle >= low { middle } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;
    use std::sync::atomic::AtomicBool;

    fn binned(values: &[f64], max_bins: usize) -> Feature {
        let cancel = AtomicBool::new(false);
        numeric(values, max_bins, &Control { threads: NonZeroUsize::MIN, cancel: &cancel, progress: &|_| {} }).unwrap()
    }

    #[test]
    fn the_middle_lies_between_whatever_the_scale() {
        for (low, high) in [
            (0.0, 1.0),
            (1.0, 1.0 + f64::EPSILON),
            (-f64::MAX, f64::MAX),
            (1e300, 1e300 + 1e285),
            (0.0, f64::MIN_POSITIVE),
            (0.0, 5e-324),
            (-5e-324, 0.0),
            (1e-6, 2e-6),
        ] {
            let middle = midway(low, high);
            assert!(low <= middle && middle < high, "{low} {middle} {high}");
        }
        assert_eq!(midway(1.0, 2.0), 1.5);
    }

    #[test]
    fn few_values_have_a_bin_each() {
        let feature = binned(&[3.0, f64::NAN, 1.0, 3.0, -0.0, 0.0], 4);
        assert_eq!(feature.bins, [2, 3, 1, 2, 0, 0]);
        assert_eq!(feature.kind, Kind::Numeric { low: vec![0.0, 1.0, 3.0], high: vec![0.0, 1.0, 3.0] });
        assert_eq!(binned(&[f64::NAN; 3], 4).bins, [0, 0, 0]);
    }

    #[test]
    fn many_values_share_bins_of_about_equal_size() {
        for max_bins in [2, 7, 32, 255] {
            let n = 10_000;
            // A third of the rows has one value.
            let values: Vec<f64> = (0..n).map(|row| if row % 3 == 0 { 500.0 } else { ((row * 7919) % n) as f64 }).collect();
            let feature = binned(&values, max_bins);
            assert_eq!(feature.n_bins(), max_bins);
            let Kind::Numeric { low, high } = &feature.kind else { panic!() };
            let mut counts = vec![0; max_bins];
            for (value, bin) in values.iter().zip(&feature.bins) {
                let bin = *bin as usize;
                assert!(low[bin] <= *value && *value <= high[bin]);
                counts[bin] += 1;
            }
            assert!((1..max_bins).all(|bin| high[bin - 1] < low[bin]));
            let heavy = values.iter().position(|value| *value == 500.0).unwrap();
            for (bin, count) in counts.iter().enumerate() {
                let is_heavy = bin == feature.bins[heavy] as usize;
                assert!(is_heavy || (*count <= 2 * n / max_bins + 1 && *count > 0), "{max_bins}: {counts:?}");
            }
        }
    }

    #[test]
    fn runs_of_chunks_are_merged() {
        let n = 3 * CHUNK_ROWS + 11;
        let values: Vec<f64> = (0..n).map(|row| ((row * 31) % 100) as f64).collect();
        let cancel = AtomicBool::new(false);
        let control = Control { threads: NonZeroUsize::MIN, cancel: &cancel, progress: &|_| {} };
        let distinct = distinct(&values, &control).unwrap();
        assert_eq!(distinct.len(), 100);
        assert_eq!(distinct.iter().map(|run| run.1).sum::<usize>(), n);
        assert!(distinct.is_sorted_by(|left, right| left.0 < right.0));
        cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(matches!(numeric(&values, 10, &control), Err(LearnError::Cancelled)));
    }

    #[test]
    fn rare_categories_share_the_last_bin() {
        let feature = categorical(&[0, 254, 299, MISSING], 300);
        assert_eq!(feature.bins, [0, 254, 254, 255]);
        assert_eq!(feature.kind, Kind::Categorical { n_bins: 255, is_pooled: true });
        assert_eq!(categorical(&[MISSING], 0).bins, [0]);
    }
}
