//! Families and links of generalised linear models: from the linear predictor to the mean.

use serde::{Deserialize, Serialize};

/// Spark keeps means this far inside their domain.
const EPSILON: f64 = 1e-16;

/// What is known about the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Family {
    /// Ordinary regression: any number as it is.
    Any,
    Gaussian,
    Binomial,
    /// Poisson, gamma, Tweedie.
    Positive,
}

/// The link function.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Link {
    Identity,
    Log,
    Inverse,
    Logit,
    Probit,
    CLogLog,
    Sqrt,
    Power(f64),
}

impl Family {
    /// The family by its name in Spark; `None` for an unknown one. A Tweedie family of variance power 0 is Gaussian.
    pub fn of_name(name: &str, variance_power: f64) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "gaussian" => Some(Self::Gaussian),
            "binomial" => Some(Self::Binomial),
            "poisson" | "gamma" => Some(Self::Positive),
            "tweedie" => Some(if variance_power == 0.0 { Self::Gaussian } else { Self::Positive }),
            _ => None,
        }
    }

    /// The mean moved into its domain.
    pub fn project(self, mean: f64) -> f64 {
        match self {
            Self::Any => mean,
            Self::Gaussian => mean.clamp(f64::MIN, f64::MAX),
            Self::Binomial => mean.clamp(EPSILON, 1.0 - EPSILON),
            Self::Positive => mean.clamp(EPSILON, f64::MAX),
        }
    }
}

impl Link {
    /// The link by its name in Spark.
    pub fn of_name(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "identity" => Some(Self::Identity),
            "log" => Some(Self::Log),
            "inverse" => Some(Self::Inverse),
            "logit" => Some(Self::Logit),
            "probit" => Some(Self::Probit),
            "cloglog" => Some(Self::CLogLog),
            "sqrt" => Some(Self::Sqrt),
            _ => None,
        }
    }

    /// The link that Spark takes for a family when none is set.
    pub fn of_family(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "gaussian" => Some(Self::Identity),
            "binomial" => Some(Self::Logit),
            "poisson" => Some(Self::Log),
            "gamma" => Some(Self::Inverse),
            _ => None,
        }
    }

    /// The power link of a Tweedie family.
    pub fn of_power(power: f64) -> Self {
        match power {
            0.0 => Self::Log,
            1.0 => Self::Identity,
            -1.0 => Self::Inverse,
            0.5 => Self::Sqrt,
            other => Self::Power(other),
        }
    }

    /// The mean of a linear predictor.
    pub fn inverse(self, eta: f64) -> f64 {
        match self {
            Self::Identity => eta,
            Self::Log => eta.exp(),
            Self::Inverse => 1.0 / eta,
            Self::Logit => 1.0 / (1.0 + (-eta).exp()),
            Self::Probit => normal_share(eta),
            Self::CLogLog => -(-eta.exp()).exp_m1(),
            Self::Sqrt => eta * eta,
            Self::Power(power) => eta.powf(1.0 / power),
        }
    }
}

/// The share of the standard normal distribution below `x`.
fn normal_share(x: f64) -> f64 {
    complementary_error(-x / std::f64::consts::SQRT_2) / 2.0
}

/// `erfc`, to about 1e-15: the series of `erf` with positive terms near 0, a continued fraction far away.
///
/// Abramowitz and Stegun 1964, 7.1.6 and 7.1.14.
fn complementary_error(x: f64) -> f64 {
    const NEAR: f64 = 2.5;
    if x.is_nan() {
        return x;
    }
    if x.abs() > NEAR {
        let far = if x.abs() > 40.0 { 0.0 } else { continued_fraction(x.abs()) };
        return if x > 0.0 { far } else { 2.0 - far };
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-17 * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    1.0 - sum * (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI
}

/// `erfc` for x of 2.5 and more: `e^(-x²) / √π` times `1 / (x + (1/2) / (x + 1 / (x + (3/2) / (x + ..))))`.
fn continued_fraction(x: f64) -> f64 {
    let mut tail = x;
    for n in (1..=120).rev() {
        tail = x + f64::from(n) / 2.0 / tail;
    }
    (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI / 2.0 / tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(link: Link, eta: f64, expected: f64) {
        let mean = link.inverse(eta);
        assert!((mean - expected).abs() <= 1e-13 * expected.abs(), "{link:?} of {eta}: {mean}, not {expected}");
    }

    #[test]
    fn links_are_inverted() {
        check(Link::Logit, 0.0, 0.5);
        check(Link::CLogLog, -40.0, 4.248_354_255_291_589e-18);
        check(Link::Power(0.25), 2.0, 16.0);
        // Tables of the normal distribution.
        check(Link::Probit, 0.0, 0.5);
        check(Link::Probit, 1.959_963_984_540_054, 0.975);
        check(Link::Probit, -6.0, 9.865_876_450_376_946e-10);
        check(Link::Probit, -3.0, 1.349_898_031_630_094_6e-3);
    }

    #[test]
    fn means_stay_in_their_domain() {
        assert_eq!(Family::Positive.project(-3.0), 1e-16);
        assert_eq!(Family::Positive.project(f64::INFINITY), f64::MAX);
        assert_eq!(Family::Binomial.project(1.0), 1.0 - 1e-16);
        assert_eq!(Family::Gaussian.project(-7.5), -7.5);
        assert_eq!(Family::Any.project(f64::NEG_INFINITY), f64::NEG_INFINITY);
    }
}
