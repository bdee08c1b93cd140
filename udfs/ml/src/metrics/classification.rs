//! Right and wrong classes.

/// How often each class was predicted for each true class. Counts of parts can be merged.
///
/// Of a class, *precision* is the share of right ones among its predictions, *recall* the share found among its
/// rows, *F1* their harmonic mean `2·right / (predictions + rows)`. The macro measures are means over the classes that occur
/// in truth or predictions, where a share of nothing counts as 0 (scikit-learn's `macro`). What is not defined is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfusionMatrix {
    n_classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Nothing counted yet.
    pub fn new(n_classes: u32) -> Self {
        let n_classes = n_classes as usize;
        Self { n_classes, counts: vec![0; n_classes * n_classes] }
    }

    /// Counts one prediction; returns false when a class does not exist.
    pub fn add(&mut self, predicted: u32, actual: u32) -> bool {
        let (predicted, actual) = (predicted as usize, actual as usize);
        let is_known = predicted < self.n_classes && actual < self.n_classes;
        if is_known {
            self.counts[actual * self.n_classes + predicted] += 1;
        }
        is_known
    }

    /// Counts the predictions of another part; returns false, and counts nothing, when it has other classes.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.n_classes != other.n_classes {
            return false;
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
        true
    }

    /// The number of rows of class `actual` that were predicted as `predicted`.
    pub fn count(&self, actual: u32, predicted: u32) -> u64 {
        self.counts.get(actual as usize * self.n_classes + predicted as usize).copied().unwrap_or(0)
    }

    /// The number of predictions counted.
    pub fn n_rows(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The share of right predictions.
    pub fn accuracy(&self) -> Option<f64> {
        share((0..self.n_classes).map(|class| self.right(class)).sum(), self.n_rows())
    }

    /// The share of right ones among the predictions of `class`.
    pub fn precision(&self, class: u32) -> Option<f64> {
        self.known(class).and_then(|class| share(self.right(class), self.predictions(class)))
    }

    /// The share found among the rows of `class`.
    pub fn recall(&self, class: u32) -> Option<f64> {
        self.known(class).and_then(|class| share(self.right(class), self.rows(class)))
    }

    /// The harmonic mean of precision and recall of `class`.
    pub fn f1(&self, class: u32) -> Option<f64> {
        self.known(class).and_then(|class| share(2 * self.right(class), self.predictions(class) + self.rows(class)))
    }

    /// The mean precision of the classes.
    pub fn macro_precision(&self) -> Option<f64> {
        self.mean(Self::precision)
    }

    /// The mean recall of the classes.
    pub fn macro_recall(&self) -> Option<f64> {
        self.mean(Self::recall)
    }

    /// The mean F1 of the classes.
    pub fn macro_f1(&self) -> Option<f64> {
        self.mean(Self::f1)
    }

    fn mean(&self, measure: impl Fn(&Self, u32) -> Option<f64>) -> Option<f64> {
        let occurs = |class: &usize| self.predictions(*class) + self.rows(*class) > 0;
        let measures: Vec<f64> = (0..self.n_classes).filter(occurs).map(|class| measure(self, class as u32).unwrap_or(0.0)).collect();
        (!measures.is_empty()).then(|| measures.iter().sum::<f64>() / measures.len() as f64)
    }

    fn known(&self, class: u32) -> Option<usize> {
        Some(class as usize).filter(|class| *class < self.n_classes)
    }

    fn right(&self, class: usize) -> u64 {
        self.counts[class * self.n_classes + class]
    }

    fn predictions(&self, class: usize) -> u64 {
        self.counts.iter().skip(class).step_by(self.n_classes).sum()
    }

    fn rows(&self, class: usize) -> u64 {
        self.counts[class * self.n_classes..(class + 1) * self.n_classes].iter().sum()
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::reference_tests::{close, rows};

    #[test]
    fn what_is_not_defined_is_none_and_unknown_classes_do_not_count() {
        let mut matrix = ConfusionMatrix::new(2);
        assert_eq!((matrix.accuracy(), matrix.precision(0), matrix.recall(1), matrix.macro_f1()), (None, None, None, None));
        assert!(!matrix.add(2, 0) && !matrix.add(0, 7) && matrix.n_rows() == 0);
        assert!(!matrix.merge(&ConfusionMatrix::new(3)));
        assert!(matrix.add(0, 0));
        assert_eq!((matrix.precision(1), matrix.recall(9), matrix.precision(0)), (None, None, Some(1.0)));
        assert_eq!(matrix.macro_precision(), Some(1.0));
        assert_eq!(ConfusionMatrix::new(0).accuracy(), None);
    }

    #[test]
    fn measures_are_those_of_scikit_learn() {
        // k of `reference_tests`, pred = (i*3 % 4) % 3; precision_recall_fscore_support(k, pred)
        let mut matrix = ConfusionMatrix::new(3);
        let (mut left, mut right) = (matrix.clone(), matrix.clone());
        for (i, class) in rows().classes.iter().enumerate() {
            let predicted = ((i * 3 % 4) % 3) as u32;
            assert!(matrix.add(predicted, *class));
            assert!(if i < 13 { left.add(predicted, *class) } else { right.add(predicted, *class) });
        }
        let counts: Vec<u64> = (0..9).map(|place| matrix.count(place / 3, place % 3)).collect();
        assert_eq!(counts, [5, 2, 2, 7, 5, 5, 8, 3, 3]);
        let of = |measure: fn(&ConfusionMatrix, u32) -> Option<f64>| [0, 1, 2].map(|class| measure(&matrix, class).unwrap());
        close(&of(ConfusionMatrix::precision), &[0.25, 0.5, 0.3], 1e-12);
        close(&of(ConfusionMatrix::recall), &[5.0 / 9.0, 5.0 / 17.0, 3.0 / 14.0], 1e-12);
        close(&of(ConfusionMatrix::f1), &[0.344_827_586_207, 0.370_370_370_37, 0.25], 1e-10);
        let macros = [matrix.macro_precision(), matrix.macro_recall(), matrix.macro_f1(), matrix.accuracy()];
        close(&macros.map(|measure| measure.unwrap()), &[0.35, 0.354_652_972_300_031_1, 0.321_732_652_192_422_3, 0.325], 1e-12);
        assert!(left.merge(&right));
        assert_eq!(left, matrix);
    }
}
