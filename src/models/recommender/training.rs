//! A training run: rows of a query in, a scored model out.

use super::columns::Columns;
use super::evaluation::{RankingOptions, rank, score};
use super::factor_model::FactorModel;
use super::fit::{Fit, FitRows, Fitter, RunError};
use super::ids::{Ids, Key};
use super::options::{DataSplit, FitOptions, RecommenderOptions};
use super::ratings::{Data, Marks, Ratings, TrainingMemory};
use super::search::defined;
use super::split::{SearchSplits, hold_out};
use super::{FeedbackType, RecommenderModel, popularity, rated};
use crate::error::{Code, Error, Result};
use crate::models::evaluation::Evaluation;
use crate::models::report::{Iteration, TrainingReport, Trial};
use crate::models::training::{Rows, TrainSpec, Trained, TrainedModel, read_rows, run_aside};
use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};
use tokio_util::sync::CancellationToken;
use weir_ml::als::{AlsModel, Csr, Factors};
use weir_ml::split::Split;
use weir_ml::topk::Bitmap;

/// Iterations of the fit on all rows: it begins with the factors fitted to most of them.
const REFIT_ITERATIONS_MAX: usize = 3;

/// Reads the ratings and trains; see [`crate::models::train`].
pub(in crate::models) async fn train(
    spec: TrainSpec,
    options: RecommenderOptions,
    schema: &SchemaRef,
    rows: Rows<'_>,
    cancel: &CancellationToken,
) -> Result<Trained> {
    let columns = Columns::of_options(&spec.name, &options, schema)?;
    let mut memory = TrainingMemory::new(&spec.name, &spec.memory);
    let mut ratings = Ratings::new(columns, schema);
    read_rows(&spec, rows, cancel, |batch| {
        ratings.add(batch, &mut memory)?;
        Ok(ratings.n_rows() as u64)
    })
    .await?;
    let name = spec.name.clone();
    let run = move |stop| Run { spec, options, stop, n_rows: ratings.n_rows() as u64 }.train(ratings, memory);
    run_aside(&name, cancel, run).await
}

/// The part of training that takes time, on a blocking thread.
pub(super) struct Run {
    pub spec: TrainSpec,
    pub options: RecommenderOptions,
    stop: Arc<AtomicBool>,
    n_rows: u64,
}

/// The factors of one fit, and those of the implicit companion.
pub(super) struct Fitted {
    primary: FactorModel,
    companion: Option<FactorModel>,
    iterations: Vec<Iteration>,
}

impl Fitted {
    fn ranker(&self) -> &FactorModel {
        self.companion.as_ref().unwrap_or(&self.primary)
    }
}

/// The model to keep, before ids are put to it.
struct Kept {
    fitted: Fitted,
    held_out: Option<Evaluation>,
    rows_train: usize,
    /// What the factors were fitted to, when that is not all ratings.
    trained_on: Option<Csr>,
    trials: Vec<Trial>,
    options: FitOptions,
}

impl Run {
    fn train(&self, ratings: Ratings, mut memory: TrainingMemory) -> Result<Trained> {
        // Factors and what they begin with, of the model and its companion, and the index of items.
        let n_models = 3 * (1 + usize::from(self.options.has_companion()));
        memory.hold(ratings.fit_bytes(self.rank_max()?, n_models))?;
        self.try_train(ratings).map_err(|error| error.explain(&self.spec.name))
    }

    fn rank_max(&self) -> Result<usize> {
        let Some(search) = &self.options.search else { return Ok(self.options.fit.rank) };
        let place = search.names.iter().position(|name| *name == "num_factors");
        let tried = search.trials(self.options.fit.seed)?.iter().filter_map(|point| place.map(|place| point[place] as usize)).max();
        Ok(tried.unwrap_or(self.options.fit.rank))
    }

    fn try_train(&self, ratings: Ratings) -> Result<Trained, RunError> {
        let Data { users, items, rating_column, ratings, marks } = ratings.finish()?;
        let is_implicit = matches!(self.options.fit.feedback, FeedbackType::Implicit);
        if is_implicit && ratings.n_ratings() > 0 && ratings.values().iter().all(|rating| *rating <= 0.0) {
            return Err(self.nobody_likes_anything().into());
        }
        let Kept { fitted, held_out, rows_train, trained_on, trials, options } = self.keep(&ratings, marks, &users, &items)?;
        let parameters = self.parameters(&options, &users, &items, rating_column.as_deref());
        let fitted_to = trained_on.as_ref().unwrap_or(&ratings);
        let model = RecommenderModel {
            name: self.spec.name.clone(),
            rating_column,
            popularity: popularity(fitted_to, self.list_feedback()),
            is_fitted_to_all: trained_on.is_none(),
            ranking: self.ranking_options(fitted_to),
            primary: fitted.primary,
            companion: fitted.companion,
            cold_start: self.options.cold_start,
            held_out,
            online: RwLock::default(),
            fit: options,
            users,
            items,
            seen: ratings,
        };
        let model = match &trained_on {
            Some(trained_on) => without_unrated(model, trained_on)?,
            None => model,
        };
        let mut metrics = model.held_out.as_ref().map(defined).unwrap_or_default();
        for (name, value) in [("rows_train", rows_train), ("n_users", model.n_users()), ("n_items", model.n_items())] {
            metrics.insert(name.to_owned(), value as f64);
        }
        Ok(Trained {
            model: TrainedModel::Recommender(Arc::new(model)),
            report: TrainingReport { iterations: fitted.iterations, trials },
            metrics,
            parameters,
            train_seconds: 0.0,
        })
    }

    /// Searches, evaluates, and fits what is kept.
    fn keep(&self, ratings: &Csr, marks: Marks, users: &Ids, items: &Ids) -> Result<Kept, RunError> {
        let options = self.options.fit.clone();
        let warm = self.warm_start(users, items, &options);
        if ratings.n_ratings() == 0 {
            return Err(weir_ml::als::AlsError::Empty.into());
        }
        if let (DataSplit::Folds { n_folds }, None) = (&self.options.data_split, &self.options.search) {
            let held_out = self.evaluate_folds(ratings, *n_folds)?;
            let metric = self.metric(&held_out);
            let fitted = self.fit("fitting on all rows", FitRows::all(ratings), &options, self.options.has_companion(), warm, metric)?;
            let rows_train = ratings.n_ratings();
            return Ok(Kept { fitted, held_out: Some(held_out), rows_train, trained_on: None, trials: Vec::new(), options });
        }
        let Some(parts) = hold_out(&self.options.data_split, ratings, marks, self.options.fit.seed)? else {
            if self.options.search.is_some() {
                return Err(self.too_few(ratings.n_ratings()).into());
            }
            let fitted = self.fit("fitting", FitRows::all(ratings), &options, self.options.has_companion(), warm, None)?;
            let rows_train = ratings.n_ratings();
            return Ok(Kept { fitted, held_out: None, rows_train, trained_on: None, trials: Vec::new(), options });
        };
        if parts.split.train.n_ratings() == 0 {
            return Err(self.too_few(ratings.n_ratings()).into());
        }
        if let (DataSplit::RandomPerUser { eval_fraction }, 0) = (&self.options.data_split, parts.split.eval.n_ratings()) {
            return Err(self.too_few_per_user(ratings.n_ratings(), users.len(), *eval_fraction).into());
        }
        let (options, trials) = match &self.options.search {
            Some(search) => self.search(search, &SearchSplits::new(&self.options.data_split, &parts, self.options.fit.seed)?)?,
            None => (options, Vec::new()),
        };
        let split = parts.split;
        let rows_train = split.train.n_ratings();
        let fitted = self.fit("fitting", FitRows::of(&split), &options, self.options.has_companion(), None, None)?;
        self.fitter().tell("evaluating", None);
        let held_out = self.evaluate(&fitted, &split, true)?;
        let (metric, held_out) = (self.metric(&held_out), Some(held_out));
        if warm.is_some() {
            // The version before may have seen the rows that are held out now: only what is kept begins with it.
            let rows = if self.options.refit { ratings } else { &split.train };
            let phase = "fitting from the version before";
            let fitted = self.fit(phase, FitRows::all(rows), &options, self.options.has_companion(), warm, metric)?;
            let trained_on = (!self.options.refit).then_some(split.train);
            return Ok(Kept { fitted, held_out, rows_train, trained_on, trials, options });
        }
        if !self.options.refit {
            return Ok(Kept { fitted, held_out, rows_train, trained_on: Some(split.train), trials, options });
        }
        drop(split);
        let refit = FitOptions { max_iterations: options.max_iterations.min(REFIT_ITERATIONS_MAX), ..options };
        let Fitted { primary, companion, mut iterations } = fitted;
        let start = Start { primary: primary.als, companion: companion.map(|companion| companion.als) };
        let rows = FitRows::all(ratings);
        let mut fitted = self.fit("fitting on all rows", rows, &refit, self.options.has_companion(), Some(start), metric)?;
        let n_before = iterations.len() as u64;
        iterations.extend(fitted.iterations.drain(..).map(|row| Iteration { iteration: row.iteration + n_before, ..row }));
        fitted.iterations = iterations;
        Ok(Kept { fitted, held_out, rows_train, trained_on: None, trials, options })
    }

    /// What is told of the held-out rows once they are scored: the measure that a search would make better.
    fn metric(&self, held_out: &Evaluation) -> Option<(&'static str, f64)> {
        let name = self.options.objective.name();
        held_out.get(name).map(|value| (name, value))
    }

    /// Fits factors, and those of a companion; `best` is told as long as the rows say nothing newer.
    pub(super) fn fit(
        &self,
        phase: &str,
        rows: FitRows<'_>,
        options: &FitOptions,
        with_companion: bool,
        start: Option<Start>,
        best: Option<(&str, f64)>,
    ) -> Result<Fitted, RunError> {
        let fitter = self.fitter();
        let (start, start_of_companion) = start.map_or((None, None), |start| (Some(start.primary), start.companion));
        let Fit { als, iterations } = fitter.fit(phase, rows, options, start, best)?;
        let primary = FactorModel::new(als, options.als_params())?;
        let companion = if with_companion {
            let options = options.companion();
            let fit = fitter.fit(&format!("{phase}, implicit companion"), rows, &options, start_of_companion, best)?;
            Some(FactorModel::new(fit.als, options.als_params())?)
        } else {
            None
        };
        Ok(Fitted { primary, companion, iterations })
    }

    /// Scores what was fitted to the one part on the other.
    pub(super) fn evaluate(&self, fitted: &Fitted, split: &Split, with_lists: bool) -> Result<Evaluation, RunError> {
        let feedback = self.options.fit.feedback;
        let (mut scores, known) = score(&fitted.primary, &split.train, &split.eval, feedback);
        if with_lists {
            let fitter = self.fitter();
            let control = fitter.control(&|_| {});
            let (train, seed) = (&split.train, self.options.fit.seed);
            let options = self.ranking_options(train);
            // An item without a row to be trained on has factors of zeros: a score that says nothing, which may be above others.
            let catalogue = Bitmap::of_items(train.n_columns(), train.entries().map(|(_, item, _)| item));
            (scores.ranking, scores.popularity_ndcg) =
                rank(fitted.ranker(), (train, train), &known, Some(&catalogue), &options, seed, &control)?;
        }
        Ok(scores.measures(feedback))
    }

    fn evaluate_folds(&self, ratings: &Csr, n_folds: usize) -> Result<Evaluation, RunError> {
        if ratings.n_ratings() < n_folds {
            return Err(self.too_few(ratings.n_ratings()).into());
        }
        let mut evaluations = Vec::with_capacity(n_folds);
        for (fold, split) in (1..).zip(weir_ml::split::k_folds(ratings, n_folds, self.options.fit.seed)?) {
            let phase = format!("fold {fold} of {n_folds}");
            let fitted = self.fit(&phase, FitRows::of(&split), &self.options.fit, self.options.has_companion(), None, None)?;
            evaluations.push(self.evaluate(&fitted, &split, true)?);
        }
        Ok(Evaluation::mean(&evaluations))
    }

    fn fitter(&self) -> Fitter<'_> {
        Fitter {
            name: &self.spec.name,
            threads: self.spec.threads(),
            cancel: &self.stop,
            observer: &self.spec.observer,
            n_rows: self.n_rows,
        }
    }

    fn ranking_options(&self, train: &Csr) -> RankingOptions {
        RankingOptions::new(self.options.ranking_k, self.options.relevant_rating, self.options.fit.feedback, train)
    }

    /// What lists are made from.
    fn list_feedback(&self) -> FeedbackType {
        if self.options.has_companion() { FeedbackType::Implicit } else { self.options.fit.feedback }
    }

    fn parameters(&self, fit: &FitOptions, users: &Ids, items: &Ids, rating: Option<&str>) -> BTreeMap<String, String> {
        let mut parameters = RecommenderOptions { fit: fit.clone(), ..self.options.clone() }.parameters();
        for (option, column) in [("user_col", Some(users.column.as_str())), ("item_col", Some(&items.column)), ("rating_col", rating)] {
            if let Some(column) = column {
                parameters.insert(option.to_owned(), column.to_owned());
            }
        }
        parameters
    }

    fn nobody_likes_anything(&self) -> Error {
        let what = format!("the training query of model \"{}\" has no rating above 0", self.spec.name);
        Error::new(Code::InvalidValue, what)
            .detail("Of implicit feedback a rating says how often or how long somebody chose an item.")
            .hint("Train on counts or durations, or leave the rating column out: each row then counts 1.")
    }

    fn too_few(&self, n_rows: usize) -> Error {
        let name = &self.spec.name;
        Error::new(Code::InvalidValue, format!("the training query of model \"{name}\" returned too few rows to hold some out"))
            .detail(format!("It returned {n_rows}, and all of them were held out."))
            .hint("Add data_split_method='no_split'.")
    }

    /// Not the chance of one draw, as a split over all rows that holds nothing out: no seed would hold a row out.
    fn too_few_per_user(&self, n_rows: usize, n_users: usize, eval_fraction: f64) -> Error {
        let name = &self.spec.name;
        Error::new(Code::InvalidValue, format!("no user of the training query of model \"{name}\" has enough rows to hold some out"))
            .detail(format!("It returned {n_rows} rows of {n_users} users, and data_split_eval_fraction is {eval_fraction}."))
            .hint("Use data_split_method='random' or 'no_split', or a larger data_split_eval_fraction.")
    }

    /// The factors of the version before, in the places of the ids of now; `None` when they do not fit, or nobody asked.
    fn warm_start(&self, users: &Ids, items: &Ids, options: &FitOptions) -> Option<Start> {
        let Some(TrainedModel::Recommender(previous)) = self.spec.previous.as_ref().filter(|_| self.options.warm_start) else {
            return None;
        };
        if previous.primary.als.users.rank() != options.rank || previous.fit.feedback != options.feedback {
            return None;
        }
        let moved = |als: &AlsModel| {
            let (users_before, items_before) = (places(&previous.users, users)?, places(&previous.items, items)?);
            Some(AlsModel {
                users: moved(&als.users, &users_before),
                items: moved(&als.items, &items_before),
                mean: als.mean,
                user_bias: moved_bias(&als.user_bias, &users_before),
                item_bias: moved_bias(&als.item_bias, &items_before),
            })
        };
        let companion = previous.companion.as_ref().and_then(|companion| moved(&companion.als));
        Some(Start { primary: moved(&previous.primary.als)?, companion })
    }
}

/// Factors to begin with; rows of zeros are begun at random.
pub(super) struct Start {
    primary: AlsModel,
    companion: Option<AlsModel>,
}

/// Where ids were before; `None` when ids are of another kind now.
fn places(before: &Ids, now: &Ids) -> Option<Vec<Option<u32>>> {
    let place = |key: Key| if let Key::Known(place) = key { Some(place) } else { None };
    Some(before.find(&now.stored()).ok()?.into_iter().map(place).collect())
}

/// The rows of the places; zero for what is new.
fn moved(factors: &Factors, places: &[Option<u32>]) -> Factors {
    let rank = factors.rank();
    let mut rows = Vec::with_capacity(places.len() * rank);
    for place in places {
        match place {
            Some(place) => rows.extend_from_slice(factors.row(*place as usize)),
            None => rows.resize(rows.len() + rank, 0.0),
        }
    }
    Factors::from_vec(rank, rows)
}

fn moved_bias(biases: &[f32], places: &[Option<u32>]) -> Vec<f32> {
    if biases.is_empty() {
        return Vec::new();
    }
    places.iter().map(|place| place.map_or(0.0, |place| biases[place as usize])).collect()
}

/// Takes users and items out that no training row had (all their rows were held out): they are unknown to
/// the model, and must not look like users who like nothing.
fn without_unrated(model: RecommenderModel, trained_on: &Csr) -> Result<RecommenderModel, RunError> {
    let item_known = rated(trained_on);
    let users: Vec<u32> = (0..trained_on.n_rows() as u32).filter(|user| trained_on.row_len(*user as usize) > 0).collect();
    let items: Vec<u32> = (0..trained_on.n_columns() as u32).filter(|item| item_known[*item as usize]).collect();
    if users.len() == trained_on.n_rows() && items.len() == trained_on.n_columns() {
        return Ok(model);
    }
    let mut item_places = vec![None; trained_on.n_columns()];
    for (place, item) in (0u32..).zip(&items) {
        item_places[*item as usize] = Some(place);
    }
    let (mut seen_users, mut seen_items, mut seen_values) = (Vec::new(), Vec::new(), Vec::new());
    for (place, user) in (0u32..).zip(&users) {
        let (rated, values) = model.seen.row(*user as usize);
        for (item, value) in rated.iter().zip(values) {
            if let Some(item) = item_places[*item as usize] {
                seen_users.push(place);
                seen_items.push(item);
                seen_values.push(*value);
            }
        }
    }
    let seen = Csr::new(users.len(), items.len(), &seen_users, &seen_items, &seen_values)?;
    let rows = |factors: &Factors, places: &[u32]| {
        Factors::from_vec(factors.rank(), places.iter().flat_map(|place| factors.row(*place as usize)).copied().collect())
    };
    let keep = |ids: &Ids, places: &[u32]| {
        ids.keep(&UInt32Array::from(places.to_vec())).map_err(|error| Error::internal(format!("could not keep ids: {error}")))
    };
    let kept = |model: &FactorModel| {
        let biases = |biases: &[f32], places: &[u32]| {
            if biases.is_empty() { Vec::new() } else { places.iter().map(|place| biases[*place as usize]).collect() }
        };
        let als = AlsModel {
            users: rows(&model.als.users, &users),
            items: rows(&model.als.items, &items),
            mean: model.als.mean,
            user_bias: biases(&model.als.user_bias, &users),
            item_bias: biases(&model.als.item_bias, &items),
        };
        FactorModel::new(als, model.params.clone())
    };
    Ok(RecommenderModel {
        users: keep(&model.users, &users)?,
        items: keep(&model.items, &items)?,
        primary: kept(&model.primary)?,
        companion: model.companion.as_ref().map(kept).transpose()?,
        popularity: items.iter().map(|item| model.popularity[*item as usize]).collect(),
        seen,
        ..model
    })
}
