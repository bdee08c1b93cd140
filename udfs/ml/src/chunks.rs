//! Sums over rows on several threads with the bits of one thread.
//!
//! Rows are cut into chunks whose number depends on the data only; each chunk is summed in row order and
//! the sums are added in chunk order, whoever computed them.

use crate::control::Control;
use crate::error::LearnError;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows between two looks at the cancel flag, and the least that is worth a chunk of its own.
const ROWS_PER_STEP: usize = 2_048;
/// The most chunks: enough for the threads of a server, few enough that the partial sums stay small.
const CHUNKS_MAX: usize = 32;
/// The most numbers that all partial sums may hold together (256 MiB).
const PARTIAL_NUMBERS_MAX: usize = 32 << 20;

/// Sums rows: `step` adds a range of rows to a partial sum that `start` made, `merge` adds a later partial
/// sum to an earlier one. `sum_len` is how many numbers a partial sum holds, which bounds their count.
///
/// # Errors
/// [`LearnError::Cancelled`], seen between steps of 2,048 rows.
pub(crate) fn fold<T: Send>(
    n_rows: usize,
    sum_len: usize,
    control: &Control,
    start: impl Fn() -> T + Sync,
    step: impl Fn(&mut T, Range<usize>) + Sync,
    merge: impl Fn(&mut T, T),
) -> Result<T, LearnError> {
    let n_chunks = (n_rows / ROWS_PER_STEP).clamp(1, CHUNKS_MAX.min((PARTIAL_NUMBERS_MAX / sum_len.max(1)).max(1)));
    let fold_chunk = |chunk: usize| -> Option<T> {
        let (begin, end) = (n_rows * chunk / n_chunks, n_rows * (chunk + 1) / n_chunks);
        let mut sum = start();
        for first in (begin..end).step_by(ROWS_PER_STEP) {
            if control.is_cancelled() {
                return None;
            }
            step(&mut sum, first..end.min(first + ROWS_PER_STEP));
        }
        Some(sum)
    };
    let n_threads = control.threads.get().min(n_chunks);
    if n_threads == 1 {
        let mut total = fold_chunk(0).ok_or(LearnError::Cancelled)?;
        for chunk in 1..n_chunks {
            merge(&mut total, fold_chunk(chunk).ok_or(LearnError::Cancelled)?);
        }
        return Ok(total);
    }
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, Option<T>)> {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|chunk| *chunk < n_chunks);
        std::iter::from_fn(take).map(|chunk| (chunk, fold_chunk(chunk))).collect()
    };
    let mut sums = std::thread::scope(|scope| {
        let others: Vec<_> = (1..n_threads).map(|_| scope.spawn(work)).collect();
        let mut sums = work();
        for other in others {
            sums.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        sums
    });
    sums.sort_by_key(|(chunk, _)| *chunk);
    let mut sums = sums.into_iter().map(|(_, sum)| sum.ok_or(LearnError::Cancelled));
    let mut total = sums.next().unwrap_or(Err(LearnError::Cancelled))?;
    for sum in sums {
        merge(&mut total, sum?);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;
    use std::sync::atomic::AtomicBool;

    fn sum(n_rows: usize, threads: usize, cancelled: bool) -> Result<f64, LearnError> {
        let cancel = AtomicBool::new(cancelled);
        let control = Control { threads: NonZeroUsize::new(threads).unwrap(), cancel: &cancel, progress: &|_| () };
        let step = |sum: &mut f64, rows: Range<usize>| rows.for_each(|row| *sum += (row as f64).sqrt());
        fold(n_rows, 1, &control, || 0.0, step, |left, right| *left += right)
    }

    #[test]
    fn a_cancelled_fold_has_no_sum() {
        assert_eq!(sum(10, 1, true), Err(LearnError::Cancelled));
        assert_eq!(sum(100_000, 3, true), Err(LearnError::Cancelled));
    }

    #[test]
    fn every_row_counts_once_and_threads_change_no_bit() {
        for n_rows in [0, 1, 2_047, 2_048, 4_097, 1_000_003] {
            let alone = sum(n_rows, 1, false).unwrap();
            let exact: f64 = (0..n_rows).map(|row| (row as f64).sqrt()).sum();
            assert!((alone - exact).abs() <= 1e-9 * exact, "{n_rows} rows: {alone}, not {exact}");
            for threads in [2, 3, 64] {
                assert_eq!(sum(n_rows, threads, false).unwrap().to_bits(), alone.to_bits(), "{n_rows} rows, {threads} threads");
            }
        }
    }
}
