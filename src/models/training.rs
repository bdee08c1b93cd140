//! A training run of any kind of model: what goes in, what comes out.

use super::option::ModelOption;
use super::predictor::{self, PredictorOptions};
use super::recommender::{self, RecommenderOptions};
use super::report::TrainingReport;
use super::spark::{self, SparkOptions};
use super::{PredictorModel, RecommenderModel};
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryPool;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// Model types of other systems, and what they are here.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["random_forest", "randomforest"], "model_type='random_forest_classifier' or 'random_forest_regressor'"),
    (
        &["boosted_tree", "gradient_boosting", "gbt", "gbt_classifier", "gbt_regressor", "xgboost", "lightgbm"],
        "model_type='boosted_tree_classifier' or 'boosted_tree_regressor'",
    ),
    (&["linear_regression", "ridge"], "model_type='linear_reg', with l2_reg for ridge regression"),
    (&["lasso"], "model_type='elastic_net' and l1_reg"),
    (&["logistic_regression", "logistic"], "model_type='logistic_reg'"),
    (&["generalized_linear_regression", "poisson", "poisson_regression", "gamma"], "model_type='glm' and family='poisson' or 'gamma'"),
    (&["k_means", "k-means"], "model_type='kmeans'"),
    (&["implicit", "bpr", "svd", "collaborative_filtering"], "model_type='als'"),
];

/// The checked options of a model of any kind.
#[derive(Debug, Clone)]
pub enum ModelOptions {
    Recommender(RecommenderOptions),
    Predictor(PredictorOptions),
    /// A model trained elsewhere: it takes no rows.
    Spark(SparkOptions),
}

impl ModelOptions {
    /// Reads the options of `CREATE MODEL <model>`, in the order written.
    ///
    /// # Errors
    /// `InvalidParameter` with the option's name for unknown ones, repeated ones and unusable values.
    pub fn parse(model: &str, options: &[(String, ModelOption)]) -> Result<Self> {
        let given = options.iter().find(|(key, _)| super::option::fold(key) == "modeltype");
        let Some((_, model_type)) = given else {
            let error = Error::new(Code::InvalidParameter, format!("model \"{model}\" has no option \"model_type\""));
            return Err(error.hint("Add OPTIONS (model_type='matrix_factorization')."));
        };
        let ModelOption::Text(name) = model_type else {
            let error = Error::new(Code::InvalidParameter, format!("option \"model_type\" of model \"{model}\" is not a text"));
            return Err(error.hint("Write model_type='matrix_factorization'."));
        };
        let folded = name.to_lowercase();
        if recommender::MODEL_TYPES.contains(&folded.as_str()) {
            return RecommenderOptions::parse(model, options).map(Self::Recommender);
        }
        if predictor::MODEL_TYPES.contains(&folded.as_str()) {
            return PredictorOptions::parse(model, &folded, options).map(Self::Predictor);
        }
        if folded == spark::MODEL_TYPE {
            return SparkOptions::parse(model, options).map(Self::Spark);
        }
        let known: Vec<&str> = recommender::MODEL_TYPES.iter().chain(predictor::MODEL_TYPES).chain([&spark::MODEL_TYPE]).copied().collect();
        let what = format!("model \"{model}\" has the unknown model type \"{name}\"");
        let types = format!("There are {}.", known.join(", "));
        let error = Error::unknown(Code::InvalidParameter, what, name, known).detail(types);
        match ELSEWHERE.iter().find(|(names, _)| names.contains(&folded.as_str())) {
            Some((_, ours)) => Err(error.hint(format!("Write {ours}."))),
            None => Err(error),
        }
    }

    /// The type under which the catalog lists the model, in BigQuery's spelling.
    pub fn model_type(&self) -> &str {
        match self {
            Self::Recommender(_) => recommender::MODEL_TYPES[0],
            Self::Predictor(options) => options.model_type(),
            Self::Spark(_) => spark::MODEL_TYPE,
        }
    }

    /// What other systems call an option of a model type, as the catalog lists both. A name in the singular is a courtesy and
    /// nobody's own.
    pub fn other_spellings(model_type: &str, option: &str) -> Vec<&'static str> {
        let aliases: &[&'static str] = if predictor::MODEL_TYPES.contains(&model_type) {
            predictor::aliases(model_type, option)
        } else if recommender::MODEL_TYPES.contains(&model_type) {
            recommender::aliases(option)
        } else {
            &[]
        };
        aliases.iter().copied().filter(|alias| option.strip_suffix('s') != Some(*alias)).collect()
    }

    /// Whether new rows of the training query are folded in between trainings.
    pub fn follows_new_rows(&self) -> bool {
        matches!(self, Self::Recommender(options) if options.online_update)
    }

    /// Whether the model is trained on the rows of a query.
    pub fn needs_rows(&self) -> bool {
        !matches!(self, Self::Spark(_))
    }
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainingProgress {
    /// `reading`, `trial 3 of 12`, `fold 2 of 5`, `fitting`, `evaluating`, `fitting on all rows`.
    pub phase: String,
    /// Rows read so far.
    pub rows: u64,
    pub iteration: usize,
    pub max_iterations: usize,
    pub loss: Option<f64>,
    /// What held-out rows say, by name: the best trial so far, a recommender after the iteration, a fit that was scored.
    pub metric: Option<(String, f64)>,
}

/// Is told how far a run is; called from training threads, so it must be quick.
pub type Observer = Arc<dyn Fn(TrainingProgress) + Send + Sync>;

/// What to train.
#[derive(Clone)]
pub struct TrainSpec {
    /// For messages.
    pub name: String,
    pub options: ModelOptions,
    /// Threads to use; all of the machine's when `None`. They do not change the result.
    pub threads: Option<NonZeroUsize>,
    /// Where the memory of the run is reserved; a run that does not fit ends with `LimitExceeded`.
    pub memory: Arc<dyn MemoryPool>,
    pub observer: Observer,
    /// The version whose factors a warm start begins with.
    pub previous: Option<TrainedModel>,
}

impl TrainSpec {
    /// The threads to train on.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }
}

/// A model of any kind in memory: immutable, shared by all statements that use it.
#[derive(Debug, Clone)]
pub enum TrainedModel {
    Recommender(Arc<RecommenderModel>),
    Predictor(Arc<PredictorModel>),
}

impl TrainedModel {
    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Recommender(model) => model.bytes(),
            Self::Predictor(model) => model.bytes(),
        }
    }
}

/// A trained model with what the catalog records about it.
#[derive(Debug, Clone)]
pub struct Trained {
    pub model: TrainedModel,
    pub report: TrainingReport,
    /// The measures of the held-out rows that are defined, and counts of rows.
    pub metrics: BTreeMap<String, f64>,
    /// Effective parameters after defaults.
    pub parameters: BTreeMap<String, String>,
    pub train_seconds: f64,
}

/// The rows of a training query.
pub type Rows<'a> = BoxStream<'a, Result<RecordBatch>>;

/// Reads the rows and trains, on threads of its own.
///
/// `rows` are batches of `schema`; their errors are passed on. Ends within 100 ms with `Cancelled` when
/// `cancel` fires; dropping the future stops the work as well.
///
/// # Errors
/// `UndefinedColumn`, `InvalidStatement` for columns that cannot be used, `InvalidValue` with row and column
/// for a value that cannot be learned from, or when there is nothing to train on, `LimitExceeded` for memory.
pub async fn train(spec: TrainSpec, schema: &SchemaRef, rows: Rows<'_>, cancel: &CancellationToken) -> Result<Trained> {
    let start = std::time::Instant::now();
    let name = spec.name.clone();
    let mut trained = match &spec.options {
        ModelOptions::Recommender(options) => {
            let options = options.clone();
            recommender::train(spec, options, schema, rows, cancel).await?
        }
        ModelOptions::Predictor(options) => {
            let options = options.clone();
            predictor::train(spec, options, schema, rows, cancel).await?
        }
        ModelOptions::Spark(_) => {
            return Err(Error::new(Code::InvalidStatement, format!("model \"{name}\" is imported and takes no training query")));
        }
    };
    trained.train_seconds = start.elapsed().as_secs_f64();
    tracing::info!(model = %name, seconds = trained.train_seconds, rmse = trained.metrics.get("rmse"), "model trained");
    Ok(trained)
}

/// Tells training threads to stop when the future that waits for them is gone.
#[derive(Debug)]
pub(super) struct StopOnDrop(pub Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Hands every batch of the training query to `add`, which returns how many rows it has by now.
///
/// # Errors
/// Those of the rows and of `add`, `Cancelled` as soon as `cancel` fires.
pub(super) async fn read_rows(
    spec: &TrainSpec,
    mut rows: Rows<'_>,
    cancel: &CancellationToken,
    mut add: impl FnMut(&RecordBatch) -> Result<u64> + Send,
) -> Result<()> {
    loop {
        let batch = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(cancelled(&spec.name)),
            batch = rows.next() => batch,
        };
        let Some(batch) = batch.transpose()? else { return Ok(()) };
        let rows = add(&batch)?;
        (spec.observer)(TrainingProgress { phase: "reading".into(), rows, ..TrainingProgress::default() });
    }
}

/// Training gives way to statements that people wait for: they are answered in milliseconds while it runs.
/// The threads that a training starts inherit it.
const NICENESS: i32 = 10;

/// Runs the part of a training that takes time on a thread of its own; `work` stops soon after its flag is set.
///
/// # Errors
/// Those of `work`, `Cancelled` as soon as `cancel` fires, `LimitExceeded` when there is no thread to be had.
pub(super) async fn run_aside<T: Send + 'static>(
    name: &str,
    cancel: &CancellationToken,
    work: impl FnOnce(Arc<AtomicBool>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let stop = Arc::new(AtomicBool::new(false));
    let _guard = StopOnDrop(Arc::clone(&stop));
    let (send, done) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("train".into())
        .spawn(move || {
            // Of this thread alone. A system that refuses trains with the priority of everything else.
            let _ = rustix::process::nice(NICENESS);
            // Nobody waits any more when the statement was cancelled.
            let _ = send.send(work(stop));
        })
        .map_err(|error| Error::new(Code::LimitExceeded, format!("could not start the training of model \"{name}\": {error}")))?;
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(cancelled(name)),
        // The sender goes without a word when the thread panics.
        done = done => done.map_err(|_| Error::internal(format!("training of model \"{name}\" broke off")))?,
    }
}

/// The error of a run that somebody stopped.
pub(super) fn cancelled(name: &str) -> Error {
    Error::new(Code::Cancelled, format!("training of model \"{name}\" was cancelled"))
}
