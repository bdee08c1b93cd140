//! What rows bring besides their features: labels, targets and weights, checked.

use crate::error::LearnError;
use crate::frame::Frame;

/// Row weights under which all classes weigh the same: rows / (classes with rows × rows of the class), as
/// `class_weight='balanced'` of scikit-learn. Multiplied with `weights`, which also count instead of rows.
///
/// # Errors
/// [`LearnError::Value`] for a label that is not below `n_classes`, or an unusable weight.
pub fn balanced_weights(labels: &[u32], n_classes: usize, weights: Option<&[f64]>) -> Result<Vec<f64>, LearnError> {
    check_labels(labels, n_classes, labels.len())?;
    check_weights(weights, labels.len())?;
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let mut of_class = vec![0.0; n_classes];
    labels.iter().enumerate().for_each(|(row, label)| of_class[*label as usize] += weight(row));
    let n_present = of_class.iter().filter(|weight| **weight > 0.0).count() as f64;
    let total: f64 = of_class.iter().sum();
    let balanced = |(row, label): (usize, &u32)| match of_class[*label as usize] {
        0.0 => 0.0,
        of_class => weight(row) * total / (n_present * of_class),
    };
    Ok(labels.iter().enumerate().map(balanced).collect())
}

/// Whether a frame can be trained on at all.
pub(super) fn check_frame(frame: &Frame) -> Result<(), LearnError> {
    if frame.n_rows() == 0 {
        return Err(LearnError::Empty);
    }
    if frame.columns().is_empty() {
        return Err(LearnError::NoFeature);
    }
    if frame.n_rows() > u32::MAX as usize {
        return Err(LearnError::Shape { what: "there are more than 4,294,967,295 rows" });
    }
    Ok(())
}

pub(super) fn check_labels(labels: &[u32], n_classes: usize, n_rows: usize) -> Result<(), LearnError> {
    if labels.len() != n_rows {
        return Err(LearnError::Shape { what: "labels and rows differ in number" });
    }
    match labels.iter().position(|label| *label as usize >= n_classes) {
        Some(row) => Err(LearnError::Value { what: "label", row, value: f64::from(labels[row]), expected: "below the number of classes" }),
        None => Ok(()),
    }
}

pub(super) fn check_targets(targets: &[f64], n_rows: usize) -> Result<(), LearnError> {
    if targets.len() != n_rows {
        return Err(LearnError::Shape { what: "targets and rows differ in number" });
    }
    // The square of a sum of targets must be finite too.
    match targets.iter().position(|target| !(-1e100..=1e100).contains(target)) {
        Some(row) => Err(LearnError::Value { what: "target", row, value: targets[row], expected: "from -1e100 to 1e100" }),
        None => Ok(()),
    }
}

pub(super) fn check_weights(weights: Option<&[f64]>, n_rows: usize) -> Result<(), LearnError> {
    let Some(weights) = weights else { return Ok(()) };
    if weights.len() != n_rows {
        return Err(LearnError::Shape { what: "weights and rows differ in number" });
    }
    match weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        Some(row) => Err(LearnError::Value { what: "weight", row, value: weights[row], expected: "a finite number of at least 0" }),
        None => Ok(()),
    }
}

/// The rows that count, when some have weight zero.
pub(super) fn rows_with_weight(weights: Option<&[f64]>) -> Option<Vec<u32>> {
    let weights = weights.filter(|weights| weights.contains(&0.0))?;
    Some((0..weights.len() as u32).filter(|row| weights[*row as usize] > 0.0).collect())
}

/// The values of some rows.
pub(super) fn pick<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|row| values[*row as usize]).collect()
}

/// Whether there are two different labels.
pub(super) fn check_two_classes(labels: &[u32]) -> Result<(), LearnError> {
    if labels.windows(2).all(|pair| pair[0] == pair[1]) { Err(LearnError::OneClass) } else { Ok(()) }
}

/// A number between bounds, for the error of a parameter outside of them.
pub(super) fn check_parameter(name: &'static str, value: f64, is_valid: bool, range: &'static str) -> Result<(), LearnError> {
    if is_valid { Ok(()) } else { Err(LearnError::Parameter { name, value: value.to_string(), range }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_classes_weigh_the_same() {
        let weights = balanced_weights(&[0, 0, 0, 2], 3, None).unwrap();
        assert_eq!(weights, [2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 2.0]);
        assert_eq!(balanced_weights(&[0, 1], 2, Some(&[3.0, 0.0])).unwrap(), [3.0, 0.0]);
        assert!(matches!(balanced_weights(&[5], 2, None), Err(LearnError::Value { what: "label", row: 0, .. })));
        assert!(matches!(balanced_weights(&[0], 2, Some(&[-1.0])), Err(LearnError::Value { what: "weight", row: 0, .. })));
    }
}
