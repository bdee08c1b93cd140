//! A training run of a predictor: rows of a query in, a scored model out.

use super::algorithm::{self, Algorithm};
use super::learned::{Learned, Task};
use super::options::{ClassWeights, DataSplit, PredictorOptions, TaskKind};
use super::rows::{Part, RowCollector, Target, TrainingSet};
use super::scoring::{Scorer, Scores, Truth};
use super::trained::TrainedPredictor;
use super::validation::{Material, Splits};
use super::{PredictorModel, columns, trials};
use crate::error::{Code, Error, Result, nearest};
use crate::models::evaluation::Measure;
use crate::models::report::{Iteration, TrainingReport};
use crate::models::training::{Rows, TrainSpec, Trained, TrainedModel, TrainingProgress, cancelled, read_rows, run_aside};
use datafusion::arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_ml::control::{Control, Progress};
use weir_ml::error::LearnError;
use weir_ml::linear;

/// Iterations that a report keeps; of longer fits it has the first ones.
const ITERATIONS_KEPT_MAX: usize = 10_000;
/// Rows that are predicted at a time when a model is scored: between two looks at the cancel flag.
const ROWS_SCORED_AT_ONCE: usize = 8_192;

/// Reads the rows and trains; see [`crate::models::train`].
pub(in crate::models) async fn train(
    spec: TrainSpec,
    options: PredictorOptions,
    schema: &SchemaRef,
    rows: Rows<'_>,
    cancel: &CancellationToken,
) -> Result<Trained> {
    let mut collector = RowCollector::new(&spec.name, &options, schema, &spec.memory)?;
    read_rows(&spec, rows, cancel, |batch| {
        collector.add(batch)?;
        Ok(collector.n_rows())
    })
    .await?;
    let label = options.label_of(schema);
    let name = spec.name.clone();
    run_aside(&name, cancel, move |stop| {
        let rows = collector.finish(&spec.name)?;
        Run { spec, options, label, stop }.train(rows)
    })
    .await
}

/// The part of training that takes time, on a blocking thread.
pub(super) struct Run {
    pub spec: TrainSpec,
    pub options: PredictorOptions,
    /// The name of the label, as in the query.
    label: String,
    stop: Arc<AtomicBool>,
}

/// What a fit tells while it goes on.
#[derive(Debug, Clone, Default)]
pub(super) struct Phase {
    pub name: String,
    /// The best held-out measure so far.
    pub best: Option<(String, f64)>,
}

impl Phase {
    /// A phase before anything was scored.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), best: None }
    }
}

/// A learner's model with the iterations that led to it.
struct Fitted {
    algorithm: Algorithm,
    iterations: Vec<Iteration>,
}

impl Run {
    fn train(mut self, rows: TrainingSet) -> Result<Trained> {
        let n_rows = rows.part.frame.n_rows();
        let all: Vec<u32> = (0..n_rows as u32).collect();
        self.reserve(&rows)?;
        let class_names = match &rows.classes {
            Some(classes) => columns::texts(classes)?.iter().map(|name| name.unwrap_or_default().to_owned()).collect(),
            None => Vec::new(),
        };
        let factors = self.class_factors(&class_names)?;
        let material = Material { rows: &rows, factors, class_names };
        // Without a search every row is held out once; the folds of a search are those of its trials.
        let folds = match (self.options.split, &self.options.search) {
            (DataSplit::Folds { n_folds }, None) => Some(Splits::folds(&self.spec.name, &all, n_folds, self.options.seed)?),
            _ => None,
        };
        let split = if folds.is_some() { Ok(None) } else { rows.hold_out(&self.options) };
        let split = split.map_err(|error| self.explain(&error, &rows, &all))?;
        let mut report = TrainingReport::default();
        let train_places = split.as_ref().map_or(&all, |split| &split.train);
        if let Some(search) = self.options.search.clone() {
            let (trials, best) = trials::run(&self, &search, &material, train_places)?;
            report.trials = trials;
            self.options = best;
        }
        let objective = trials::objective(&self, self.options.search.as_ref())?;
        let fit = |places: &[u32], name: &str, held_out: Option<&Scores>| {
            let best = held_out.and_then(|held_out| held_out.evaluation.get(objective)).map(|best| (objective.to_owned(), best));
            self.fit_rows(&self.options, &material, places, &Phase { name: name.to_owned(), best })
        };
        let (model, iterations, held_out, rows_train) = match (&split, &folds) {
            (Some(split), _) => {
                let (model, iterations) = fit(&split.train, "fitting", None)?;
                let held_out = self.evaluate(&model, &rows.part.take(&split.eval), &rows)?;
                if self.options.refit {
                    let (model, iterations) = fit(&all, "fitting on all rows", Some(&held_out))?;
                    (model, iterations, Some(held_out), split.train.len())
                } else {
                    (model, iterations, Some(held_out), split.train.len())
                }
            }
            (None, Some(folds)) => {
                let held_out = self.try_out(&self.options, &material, folds, None)?;
                let (model, iterations) = fit(&all, "fitting on all rows", Some(&held_out))?;
                (model, iterations, Some(held_out), n_rows)
            }
            (None, None) => {
                let (model, iterations) = fit(&all, "fitting", None)?;
                // Clusters and components are scored on the rows that they describe.
                let is_scored = matches!(self.options.task(), TaskKind::Clustering | TaskKind::Reduction);
                let held_out = if is_scored { Some(self.evaluate(&model, &rows.part, &rows)?) } else { None };
                (model, iterations, held_out, n_rows)
            }
        };
        report.iterations = iterations;
        let metrics = metrics(&model, held_out.as_ref(), rows_train);
        let mut parameters = self.options.parameters();
        if let Algorithm::Kmeans(kmeans) = &model.algorithm {
            parameters.insert("num_clusters".to_owned(), kmeans.centroids.n_rows().to_string());
        }
        for (option, column) in [("weight_col", &self.options.weight_col), ("data_split_col", &self.options.split_col)] {
            column.as_ref().map(|column| parameters.insert(option.to_owned(), column.clone()));
        }
        if matches!(self.options.task(), TaskKind::Regression | TaskKind::Classification) {
            parameters.insert("input_label_cols".to_owned(), self.label.clone());
        }
        let task = self.task(&rows, &model);
        let model = PredictorModel {
            name: self.spec.name.clone(),
            model_type: self.options.model_type().to_owned(),
            task,
            learned: Arc::new(model),
            held_out,
        };
        Ok(Trained { model: TrainedModel::Predictor(Arc::new(model)), report, metrics, parameters, train_seconds: 0.0 })
    }

    /// What learners need beside the rows: their encoded form and sums. An estimate on the safe side.
    fn reserve(&self, rows: &TrainingSet) -> Result<()> {
        let n_columns: usize = rows.part.frame.columns().len();
        let bytes = rows.part.frame.n_rows() * (9 * n_columns + 64);
        rows.reservation.try_grow(bytes).map_err(|error| {
            let what = format!("there is not enough memory to train model \"{}\"", self.spec.name);
            Error::new(Code::LimitExceeded, what)
                .detail(format!("{}.", error.message()))
                .hint("Train on fewer rows or columns, or raise the server's memory limit.")
        })
    }

    /// The factor of each class; empty when all count the same.
    fn class_factors(&self, class_names: &[String]) -> Result<ClassFactors> {
        match &self.options.class_weights {
            ClassWeights::Equal => Ok(ClassFactors::None),
            ClassWeights::Balanced => Ok(ClassFactors::Balanced),
            ClassWeights::Given(given) => {
                let mut factors = vec![1.0; class_names.len()];
                for (label, weight) in given {
                    let Some(class) = class_names.iter().position(|name| name == label) else {
                        let what =
                            format!("option \"class_weights\" of model \"{}\" names the label '{label}', which no row has", self.spec.name);
                        let error = Error::new(Code::InvalidParameter, what);
                        let near = nearest(label, class_names.iter().map(String::as_str));
                        return Err(match near {
                            Some(near) => error.hint(format!("Did you mean '{near}'?")),
                            None => error.detail(format!("The labels are {}.", class_names.join(", "))),
                        });
                    };
                    factors[class] = *weight;
                }
                Ok(ClassFactors::Given(factors))
            }
        }
    }

    /// A model of the rows at some places.
    ///
    /// # Errors
    /// Those of the learner in the user's words.
    pub fn fit_rows(
        &self,
        options: &PredictorOptions,
        material: &Material,
        places: &[u32],
        phase: &Phase,
    ) -> Result<(TrainedPredictor, Vec<Iteration>)> {
        let Material { rows, factors, class_names } = material;
        let part = if places.len() == rows.part.frame.n_rows() { None } else { Some(rows.part.take(places)) };
        let fitted = self.fit(options, part.as_ref().unwrap_or(&rows.part), factors, phase);
        let fitted = fitted.map_err(|error| self.explain(&error, rows, places))?;
        let is_label_encoded = options.learner.is_label_encoded();
        let model = TrainedPredictor::new(rows.features.clone(), class_names.clone(), is_label_encoded, fitted.algorithm);
        Ok((model, fitted.iterations))
    }

    /// Fits the learner of `options` to rows. Errors name places in `part`.
    fn fit(&self, options: &PredictorOptions, part: &Part, factors: &ClassFactors, phase: &Phase) -> Result<Fitted, LearnError> {
        let iterations: Mutex<Vec<Iteration>> = Mutex::default();
        let start = Instant::now();
        let n_rows = part.frame.n_rows() as u64;
        let progress = |progress: Progress| {
            (self.spec.observer)(TrainingProgress {
                phase: phase.name.clone(),
                rows: n_rows,
                iteration: progress.iteration,
                max_iterations: progress.max_iterations,
                loss: progress.loss,
                metric: phase.best.clone(),
            });
            let mut iterations = iterations.lock().unwrap_or_else(PoisonError::into_inner);
            if iterations.len() < ITERATIONS_KEPT_MAX {
                let duration_ms = start.elapsed().as_secs_f64() * 1e3;
                iterations.push(Iteration { iteration: progress.iteration as u64, loss: progress.loss, eval_loss: None, duration_ms });
            }
        };
        let control = Control { threads: self.spec.threads(), cancel: &self.stop, progress: &progress };
        let weighted = factors.weighted(part)?;
        let algorithm = algorithm::fit(&options.learner, weighted.as_ref().unwrap_or(part), options.seed, &control)?;
        let mut iterations = iterations.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Trees are finished in any order; times are since the one before.
        iterations.sort_by_key(|iteration| iteration.iteration);
        let mut before = 0.0;
        for iteration in &mut iterations {
            let since = iteration.duration_ms;
            iteration.duration_ms = f64::max(since - before, 0.0);
            before = f64::max(since, before);
        }
        if let Algorithm::Boosted(boosted) = &algorithm {
            for (place, iteration) in iterations.iter_mut().enumerate() {
                iteration.loss = boosted.losses().get(place).copied();
                iteration.eval_loss = boosted.evaluation_losses().get(place).copied();
            }
        }
        Ok(Fitted { algorithm, iterations })
    }

    fn evaluate(&self, model: &TrainedPredictor, part: &Part, rows: &TrainingSet) -> Result<Scores> {
        let n_rows = part.frame.n_rows() as u64;
        (self.spec.observer)(TrainingProgress { phase: "evaluating".to_owned(), rows: n_rows, ..TrainingProgress::default() });
        Ok(self.score(model, part, rows)?.finish())
    }

    /// Scores a model on rows that it has not been fitted to.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn score(&self, model: &TrainedPredictor, part: &Part, rows: &TrainingSet) -> Result<Scorer> {
        let n_rows = part.frame.n_rows();
        let mut scorer = Scorer::new(&self.task(rows, model), model.centroid_distances());
        let unfit = |error: LearnError| Error::internal(format!("a model cannot predict its own rows: {error}"));
        for first in (0..n_rows).step_by(ROWS_SCORED_AT_ONCE) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(cancelled(&self.spec.name));
            }
            let end = n_rows.min(first + ROWS_SCORED_AT_ONCE);
            let places: Vec<u32> = (first as u32..end as u32).collect();
            let frame = part.frame.take(&places);
            let predictions = model.predict_frame(&frame).map_err(unfit)?;
            let truth = match &part.target {
                Target::Numbers(values) => Truth::Numbers(&values[first..end]),
                Target::Classes(codes, _) => Truth::Classes(&codes[first..end]),
                Target::None => Truth::Nothing { spread: model.frame_spread(&frame).map_err(unfit)? },
            };
            scorer.add(&predictions, truth);
        }
        Ok(scorer)
    }

    fn task(&self, rows: &TrainingSet, model: &TrainedPredictor) -> Task {
        match (self.options.task(), &rows.classes) {
            (TaskKind::Classification, Some(classes)) => Task::Classification { label: self.label.clone(), classes: Arc::clone(classes) },
            (TaskKind::Clustering, _) => Task::Clustering { n_clusters: model.algorithm.n_parts(), first_id: 1 },
            (TaskKind::Reduction, _) => Task::Reduction { n_components: model.algorithm.n_parts() },
            _ => Task::Regression { label: self.label.clone() },
        }
    }

    /// An error of a learner in the user's words; it was fitted to the rows at `places`.
    pub fn explain(&self, error: &LearnError, rows: &TrainingSet, places: &[u32]) -> Error {
        let name = &self.spec.name;
        let invalid = |what: String| Error::new(Code::InvalidValue, what);
        match error {
            LearnError::Cancelled => cancelled(name),
            LearnError::Empty => invalid(format!("there is no row to train model \"{name}\" on"))
                .hint("Rows that are held out or have weight 0 are not trained on."),
            LearnError::NoFeature => invalid(format!("no column of the training query of model \"{name}\" says anything"))
                .detail("Each is constant, missing, or a text that is different in every row.")
                .hint("Select columns that vary with the label."),
            LearnError::OneClass => invalid(format!("all rows that model \"{name}\" is trained on have the same \"{}\"", self.label))
                .hint("Train on rows of at least two classes, or with data_split_method='no_split'."),
            LearnError::Value { what, row, value, expected } => {
                let row = places.get(*row).and_then(|place| rows.origin.get(*place as usize)).map_or(0, |row| u64::from(*row) + 1);
                let label = if matches!(*what, "target" | "label") { format!("label \"{}\"", self.label) } else { (*what).to_owned() };
                invalid(format!("the {label} is {value} in row {row} of the query, it must be {expected}"))
            }
            LearnError::Parameter { name: parameter, value, range } => Error::new(
                Code::InvalidParameter,
                format!("model \"{name}\" cannot be trained: {parameter} is {value}, it must be {range}"),
            ),
            LearnError::Diverged { what } => invalid(format!("training of model \"{name}\" did not come to a finite result: {what}"))
                .hint("Add a penalty such as l2_reg=1, or scale the columns to smaller numbers."),
            LearnError::Shape { what } => Error::internal(format!("training of model \"{name}\": {what}")),
        }
    }
}

/// How much the rows of each class count.
#[derive(Debug, Clone)]
pub(super) enum ClassFactors {
    None,
    Balanced,
    Given(Vec<f64>),
}

impl ClassFactors {
    /// The rows with these factors in their weights; `None` when nothing changes.
    fn weighted(&self, part: &Part) -> Result<Option<Part>, LearnError> {
        let weights = match self {
            Self::None => return Ok(None),
            Self::Balanced => linear::ClassWeights::Balanced,
            Self::Given(factors) => linear::ClassWeights::Given(factors.clone()),
        };
        let Target::Classes(labels, n_classes) = &part.target else { return Ok(None) };
        let weights = weights.of_rows(labels, *n_classes, part.weights.as_deref())?;
        Ok(Some(Part { weights, ..part.clone() }))
    }
}

/// What the catalog records.
fn metrics(model: &TrainedPredictor, held_out: Option<&Scores>, rows_train: usize) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    let mut put = |name: &str, value: f64| metrics.insert(name.to_owned(), value);
    put("rows_train", rows_train as f64);
    put("n_features", model.features.len() as f64);
    if let Algorithm::Forest(forest) = &model.algorithm {
        forest.out_of_bag().map(|out_of_bag| put("out_of_bag_score", out_of_bag.score));
    }
    for (name, measure) in held_out.iter().flat_map(|held_out| &held_out.evaluation.measures) {
        match measure {
            Measure::Number(Some(value)) => put(name, *value),
            Measure::Number(None) => None,
            Measure::Count(count) => put(name, *count as f64),
        };
    }
    metrics
}

impl PredictorOptions {
    /// The name of the label as the query spells it.
    fn label_of(&self, schema: &SchemaRef) -> String {
        let name = self.label.as_deref().unwrap_or("label");
        columns::find("the model", name, schema).map_or_else(|_| name.to_owned(), |place| schema.field(place).name().clone())
    }
}
