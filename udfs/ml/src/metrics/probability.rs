//! Errors of predicted probabilities.

/// Sums of errors of probabilities; sums of parts can be merged.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProbabilityErrors {
    n_rows: u64,
    logs: f64,
    squares: f64,
}

impl ProbabilityErrors {
    /// Counts one prediction: the probabilities of all classes, and the true class. Returns false, and counts nothing, when
    /// that class does not exist.
    pub fn add(&mut self, probabilities: &[f64], actual: u32) -> bool {
        let Some(probability) = probabilities.get(actual as usize) else { return false };
        self.n_rows += 1;
        // A class that was called impossible costs 36, not infinity (scikit-learn clips in the same place).
        self.logs -= probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
        let error = |(class, probability): (usize, &f64)| (probability - f64::from(u8::from(class == actual as usize))).powi(2);
        self.squares += probabilities.iter().enumerate().map(error).sum::<f64>();
        true
    }

    /// Counts the predictions of a later part.
    pub fn merge(&mut self, later: &Self) {
        self.n_rows += later.n_rows;
        self.logs += later.logs;
        self.squares += later.squares;
    }

    /// The number of predictions counted.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// The mean of minus the logarithm of the probability of the true class.
    pub fn log_loss(&self) -> Option<f64> {
        self.mean(self.logs)
    }

    /// The mean squared error of the probabilities, summed over classes and halved: of two classes, that of the second
    /// one (Brier 1950, as scikit-learn scales it).
    pub fn brier(&self) -> Option<f64> {
        self.mean(self.squares / 2.0)
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.n_rows > 0).then(|| sum / self.n_rows as f64).filter(|mean| mean.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::reference_tests::{close, rows};

    #[test]
    fn what_is_not_defined_is_none() {
        let mut errors = ProbabilityErrors::default();
        assert_eq!((errors.log_loss(), errors.brier()), (None, None));
        assert!(!errors.add(&[0.5, 0.5], 2));
        assert!(errors.add(&[1.0, 0.0], 1));
        close(&[errors.log_loss().unwrap(), errors.brier().unwrap()], &[-f64::EPSILON.ln(), 1.0], 1e-12);
        assert!(errors.add(&[f64::NAN, 0.0], 0));
        assert_eq!((errors.log_loss(), errors.brier()), (None, None));
    }

    #[test]
    fn measures_are_those_of_scikit_learn() {
        // b of `reference_tests`, s = np.round(y*2)/2, p = 1/(1 + np.exp(-(s - 4.5))); log_loss(b, p), brier_score_loss(b, p)
        let mut errors = [ProbabilityErrors::default(); 3];
        for (i, y) in rows().y.iter().enumerate() {
            let actual = u32::from(y + (5.0 * i as f64).cos() * 2.0 > 4.5);
            let probability = 1.0 / (1.0 + (-((y * 2.0).round() / 2.0 - 4.5)).exp());
            assert!(errors[0].add(&[1.0 - probability, probability], actual));
            assert!(errors[1 + i % 2].add(&[1.0 - probability, probability], actual));
        }
        close(&[errors[0].log_loss().unwrap(), errors[0].brier().unwrap()], &[0.430_191_525_982_584_7, 0.146_994_152_058_339_1], 1e-12);
        let [whole, mut left, right] = errors;
        left.merge(&right);
        close(&[left.log_loss().unwrap()], &[whole.log_loss().unwrap()], 1e-12);
    }
}
