//! The options of CREATE MODEL for a recommender: names in Spark's and BigQuery's spelling.

use crate::error::{Code, Error, Result, nearest};
use std::collections::BTreeMap;
use weir_ml::als::{AlsParams, LambdaScale};

/// The value of an option as written; the engine makes it from the parser's.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelOption {
    Text(String),
    /// The digits as written, with sign.
    Number(String),
    Bool(bool),
    Null,
    List,
    /// `HPARAM_RANGE(..)`: the name.
    Call(String),
}

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
pub struct ModelOptions {
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

/// An option that we know: its name, other spellings, and what is done with it.
struct Known {
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Supported,
    /// Only tunes Spark's execution; accepted so that its users can paste their options.
    Ignored,
    Later,
}

const fn known(name: &'static str, aliases: &'static [&'static str], kind: Kind) -> Known {
    Known { name, aliases, kind }
}

/// Case and underscores do not matter: `max_iter` is `maxIter`.
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
    known("solver", &[], Kind::Later),
    known("numUserBlocks", &[], Kind::Ignored),
    known("numItemBlocks", &[], Kind::Ignored),
    known("numBlocks", &[], Kind::Ignored),
    known("blockSize", &[], Kind::Ignored),
    known("checkpointInterval", &[], Kind::Ignored),
    known("intermediateStorageLevel", &[], Kind::Ignored),
    known("finalStorageLevel", &[], Kind::Ignored),
    known("num_trials", &[], Kind::Later),
    known("max_parallel_trials", &[], Kind::Later),
    known("hparam_tuning_algorithm", &[], Kind::Later),
    known("hparam_tuning_objectives", &[], Kind::Later),
    known("online_update", &[], Kind::Later),
    known("ranking", &[], Kind::Supported),
    known("alpha", &["wals_alpha"], Kind::Later),
    known("bias", &[], Kind::Later),
    known("early_stop", &[], Kind::Later),
    known("min_rel_progress", &[], Kind::Later),
    known("data_split_col", &[], Kind::Later),
    known("prediction_col", &[], Kind::Later),
    known("warm_start", &[], Kind::Later),
];

/// Model types of other issues.
const LATER_TYPES: [&str; 12] = [
    "linear_reg",
    "elastic_net",
    "glm",
    "logistic_reg",
    "random_forest_classifier",
    "random_forest_regressor",
    "boosted_tree_classifier",
    "boosted_tree_regressor",
    "kmeans",
    "pca",
    "naive_bayes",
    "spark",
];

impl ModelOptions {
    /// Reads the options of `CREATE MODEL <model>`, in the order written.
    ///
    /// # Errors
    /// `InvalidParameter` with the option's name for unknown ones, repeated ones and unusable values;
    /// `NotSupported` for what we know and do not do yet.
    pub fn parse(model: &str, options: &[(String, ModelOption)]) -> Result<Self> {
        Reader::new(model, options)?.read()
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

/// The options by their main name, with the spelling used.
struct Reader<'a> {
    model: &'a str,
    given: BTreeMap<&'static str, (&'a str, &'a ModelOption)>,
}

/// Names are compared without case and underscores.
fn fold(name: &str) -> String {
    name.chars().filter(|letter| *letter != '_').collect::<String>().to_lowercase()
}

impl<'a> Reader<'a> {
    fn new(model: &'a str, options: &'a [(String, ModelOption)]) -> Result<Self> {
        let mut given: BTreeMap<&'static str, (&str, &ModelOption)> = BTreeMap::new();
        for (key, value) in options {
            let folded = fold(key);
            let known = KNOWN.iter().find(|known| fold(known.name) == folded || known.aliases.iter().any(|alias| fold(alias) == folded));
            let Some(known) = known else {
                return Err(unknown_option(model, key));
            };
            match (known.kind, value) {
                (Kind::Later, _) => return Err(not_supported(model, key)),
                (Kind::Ignored, _) => continue,
                (Kind::Supported, ModelOption::Call(name)) if fold(name).starts_with("hparam") => {
                    let error = Error::new(Code::NotSupported, format!("option \"{key}\" of model \"{model}\" cannot be searched for yet"));
                    return Err(error.detail(format!("{name} is not supported yet.")).hint("Give the option one value."));
                }
                (Kind::Supported, _) => {}
            }
            if let Some((before, _)) = given.insert(known.name, (key, value)) {
                let error = Error::new(Code::InvalidParameter, format!("option \"{key}\" of model \"{model}\" is given twice"));
                return Err(if before.eq_ignore_ascii_case(key) {
                    error
                } else {
                    error.detail(format!("It is also given as \"{before}\"."))
                });
            }
        }
        Ok(Self { model, given })
    }

    fn read(&self) -> Result<ModelOptions> {
        self.check_model_type()?;
        self.check_feedback()?;
        let rank = self.integer("num_factors", 1..=1024)?.unwrap_or(10);
        let max_iterations = self.integer("max_iterations", 1..=1000)?.unwrap_or(10);
        Ok(ModelOptions {
            user_col: self.column("user_col")?,
            item_col: self.column("item_col")?,
            rating_col: self.column("rating_col")?,
            rank: usize::try_from(rank).unwrap_or(usize::MAX),
            regularisation: self.regularisation()?,
            max_iterations: usize::try_from(max_iterations).unwrap_or(usize::MAX),
            nonnegative: self.flag("nonnegative")?.unwrap_or(false),
            seed: self.integer("seed", i64::MIN..=i64::MAX)?.map_or(42, i64::cast_unsigned),
            cold_start: self.cold_start()?,
            data_split: self.data_split()?,
            refit: self.flag("refit")?.unwrap_or(true),
        })
    }

    fn check_model_type(&self) -> Result<()> {
        let Some(name) = self.text("model_type")? else {
            let error = Error::new(Code::InvalidParameter, format!("model \"{}\" has no option \"model_type\"", self.model));
            return Err(error.hint("Add OPTIONS (model_type='matrix_factorization')."));
        };
        let folded = name.to_lowercase();
        match folded.as_str() {
            "matrix_factorization" | "als" => Ok(()),
            later if LATER_TYPES.contains(&later) => {
                Err(Error::new(Code::NotSupported, format!("model type \"{name}\" of model \"{}\" is not supported yet", self.model))
                    .hint("Model types: matrix_factorization (alias als)."))
            }
            _ => {
                let known = ["matrix_factorization", "als"].into_iter().chain(LATER_TYPES);
                let what = format!("model \"{}\" has the unknown model type \"{name}\"", self.model);
                Err(Error::unknown(Code::InvalidParameter, what, &name, known))
            }
        }
    }

    fn check_feedback(&self) -> Result<()> {
        let implicit = match self.choice("feedback_type", &["explicit", "implicit"])? {
            Some("implicit") => Some("feedback_type"),
            _ if self.flag("implicitPrefs")? == Some(true) => Some("implicitPrefs"),
            _ if self.choice("ranking", &["rating", "implicit"])? == Some("implicit") => Some("ranking"),
            _ => None,
        };
        match implicit {
            None => Ok(()),
            Some(option) => {
                let what = format!("implicit feedback (option \"{option}\" of model \"{}\") is not supported yet", self.model);
                Err(Error::new(Code::NotSupported, what).hint("Train on explicit ratings: feedback_type='explicit'."))
            }
        }
    }

    fn regularisation(&self) -> Result<Regularisation> {
        match (self.number("regParam", 0.0, 1e6)?, self.number("l2_reg", 0.0, 1e6)?) {
            (Some(_), Some(_)) => {
                let what = format!("model \"{}\" has both options \"regParam\" and \"l2_reg\"", self.model);
                Err(Error::new(Code::InvalidParameter, what)
                    .detail("regParam is multiplied by the number of ratings of a user or item, l2_reg is not.")
                    .hint("Keep one of them."))
            }
            (None, Some(lambda)) => Ok(Regularisation::L2(lambda)),
            (lambda, None) => Ok(Regularisation::RegParam(lambda.unwrap_or(0.1))),
        }
    }

    fn cold_start(&self) -> Result<ColdStart> {
        match self.choice("cold_start_strategy", &["popular", "drop", "nan", "fold_in"])? {
            None | Some("popular") => Ok(ColdStart::Popular),
            Some("drop") => Ok(ColdStart::Drop),
            Some("nan") => Ok(ColdStart::Nan),
            Some(_) => {
                let what = format!("cold_start_strategy 'fold_in' of model \"{}\" is not supported yet", self.model);
                Err(Error::new(Code::NotSupported, what).hint("Use 'popular', 'drop' or 'nan'."))
            }
        }
    }

    fn data_split(&self) -> Result<DataSplit> {
        let fraction = self.number("data_split_eval_fraction", 0.0, 1.0)?;
        match self.choice("data_split_method", &["random", "no_split", "auto_split", "seq", "custom"])? {
            None | Some("random" | "auto_split") => {
                let eval_fraction = fraction.unwrap_or(0.2);
                if eval_fraction <= 0.0 || eval_fraction >= 1.0 {
                    let error =
                        self.wrong("data_split_eval_fraction", &eval_fraction.to_string(), "a number between 0 and 1, both excluded");
                    return Err(error.hint("Use data_split_method='no_split' to hold nothing out."));
                }
                Ok(DataSplit::Random { eval_fraction })
            }
            Some("no_split") if fraction.is_some() => {
                let what = format!("option \"data_split_eval_fraction\" of model \"{}\" needs a data split", self.model);
                Err(Error::new(Code::InvalidParameter, what).detail("data_split_method is 'no_split'."))
            }
            Some("no_split") => Ok(DataSplit::NoSplit),
            Some(method) => {
                let what = format!("data_split_method '{method}' of model \"{}\" is not supported yet", self.model);
                Err(Error::new(Code::NotSupported, what).hint("Use 'random' or 'no_split'."))
            }
        }
    }

    fn wrong(&self, name: &str, value: &str, expected: &str) -> Error {
        let key = self.given.get(name).map_or(name, |(key, _)| *key);
        Error::new(Code::InvalidParameter, format!("option \"{key}\" of model \"{}\" is {value}, it must be {expected}", self.model))
    }

    /// The value as text; lists, calls and NULL are no value of any option.
    fn text(&self, name: &'static str) -> Result<Option<String>> {
        match self.given.get(name) {
            None => Ok(None),
            Some((_, ModelOption::Text(text) | ModelOption::Number(text))) => Ok(Some(text.clone())),
            Some((_, ModelOption::Bool(flag))) => Ok(Some(flag.to_string())),
            Some((_, ModelOption::Null)) => Err(self.wrong(name, "NULL", "one value")),
            Some((_, ModelOption::List)) => Err(self.wrong(name, "a list", "one value")),
            Some((_, ModelOption::Call(call))) => Err(self.wrong(name, &format!("a call of {call}"), "one value")),
        }
    }

    fn column(&self, name: &'static str) -> Result<Option<String>> {
        match self.text(name)? {
            Some(column) if column.trim().is_empty() => Err(self.wrong(name, "empty", "the name of a column of the training query")),
            column => Ok(column),
        }
    }

    fn choice(&self, name: &'static str, choices: &[&'static str]) -> Result<Option<&'static str>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match choices.iter().find(|choice| choice.eq_ignore_ascii_case(text.trim())) {
            Some(choice) => Ok(Some(choice)),
            None => {
                let error = self.wrong(name, &format!("'{text}'"), &format!("one of {}", choices.join(", ")));
                Err(match nearest(&text, choices.iter().copied()) {
                    Some(near) => error.hint(format!("Did you mean \"{near}\"?")),
                    None => error,
                })
            }
        }
    }

    fn flag(&self, name: &'static str) -> Result<Option<bool>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.trim().to_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(self.wrong(name, &format!("'{text}'"), "TRUE or FALSE")),
        }
    }

    fn integer(&self, name: &'static str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.trim().parse::<i64>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(name, &text, &format!("an integer from {} to {}", range.start(), range.end()))),
        }
    }

    fn number(&self, name: &'static str, from: f64, to: f64) -> Result<Option<f64>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.trim().parse::<f64>() {
            Ok(number) if (from..=to).contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(name, &text, &format!("a number from {from} to {to}"))),
        }
    }
}

fn unknown_option(model: &str, key: &str) -> Error {
    if fold(key).starts_with("hparam") {
        return not_supported(model, key);
    }
    let names = KNOWN.iter().flat_map(|known| std::iter::once(known.name).chain(known.aliases.iter().copied()));
    Error::unknown(Code::InvalidParameter, format!("model \"{model}\" has the unknown option \"{key}\""), key, names)
}

fn not_supported(model: &str, key: &str) -> Error {
    Error::new(Code::NotSupported, format!("option \"{key}\" of model \"{model}\" is not supported yet"))
}
