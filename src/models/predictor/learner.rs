//! The options of each learner as the parameters of weir_ml, with the defaults of the system whose spelling was used.

use super::fixed;
use crate::error::{Code, Error, Result};
use crate::models::option::{Reader, fold};
use std::collections::BTreeMap;
use weir_ml::bayes::NaiveBayes;
use weir_ml::cluster::Kmeans;
use weir_ml::design::Levels;
use weir_ml::linear::{self, Family, GeneralisedLinearRegression, LinearRegression, LogisticRegression, Regularisation, Scaling};
use weir_ml::pca::{Components, Pca};
use weir_ml::tree::boost::BoostParams;
use weir_ml::tree::forest::{FeatureSubset, ForestParams, Impurity};

/// What to train, with which parameters. Seeds are set when training starts.
#[derive(Debug, Clone)]
pub(super) enum LearnerOptions {
    Linear {
        params: LinearRegression,
        encoding: CategoryEncoding,
    },
    Glm {
        params: GeneralisedLinearRegression,
        encoding: CategoryEncoding,
    },
    Logistic {
        params: LogisticRegression,
        encoding: CategoryEncoding,
    },
    Forest(ForestParams),
    Boosted(BoostParams),
    NaiveBayes(NaiveBayes),
    /// The number of clusters is chosen when the number of rows is known, unless it is given.
    Kmeans {
        params: Kmeans,
        n_clusters: Option<usize>,
    },
    Pca(Pca),
}

/// How linear models read categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CategoryEncoding {
    /// One-hot with a penalty, dummy without.
    Auto,
    OneHot,
    Dummy,
    /// One number: 0 for the most frequent category, 1 for the next.
    Label,
}

impl CategoryEncoding {
    fn levels(self) -> Option<Levels> {
        match self {
            Self::Auto | Self::Label => None,
            Self::OneHot => Some(Levels::All),
            Self::Dummy => Some(Levels::DropMostFrequent),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::OneHot => "one_hot_encoding",
            Self::Dummy => "dummy_encoding",
            Self::Label => "label_encoding",
        }
    }
}

impl LearnerOptions {
    /// Reads the options of a model type; `is_spark` chooses Spark's defaults.
    ///
    /// # Errors
    /// `InvalidParameter` with the option's name, `NotSupported` for what other systems have and we do not.
    pub fn read(reader: &Reader, model_type: &str, is_spark: bool) -> Result<Self> {
        fixed::check(reader, model_type)?;
        let values = Values { reader, is_spark };
        match model_type {
            "glm" => values.glm(),
            "logistic_reg" => values.logistic(),
            "random_forest_classifier" => values.forest(true).map(Self::Forest),
            "random_forest_regressor" => values.forest(false).map(Self::Forest),
            "boosted_tree_classifier" | "boosted_tree_regressor" => values.boosted().map(Self::Boosted),
            "naive_bayes" => values.naive_bayes().map(Self::NaiveBayes),
            "kmeans" => values.kmeans(),
            "pca" => values.pca().map(Self::Pca),
            _ => values.linear(model_type == "elastic_net"),
        }
    }

    /// Whether categories are one number each.
    pub fn is_label_encoded(&self) -> bool {
        match self {
            Self::Linear { encoding, .. } | Self::Glm { encoding, .. } | Self::Logistic { encoding, .. } => {
                *encoding == CategoryEncoding::Label
            }
            _ => false,
        }
    }

    /// The effective values by name, after defaults.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let mut parameters = Parameters::default();
        match self {
            Self::Linear { params, encoding } => {
                parameters.penalty(&params.regularisation);
                parameters.put("fit_intercept", params.fit_intercept);
                parameters.put("category_encoding_method", encoding.name());
            }
            Self::Glm { params, encoding } => {
                parameters.penalty(&params.regularisation);
                let (family, link) = family_names(params.family);
                parameters.put("family", family);
                parameters.put("link", link);
                parameters.put("fit_intercept", params.fit_intercept);
                parameters.put("max_iterations", params.max_iterations);
                parameters.put("category_encoding_method", encoding.name());
            }
            Self::Logistic { params, encoding } => {
                parameters.penalty(&params.regularisation);
                parameters.put("fit_intercept", params.fit_intercept);
                parameters.put("max_iterations", params.max_iterations);
                parameters.put("category_encoding_method", encoding.name());
            }
            Self::Forest(params) => {
                parameters.put("num_parallel_tree", params.n_trees);
                parameters.depth(params.max_depth);
                parameters.put("max_bins", params.max_bins);
                parameters.put("min_tree_child_weight", params.min_instances_per_node);
                parameters.put("min_split_loss", params.min_info_gain);
                parameters.put("subsample", params.subsampling_rate);
                parameters.put("bootstrap", params.bootstrap);
                parameters.put("feature_subset_strategy", subset_name(params.feature_subset));
                parameters.put("impurity", format!("{:?}", params.impurity).to_lowercase());
            }
            Self::Boosted(params) => boosted_parameters(params, &mut parameters),
            Self::NaiveBayes(params) => parameters.put("smoothing", params.smoothing),
            Self::Kmeans { params, n_clusters } => {
                parameters.put("num_clusters", n_clusters.map_or("auto".to_owned(), |n| n.to_string()));
                parameters.put("max_iterations", params.max_iterations);
                parameters.put("tolerance", params.tolerance);
                parameters.put("standardize_features", params.standardise);
            }
            Self::Pca(params) => {
                match params.components {
                    Components::Count(n) => parameters.put("num_principal_components", n),
                    Components::ExplainedShare(share) => parameters.put("pca_explained_variance_ratio", share),
                }
                parameters.put("scale_features", params.standardise);
            }
        }
        parameters.0
    }
}

#[derive(Default)]
struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn put(&mut self, name: &str, value: impl ToString) {
        self.0.insert(name.to_owned(), value.to_string());
    }

    /// In the spelling in which it was given.
    fn penalty(&mut self, penalty: &Regularisation) {
        if penalty.scaling == Scaling::Sum {
            self.put("l1_reg", penalty.l1);
            self.put("l2_reg", penalty.l2);
        } else {
            let total = penalty.l1 + penalty.l2;
            self.put("regParam", total);
            self.put("elasticNetParam", if total > 0.0 { penalty.l1 / total } else { 0.0 });
            self.put("standardization", penalty.scaling == Scaling::Spark);
        }
    }

    fn depth(&mut self, depth: Option<usize>) {
        self.put("max_tree_depth", depth.map_or("unlimited".to_owned(), |depth| depth.to_string()));
    }
}

fn boosted_parameters(params: &BoostParams, parameters: &mut Parameters) {
    parameters.put("max_iterations", params.n_iterations);
    parameters.put("learn_rate", params.learning_rate);
    parameters.depth(params.max_depth);
    parameters.put("max_bins", params.max_bins);
    parameters.put("l2_reg", params.l2);
    parameters.put("min_tree_child_weight", params.min_child_weight);
    parameters.put("min_split_loss", params.min_split_gain);
    parameters.put("subsample", params.subsample);
    parameters.put("colsample_bytree", params.feature_fraction);
    parameters.put("feature_subset_strategy", subset_name(params.feature_subset));
    parameters.put("early_stop", params.early_stopping_rounds.is_some());
    // One round is what a share of progress goes with.
    if params.early_stopping_rounds == Some(1) {
        parameters.put("min_rel_progress", params.min_progress);
    }
}

fn family_names(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::Gaussian => ("gaussian", "identity"),
        Family::Poisson => ("poisson", "log"),
        Family::GammaLog => ("gamma", "log"),
        Family::GammaInverse => ("gamma", "inverse"),
        Family::Binomial => ("binomial", "logit"),
    }
}

fn subset_name(subset: FeatureSubset) -> String {
    match subset {
        FeatureSubset::Auto => "auto".to_owned(),
        FeatureSubset::Sqrt => "sqrt".to_owned(),
        FeatureSubset::OneThird => "onethird".to_owned(),
        FeatureSubset::Log2 => "log2".to_owned(),
        FeatureSubset::All => "all".to_owned(),
        FeatureSubset::Fraction(share) => share.to_string(),
        FeatureSubset::Count(count) => count.to_string(),
    }
}

/// Reads the values of one learner.
struct Values<'a, 'b> {
    reader: &'a Reader<'b>,
    is_spark: bool,
}

impl Values<'_, '_> {
    /// BigQuery's default, or Spark's.
    fn default<T>(&self, bigquery: T, spark: T) -> T {
        if self.is_spark { spark } else { bigquery }
    }

    fn count(&self, name: &'static str, from: i64, to: i64) -> Result<Option<usize>> {
        Ok(self.reader.integer(name, from..=to)?.and_then(|number| usize::try_from(number).ok()))
    }

    fn not_supported(&self, what: &str, hint: &str) -> Error {
        Error::new(Code::NotSupported, format!("{what} (model \"{}\") is not supported", self.reader.model())).hint(hint)
    }

    fn linear(&self, is_elastic_net: bool) -> Result<LearnerOptions> {
        // Mild on standardised columns; an elastic net without a penalty would be a linear regression.
        let default = if is_elastic_net { Regularisation::spark(0.01, 0.5) } else { Regularisation::NONE };
        let regularisation = self.penalty(default, if is_elastic_net { 0.5 } else { 0.0 }, false)?;
        let encoding = self.encoding()?;
        let params = LinearRegression {
            regularisation,
            fit_intercept: self.fit_intercept()?,
            levels: encoding.levels(),
            ..LinearRegression::default()
        };
        self.check_p_values(&regularisation)?;
        self.max_iterations()?;
        Ok(LearnerOptions::Linear { params, encoding })
    }

    fn glm(&self) -> Result<LearnerOptions> {
        let family = self.family()?;
        let regularisation = self.penalty(Regularisation::NONE, 0.0, true)?;
        let regularisation = match regularisation.scaling {
            // Spark penalises the features as they came here.
            Scaling::Spark if !regularisation.is_none() && self.reader.flag("standardization")? == Some(true) => {
                let hint = "Its penalty counts the weights of columns as they came: leave standardization out.";
                return Err(self.not_supported("standardization of a generalised linear model", hint));
            }
            Scaling::Spark => Regularisation { scaling: Scaling::Mean, ..regularisation },
            _ => regularisation,
        };
        if regularisation.l1 > 0.0 {
            return Err(self.not_supported("an l1 penalty on a generalised linear model", "Use l2_reg, or model_type='elastic_net'."));
        }
        let encoding = self.encoding()?;
        let defaults = GeneralisedLinearRegression::of(family);
        let max_iterations = self.max_iterations()?.unwrap_or(defaults.max_iterations);
        let fit_intercept = self.fit_intercept()?;
        self.check_p_values(&regularisation)?;
        let params = GeneralisedLinearRegression { regularisation, fit_intercept, levels: encoding.levels(), max_iterations, ..defaults };
        Ok(LearnerOptions::Glm { params, encoding })
    }

    fn logistic(&self) -> Result<LearnerOptions> {
        // Without a penalty, classes that a feature separates have no finite solution.
        let default = self.default(Regularisation::ridge(1.0), Regularisation::NONE);
        let regularisation = self.penalty(default, 0.0, false)?;
        if regularisation.l1 > 0.0 {
            return Err(self.not_supported("an l1 penalty on a logistic regression", "Use l2_reg, or regParam with elasticNetParam=0."));
        }
        let encoding = self.encoding()?;
        let defaults = LogisticRegression::default();
        let max_iterations = self.max_iterations()?.unwrap_or(defaults.max_iterations);
        let fit_intercept = self.fit_intercept()?;
        self.check_p_values(&regularisation)?;
        // The weights of classes are multiplied into those of the rows before.
        let class_weights = linear::ClassWeights::None;
        let params =
            LogisticRegression { regularisation, fit_intercept, levels: encoding.levels(), class_weights, max_iterations, ..defaults };
        Ok(LearnerOptions::Logistic { params, encoding })
    }

    fn penalty(&self, default: Regularisation, default_share: f64, is_glm: bool) -> Result<Regularisation> {
        let number = |name: &'static str, to: f64| self.reader.number(name, 0.0, to);
        let spark = (number("regParam", 1e12)?, number("elasticNetParam", 1.0)?);
        let bigquery = (number("l1_reg", 1e12)?, number("l2_reg", 1e12)?);
        let penalty = match (spark, bigquery) {
            ((None, None), (None, None)) => default,
            ((None, None), (l1, l2)) => Regularisation { l1: l1.unwrap_or(0.0), l2: l2.unwrap_or(0.0), scaling: Scaling::Sum },
            ((total, share), (None, None)) => Regularisation::spark(total.unwrap_or(0.0), share.unwrap_or(default_share)),
            _ => {
                let what = format!("model \"{}\" has the penalties of two systems", self.reader.model());
                return Err(Error::new(Code::InvalidParameter, what)
                    .detail("regParam and elasticNetParam are added to the mean loss, l1_reg and l2_reg to the sum.")
                    .hint("Keep one pair of them."));
            }
        };
        match self.reader.flag("standardization")? {
            Some(true) if !penalty.is_none() && penalty.scaling != Scaling::Spark => {
                // All penalties of a glm do.
                let instead = if is_glm { "" } else { "use regParam, or " };
                let hint = format!("They count the weights of columns as they came: {instead}leave standardization out.");
                Err(self.not_supported("standardization with l1_reg or l2_reg", &hint))
            }
            Some(false) if penalty.scaling == Scaling::Spark => Ok(Regularisation { scaling: Scaling::Mean, ..penalty }),
            _ => Ok(penalty),
        }
    }

    fn fit_intercept(&self) -> Result<bool> {
        Ok(self.reader.flag("fit_intercept")?.unwrap_or(true))
    }

    fn check_p_values(&self, penalty: &Regularisation) -> Result<()> {
        if self.reader.flag("calculate_p_values")? == Some(true) && !penalty.is_none() {
            let what = format!("p-values of model \"{}\" cannot be calculated with a penalty", self.reader.model());
            return Err(Error::new(Code::InvalidParameter, what).hint("Add l2_reg=0."));
        }
        Ok(())
    }

    /// The solvers run until they are there: fewer iterations are an error of the learner, not an early stop.
    fn max_iterations(&self) -> Result<Option<usize>> {
        self.reader.flag("early_stop")?;
        self.reader.number("tolerance", 0.0, 1.0)?;
        // All ways lead to the same weights; ours has no steps to choose.
        self.reader.choice("optimize_strategy", &["auto_strategy", "batch_gradient_descent", "normal_equation"])?;
        self.reader.choice("solver", &["auto", "normal", "l-bfgs", "irls"])?;
        self.reader.choice("learn_rate_strategy", &["line_search", "constant"])?;
        self.reader.number("learn_rate", 0.0, 1e300)?;
        self.reader.number("ls_init_learn_rate", 0.0, 1e300)?;
        // Other systems' iterations are cheap gradient steps; a bound below ours is no wish to stop early.
        Ok(self.count("max_iterations", 1, 1_000_000)?.map(|n| n.max(100)))
    }

    fn encoding(&self) -> Result<CategoryEncoding> {
        const CHOICES: &[&str] = &["one_hot_encoding", "dummy_encoding", "label_encoding", "one_hot", "dummy", "label"];
        Ok(match self.reader.choice("category_encoding_method", CHOICES)? {
            Some("one_hot_encoding" | "one_hot") => CategoryEncoding::OneHot,
            Some("dummy_encoding" | "dummy") => CategoryEncoding::Dummy,
            Some(_) => CategoryEncoding::Label,
            None => CategoryEncoding::Auto,
        })
    }

    fn family(&self) -> Result<Family> {
        let family = self.reader.choice("family", &["gaussian", "poisson", "gamma", "binomial", "tweedie"])?.unwrap_or("gaussian");
        let link = self.reader.choice("link", &["identity", "log", "inverse", "logit", "probit", "cloglog", "sqrt"])?;
        match (family, link) {
            ("gaussian", None | Some("identity")) => Ok(Family::Gaussian),
            ("poisson", None | Some("log")) => Ok(Family::Poisson),
            ("gamma", None) => Ok(self.default(Family::GammaLog, Family::GammaInverse)),
            ("gamma", Some("log")) => Ok(Family::GammaLog),
            ("gamma", Some("inverse")) => Ok(Family::GammaInverse),
            ("binomial", None | Some("logit")) => Ok(Family::Binomial),
            (family, link) => {
                let what = format!("family '{family}' with link '{}'", link.unwrap_or("log"));
                Err(self
                    .not_supported(&what, "Use gaussian with identity, poisson with log, gamma with log or inverse, binomial with logit."))
            }
        }
    }

    fn max_depth(&self, bigquery: usize, spark: usize) -> Result<Option<usize>> {
        let given = self.count("max_tree_depth", 0, 1_000)?;
        let is_spark = self.reader.given("max_tree_depth").is_some_and(|(key, _)| super::known::is_spark(key));
        Ok(match given {
            // XGBoost's (so BigQuery's) 0 is no limit, Spark's is a tree of one leaf.
            Some(0) if !is_spark => None,
            Some(depth) => Some(depth),
            None => Some(self.default(bigquery, spark)),
        })
    }

    fn forest(&self, is_classifier: bool) -> Result<ForestParams> {
        // BigQuery looks at 0.8 of the features in every node. Classifiers are better with the square root, which is
        // what Spark and scikit-learn do.
        let subset = if is_classifier || self.is_spark { FeatureSubset::Auto } else { FeatureSubset::Fraction(0.8) };
        Ok(ForestParams {
            n_trees: self.count("num_parallel_tree", 1, 100_000)?.unwrap_or(self.default(100, 20)),
            max_depth: self.max_depth(15, 5)?,
            max_bins: self.max_bins()?,
            min_instances_per_node: self.count("min_tree_child_weight", 0, i64::from(u32::MAX))?.unwrap_or(1).max(1),
            min_info_gain: self.reader.number("min_split_loss", 0.0, 1e300)?.unwrap_or(0.0),
            feature_subset: self.feature_subset()?.unwrap_or(subset),
            subsampling_rate: self.share("subsample")?.unwrap_or(1.0),
            bootstrap: self.reader.flag("bootstrap")?.unwrap_or(true),
            impurity: match self.reader.choice("impurity", &["gini", "entropy", "variance"])? {
                None => Impurity::Auto,
                Some("variance") if !is_classifier => Impurity::Variance,
                Some("gini") if is_classifier => Impurity::Gini,
                Some("entropy") if is_classifier => Impurity::Entropy,
                Some(other) => {
                    let expected = if is_classifier { "gini or entropy for a classifier" } else { "variance for a regressor" };
                    return Err(self.reader.wrong("impurity", &format!("'{other}'"), expected));
                }
            },
            seed: 0,
        })
    }

    fn max_bins(&self) -> Result<usize> {
        // A bin is a byte; more bins than that would not make other trees of the same rows.
        Ok(self.count("max_bins", 2, 1_000_000)?.unwrap_or(self.default(255, 32)).min(255))
    }

    /// A number above 0, up to 1.
    fn share(&self, name: &'static str) -> Result<Option<f64>> {
        match self.reader.number(name, 0.0, 1.0)? {
            Some(0.0) => Err(self.reader.wrong(name, "0", "a number above 0, up to 1")),
            share => Ok(share),
        }
    }

    /// `feature_subset_strategy` is a word, a count or a share, as in Spark.
    fn feature_subset(&self) -> Result<Option<FeatureSubset>> {
        const NAME: &str = "feature_subset_strategy";
        let share = self.share("colsample_bynode")?;
        let Some(text) = self.reader.text(NAME)? else { return Ok(share.map(FeatureSubset::Fraction)) };
        if share.is_some() {
            let what = format!("model \"{}\" has both options \"{NAME}\" and \"colsample_bynode\"", self.reader.model());
            return Err(Error::new(Code::InvalidParameter, what).hint("Keep one of them."));
        }
        let wrong = || self.reader.wrong(NAME, &format!("'{text}'"), "auto, all, sqrt, log2, onethird, a count or a share such as 0.5");
        Ok(Some(match text.trim().to_lowercase().as_str() {
            "auto" => FeatureSubset::Auto,
            "all" => FeatureSubset::All,
            "sqrt" => FeatureSubset::Sqrt,
            "log2" => FeatureSubset::Log2,
            "onethird" => FeatureSubset::OneThird,
            number => match (number.parse::<usize>(), number.parse::<f64>()) {
                (Ok(count), _) if count > 0 => FeatureSubset::Count(count),
                (Err(_), Ok(share)) if share > 0.0 && share <= 1.0 => FeatureSubset::Fraction(share),
                _ => return Err(wrong()),
            },
        }))
    }

    fn boosted(&self) -> Result<BoostParams> {
        if self.reader.choice("booster_type", &["gbtree", "dart"])? == Some("dart") {
            return Err(self.not_supported("booster_type 'dart'", "Use 'gbtree'."));
        }
        let number = |name: &'static str| self.reader.number(name, 0.0, 1e300);
        let defaults = BoostParams::default();
        let (early_stopping_rounds, min_progress) = self.early_stop()?;
        Ok(BoostParams {
            n_iterations: self.count("max_iterations", 1, 100_000)?.unwrap_or(20),
            learning_rate: self.share("learn_rate")?.unwrap_or(self.default(0.3, 0.1)),
            max_depth: self.max_depth(6, 5)?,
            max_bins: self.max_bins()?,
            l2: number("l2_reg")?.unwrap_or(self.default(1.0, 0.0)),
            min_child_weight: number("min_tree_child_weight")?.unwrap_or(1.0),
            min_split_gain: number("min_split_loss")?.unwrap_or(0.0),
            subsample: self.share("subsample")?.unwrap_or(1.0),
            feature_fraction: self.share("colsample_bytree")?.unwrap_or(1.0),
            // Of one tree Spark's `auto` is all.
            feature_subset: self.feature_subset()?.filter(|subset| *subset != FeatureSubset::Auto).unwrap_or(FeatureSubset::All),
            early_stopping_rounds,
            min_progress,
            ..defaults
        })
    }

    /// Rounds without progress on held-out rows after which boosting ends, and the share of the loss that is progress. With a
    /// share it ends at the first iteration that makes less, as in BigQuery and Spark.
    fn early_stop(&self) -> Result<(Option<usize>, f64)> {
        const ROUNDS: usize = 10;
        let share = self.reader.number("min_rel_progress", 0.0, 1.0)?;
        // Spark's share counts only beside rows to validate on, which are asked for with early_stop here.
        let is_spark = self.reader.given("min_rel_progress").is_some_and(|(key, _)| fold(key) == "validationtol");
        match (self.reader.flag("early_stop")?, share) {
            (Some(false), Some(_)) if !is_spark => {
                let what = format!("option \"min_rel_progress\" of model \"{}\" needs early_stop", self.reader.model());
                Err(Error::new(Code::InvalidParameter, what).detail("early_stop is FALSE.").hint("Leave one of them out."))
            }
            (None, Some(share)) if !is_spark => Ok((Some(1), share)),
            (Some(true), Some(share)) => Ok((Some(1), share)),
            (Some(true), None) => Ok((Some(ROUNDS), 0.0)),
            _ => Ok((None, 0.0)),
        }
    }

    fn naive_bayes(&self) -> Result<NaiveBayes> {
        let smoothing = self.reader.number("smoothing", 0.0, 1e12)?;
        let defaults = NaiveBayes::default();
        Ok(NaiveBayes { smoothing: smoothing.unwrap_or(defaults.smoothing), ..defaults })
    }

    fn kmeans(&self) -> Result<LearnerOptions> {
        self.reader.flag("early_stop")?;
        if self.reader.choice("distance_type", &["euclidean", "cosine"])? == Some("cosine") {
            return Err(self.not_supported("distance_type 'cosine'", "Use 'euclidean'; on rows scaled to length 1 it orders alike."));
        }
        // k-means++ is a better random.
        if self.reader.choice("kmeans_init_method", &["random", "kmeans++", "k-means||", "custom"])? == Some("custom") {
            return Err(self.not_supported("kmeans_init_method 'custom'", "Use 'kmeans++'."));
        }
        // Of k-means||; of five starts by k-means++ the best one needs no more steps.
        self.count("initSteps", 1, 1_000_000)?;
        let defaults = Kmeans::default();
        let params = Kmeans {
            max_iterations: self.count("max_iterations", 1, 1_000_000)?.unwrap_or(defaults.max_iterations),
            tolerance: self.reader.number("tolerance", 0.0, 1.0)?.unwrap_or(defaults.tolerance),
            standardise: self.reader.flag("standardize_features")?.unwrap_or(self.default(true, false)),
            ..defaults
        };
        let n_clusters = self.count("num_clusters", 1, 100_000)?.or(self.default(None, Some(2)));
        Ok(LearnerOptions::Kmeans { params, n_clusters })
    }

    fn pca(&self) -> Result<Pca> {
        // Components are exact, whichever way they would be found.
        self.reader.choice("pca_solver", &["auto", "full", "randomized"])?;
        let count = self.count("num_principal_components", 1, 100_000)?;
        let components = match (count, self.share("pca_explained_variance_ratio")?) {
            (Some(_), Some(_)) => {
                let what = format!("model \"{}\" has two options that say how many components to keep", self.reader.model());
                let error = Error::new(Code::InvalidParameter, what);
                return Err(error.hint("Keep num_principal_components or pca_explained_variance_ratio."));
            }
            (Some(count), None) => Components::Count(count),
            (None, Some(share)) => Components::ExplainedShare(share),
            // As many as there are: their shares of the variance tell how many are worth keeping.
            (None, None) => Components::ExplainedShare(1.0),
        };
        // Spark centres and does not scale.
        Ok(Pca { components, standardise: self.reader.flag("scale_features")?.unwrap_or(self.default(true, false)) })
    }
}
