//! ML.RECOMMEND: recommendations for many users as rows, block by block, so that memory stays bounded.

use super::factor_model::List;
use super::ids::Key;
use super::online::User;
use super::{History, RecommenderModel};
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, UInt32Array, new_empty_array};
use datafusion::arrow::compute::{cast, concat, take};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio_util::sync::CancellationToken;
use weir_functions::model::check_id_type;
use weir_ml::control::Control;
use weir_ml::topk::{Batch, Bitmap};

/// Rows of a block: some 2 MiB.
const ROWS_PER_BLOCK: usize = 65_536;
/// Users of a block, also of short lists: a cancellation is seen between blocks.
const USERS_PER_BLOCK: usize = 2_048;

/// How ML.RECOMMEND is to answer.
#[derive(Debug, Clone)]
pub struct RecommendRequest {
    /// The length of a list.
    pub k: usize,
    /// Leave out what the user has rated.
    pub exclude_seen: bool,
    /// Only these items (an array of item ids); `None` for all. Ids that the model does not know do no harm.
    pub allowed: Option<ArrayRef>,
    pub threads: NonZeroUsize,
}

/// Users of a block, and what is known of their histories besides the model's.
enum Users {
    /// Every user of the model, in the order of ids.
    All,
    /// These, in this order.
    Given(ArrayRef, Vec<User>),
    /// Users with ratings of their own: the first row of each, and his history.
    Folded(ArrayRef, Vec<History>),
}

/// The answer of ML.RECOMMEND, computed while it is read: an iterator over batches of
/// [`RecommenderModel::recommend_schema`]. Every step blocks for some milliseconds to a second: call it from a
/// blocking thread.
pub struct RecommendedRows {
    model: Arc<RecommenderModel>,
    request: RecommendRequest,
    allowed: Option<Bitmap>,
    users: Users,
    next: usize,
    schema: SchemaRef,
    cancel: CancellationToken,
}

impl RecommenderModel {
    /// The columns of ML.RECOMMEND: the user column, the item column, `predicted_<rating>` (or
    /// `predicted_<rating>_confidence` when an implicit model ranks), and `rank` from 1.
    pub fn recommend_schema(&self) -> SchemaRef {
        let suffix = if self.ranks_by_confidence() { "_confidence" } else { "" };
        Arc::new(Schema::new(vec![
            Field::new(&self.users.column, self.users.data_type.clone(), true),
            Field::new(&self.items.column, self.items.data_type.clone(), true),
            Field::new(format!("predicted_{}{suffix}", self.rating_name()), DataType::Float64, true),
            Field::new("rank", DataType::Int64, true),
        ]))
    }

    /// The type of the user column, its name, the item column's name and the rating column's (`None`: the model was
    /// trained without one): by these names ML.RECOMMEND finds the columns of its input.
    pub fn input_columns(&self) -> (&str, &str, Option<&str>) {
        (&self.users.column, &self.items.column, self.rating_column.as_deref())
    }

    /// Recommends for `users` (an array of user ids, in its order, repetitions and all), or for every user of the model
    /// in the order of ids when `None`. NULL has no rows; an unknown user is answered by the cold-start strategy.
    ///
    /// # Errors
    /// `InvalidStatement` when the ids are of another kind than the model's.
    pub fn recommend_rows(
        self: &Arc<Self>,
        users: Option<&ArrayRef>,
        request: RecommendRequest,
        cancel: &CancellationToken,
    ) -> Result<RecommendedRows> {
        let users = match users {
            None => match self.live_users().map_err(|error| self.wrong_ids(&error))? {
                Some((ids, users)) => Users::Given(ids, users),
                None => Users::All,
            },
            Some(users) => Users::Given(Arc::clone(users), self.users_of(users).map_err(|error| self.wrong_ids(&error))?),
        };
        self.rows(users, request, cancel)
    }

    /// Recommends for users with ratings of their own: `rows` has the user, the item and (unless the model was trained
    /// without) the rating column, in this order. For users whom the model knows these ratings are added to those it
    /// has, or take their place. Factors are solved from the ratings (fold-in); who has rated no item that the model knows is
    /// answered by the cold-start strategy. Users come in the order of their first rows.
    ///
    /// # Errors
    /// `InvalidStatement` for columns of another kind, `InvalidValue` for a rating that is NULL or not finite, with
    /// its row.
    pub fn fold_in_rows(
        self: &Arc<Self>,
        rows: &[RecordBatch],
        request: RecommendRequest,
        cancel: &CancellationToken,
    ) -> Result<RecommendedRows> {
        let unreadable = |error| Error::internal(format!("could not read rows: {error}"));
        let mut arrays: Vec<ArrayRef> = Vec::new();
        let n_columns = 2 + usize::from(self.rating_column.is_some());
        for column in 0..n_columns {
            let parts: Vec<&dyn Array> = rows.iter().map(|batch| batch.column(column).as_ref()).collect();
            if parts.is_empty() {
                return self.recommend_rows(Some(&new_empty_array(&self.users.data_type)), request, cancel);
            }
            arrays.push(concat(&parts).map_err(unreadable)?);
        }
        let users = self.users.numbered(&arrays[0]).map_err(|error| self.wrong_ids(&error))?;
        let items = self.items.find(&arrays[1]).map_err(|error| self.wrong_ids(&error))?;
        let ratings = arrays.get(2).map(|ratings| cast(ratings, &DataType::Float64)).transpose().map_err(unreadable)?;
        let first_rows = take(&arrays[0], &UInt32Array::from(users.first_rows), None).map_err(unreadable)?;
        let known = self.users_of(&first_rows).map_err(|error| self.wrong_ids(&error))?;
        let mut histories = vec![History::default(); known.len()];
        for (row, (user, item)) in users.codes.iter().zip(items).enumerate() {
            let Some(user) = user else { continue };
            let rating = match &ratings {
                None => 1.0,
                Some(ratings) if ratings.is_null(row) => f64::NAN,
                Some(ratings) => ratings.as_primitive::<Float64Type>().value(row),
            };
            if !(rating as f32).is_finite() {
                let what = format!("column \"{}\" is NULL or no finite number in row {} of the query", self.rating_name(), row + 1);
                return Err(Error::new(Code::InvalidValue, what).hint("Leave such rows out of the query."));
            }
            if let Key::Known(item) = item {
                histories[*user as usize].push(item, rating as f32);
            }
        }
        for (user, history) in known.iter().zip(&mut histories) {
            let (items, ratings) = self.ratings_of(user);
            // A rating that is given takes the place of the one that the model has.
            let given: HashSet<u32> = history.items.iter().copied().collect();
            for (item, rating) in items.iter().zip(ratings.iter()).filter(|(item, _)| !given.contains(item)) {
                history.push(*item, *rating);
            }
        }
        self.rows(Users::Folded(first_rows, histories), request, cancel)
    }

    fn rows(self: &Arc<Self>, users: Users, request: RecommendRequest, cancel: &CancellationToken) -> Result<RecommendedRows> {
        let allowed = match &request.allowed {
            None => None,
            Some(items) => {
                check_id_type(&self.items.column, &self.items.data_type, items.data_type()).map_err(|error| self.wrong_ids(&error))?;
                Some(self.bitmap(items).map_err(|error| self.wrong_ids(&error))?)
            }
        };
        let schema = self.recommend_schema();
        Ok(RecommendedRows { model: Arc::clone(self), request, allowed, users, next: 0, schema, cancel: cancel.clone() })
    }

    pub(super) fn wrong_ids(&self, error: &datafusion::error::DataFusionError) -> Error {
        Error::new(Code::InvalidStatement, error.strip_backtrace().trim_start_matches("Error during planning: ").to_owned())
    }
}

impl RecommendedRows {
    /// The columns of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn n_users(&self) -> usize {
        match &self.users {
            Users::All => self.model.n_users(),
            Users::Given(_, users) => users.len(),
            Users::Folded(_, histories) => histories.len(),
        }
    }

    /// The lists of the users from `start` to `end`.
    fn lists(&self, start: usize, end: usize) -> Result<Vec<List>> {
        let known: Vec<Option<u32>> = match &self.users {
            Users::All => (start as u32..end as u32).map(Some).collect(),
            Users::Given(_, users) => users[start..end].iter().map(trained).collect(),
            Users::Folded(_, histories) => {
                let (request, allowed) = (&self.request, self.allowed.as_ref());
                let best = |history: &History| self.model.best_of_history(history, request.k, request.exclude_seen, allowed);
                return Ok(histories[start..end].iter().map(best).collect());
            }
        };
        let rows: Vec<u32> = known.iter().flatten().copied().collect();
        let ranker = self.model.ranker();
        let seen = |user: u32| self.model.seen_by(user);
        let batch = Batch {
            users: &ranker.als.users,
            rows: &rows,
            k: self.request.k,
            excluded: if self.request.exclude_seen { Some(&seen) } else { None },
            allowed: self.allowed.as_ref(),
        };
        // A block takes so little that the token is asked between blocks only.
        let never = AtomicBool::new(false);
        let control = Control { threads: self.request.threads, cancel: &never, progress: &|_| {} };
        let of_known = ranker.index.top_of_many(&batch, &control).map_err(|error| Error::internal(format!("recommendations: {error}")))?;
        let mut of_known = of_known.iter();
        let mut of_unknown = None;
        let (k, exclude_seen, allowed) = (self.request.k, self.request.exclude_seen, self.allowed.as_ref());
        let list = |(place, user): (usize, &Option<u32>)| match (user, &self.users) {
            (Some(user), _) => List { scored: of_known.next().unwrap_or_default().to_vec(), shift: ranker.shift(*user) },
            // The same list for all of them.
            (None, Users::Given(_, users)) if matches!(users[start + place], User::Unknown) => {
                of_unknown.get_or_insert_with(|| self.model.best_of_unknown(k, &[], allowed)).clone()
            }
            (None, Users::Given(_, users)) => self.model.best(&users[start + place], k, exclude_seen, allowed).unwrap_or_default(),
            (None, _) => List::default(),
        };
        Ok(known.iter().enumerate().map(list).collect())
    }

    fn block(&self, start: usize, end: usize) -> Result<RecordBatch> {
        let lists = self.lists(start, end)?;
        let n_rows = lists.iter().map(|list| list.scored.len()).sum();
        let (mut users, mut items, mut scores, mut ranks) =
            (Vec::with_capacity(n_rows), Vec::with_capacity(n_rows), Vec::with_capacity(n_rows), Vec::with_capacity(n_rows));
        for (user, list) in (start as u32..).zip(&lists) {
            for (rank, (item, score)) in (1i64..).zip(list.items()) {
                users.push(user);
                items.push(item);
                scores.push(score);
                ranks.push(rank);
            }
        }
        let unbuildable = |error| Error::internal(format!("could not build recommendations: {error}"));
        let users = UInt32Array::from(users);
        let users = match &self.users {
            Users::All => self.model.users.at(&users).map_err(|error| Error::internal(error.to_string()))?,
            Users::Given(ids, _) | Users::Folded(ids, _) => {
                cast(&take(ids, &users, None).map_err(unbuildable)?, &self.model.users.data_type).map_err(unbuildable)?
            }
        };
        let items = self.model.items.at(&UInt32Array::from(items)).map_err(|error| Error::internal(error.to_string()))?;
        let columns: Vec<ArrayRef> = vec![users, items, Arc::new(Float64Array::from(scores)), Arc::new(Int64Array::from(ranks))];
        RecordBatch::try_new(self.schema(), columns).map_err(unbuildable)
    }
}

/// The place of a user who is as the training left him: such users are scored many at a time.
fn trained(user: &User) -> Option<u32> {
    if let User::Known(place) = user { Some(*place) } else { None }
}

impl Iterator for RecommendedRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let (start, n_users) = (self.next, self.n_users());
        if start >= n_users {
            return None;
        }
        if self.cancel.is_cancelled() {
            self.next = n_users;
            return Some(Err(Error::new(Code::Cancelled, "the query was cancelled")));
        }
        let per_block = (ROWS_PER_BLOCK / self.request.k.max(1)).clamp(1, USERS_PER_BLOCK);
        let end = (start + per_block).min(n_users);
        self.next = end;
        Some(self.block(start, end))
    }
}
