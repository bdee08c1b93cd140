//! The options of CREATE MODEL for a recommender, checked: what they say, and what it means for training.

use super::objective::Objective;
use super::option_reader;
use crate::error::Result;
use crate::models::option::ModelOption;
use crate::models::tuning::Search;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_ml::als::{self, AlsParams, Bias, Feedback, LambdaScale};

/// Ratings of the mean added to a user or an item when its static bias is computed, as LensKit does.
const BIAS_DAMPING: f64 = 5.0;

/// How strongly factors are drawn to zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Regularisation {
    /// `regParam`: multiplied by the number of ratings of the row, as Spark does.
    RegParam(f64),
    /// `l2_reg`: taken as it is, as BigQuery does.
    L2(f64),
}

/// What the rating column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedbackType {
    /// How much a user likes an item: the model predicts it.
    Explicit,
    /// How often or how long: more of it is more certainty that the user likes the item. The model ranks.
    Implicit,
}

impl FeedbackType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Implicit => "implicit",
        }
    }
}

/// How the equations of a user or an item are solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// Exactly.
    Cholesky,
    /// By a few steps of conjugate gradients from the last factors.
    ConjugateGradient,
}

/// What is predicted besides the product of factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasType {
    None,
    /// The mean rating and damped offsets of users and items, computed before the factors.
    Static,
    /// Offsets learned with the factors.
    Learned,
}

/// By what recommendations of an explicit model are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// By the predicted rating.
    Rating,
    /// By an implicit companion, trained in the same statement from the same rows: it ranks far better.
    Implicit,
}

/// What an unknown user gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColdStart {
    /// Factors from the ratings given with the call; without any, what is popular.
    FoldIn,
    /// The items with the best damped mean rating, or (implicit) with the most ratings.
    Popular,
    /// No recommendation; a prediction is NULL.
    Drop,
    /// No recommendation; a prediction is NaN, as in Spark.
    Nan,
}

impl ColdStart {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FoldIn => "fold_in",
            Self::Popular => "popular",
            Self::Drop => "drop",
            Self::Nan => "nan",
        }
    }
}

/// Which rows are held out to score the model.
#[derive(Debug, Clone, PartialEq)]
pub enum DataSplit {
    Random {
        eval_fraction: f64,
    },
    /// The share of each user's ratings; one of them at least is left to train on.
    RandomPerUser {
        eval_fraction: f64,
    },
    /// BigQuery's: nothing of fewer than 500 rows, else a fifth, at most 10,000 rows.
    Auto,
    /// The newest rows by a column of times or numbers.
    Sequential {
        column: String,
        eval_fraction: f64,
    },
    /// The rows where a boolean column is TRUE (or NULL, as in BigQuery).
    Custom {
        column: String,
    },
    /// Each row once, in one of so many rounds; the evaluation is the mean of the rounds.
    Folds {
        n_folds: usize,
    },
    NoSplit,
}

impl DataSplit {
    /// The column that decides.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Sequential { column, .. } | Self::Custom { column } => Some(column),
            _ => None,
        }
    }
}

/// What is needed to fit factors: what a search varies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitOptions {
    pub feedback: FeedbackType,
    pub rank: usize,
    pub regularisation: Regularisation,
    /// Of implicit feedback: the confidence in a rating r is 1 + alpha·|r|.
    pub alpha: f64,
    pub max_iterations: usize,
    pub nonnegative: bool,
    pub solver: Solver,
    pub bias: BiasType,
    pub seed: u64,
    /// Stop when an iteration lowers the loss by less than this share.
    pub min_rel_progress: Option<f64>,
}

impl FitOptions {
    /// The parameters of training.
    pub fn als_params(&self) -> AlsParams {
        let (lambda, lambda_scale) = match self.regularisation {
            Regularisation::RegParam(lambda) => (lambda, LambdaScale::Rating),
            Regularisation::L2(lambda) => (lambda, LambdaScale::Row),
        };
        AlsParams {
            rank: self.rank,
            lambda,
            lambda_scale,
            max_iterations: self.max_iterations,
            nonnegative: self.nonnegative,
            seed: self.seed,
            feedback: match self.feedback {
                FeedbackType::Explicit => Feedback::Explicit,
                FeedbackType::Implicit => Feedback::Implicit { alpha: self.alpha },
            },
            solver: match self.solver {
                Solver::Cholesky => als::Solver::Cholesky,
                Solver::ConjugateGradient => als::Solver::CG,
            },
            bias: match self.bias {
                BiasType::None => Bias::None,
                BiasType::Static => Bias::Static { damping: BIAS_DAMPING },
                BiasType::Learned => Bias::Learned,
            },
        }
    }

    /// The implicit companion of an explicit model.
    pub fn companion(&self) -> Self {
        Self { feedback: FeedbackType::Implicit, bias: BiasType::None, ..self.clone() }
    }

    /// With a value of a search; `name` is one of [`option_reader::SEARCHABLE`].
    pub fn set(&mut self, name: &str, value: f64) {
        match name {
            "num_factors" => self.rank = value as usize,
            "regParam" => self.regularisation = Regularisation::RegParam(value),
            "l2_reg" => self.regularisation = Regularisation::L2(value),
            "alpha" | "wals_alpha" => self.alpha = value,
            "max_iterations" => self.max_iterations = value as usize,
            _ => debug_assert!(false, "{name} is not searched for"),
        }
    }

    fn parameters(&self, has_companion: bool, put: &mut impl FnMut(&str, String)) {
        put("num_factors", self.rank.to_string());
        match self.regularisation {
            Regularisation::RegParam(lambda) => put("regParam", lambda.to_string()),
            Regularisation::L2(lambda) => put("l2_reg", lambda.to_string()),
        }
        if self.feedback == FeedbackType::Implicit || has_companion {
            put("alpha", self.alpha.to_string());
            put("wals_alpha", self.alpha.to_string());
        }
        put("max_iterations", self.max_iterations.to_string());
        put("nonnegative", self.nonnegative.to_string());
        let solver = match self.solver {
            Solver::Cholesky => "cholesky",
            Solver::ConjugateGradient => "cg",
        };
        put("solver", solver.into());
        let bias = match self.bias {
            BiasType::None => "none",
            BiasType::Static => "static",
            BiasType::Learned => "learned",
        };
        put("bias", bias.into());
        put("seed", self.seed.cast_signed().to_string());
        put("early_stop", self.min_rel_progress.is_some().to_string());
        if let Some(share) = self.min_rel_progress {
            put("min_rel_progress", share.to_string());
        }
    }
}

/// The checked options of a recommender.
#[derive(Debug, Clone, PartialEq)]
pub struct RecommenderOptions {
    /// Column names as written; those left out are taken by position.
    pub user_col: Option<String>,
    pub item_col: Option<String>,
    pub rating_col: Option<String>,
    pub fit: FitOptions,
    pub ranking: Ranking,
    pub cold_start: ColdStart,
    pub data_split: DataSplit,
    /// Fit again on all rows after the held-out ones were scored.
    pub refit: bool,
    /// Begin with the factors of the version before.
    pub warm_start: bool,
    /// Fold new rows of the training query in between trainings.
    pub online_update: bool,
    pub(in crate::models) search: Option<Search>,
    pub(super) objective: Objective,
    /// The length of the lists that are evaluated.
    pub ranking_k: usize,
    /// A held-out row of at least this is a hit; the mean of the training rows when `None` (implicit: any above 0).
    pub relevant_rating: Option<f64>,
}

impl RecommenderOptions {
    /// Reads the options of `CREATE MODEL <model>`, in the order written.
    ///
    /// # Errors
    /// `InvalidParameter` with the option's name for unknown ones, repeated ones and unusable values.
    pub fn parse(model: &str, options: &[(String, ModelOption)]) -> Result<Self> {
        option_reader::read(model, options)
    }

    /// Whether recommendations come from an implicit companion.
    pub fn has_companion(&self) -> bool {
        self.ranking == Ranking::Implicit && self.fit.feedback == FeedbackType::Explicit
    }

    /// The effective values by name, after defaults; without the columns. Where Spark's and BigQuery's forms of an
    /// option can be converted, both are there.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let mut parameters = BTreeMap::new();
        let mut put = |name: &str, value: String| {
            parameters.insert(name.to_owned(), value);
        };
        put("model_type", "matrix_factorization".into());
        put("feedback_type", self.fit.feedback.name().into());
        put("implicitPrefs", (self.fit.feedback == FeedbackType::Implicit).to_string());
        self.fit.parameters(self.has_companion(), &mut put);
        put("ranking", if self.ranking == Ranking::Implicit { "implicit" } else { "rating" }.into());
        put("cold_start_strategy", self.cold_start.name().into());
        put("warm_start", self.warm_start.to_string());
        put("online_update", self.online_update.to_string());
        put("ranking_k", self.ranking_k.to_string());
        if let Some(rating) = self.relevant_rating {
            put("relevant_rating", rating.to_string());
        }
        match &self.data_split {
            DataSplit::Random { eval_fraction } => {
                put("data_split_method", "random".into());
                put("data_split_eval_fraction", eval_fraction.to_string());
            }
            DataSplit::RandomPerUser { eval_fraction } => {
                put("data_split_method", "random_per_user".into());
                put("data_split_eval_fraction", eval_fraction.to_string());
            }
            DataSplit::Auto => put("data_split_method", "auto_split".into()),
            DataSplit::Sequential { column, eval_fraction } => {
                put("data_split_method", "seq".into());
                put("data_split_col", column.clone());
                put("data_split_eval_fraction", eval_fraction.to_string());
            }
            DataSplit::Custom { column } => {
                put("data_split_method", "custom".into());
                put("data_split_col", column.clone());
            }
            DataSplit::Folds { n_folds } => {
                put("data_split_method", "random".into());
                put("k_folds", n_folds.to_string());
            }
            DataSplit::NoSplit => put("data_split_method", "no_split".into()),
        }
        if self.data_split != DataSplit::NoSplit {
            put("refit", self.refit.to_string());
        }
        if let Some(search) = &self.search {
            parameters.extend(search.parameters());
            parameters.insert("hparam_tuning_objectives".into(), self.objective.name().into());
        }
        parameters
    }
}
