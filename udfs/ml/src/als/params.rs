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
    pub solver: Solver,
    pub bias: Bias,
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
            solver: Solver::Cholesky,
            bias: Bias::None,
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

/// How the equations of a row are solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solver {
    /// Exactly.
    Cholesky,
    /// By a few steps of conjugate gradients from the last factors: less work per iteration for some more iterations.
    ///
    /// # Source
    /// Takács, Pilászy, Tikk 2011, *Applications of the Conjugate Gradient Method for Implicit Feedback Collaborative Filtering*.
    Cg { steps: usize },
}

impl Solver {
    /// Conjugate gradients with the usual 3 steps.
    pub const CG: Self = Self::Cg { steps: 3 };
}

/// What explicit ratings are besides the product of factors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bias {
    /// Nothing, as in Spark.
    None,
    /// The mean of all ratings, plus means of each item and user drawn towards 0 as if they had `damping` more
    /// ratings of that value; computed before the factors, as in LensKit (whose damping is 5).
    Static { damping: f64 },
    /// The mean of all ratings, plus one number per user and item learned with the factors: another unknown,
    /// regularised like them. A rank that is a multiple of 16 becomes one that is not; rank 63 is as fast as 64.
    Learned,
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
        if !(0.0..=1e6).contains(&self.lambda) {
            return wrong("lambda", self.lambda.to_string(), "from 0 to 1000000");
        }
        match self.feedback {
            Feedback::Implicit { alpha } if !(0.0..=1e6).contains(&alpha) => return wrong("alpha", alpha.to_string(), "from 0 to 1000000"),
            Feedback::Implicit { .. } if self.bias != Bias::None => {
                return wrong("bias", self.bias.name().into(), "none for implicit feedback");
            }
            Feedback::Implicit { .. } | Feedback::Explicit => {}
        }
        match self.bias {
            Bias::Static { damping } if !(0.0..=1e9).contains(&damping) => {
                return wrong("damping", damping.to_string(), "from 0 to 1000000000");
            }
            Bias::Static { .. } | Bias::None | Bias::Learned => {}
        }
        match self.solver {
            Solver::Cg { .. } if self.nonnegative => wrong("solver", "cg".into(), "cholesky for nonnegative factors"),
            Solver::Cg { steps } if !(1..=1000).contains(&steps) => wrong("steps", steps.to_string(), "from 1 to 1000"),
            Solver::Cg { .. } | Solver::Cholesky => Ok(()),
        }
    }

    /// Unknowns per row: the factors, and a learned bias.
    pub(super) fn n_unknowns(&self) -> usize {
        self.rank + usize::from(self.bias == Bias::Learned)
    }

    /// What lambda is multiplied by for a row with these ratings.
    pub(super) fn scale(&self, values: &[f32]) -> f64 {
        match (self.lambda_scale, self.feedback) {
            (LambdaScale::Row, _) => 1.0,
            (LambdaScale::Rating, Feedback::Explicit) => values.len() as f64,
            (LambdaScale::Rating, Feedback::Implicit { .. }) => values.iter().filter(|value| **value > 0.0).count() as f64,
        }
    }
}

impl Bias {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Static { .. } => "static",
            Self::Learned => "learned",
        }
    }
}
