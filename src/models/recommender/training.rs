//! A training run: rows of a query in, a scored model out.

use super::columns::Columns;
use super::evaluation::measures;
use super::ids::{IdEncoder, Ids};
use super::options::{DataSplit, RecommenderOptions};
use super::{RecommenderModel, Seen, popularity};
use crate::error::{Code, Error, Result};
use crate::models::evaluation::{Evaluation, Measure};
use crate::models::report::TrainingReport;
use crate::models::training::{Rows, TrainSpec, Trained, TrainedModel, cancelled, run_aside};
use datafusion::arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, SchemaRef};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio_util::sync::CancellationToken;
use weir_ml::als::{self, AlsError, AlsModel, Control, Csr, Factors, Side};
use weir_ml::metrics::RatingErrors;

/// Reads the ratings and trains; see [`crate::models::train`].
pub(in crate::models) async fn train(
    spec: TrainSpec,
    options: RecommenderOptions,
    schema: &SchemaRef,
    mut rows: Rows<'_>,
    cancel: &CancellationToken,
) -> Result<Trained> {
    let columns = Columns::of_options(&spec.name, &options, schema)?;
    let mut ratings = Ratings::new(columns, schema);
    loop {
        let batch = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(cancelled(&spec.name)),
            batch = rows.next() => batch,
        };
        match batch.transpose()? {
            Some(batch) => ratings.add(&batch)?,
            None => break,
        }
    }
    drop(rows);
    let name = spec.name.clone();
    run_aside(&name, cancel, move |stop| Run { spec, options, stop }.fit(ratings)).await
}

/// Appends a batch's ratings; `query` and `first_row` (from 1) are for messages.
pub(super) fn ratings_of(batch: &RecordBatch, column: usize, query: &str, first_row: u64, ratings: &mut Vec<f32>) -> Result<()> {
    let schema = batch.schema_ref();
    let name = schema.field(column).name();
    let wrong = |row: usize, is: &str| {
        Error::new(Code::InvalidValue, format!("column \"{name}\" is {is} in row {} of {query}", first_row + row as u64))
    };
    let array = batch.column(column);
    if array.null_count() > 0 {
        let row = (0..array.len()).find(|row| array.is_null(*row)).unwrap_or(0);
        return Err(wrong(row, "NULL").hint(format!("Add WHERE \"{name}\" IS NOT NULL to the query.")));
    }
    let values = cast(array, &DataType::Float64).map_err(|error| Error::internal(format!("could not read ratings: {error}")))?;
    for (row, value) in values.as_primitive::<Float64Type>().values().iter().enumerate() {
        let rating = *value as f32;
        if !rating.is_finite() {
            let is = if value.is_finite() { format!("{value}, too large for a rating") } else { value.to_string() };
            return Err(wrong(row, &is).hint("Leave such rows out of the query."));
        }
        ratings.push(rating);
    }
    Ok(())
}

/// The rows of the training query, ids numbered as they come.
struct Ratings {
    columns: Columns,
    rating_column: String,
    users: IdEncoder,
    items: IdEncoder,
    user_codes: Vec<u32>,
    item_codes: Vec<u32>,
    values: Vec<f32>,
}

impl Ratings {
    fn new(columns: Columns, schema: &SchemaRef) -> Self {
        let encoder = |place: usize| IdEncoder::new(schema.field(place).name(), schema.field(place).data_type());
        Self {
            columns,
            rating_column: schema.field(columns.rating).name().clone(),
            users: encoder(columns.user),
            items: encoder(columns.item),
            user_codes: Vec::new(),
            item_codes: Vec::new(),
            values: Vec::new(),
        }
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let first_row = self.values.len() as u64 + 1;
        self.users.encode(batch.column(self.columns.user), first_row, &mut self.user_codes)?;
        self.items.encode(batch.column(self.columns.item), first_row, &mut self.item_codes)?;
        ratings_of(batch, self.columns.rating, "the training query", first_row, &mut self.values)
    }

    /// Ids in order, and the ratings as a matrix: nothing depends on the order of rows any more.
    fn finish(mut self) -> Result<(Ids, Ids, Csr), RunError> {
        let (users, user_places) = self.users.finish()?;
        let (items, item_places) = self.items.finish()?;
        self.user_codes.iter_mut().for_each(|code| *code = user_places[*code as usize]);
        self.item_codes.iter_mut().for_each(|code| *code = item_places[*code as usize]);
        let ratings = Csr::new(users.len(), items.len(), &self.user_codes, &self.item_codes, &self.values)?;
        Ok((users, items, ratings))
    }
}

/// Why a run has no model.
enum RunError {
    Error(Error),
    Als(AlsError),
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<AlsError> for RunError {
    fn from(error: AlsError) -> Self {
        Self::Als(error)
    }
}

/// The part of training that takes time, on a blocking thread.
struct Run {
    spec: TrainSpec,
    options: RecommenderOptions,
    stop: Arc<AtomicBool>,
}

impl Run {
    fn fit(&self, ratings: Ratings) -> Result<Trained> {
        self.try_fit(ratings).map_err(|error| match error {
            RunError::Error(error) => error,
            RunError::Als(error) => self.explain(&error),
        })
    }

    fn try_fit(&self, ratings: Ratings) -> Result<Trained, RunError> {
        let options = &self.options;
        let rating_column = ratings.rating_column.clone();
        let (users, items, ratings) = ratings.finish()?;
        let mut parameters = options.parameters();
        for (option, column) in [("user_col", &users.column), ("item_col", &items.column), ("rating_col", &rating_column)] {
            parameters.insert(option.to_owned(), column.clone());
        }

        let (als, trained_on, held_out, rows_train) = match options.data_split {
            DataSplit::NoSplit => (self.als(&ratings)?, ratings.clone(), None, ratings.n_ratings()),
            DataSplit::Random { eval_fraction } => {
                let split = weir_ml::split::random(&ratings, eval_fraction, options.seed)?;
                let rows_train = split.train.n_ratings();
                if rows_train == 0 && ratings.n_ratings() > 0 {
                    return Err(too_few(&self.spec.name, ratings.n_ratings()).into());
                }
                let als = self.als(&split.train)?;
                let held_out = Some(score(&als, &split.train, &split.eval));
                if options.refit {
                    (self.als(&ratings)?, ratings.clone(), held_out, rows_train)
                } else {
                    (als, split.train, held_out, rows_train)
                }
            }
        };

        let model = RecommenderModel {
            name: self.spec.name.clone(),
            users,
            items,
            rating_column,
            als,
            seen: Seen::of_ratings(&ratings),
            popularity: popularity(&trained_on),
            cold_start: options.cold_start,
            held_out,
        };
        let model = without_unrated(model, &trained_on)?;
        let mut metrics = BTreeMap::new();
        let mut put = |name: &str, value: f64| metrics.insert(name.to_owned(), value);
        put("rows_train", rows_train as f64);
        put("n_users", model.n_users() as f64);
        put("n_items", model.n_items() as f64);
        for (name, measure) in model.held_out.iter().flat_map(|held_out| &held_out.measures) {
            match measure {
                Measure::Number(Some(value)) => put(name, *value),
                Measure::Number(None) => None,
                Measure::Count(count) => put(name, *count as f64),
            };
        }
        Ok(Trained {
            model: TrainedModel::Recommender(Arc::new(model)),
            report: TrainingReport::default(),
            metrics,
            parameters,
            train_seconds: 0.0,
        })
    }

    fn als(&self, ratings: &Csr) -> Result<AlsModel, AlsError> {
        let threads = self.spec.threads();
        let progress = |progress: als::Progress| {
            tracing::debug!(model = %self.spec.name, iteration = progress.iteration, of = progress.max_iterations, "training");
        };
        als::train(ratings, &self.options.als_params(), &Control { threads, cancel: &self.stop, progress: &progress })
    }

    /// An error of the algorithm in the user's words.
    fn explain(&self, error: &AlsError) -> Error {
        let name = &self.spec.name;
        match error {
            AlsError::Empty => Error::new(Code::InvalidValue, format!("the training query of model \"{name}\" returned no row")),
            AlsError::Cancelled => Error::new(Code::Cancelled, format!("training of model \"{name}\" was cancelled")),
            AlsError::Parameter { .. } => Error::new(Code::InvalidParameter, format!("model \"{name}\" cannot be trained: {error}")),
            AlsError::Unsolvable { side, .. } => {
                let side = match side {
                    Side::User => "user",
                    Side::Item => "item",
                };
                Error::new(Code::InvalidValue, format!("training of model \"{name}\" found no finite factors for a {side}"))
                    .hint("Scale the ratings to smaller numbers, or raise regParam.")
            }
            AlsError::NotFinite { .. } | AlsError::Shape { .. } => Error::internal(format!("training of model \"{name}\": {error}")),
        }
    }
}

fn too_few(name: &str, n_rows: usize) -> Error {
    Error::new(Code::InvalidValue, format!("the training query of model \"{name}\" returned too few rows to hold some out"))
        .detail(format!("It returned {n_rows}, and all of them were held out."))
        .hint("Add data_split_method='no_split'.")
}

/// Scores held-out rows; those whose user or item has no rating in `train` are dropped and counted.
fn score(als: &AlsModel, train: &Csr, eval: &Csr) -> Evaluation {
    let mut item_known = vec![false; train.n_columns()];
    train.entries().for_each(|(_, item, _)| item_known[item as usize] = true);
    let (mut errors, mut dropped) = (RatingErrors::default(), 0);
    for (user, item, rating) in eval.entries() {
        if train.row_len(user as usize) > 0 && item_known[item as usize] {
            errors.add(f64::from(als.predict(user, item)), f64::from(rating));
        } else {
            dropped += 1;
        }
    }
    measures(&errors, dropped)
}

/// Takes users and items out that no training row had (all their rows were held out): they are unknown to
/// the model, and must not look like users who like nothing.
fn without_unrated(model: RecommenderModel, trained_on: &Csr) -> Result<RecommenderModel> {
    let mut item_known = vec![false; trained_on.n_columns()];
    trained_on.entries().for_each(|(_, item, _)| item_known[item as usize] = true);
    let users: Vec<u32> = (0..trained_on.n_rows() as u32).filter(|user| trained_on.row_len(*user as usize) > 0).collect();
    let items: Vec<u32> = (0..trained_on.n_columns() as u32).filter(|item| item_known[*item as usize]).collect();
    if users.len() == trained_on.n_rows() && items.len() == trained_on.n_columns() {
        return Ok(model);
    }
    let mut item_places = vec![None; trained_on.n_columns()];
    for (place, item) in (0u32..).zip(&items) {
        item_places[*item as usize] = Some(place);
    }
    let mut seen = Seen { offsets: vec![0], items: Vec::new() };
    for user in &users {
        let items: Vec<u32> = model.seen.of_user(*user).iter().filter_map(|item| item_places[*item as usize]).collect();
        seen.push(&items);
    }
    let rows = |factors: &Factors, places: &[u32]| {
        Factors::from_vec(factors.rank(), places.iter().flat_map(|place| factors.row(*place as usize)).copied().collect())
    };
    let keep = |ids: &Ids, places: &[u32]| {
        ids.keep(&UInt32Array::from(places.to_vec())).map_err(|error| Error::internal(format!("could not keep ids: {error}")))
    };
    Ok(RecommenderModel {
        users: keep(&model.users, &users)?,
        items: keep(&model.items, &items)?,
        als: AlsModel { users: rows(&model.als.users, &users), items: rows(&model.als.items, &items) },
        popularity: items.iter().map(|item| model.popularity[*item as usize]).collect(),
        seen,
        ..model
    })
}
