//! Errors of predicted numbers.

/// Sums of errors, from which the measures follow; sums of parts can be merged. What is not defined is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RegressionErrors {
    n_rows: u64,
    absolutes: f64,
    squares: f64,
    errors: Moments,
    actuals: Moments,
    log_squares: f64,
    /// Pairs of which a logarithm of `1 + x` does not exist.
    n_without_log: u64,
}

/// The mean and the sum of squares around it, as rows come (Welford 1962; merged as in Chan, Golub, LeVeque 1979).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moments {
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, n_with: u64, value: f64) {
        let distance = value - self.mean;
        self.mean += distance / n_with as f64;
        self.squares += distance * (value - self.mean);
    }

    fn merge(&mut self, n: u64, other: &Self, n_other: u64) {
        let (left, right) = (n as f64, n_other as f64);
        let distance = other.mean - self.mean;
        self.mean += distance * right / (left + right);
        self.squares += other.squares + distance * distance * left * right / (left + right);
    }
}

impl RegressionErrors {
    /// The errors of all pairs.
    pub fn of(predicted: &[f64], actual: &[f64]) -> Self {
        let mut errors = Self::default();
        predicted.iter().zip(actual).for_each(|(predicted, actual)| errors.add(*predicted, *actual));
        errors
    }

    /// Counts one prediction.
    pub fn add(&mut self, predicted: f64, actual: f64) {
        let error = actual - predicted;
        self.n_rows += 1;
        self.absolutes += error.abs();
        self.squares += error * error;
        self.errors.add(self.n_rows, error);
        self.actuals.add(self.n_rows, actual);
        if predicted > -1.0 && actual > -1.0 {
            self.log_squares += (actual.ln_1p() - predicted.ln_1p()).powi(2);
        } else {
            self.n_without_log += 1;
        }
    }

    /// Counts the predictions of a later part.
    pub fn merge(&mut self, later: &Self) {
        if later.n_rows == 0 {
            return;
        }
        self.errors.merge(self.n_rows, &later.errors, later.n_rows);
        self.actuals.merge(self.n_rows, &later.actuals, later.n_rows);
        self.n_rows += later.n_rows;
        self.absolutes += later.absolutes;
        self.squares += later.squares;
        self.log_squares += later.log_squares;
        self.n_without_log += later.n_without_log;
    }

    /// The number of predictions counted.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// The mean absolute error.
    pub fn mae(&self) -> Option<f64> {
        self.mean(self.absolutes)
    }

    /// The mean squared error.
    pub fn mse(&self) -> Option<f64> {
        self.mean(self.squares)
    }

    /// The root of the mean squared error.
    pub fn rmse(&self) -> Option<f64> {
        self.mse().map(f64::sqrt)
    }

    /// The share of the variance of the truth that is explained, R²: 1 - squared errors / squares around the mean. Not
    /// defined when all truths are equal.
    pub fn r2(&self) -> Option<f64> {
        self.share(self.squares)
    }

    /// R² without the mean error: 1 - variance of the errors / variance of the truth.
    pub fn explained_variance(&self) -> Option<f64> {
        self.share(self.errors.squares)
    }

    /// The mean squared difference of `ln(1 + x)`; not defined when a number is -1 or less.
    pub fn mean_squared_log_error(&self) -> Option<f64> {
        self.mean(self.log_squares).filter(|_| self.n_without_log == 0)
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.n_rows > 0).then(|| sum / self.n_rows as f64).filter(|mean| mean.is_finite())
    }

    fn share(&self, squares: f64) -> Option<f64> {
        (self.actuals.squares > 0.0).then(|| 1.0 - squares / self.actuals.squares).filter(|share| share.is_finite())
    }
}

/// The median of the absolute errors (of an even number, the mean of the middle two). `None` without predictions or when one
/// is not a number.
pub fn median_absolute_error(predicted: &[f64], actual: &[f64]) -> Option<f64> {
    let mut errors: Vec<f64> = predicted.iter().zip(actual).map(|(predicted, actual)| (actual - predicted).abs()).collect();
    if errors.is_empty() || errors.iter().any(|error| error.is_nan()) {
        return None;
    }
    let middle = errors.len() / 2;
    let is_even = errors.len().is_multiple_of(2);
    let (below, upper, _) = errors.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if !is_even {
        return Some(upper);
    }
    below.iter().copied().max_by(f64::total_cmp).map(|lower| lower + (upper - lower) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::reference_tests::{close, rows};

    #[test]
    fn what_is_not_defined_is_none() {
        let none = RegressionErrors::default();
        assert_eq!((none.mae(), none.rmse(), none.r2(), none.mean_squared_log_error()), (None, None, None, None));
        let constant = RegressionErrors::of(&[1.0, 2.0], &[5.0, 5.0]);
        assert_eq!((constant.r2(), constant.explained_variance(), constant.mae()), (None, None, Some(3.5)));
        assert_eq!(RegressionErrors::of(&[-1.0], &[2.0]).mean_squared_log_error(), None);
        assert_eq!(RegressionErrors::of(&[f64::NAN, 1.0], &[1.0, 2.0]).rmse(), None);
        assert_eq!((median_absolute_error(&[], &[]), median_absolute_error(&[f64::NAN], &[1.0])), (None, None));
    }

    #[test]
    fn measures_are_those_of_scikit_learn() {
        // y of `reference_tests`, q = y + np.sin(i); explained_variance_score(y, q + .3)
        let y = rows().y;
        let q: Vec<f64> = y.iter().enumerate().map(|(i, y)| y + (i as f64).sin()).collect();
        let errors = RegressionErrors::of(&q, &y);
        let measures = [errors.mae(), errors.mse(), errors.r2(), errors.explained_variance(), median_absolute_error(&q, &y)];
        let expected =
            [0.633_238_415_898_974_9, 0.497_048_633_261_912_95, 0.885_656_863_279_494_8, 0.885_848_035_092_609_6, 0.660_310_241_465_878_4];
        close(&measures.map(|measure| measure.unwrap()), &expected, 1e-12);
        assert_eq!(median_absolute_error(&[1.0, 5.0, 9.0], &[0.0; 3]), Some(5.0));
        let log = RegressionErrors::of(&[f64::exp(1.0) - 1.0, 0.0], &[0.0, 0.0]).mean_squared_log_error();
        close(&[log.unwrap()], &[0.5], 1e-12);
    }

    #[test]
    fn parts_merge_into_the_whole() {
        let (predicted, actual): (Vec<f64>, Vec<f64>) = (0..100).map(|i| (f64::from(i * 7 % 13), f64::from(i * 3 % 17))).unzip();
        let whole = RegressionErrors::of(&predicted, &actual);
        let mut merged = RegressionErrors::default();
        for (predicted, actual) in predicted.chunks(33).zip(actual.chunks(33)) {
            merged.merge(&RegressionErrors::of(predicted, actual));
        }
        merged.merge(&RegressionErrors::default());
        let all = |errors: &RegressionErrors| {
            [errors.mae(), errors.mse(), errors.r2(), errors.explained_variance()].map(|measure| measure.unwrap())
        };
        close(&all(&merged), &all(&whole), 1e-12);
        assert_eq!(merged.n_rows(), 100);
    }
}
