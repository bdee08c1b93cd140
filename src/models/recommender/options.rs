//! The options of CREATE MODEL for a recommender: names in Spark's and BigQuery's spelling.

use crate::error::{Code, Error, Result};
use crate::models::option::{Kind, Known, ModelOption, Reader, known};
use std::collections::BTreeMap;
use weir_ml::als::{AlsParams, LambdaScale};

/// How strongly factors are drawn to zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Regularisation {
    /// `regParam`: multiplied by the number of ratings of the row, as Spark does.
    RegParam(f64),
    /// `l2_reg`: taken as it is, as BigQuery does.
    L2(f64),
}

/// What an unknown user gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColdStart {
    /// The items with the best damped mean rating.
    Popular,
    /// No recommendation; a prediction is NULL.
    Drop,
    /// No recommendation; a prediction is NaN, as in Spark.
    Nan,
}

impl ColdStart {
    fn name(self) -> &'static str {
        match self {
            Self::Popular => "popular",
            Self::Drop => "drop",
            Self::Nan => "nan",
        }
    }
}

/// Which rows are held out to score the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DataSplit {
    Random { eval_fraction: f64 },
    NoSplit,
}

/// The checked options of a recommender.
#[derive(Debug, Clone, PartialEq)]
pub struct RecommenderOptions {
    /// Column names as written; those left out are taken by position.
    pub user_col: Option<String>,
    pub item_col: Option<String>,
    pub rating_col: Option<String>,
    pub rank: usize,
    pub regularisation: Regularisation,
    pub max_iterations: usize,
    pub nonnegative: bool,
    pub seed: u64,
    pub cold_start: ColdStart,
    pub data_split: DataSplit,
    /// Fit again on all rows after the held-out ones were scored.
    pub refit: bool,
}

static KNOWN: &[Known] = &[
    known("model_type", &[], Kind::Supported),
    known("feedback_type", &[], Kind::Supported),
    known("implicitPrefs", &[], Kind::Supported),
    known("user_col", &[], Kind::Supported),
    known("item_col", &[], Kind::Supported),
    known("rating_col", &[], Kind::Supported),
    known("num_factors", &["rank"], Kind::Supported),
    known("regParam", &[], Kind::Supported),
    known("l2_reg", &[], Kind::Supported),
    known("max_iterations", &["maxIter"], Kind::Supported),
    known("nonnegative", &[], Kind::Supported),
    known("seed", &[], Kind::Supported),
    known("cold_start_strategy", &[], Kind::Supported),
    known("data_split_method", &[], Kind::Supported),
    known("data_split_eval_fraction", &[], Kind::Supported),
    known("refit", &[], Kind::Supported),
    known("numUserBlocks", &[], Kind::Ignored),
    known("numItemBlocks", &[], Kind::Ignored),
    known("numBlocks", &[], Kind::Ignored),
    known("blockSize", &[], Kind::Ignored),
    known("checkpointInterval", &[], Kind::Ignored),
    known("intermediateStorageLevel", &[], Kind::Ignored),
    known("finalStorageLevel", &[], Kind::Ignored),
    known("ranking", &[], Kind::Supported),
];

impl RecommenderOptions {
    /// Reads the options of `CREATE MODEL <model>`, in the order written.
    ///
    /// # Errors
    /// `InvalidParameter` with the option's name for unknown ones, repeated ones and unusable values;
    /// `NotSupported` for what we know and do not do yet.
    pub fn parse(model: &str, options: &[(String, ModelOption)]) -> Result<Self> {
        Values(Reader::new(model, options, KNOWN)?).read()
    }

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
        }
    }

    /// The effective values by name, after defaults; without the columns.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let mut parameters = BTreeMap::new();
        let mut put = |name: &str, value: String| parameters.insert(name.to_owned(), value);
        put("model_type", "matrix_factorization".into());
        put("feedback_type", "explicit".into());
        put("num_factors", self.rank.to_string());
        match self.regularisation {
            Regularisation::RegParam(lambda) => put("regParam", lambda.to_string()),
            Regularisation::L2(lambda) => put("l2_reg", lambda.to_string()),
        };
        put("max_iterations", self.max_iterations.to_string());
        put("nonnegative", self.nonnegative.to_string());
        put("seed", self.seed.to_string());
        put("cold_start_strategy", self.cold_start.name().into());
        match self.data_split {
            DataSplit::Random { eval_fraction } => {
                put("data_split_method", "random".into());
                put("data_split_eval_fraction", eval_fraction.to_string());
                put("refit", self.refit.to_string());
            }
            DataSplit::NoSplit => {
                put("data_split_method", "no_split".into());
            }
        }
        parameters
    }
}

/// Reads the values.
struct Values<'a>(Reader<'a>);

impl Values<'_> {
    fn read(&self) -> Result<RecommenderOptions> {
        self.check_feedback()?;
        let rank = self.0.integer("num_factors", 1..=1024)?.unwrap_or(10);
        let max_iterations = self.0.integer("max_iterations", 1..=1000)?.unwrap_or(10);
        Ok(RecommenderOptions {
            user_col: self.0.column("user_col")?,
            item_col: self.0.column("item_col")?,
            rating_col: self.0.column("rating_col")?,
            rank: usize::try_from(rank).unwrap_or(usize::MAX),
            regularisation: self.regularisation()?,
            max_iterations: usize::try_from(max_iterations).unwrap_or(usize::MAX),
            nonnegative: self.0.flag("nonnegative")?.unwrap_or(false),
            seed: self.0.integer("seed", i64::MIN..=i64::MAX)?.map_or(42, i64::cast_unsigned),
            cold_start: self.cold_start()?,
            data_split: self.data_split()?,
            refit: self.0.flag("refit")?.unwrap_or(true),
        })
    }

    fn check_feedback(&self) -> Result<()> {
        let implicit = match self.0.choice("feedback_type", &["explicit", "implicit"])? {
            Some("implicit") => Some("feedback_type"),
            _ if self.0.flag("implicitPrefs")? == Some(true) => Some("implicitPrefs"),
            _ if self.0.choice("ranking", &["rating", "implicit"])? == Some("implicit") => Some("ranking"),
            _ => None,
        };
        match implicit {
            None => Ok(()),
            Some(option) => {
                let what = format!("implicit feedback (option \"{option}\" of model \"{}\") is not supported yet", self.0.model());
                Err(Error::new(Code::NotSupported, what).hint("Train on explicit ratings: feedback_type='explicit'."))
            }
        }
    }

    fn regularisation(&self) -> Result<Regularisation> {
        match (self.0.number("regParam", 0.0, 1e6)?, self.0.number("l2_reg", 0.0, 1e6)?) {
            (Some(_), Some(_)) => {
                let what = format!("model \"{}\" has both options \"regParam\" and \"l2_reg\"", self.0.model());
                Err(Error::new(Code::InvalidParameter, what)
                    .detail("regParam is multiplied by the number of ratings of a user or item, l2_reg is not.")
                    .hint("Keep one of them."))
            }
            (None, Some(lambda)) => Ok(Regularisation::L2(lambda)),
            (lambda, None) => Ok(Regularisation::RegParam(lambda.unwrap_or(0.1))),
        }
    }

    fn cold_start(&self) -> Result<ColdStart> {
        match self.0.choice("cold_start_strategy", &["popular", "drop", "nan", "fold_in"])? {
            None | Some("popular") => Ok(ColdStart::Popular),
            Some("drop") => Ok(ColdStart::Drop),
            Some("nan") => Ok(ColdStart::Nan),
            Some(_) => {
                let what = format!("cold_start_strategy 'fold_in' of model \"{}\" is not supported yet", self.0.model());
                Err(Error::new(Code::NotSupported, what).hint("Use 'popular', 'drop' or 'nan'."))
            }
        }
    }

    fn data_split(&self) -> Result<DataSplit> {
        let fraction = self.0.number("data_split_eval_fraction", 0.0, 1.0)?;
        match self.0.choice("data_split_method", &["random", "no_split", "auto_split", "seq", "custom"])? {
            None | Some("random" | "auto_split") => {
                let eval_fraction = fraction.unwrap_or(0.2);
                if eval_fraction <= 0.0 || eval_fraction >= 1.0 {
                    let error =
                        self.0.wrong("data_split_eval_fraction", &eval_fraction.to_string(), "a number between 0 and 1, both excluded");
                    return Err(error.hint("Use data_split_method='no_split' to hold nothing out."));
                }
                Ok(DataSplit::Random { eval_fraction })
            }
            Some("no_split") if fraction.is_some() => {
                let what = format!("option \"data_split_eval_fraction\" of model \"{}\" needs a data split", self.0.model());
                Err(Error::new(Code::InvalidParameter, what).detail("data_split_method is 'no_split'."))
            }
            Some("no_split") => Ok(DataSplit::NoSplit),
            Some(method) => {
                let what = format!("data_split_method '{method}' of model \"{}\" is not supported yet", self.0.model());
                Err(Error::new(Code::NotSupported, what).hint("Use 'random' or 'no_split'."))
            }
        }
    }
}
