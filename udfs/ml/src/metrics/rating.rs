//! How far predictions are from the truth.

/// Sums of errors, from which the measures follow; sums of parts can be merged.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RatingErrors {
    n_rows: u64,
    squares: f64,
    absolutes: f64,
}

impl RatingErrors {
    /// Counts one prediction.
    pub fn add(&mut self, predicted: f64, actual: f64) {
        let error = predicted - actual;
        self.n_rows += 1;
        self.squares += error * error;
        self.absolutes += error.abs();
    }

    /// Counts the predictions of another part.
    pub fn merge(&mut self, other: &Self) {
        self.n_rows += other.n_rows;
        self.squares += other.squares;
        self.absolutes += other.absolutes;
    }

    /// The number of predictions counted.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// The root of the mean squared error; `None` without predictions.
    pub fn rmse(&self) -> Option<f64> {
        (self.n_rows > 0).then(|| (self.squares / self.n_rows as f64).sqrt())
    }

    /// The mean absolute error; `None` without predictions.
    pub fn mae(&self) -> Option<f64> {
        (self.n_rows > 0).then(|| self.absolutes / self.n_rows as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prediction_has_no_error_rather_than_nan() {
        assert_eq!((RatingErrors::default().rmse(), RatingErrors::default().mae()), (None, None));
    }

    #[test]
    fn errors_of_parts_merge_into_those_of_the_whole() {
        let mut whole = RatingErrors::default();
        let (mut left, mut right) = (whole, whole);
        for (place, (predicted, actual)) in [(1.0, 4.0), (2.0, 2.0), (5.0, 1.0)].into_iter().enumerate() {
            whole.add(predicted, actual);
            if place == 0 { left.add(predicted, actual) } else { right.add(predicted, actual) }
        }
        left.merge(&right);
        assert_eq!(left, whole);
        assert_eq!(whole.rmse(), Some((25.0f64 / 3.0).sqrt()));
        assert_eq!(whole.mae(), Some(7.0 / 3.0));
        assert_eq!(whole.n_rows(), 3);
    }
}
