//! The distributions of generalised linear models: what the target looks like, and how its mean follows the score.

use crate::error::LearnError;
use serde::{Deserialize, Serialize};

/// A distribution of the target with the link between its mean and `intercept + x·coefficients`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Any number, constant variance; the score is the mean.
    Gaussian,
    /// Counts and other numbers from 0 up, variance = mean; the logarithm of the mean is the score.
    Poisson,
    /// Positive numbers, variance = mean squared; the logarithm of the mean is the score.
    GammaLog,
    /// Positive numbers, variance = mean squared; 1 / mean is the score (the canonical link, R's and Spark's default).
    /// Far from the training rows a score may fall to 0 or below, where there is no mean: predictions are then infinite or
    /// negative.
    GammaInverse,
    /// Shares between 0 and 1, or 0 and 1 themselves; the logarithm of the odds is the score.
    Binomial,
}

/// The loss of a row (half its deviance) and its derivatives by the score. The second one is Fisher's
/// expected curvature, which is never negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loss {
    pub(crate) value: f64,
    /// The first derivative with its sign turned: the direction in which the score should move.
    pub(crate) descent: f64,
    pub(crate) curvature: f64,
}

impl Family {
    /// The mean that belongs to a score.
    pub fn mean(self, score: f64) -> f64 {
        match self {
            Self::Gaussian => score,
            Self::Poisson | Self::GammaLog => score.exp(),
            Self::GammaInverse => 1.0 / score,
            Self::Binomial => logistic(score),
        }
    }

    /// The score that belongs to a mean; infinite at the ends of the range.
    pub(crate) fn score(self, mean: f64) -> f64 {
        match self {
            Self::Gaussian => mean,
            Self::Poisson | Self::GammaLog => mean.ln(),
            Self::GammaInverse => 1.0 / mean,
            Self::Binomial => (mean / (1.0 - mean)).ln(),
        }
    }

    /// The loss of predicting `score` where the target is `target`. Infinite or NaN outside the range of scores.
    pub(crate) fn loss(self, target: f64, score: f64) -> Loss {
        match self {
            Self::Gaussian => {
                let error = target - score;
                Loss { value: error * error / 2.0, descent: error, curvature: 1.0 }
            }
            Self::Poisson => {
                let mean = score.exp();
                let value = mean - target * score + x_ln_x(target) - target;
                Loss { value, descent: target - mean, curvature: mean }
            }
            Self::GammaLog => {
                let ratio = target * (-score).exp();
                Loss { value: ratio - 1.0 - target.ln() + score, descent: ratio - 1.0, curvature: 1.0 }
            }
            Self::GammaInverse if score > 0.0 => {
                let mean = 1.0 / score;
                Loss { value: target * score - 1.0 - (target * score).ln(), descent: mean - target, curvature: mean * mean }
            }
            Self::GammaInverse => Loss { value: f64::INFINITY, descent: 0.0, curvature: 0.0 },
            Self::Binomial => {
                let mean = logistic(score);
                // ln(1 + e^±score) without overflow; its small one keeps its digits.
                let small = (-score.abs()).exp().ln_1p();
                let (yes, no) = (small + (-score).max(0.0), small + score.max(0.0));
                let value = target * yes + (1.0 - target) * no + x_ln_x(target) + x_ln_x(1.0 - target);
                Loss { value, descent: target - mean, curvature: mean * logistic(-score) }
            }
        }
    }

    /// The variance of the target, as a multiple of the dispersion.
    pub(crate) fn variance(self, mean: f64) -> f64 {
        match self {
            Self::Gaussian => 1.0,
            Self::Poisson => mean,
            Self::GammaLog | Self::GammaInverse => mean * mean,
            Self::Binomial => mean * (1.0 - mean),
        }
    }

    /// Whether the variance follows from the mean alone, so that the dispersion is 1.
    pub(crate) fn has_fixed_dispersion(self) -> bool {
        matches!(self, Self::Poisson | Self::Binomial)
    }

    /// Whether a score can run away to infinity while the loss stays bounded.
    pub(crate) fn can_separate(self) -> bool {
        matches!(self, Self::Poisson | Self::Binomial)
    }

    /// Checks the target of a row.
    pub(crate) fn check(self, row: usize, value: f64) -> Result<(), LearnError> {
        let (fits, expected) = match self {
            Self::Gaussian => (true, "a finite number"),
            Self::Poisson => (value >= 0.0, "at least 0"),
            Self::GammaLog | Self::GammaInverse => (value > 0.0, "above 0"),
            Self::Binomial => ((0.0..=1.0).contains(&value), "between 0 and 1"),
        };
        if fits && value.is_finite() { Ok(()) } else { Err(LearnError::Value { what: "target", row, value, expected }) }
    }
}

/// `1 / (1 + e^-score)` without overflow.
pub(crate) fn logistic(score: f64) -> f64 {
    if score >= 0.0 {
        1.0 / (1.0 + (-score).exp())
    } else {
        let odds = score.exp();
        odds / (1.0 + odds)
    }
}

/// `x·ln x`, 0 at 0.
fn x_ln_x(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: [Family; 5] = [Family::Gaussian, Family::Poisson, Family::GammaLog, Family::GammaInverse, Family::Binomial];

    #[test]
    fn targets_outside_the_range_are_refused() {
        let check = |family: Family, value: f64| {
            assert!(matches!(family.check(3, value), Err(LearnError::Value { row: 3, .. })), "{family:?} {value}")
        };
        FAMILIES.iter().for_each(|family| check(*family, f64::NAN));
        check(Family::Gaussian, f64::INFINITY);
        check(Family::Poisson, -0.1);
        check(Family::GammaLog, 0.0);
        check(Family::GammaInverse, -1.0);
        check(Family::Binomial, 1.1);
        assert!(Family::Poisson.check(0, 0.0).is_ok() && Family::Binomial.check(0, 1.0).is_ok());
    }

    #[test]
    fn the_loss_is_smallest_at_the_target_and_its_derivatives_agree() {
        for family in FAMILIES {
            for (target, score) in [(0.3, 0.8), (0.9, 0.2), (0.5, 2.0)] {
                let step = 1e-5;
                let (below, here, above) =
                    (family.loss(target, score - step), family.loss(target, score), family.loss(target, score + step));
                let slope = (above.value - below.value) / (2.0 * step);
                assert!((here.descent + slope).abs() < 1e-8, "{family:?} at {score}: {} and {slope}", here.descent);
                assert!((family.mean(family.score(target)) - target).abs() < 1e-12);
                assert!(family.loss(target, family.score(target)).value.abs() < 1e-12, "{family:?}");
                // At its mean, the expected curvature is the second derivative.
                let mean = family.mean(score);
                let bend = (family.loss(mean, score + step).descent - family.loss(mean, score - step).descent) / (-2.0 * step);
                assert!((family.loss(mean, score).curvature - bend).abs() < 1e-6, "{family:?} at {score}");
            }
        }
        assert!(Family::Binomial.loss(1.0, 800.0).value == 0.0 && Family::Binomial.loss(0.0, 800.0).value == 800.0);
    }
}
