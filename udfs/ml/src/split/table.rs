//! Splits of the rows of a table.

use super::{FRACTION, is_fraction, n_held_out, random_folds, shuffled};
use crate::error::LearnError;
use std::collections::BTreeMap;

/// Row numbers in two parts, each ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSplit {
    pub train: Vec<u32>,
    pub eval: Vec<u32>,
}

impl RowSplit {
    /// Holds out the rows that are marked.
    fn of_marks(is_eval: &[bool]) -> Self {
        let part = |wanted: bool| (0u32..).zip(is_eval).filter(move |(_, is_eval)| **is_eval == wanted).map(|(row, _)| row).collect();
        Self { train: part(false), eval: part(true) }
    }
}

/// Splits `n_rows` rows at random: `eval` has the number that is nearest to `fraction`; a row is always left to train on.
///
/// # Errors
/// [`LearnError::Parameter`] when `fraction` is not between 0 and 1, [`LearnError::Shape`] for more rows than a `u32`
/// can number.
pub fn rows(n_rows: usize, fraction: f64, seed: u64) -> Result<RowSplit, LearnError> {
    check(fraction, n_rows)?;
    let mut is_eval = vec![false; n_rows];
    for row in &shuffled(n_rows, seed, 0)[..n_held_out(n_rows, fraction)] {
        is_eval[*row as usize] = true;
    }
    Ok(RowSplit::of_marks(&is_eval))
}

/// Holds out the newest rows: the number that is nearest to `fraction`; a row is always left to train on. `times` is any
/// type with an order; of equal times the later rows are newer.
///
/// # Errors
/// Those of [`rows`].
pub fn sequential_rows<T: Ord>(times: &[T], fraction: f64) -> Result<RowSplit, LearnError> {
    check(fraction, times.len())?;
    Ok(RowSplit::of_marks(&newest(times, fraction)))
}

/// Holds out the rows that the caller says.
///
/// # Errors
/// [`LearnError::Shape`] for more rows than a `u32` can number.
pub fn custom_rows(is_eval: &[bool]) -> Result<RowSplit, LearnError> {
    check_rows(is_eval.len())?;
    Ok(RowSplit::of_marks(is_eval))
}

/// Splits rows at random so that each class has its share in both parts.
///
/// `eval` has the number of rows nearest to `fraction`; of each class the whole number below its share, and what is
/// missing to the total from the classes with the largest remainders (the smaller class first). A class always keeps a
/// row to train on, for which `eval` may be smaller.
///
/// # Errors
/// Those of [`rows`].
///
/// # Cost
/// O(rows·log classes).
pub fn stratified(labels: &[u32], fraction: f64, seed: u64) -> Result<RowSplit, LearnError> {
    check(fraction, labels.len())?;
    let classes: Vec<(u32, Vec<u32>)> = classes(labels).into_iter().collect();
    let mut n_eval: Vec<usize> = Vec::with_capacity(classes.len());
    let mut remainders: Vec<(f64, usize)> = Vec::with_capacity(classes.len());
    for (place, (_, rows)) in classes.iter().enumerate() {
        let share = rows.len() as f64 * fraction;
        // A fraction just below 1 may round up to all.
        n_eval.push((share.floor() as usize).min(rows.len() - 1));
        remainders.push((share.fract(), place));
    }
    remainders.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
    let mut missing = n_held_out(labels.len(), fraction).saturating_sub(n_eval.iter().sum());
    for (_, place) in remainders {
        if missing > 0 && n_eval[place] + 1 < classes[place].1.len() {
            n_eval[place] += 1;
            missing -= 1;
        }
    }
    let mut is_eval = vec![false; labels.len()];
    for ((label, rows), n_eval) in classes.iter().zip(n_eval) {
        for place in &shuffled(rows.len(), seed, u64::from(*label))[..n_eval] {
            is_eval[rows[*place as usize] as usize] = true;
        }
    }
    Ok(RowSplit::of_marks(&is_eval))
}

/// Returns `k` splits at random, made one at a time: each row is in `eval` of exactly one. Their sizes differ by at most
/// one row.
///
/// # Errors
/// [`LearnError::Parameter`] when `k` is below 2 or above the number of rows, [`LearnError::Shape`] for more rows than a
/// `u32` can number.
pub fn row_folds(n_rows: usize, k: usize, seed: u64) -> Result<impl ExactSizeIterator<Item = RowSplit>, LearnError> {
    check_folds(k, n_rows)?;
    Ok(splits(random_folds(n_rows, k, seed), k))
}

/// Returns `k` splits as [`row_folds`], each with its share of each class, to within a row.
///
/// # Errors
/// Those of [`row_folds`].
pub fn stratified_folds(labels: &[u32], k: usize, seed: u64) -> Result<impl ExactSizeIterator<Item = RowSplit>, LearnError> {
    check_folds(k, labels.len())?;
    let mut folds = vec![0u32; labels.len()];
    // Dealt on from class to class, so that the folds do not differ in size either.
    let mut dealt = 0;
    for (label, rows) in classes(labels) {
        for place in shuffled(rows.len(), seed, u64::from(label)) {
            folds[rows[place as usize] as usize] = (dealt % k) as u32;
            dealt += 1;
        }
    }
    Ok(splits(folds, k))
}

/// Marks the newest places.
pub(super) fn newest<T: Ord>(times: &[T], fraction: f64) -> Vec<bool> {
    let n_eval = n_held_out(times.len(), fraction);
    let mut is_eval = vec![false; times.len()];
    if n_eval == 0 {
        return is_eval;
    }
    let mut places: Vec<usize> = (0..times.len()).collect();
    let first_eval = times.len() - n_eval;
    places.select_nth_unstable_by(first_eval, |left, right| times[*left].cmp(&times[*right]).then(left.cmp(right)));
    for place in &places[first_eval..] {
        is_eval[*place] = true;
    }
    is_eval
}

/// The rows of each class.
fn classes(labels: &[u32]) -> BTreeMap<u32, Vec<u32>> {
    let mut classes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (row, label) in (0u32..).zip(labels) {
        classes.entry(*label).or_default().push(row);
    }
    classes
}

fn splits(folds: Vec<u32>, k: usize) -> impl ExactSizeIterator<Item = RowSplit> {
    (0..k).map(move |fold| RowSplit::of_marks(&folds.iter().map(|other| *other as usize == fold).collect::<Vec<bool>>()))
}

fn check(fraction: f64, n_rows: usize) -> Result<(), LearnError> {
    check_rows(n_rows)?;
    if is_fraction(fraction) {
        return Ok(());
    }
    Err(LearnError::Parameter { name: "fraction", value: fraction.to_string(), range: FRACTION })
}

fn check_folds(k: usize, n_rows: usize) -> Result<(), LearnError> {
    check_rows(n_rows)?;
    if (2..=n_rows).contains(&k) {
        return Ok(());
    }
    Err(LearnError::Parameter { name: "k", value: k.to_string(), range: "from 2 to the number of rows" })
}

fn check_rows(n_rows: usize) -> Result<(), LearnError> {
    if n_rows > u32::MAX as usize {
        return Err(LearnError::Shape { what: "more than 4,294,967,295 rows" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_whole(split: &RowSplit, n_rows: usize) {
        assert!(split.train.is_sorted() && split.eval.is_sorted());
        let mut together = [split.train.clone(), split.eval.clone()].concat();
        together.sort_unstable();
        assert_eq!(together, (0..n_rows as u32).collect::<Vec<_>>());
    }

    #[test]
    fn mistakes_are_errors() {
        for fraction in [0.0, 1.0, f64::NAN] {
            assert!(matches!(rows(5, fraction, 1), Err(LearnError::Parameter { .. })));
            assert!(matches!(sequential_rows(&[1, 2], fraction), Err(LearnError::Parameter { .. })));
            assert!(matches!(stratified(&[1, 2], fraction, 1), Err(LearnError::Parameter { .. })));
        }
        for k in [0, 1, 6] {
            assert!(row_folds(5, k, 1).is_err() && stratified_folds(&[0; 5], k, 1).is_err(), "{k}");
        }
    }

    #[test]
    fn no_row_and_one_row_leave_nothing_to_hold_out() {
        for n_rows in [0, 1] {
            let labels = vec![3; n_rows];
            for split in [rows(n_rows, 0.9, 1), sequential_rows(&labels, 0.9), stratified(&labels, 0.9, 1)] {
                let split = split.unwrap();
                assert_eq!((split.train.len(), split.eval.len()), (n_rows, 0));
            }
        }
    }

    #[test]
    fn sizes_are_exact_and_the_seed_decides() {
        for (n_rows, fraction, n_eval) in [(10, 0.2, 2), (7043, 0.2, 1409), (3, 0.5, 2), (2, 0.9, 1)] {
            let split = rows(n_rows, fraction, 4).unwrap();
            assert_whole(&split, n_rows);
            assert_eq!(split.eval.len(), n_eval);
            assert_eq!(split, rows(n_rows, fraction, 4).unwrap());
        }
        assert_ne!(rows(100, 0.2, 4), rows(100, 0.2, 5));
        // No row is favoured.
        let mut counts = [0; 10];
        for seed in 0..2000 {
            rows(10, 0.2, seed).unwrap().eval.iter().for_each(|row| counts[*row as usize] += 1);
        }
        assert!(counts.iter().all(|count| (320..480).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_newest_rows_are_held_out_and_ties_are_by_row() {
        let split = sequential_rows(&[5, 1, 9, 5, 5], 0.4).unwrap();
        assert_eq!((split.train, split.eval), (vec![0, 1, 3], vec![2, 4]));
        assert_eq!(sequential_rows(&["b", "a"], 0.5).unwrap().eval, [0]);
        assert_eq!(custom_rows(&[false, true, true]).unwrap(), RowSplit { train: vec![0], eval: vec![1, 2] });
    }

    #[test]
    fn classes_keep_their_shares_and_a_row_to_train_on() {
        // 70, 25, 4 rows, one row, and labels that nobody has.
        let labels: Vec<u32> = (0..100)
            .map(|row| {
                if row < 70 {
                    1
                } else if row < 95 {
                    0
                } else if row < 99 {
                    5
                } else {
                    u32::MAX
                }
            })
            .collect();
        let split = stratified(&labels, 0.2, 7).unwrap();
        assert_whole(&split, 100);
        let count = |label| split.eval.iter().filter(|row| labels[**row as usize] == label).count();
        // 14 + 5 + 0.8 + 0.2 of 20: the remainder of the class of four is the largest.
        assert_eq!([count(1), count(0), count(5), count(u32::MAX)], [14, 5, 1, 0]);
        assert_eq!(split, stratified(&labels, 0.2, 7).unwrap());
        assert_ne!(split, stratified(&labels, 0.2, 8).unwrap());
        let greedy = stratified(&labels, 0.99, 7).unwrap();
        for label in [0, 1, 5, u32::MAX] {
            assert!(greedy.train.iter().any(|row| labels[*row as usize] == label), "{label}");
        }
    }

    #[test]
    fn folds_hold_out_every_row_once_with_each_class_in_its_share() {
        let labels: Vec<u32> = (0..103).map(|row| u32::from(row % 4 == 0)).collect();
        let plain: Vec<RowSplit> = row_folds(103, 5, 2).unwrap().collect();
        let by_class: Vec<RowSplit> = stratified_folds(&labels, 5, 2).unwrap().collect();
        for folds in [&plain, &by_class] {
            let mut held_out: Vec<u32> = folds.iter().flat_map(|split| split.eval.clone()).collect();
            held_out.sort_unstable();
            assert_eq!(held_out, (0..103).collect::<Vec<_>>());
            for split in folds {
                assert_whole(split, 103);
                assert!((20..=21).contains(&split.eval.len()));
            }
        }
        for split in &by_class {
            // 26 rows of class 1.
            let n = split.eval.iter().filter(|row| labels[**row as usize] == 1).count();
            assert!((5..=6).contains(&n), "{n}");
        }
        assert_eq!(plain, row_folds(103, 5, 2).unwrap().collect::<Vec<_>>());
    }
}
