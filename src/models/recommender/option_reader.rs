//! Reading the options of CREATE MODEL for a recommender, in Spark's and BigQuery's spelling.

use super::objective::Objective;
use super::options::{BiasType, ColdStart, DataSplit, FeedbackType, FitOptions, Ranking, RecommenderOptions, Regularisation, Solver};
use crate::error::{Code, Error, Result};
use crate::models::option::{Kind, Known, ModelOption, Reader, fold, known};
use crate::models::tuning::{Search, Searchable};

static KNOWN: &[Known] = &[
    known("model_type", &[], Kind::Supported),
    known("feedback_type", &[], Kind::Supported),
    known("implicitPrefs", &[], Kind::Supported),
    known("user_col", &[], Kind::Supported),
    known("item_col", &[], Kind::Supported),
    known("rating_col", &[], Kind::Supported),
    known("num_factors", &["rank"], Kind::Searchable),
    known("regParam", &[], Kind::Searchable),
    known("l2_reg", &[], Kind::Searchable),
    known("alpha", &["wals_alpha"], Kind::Searchable),
    known("max_iterations", &["maxIter"], Kind::Searchable),
    known("nonnegative", &[], Kind::Supported),
    known("solver", &[], Kind::Supported),
    known("bias", &[], Kind::Supported),
    known("seed", &[], Kind::Supported),
    known("early_stop", &[], Kind::Supported),
    known("min_rel_progress", &[], Kind::Supported),
    known("warm_start", &[], Kind::Supported),
    known("ranking", &[], Kind::Supported),
    known("ranking_k", &[], Kind::Supported),
    known("relevant_rating", &[], Kind::Supported),
    known("cold_start_strategy", &[], Kind::Supported),
    known("data_split_method", &[], Kind::Supported),
    known("data_split_col", &[], Kind::Supported),
    known("data_split_eval_fraction", &[], Kind::Supported),
    known("k_folds", &["numFolds"], Kind::Supported),
    known("refit", &[], Kind::Supported),
    known("num_trials", &[], Kind::Supported),
    known("max_parallel_trials", &[], Kind::Supported),
    known("hparam_tuning_algorithm", &[], Kind::Supported),
    known("hparam_tuning_objectives", &[], Kind::Supported),
    known("online_update", &[], Kind::Supported),
    known("numUserBlocks", &[], Kind::Ignored),
    known("numItemBlocks", &[], Kind::Ignored),
    known("numBlocks", &[], Kind::Ignored),
    known("blockSize", &[], Kind::Ignored),
    known("checkpointInterval", &[], Kind::Ignored),
    known("intermediateStorageLevel", &[], Kind::Ignored),
    known("finalStorageLevel", &[], Kind::Ignored),
];

const RANK_MAX: i64 = 1024;
const ITERATIONS_MAX: i64 = 1000;
const LAMBDA_MAX: f64 = 1e6;

/// The other spellings of an option.
pub(super) fn aliases(option: &str) -> &'static [&'static str] {
    KNOWN.iter().find(|known| known.name == option).map(|known| known.aliases).unwrap_or_default()
}

/// Reads the options of `CREATE MODEL <model>`; see [`RecommenderOptions::parse`].
pub(super) fn read(model: &str, options: &[(String, ModelOption)]) -> Result<RecommenderOptions> {
    let reader = Reader::new(model, options, KNOWN)?;
    let is_bigquery = ["l2_reg", "alpha"]
        .into_iter()
        .any(|name| reader.given(name).is_some_and(|(key, _)| matches!(fold(key).as_str(), "l2reg" | "walsalpha")));
    let defaults = if is_bigquery { &BIGQUERY } else { &SPARK };
    Values { reader, defaults }.read()
}

/// What a system does when nothing is said.
struct Defaults {
    max_iterations: i64,
    alpha: f64,
    min_rel_progress: Option<f64>,
}

/// With `regParam` and `alpha`, and when neither system's own options are used.
static SPARK: Defaults = Defaults { max_iterations: 10, alpha: 1.0, min_rel_progress: None };
/// With `l2_reg` or `wals_alpha`. `num_factors` stays 10: BigQuery takes the logarithm of the number of rows.
static BIGQUERY: Defaults = Defaults { max_iterations: 20, alpha: 40.0, min_rel_progress: Some(0.01) };

const RANK: i64 = 10;
const REG_PARAM: f64 = 0.1;
const L2_REG: f64 = 1.0;

/// Reads the values.
struct Values<'a> {
    reader: Reader<'a>,
    defaults: &'static Defaults,
}

impl Values<'_> {
    fn read(&self) -> Result<RecommenderOptions> {
        let reader = &self.reader;
        let search = Search::read(reader, &self.searchable())?;
        let feedback = self.feedback()?;
        let fit = self.fit(feedback)?;
        let data_split = self.data_split()?;
        if search.is_some() && data_split == DataSplit::NoSplit {
            let what = format!("model \"{}\" searches for options and holds no rows out", reader.model());
            return Err(Error::new(Code::InvalidParameter, what)
                .detail("data_split_method is 'no_split'.")
                .hint("Use 'random', 'random_per_user', 'seq' or 'custom': trials are scored on rows that they are not trained on."));
        }
        let refit = reader.flag("refit")?;
        if refit == Some(false) && search.is_none() && matches!(data_split, DataSplit::Folds { .. }) {
            let what = format!("option \"refit\" of model \"{}\" cannot be FALSE beside \"k_folds\"", reader.model());
            return Err(Error::new(Code::InvalidParameter, what)
                .detail("Each fold is fitted to a part of the rows to be scored on the rest: none of them is the model, which is fitted to all rows.")
                .hint("Leave out refit or k_folds."));
        }
        let ranking = match reader.choice("ranking", &["rating", "implicit"])? {
            Some("implicit") => Ranking::Implicit,
            _ => Ranking::Rating,
        };
        Ok(RecommenderOptions {
            user_col: reader.column("user_col")?,
            item_col: reader.column("item_col")?,
            rating_col: reader.column("rating_col")?,
            objective: self.objective(feedback)?,
            fit,
            ranking,
            cold_start: self.cold_start()?,
            data_split,
            refit: refit.unwrap_or(true),
            warm_start: reader.flag("warm_start")?.unwrap_or(false),
            online_update: reader.flag("online_update")?.unwrap_or(false),
            search,
            ranking_k: reader.integer("ranking_k", 1..=10_000)?.unwrap_or(10) as usize,
            relevant_rating: reader.number("relevant_rating", f64::MIN, f64::MAX)?,
        })
    }

    fn searchable(&self) -> [Searchable; 5] {
        let number = |name, max, is_log, default| Searchable { name, min: 0.0, max, is_integer: false, is_log, default };
        let integer = |name, max, default| Searchable { name, min: 1.0, max, is_integer: true, is_log: false, default };
        [
            integer("num_factors", RANK_MAX as f64, RANK as f64),
            number("regParam", LAMBDA_MAX, true, REG_PARAM),
            number("l2_reg", LAMBDA_MAX, true, L2_REG),
            number("alpha", LAMBDA_MAX, true, self.defaults.alpha),
            integer("max_iterations", ITERATIONS_MAX as f64, self.defaults.max_iterations as f64),
        ]
    }

    /// Whether the option is given as a search: then it has no value of its own.
    fn is_searched(&self, name: &'static str) -> bool {
        matches!(self.reader.given(name), Some((_, ModelOption::Call(call, _))) if fold(call).starts_with("hparam"))
    }

    fn integer(&self, name: &'static str, max: i64, default: i64) -> Result<usize> {
        let given = if self.is_searched(name) { None } else { self.reader.integer(name, 1..=max)? };
        Ok(usize::try_from(given.unwrap_or(default)).unwrap_or(usize::MAX))
    }

    fn number(&self, name: &'static str) -> Result<Option<f64>> {
        if self.is_searched(name) { Ok(None) } else { self.reader.number(name, 0.0, LAMBDA_MAX) }
    }

    fn feedback(&self) -> Result<FeedbackType> {
        let by_name = self.reader.choice("feedback_type", &["explicit", "implicit"])?;
        let by_flag = self.reader.flag("implicitPrefs")?;
        match (by_name, by_flag) {
            (Some("explicit"), Some(true)) | (Some("implicit"), Some(false)) => {
                let what =
                    format!("options \"feedback_type\" and \"implicitPrefs\" of model \"{}\" contradict each other", self.reader.model());
                Err(Error::new(Code::InvalidParameter, what).hint("Keep one of them."))
            }
            (Some("implicit"), _) | (_, Some(true)) => Ok(FeedbackType::Implicit),
            _ => Ok(FeedbackType::Explicit),
        }
    }

    fn fit(&self, feedback: FeedbackType) -> Result<FitOptions> {
        let reader = &self.reader;
        let nonnegative = reader.flag("nonnegative")?.unwrap_or(false);
        let solver = match reader.choice("solver", &["cholesky", "cg"])? {
            Some("cg") => Solver::ConjugateGradient,
            _ => Solver::Cholesky,
        };
        if nonnegative && solver != Solver::Cholesky {
            let what = format!("model \"{}\" cannot have both solver 'cg' and nonnegative factors", reader.model());
            return Err(Error::new(Code::InvalidParameter, what).hint("Leave out the option solver."));
        }
        let bias = match reader.choice("bias", &["none", "static", "learned"])? {
            Some("static") => BiasType::Static,
            Some("learned") => BiasType::Learned,
            _ => BiasType::None,
        };
        if bias != BiasType::None && feedback == FeedbackType::Implicit {
            let what = format!("option \"bias\" of model \"{}\" is for explicit ratings", reader.model());
            return Err(Error::new(Code::InvalidParameter, what).detail("feedback_type is 'implicit'."));
        }
        let given = reader.number("min_rel_progress", 0.0, 1.0)?;
        let min_rel_progress = match reader.flag("early_stop")? {
            Some(false) if given.is_some() => {
                let what = format!("option \"min_rel_progress\" of model \"{}\" needs early_stop", reader.model());
                return Err(Error::new(Code::InvalidParameter, what).detail("early_stop is FALSE."));
            }
            Some(false) => None,
            Some(true) => Some(given.unwrap_or(0.01)),
            None => given.or(self.defaults.min_rel_progress),
        };
        Ok(FitOptions {
            feedback,
            rank: self.integer("num_factors", RANK_MAX, RANK)?,
            regularisation: self.regularisation()?,
            alpha: self.number("alpha")?.unwrap_or(self.defaults.alpha),
            max_iterations: self.integer("max_iterations", ITERATIONS_MAX, self.defaults.max_iterations)?,
            nonnegative,
            solver,
            bias,
            seed: reader.integer("seed", i64::MIN..=i64::MAX)?.map_or(42, i64::cast_unsigned),
            min_rel_progress,
        })
    }

    fn regularisation(&self) -> Result<Regularisation> {
        if self.reader.given("regParam").is_some() && self.reader.given("l2_reg").is_some() {
            let what = format!("model \"{}\" has both options \"regParam\" and \"l2_reg\"", self.reader.model());
            return Err(Error::new(Code::InvalidParameter, what)
                .detail("regParam is multiplied by the number of ratings of a user or item, l2_reg is not.")
                .hint("Keep one of them."));
        }
        // BigQuery's spelling of another option brings its penalty too.
        let is_bigquery = std::ptr::eq(self.defaults, &BIGQUERY) && self.reader.given("regParam").is_none();
        Ok(if self.reader.given("l2_reg").is_some() || is_bigquery {
            Regularisation::L2(self.number("l2_reg")?.unwrap_or(L2_REG))
        } else {
            Regularisation::RegParam(self.number("regParam")?.unwrap_or(REG_PARAM))
        })
    }

    fn cold_start(&self) -> Result<ColdStart> {
        Ok(match self.reader.choice("cold_start_strategy", &["popular", "drop", "nan", "fold_in"])? {
            Some("drop") => ColdStart::Drop,
            Some("nan") => ColdStart::Nan,
            Some("fold_in") => ColdStart::FoldIn,
            _ => ColdStart::Popular,
        })
    }

    fn objective(&self, feedback: FeedbackType) -> Result<Objective> {
        const NAME: &str = "hparam_tuning_objectives";
        let default = if feedback == FeedbackType::Implicit { Objective::NDCG } else { Objective::RMSE };
        let name = match self.reader.given(NAME) {
            None => return Ok(default),
            Some((_, ModelOption::List(names))) => match names.as_slice() {
                [ModelOption::Text(name)] => name.clone(),
                _ => return Err(self.reader.wrong(NAME, "a list of several", "one objective, as ['rmse']")),
            },
            Some(_) => self.reader.text(NAME)?.unwrap_or_default(),
        };
        let names = Objective::names();
        match Objective::of_name(&name.to_lowercase()) {
            Some(objective) if feedback == FeedbackType::Explicit || objective.is_ranking() => Ok(objective),
            Some(_) => Err(self.reader.wrong(NAME, &format!("'{name}'"), "a measure of ranking, since feedback_type is 'implicit'")),
            None => {
                let what = format!("model \"{}\" has the unknown objective \"{name}\"", self.reader.model());
                Err(Error::unknown(Code::InvalidParameter, what, &name, names.iter().copied())
                    .detail(format!("Known are {}.", names.join(", "))))
            }
        }
    }

    fn data_split(&self) -> Result<DataSplit> {
        let reader = &self.reader;
        let model = reader.model();
        let fraction = reader.number("data_split_eval_fraction", 0.0, 1.0)?;
        let column = reader.column("data_split_col")?;
        let method = reader.choice("data_split_method", &["random", "random_per_user", "no_split", "auto_split", "seq", "custom"])?;
        let n_folds = reader.integer("k_folds", 2..=100)?;
        let needs = |option: &str, needed: &str| {
            let what = format!("option \"{option}\" of model \"{model}\" needs {needed}");
            Error::new(Code::InvalidParameter, what).detail(format!("data_split_method is '{}'.", method.unwrap_or("random")))
        };
        if column.is_some() && !matches!(method, Some("seq" | "custom")) {
            return Err(needs("data_split_col", "data_split_method 'seq' or 'custom'"));
        }
        if fraction.is_some() && (matches!(method, Some("no_split" | "custom" | "auto_split")) || n_folds.is_some()) {
            return Err(needs("data_split_eval_fraction", "a data split at random or by time"));
        }
        if n_folds.is_some() && !matches!(method, None | Some("random")) {
            return Err(needs("k_folds", "data_split_method 'random'"));
        }
        let eval_fraction = fraction.unwrap_or(0.2);
        if eval_fraction <= 0.0 || eval_fraction >= 1.0 {
            let error = reader.wrong("data_split_eval_fraction", &eval_fraction.to_string(), "a number between 0 and 1, both excluded");
            return Err(error.hint("Use data_split_method='no_split' to hold nothing out."));
        }
        let column = |kind: &str| {
            column.clone().ok_or_else(|| {
                let what =
                    format!("data_split_method '{}' of model \"{model}\" needs option \"data_split_col\"", method.unwrap_or_default());
                Error::new(Code::InvalidParameter, what).hint(format!("Name {kind} of the training query."))
            })
        };
        Ok(match (method, n_folds) {
            (_, Some(n_folds)) => DataSplit::Folds { n_folds: n_folds as usize },
            (Some("random_per_user"), _) => DataSplit::RandomPerUser { eval_fraction },
            (Some("no_split"), _) => DataSplit::NoSplit,
            (Some("auto_split"), _) => DataSplit::Auto,
            (Some("seq"), _) => DataSplit::Sequential { column: column("a column of times or numbers")?, eval_fraction },
            (Some("custom"), _) => DataSplit::Custom { column: column("a boolean column")? },
            _ => DataSplit::Random { eval_fraction },
        })
    }
}
