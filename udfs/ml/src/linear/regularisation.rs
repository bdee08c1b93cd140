//! How strongly coefficients are drawn to zero, in the scalings that people know.

use crate::error::LearnError;
use serde::{Deserialize, Serialize};

/// A penalty `l1·Σ|w| + ½·l2·Σw²` on the coefficients; the intercept is free.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Regularisation {
    pub l1: f64,
    pub l2: f64,
    pub scaling: Scaling,
}

/// What the penalty is added to, and which coefficients it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scaling {
    /// To the sum of losses over rows, coefficients of the features as they came. The loss of a row is half its squared
    /// error, half its deviance, or its log loss. `l2` is BigQuery's `l2_reg`, the `alpha` of scikit-learn's
    /// `Ridge` and the `1/C` of its `LogisticRegression`.
    Sum,
    /// To the mean of the losses over rows, coefficients of the features as they came: `l2` is the `alpha` of scikit-learn's
    /// `PoissonRegressor`, `l1 = alpha·l1_ratio` and `l2 = alpha·(1 - l1_ratio)` those of its `ElasticNet`.
    Mean,
    /// To the mean of the losses over rows, coefficients of standardised columns (0/1 columns included), as Spark's
    /// `LinearRegression` and `LogisticRegression` do. Linear regression divides `l2` by the standard deviation of the
    /// target, because Spark standardises the target too and does not undo it for this part of the penalty.
    Spark,
}

impl Regularisation {
    /// No penalty.
    pub const NONE: Self = Self { l1: 0.0, l2: 0.0, scaling: Scaling::Sum };

    /// `l2` on the sum of losses: ridge as scikit-learn and BigQuery spell it.
    pub const fn ridge(l2: f64) -> Self {
        Self { l1: 0.0, l2, scaling: Scaling::Sum }
    }

    /// Spark's spelling.
    pub fn spark(reg_param: f64, elastic_net_param: f64) -> Self {
        Self { l1: reg_param * elastic_net_param, l2: reg_param * (1.0 - elastic_net_param), scaling: Scaling::Spark }
    }

    /// Whether no coefficient is penalised.
    pub fn is_none(&self) -> bool {
        self.l1 == 0.0 && self.l2 == 0.0
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`LearnError::Parameter`] for a negative or infinite strength.
    pub fn check(&self) -> Result<(), LearnError> {
        for (name, value) in [("l1_reg", self.l1), ("l2_reg", self.l2)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(LearnError::Parameter { name, value: value.to_string(), range: "a finite number of at least 0" });
            }
        }
        Ok(())
    }

    /// The penalties per column for coefficients of columns that were divided by `scales`, and whose variance is now
    /// `variances`, in a loss summed over rows of total weight `weight`.
    pub(crate) fn per_column(&self, scales: &[f64], variances: &[f64], weight: f64, target_deviation: f64) -> Penalty {
        let factor = |scale: &f64, variance: &f64| match self.scaling {
            Scaling::Sum | Scaling::Mean => 1.0 / scale,
            Scaling::Spark => variance.sqrt(),
        };
        let total = if self.scaling == Scaling::Sum { 1.0 } else { weight };
        let divisor = if self.scaling == Scaling::Spark { target_deviation } else { 1.0 };
        let factors: Vec<f64> = scales.iter().zip(variances).map(|(scale, variance)| factor(scale, variance)).collect();
        let l1 = factors.iter().map(|factor| self.l1 * total * factor).collect();
        let l2 = factors.iter().map(|factor| self.l2 * total * factor * factor / divisor).collect();
        Penalty { l1, l2 }
    }
}

/// The strength of the penalties of each column.
#[derive(Debug, Clone)]
pub(crate) struct Penalty {
    pub(crate) l1: Vec<f64>,
    pub(crate) l2: Vec<f64>,
}

impl Penalty {
    /// `½·Σ l2·w²`.
    pub(crate) fn half_squares(&self, coefficients: &[f64]) -> f64 {
        self.l2.iter().zip(coefficients).map(|(l2, coefficient)| l2 * coefficient * coefficient).sum::<f64>() / 2.0
    }
}
