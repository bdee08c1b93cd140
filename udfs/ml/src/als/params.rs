//! What to train.

use super::AlsError;

/// What to train. The defaults are Spark's.
#[derive(Debug, Clone, PartialEq)]
pub struct AlsParams {
    /// Factors per user and item.
    pub rank: usize,
    pub lambda: f64,
    pub lambda_scale: LambdaScale,
    pub max_iterations: usize,
    /// Keep all factors at or above 0.
    pub nonnegative: bool,
    pub seed: u64,
    pub feedback: Feedback,
}

impl Default for AlsParams {
    fn default() -> Self {
        Self {
            rank: 10,
            lambda: 0.1,
            lambda_scale: LambdaScale::Rating,
            max_iterations: 10,
            nonnegative: false,
            seed: 42,
            feedback: Feedback::Explicit,
        }
    }
}

/// What lambda is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LambdaScale {
    /// By the number of ratings of the row, as Spark's `regParam`: the ALS-WR of the paper. Under implicit
    /// feedback only ratings above 0 count, as in Spark.
    Rating,
    /// By nothing, as BigQuery's `L2_REG`.
    Row,
}

/// What a rating says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Feedback {
    /// How much the user likes the item: the model predicts it.
    Explicit,
    /// How sure we are, `1 + alpha·|rating|`, that the user likes the item (a rating above 0) or does not (any
    /// other). An item without a rating is one the user does not like, with confidence 1: the model ranks.
    ///
    /// # Source
    /// Hu, Koren, Volinsky 2008, *Collaborative Filtering for Implicit Feedback Datasets*, §4; ratings below 0 as in Spark.
    Implicit { alpha: f64 },
}

impl AlsParams {
    /// Refuses what cannot be trained.
    ///
    /// # Errors
    /// [`AlsError::Parameter`] with the name, the value and its range.
    pub fn check(&self) -> Result<(), AlsError> {
        let wrong = |name, value: String, range| Err(AlsError::Parameter { name, value, range });
        if !(1..=1024).contains(&self.rank) {
            return wrong("rank", self.rank.to_string(), "from 1 to 1024");
        }
        if self.max_iterations == 0 {
            return wrong("max_iterations", "0".into(), "at least 1");
        }
        if !(self.lambda >= 0.0 && self.lambda <= 1e6) {
            return wrong("lambda", self.lambda.to_string(), "from 0 to 1000000");
        }
        if let Feedback::Implicit { alpha } = self.feedback
            && !(alpha >= 0.0 && alpha <= 1e6)
        {
            return wrong("alpha", alpha.to_string(), "from 0 to 1000000");
        }
        Ok(())
    }
}
