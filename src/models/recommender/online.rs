//! Users who follow their newest ratings: what arrived since the training, folded in.
//!
//! The factors of a user with new ratings are what the last half step of the training would solve from all that he has,
//! with the factors of the items as they are; a user whom the training did not know gets his the same way. Items that it
//! did not know wait for the next training: they have no factors to be scored with.

use super::columns::Columns;
use super::factor_model::{FactorModel, UserVector};
use super::ids::{Id, Key};
use super::{History, RecommenderModel};
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result as QueryResult;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The users of a model take one part in so many of all memory, at most: statements and streams need the rest.
const POOL_SHARE: usize = 4;
/// What a user takes besides his numbers: the entries of the tables, the heads of the vectors.
const USER_BYTES: usize = 240;

/// A user as a statement names him.
#[derive(Debug, Clone)]
pub(super) enum User {
    Null,
    Unknown,
    /// As the training left him.
    Known(u32),
    /// With ratings since the training, and factors that follow from them.
    Live(Arc<LiveUser>, Arc<Vectors>),
}

/// A user with ratings since the training.
#[derive(Debug)]
pub(super) struct LiveUser {
    /// His place in the model; `None` when the training did not know him.
    pub place: Option<u32>,
    /// The ratings since the training.
    history: History,
    /// The items of all his ratings, ascending, possibly repeated.
    pub seen: Vec<u32>,
    /// `None` while his equations have no solution: without a penalty too few ratings have none.
    vectors: Option<Arc<Vectors>>,
}

/// The factors of a user.
#[derive(Debug)]
pub(super) struct Vectors {
    /// What predicts his ratings.
    pub primary: UserVector,
    companion: Option<UserVector>,
}

impl Vectors {
    /// What his lists are made with.
    pub fn ranking(&self) -> &UserVector {
        self.companion.as_ref().unwrap_or(&self.primary)
    }
}

impl LiveUser {
    fn bytes(&self) -> usize {
        let vectors = self.vectors.iter().flat_map(|vectors| [Some(&vectors.primary), vectors.companion.as_ref()]);
        let factors: usize = vectors.flatten().map(|vector| vector.factors.len()).sum();
        USER_BYTES + (factors + 2 * self.history.items.len() + self.seen.len()) * size_of::<f32>()
    }
}

/// What was folded into a version of a model since its training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnlineNumbers {
    /// Ratings that changed a user.
    pub rows: u64,
    /// Users with such ratings.
    pub users: u64,
    /// Those of them whom the training did not know.
    pub new_users: u64,
    /// Rows of items that the training did not know.
    pub unknown_items: u64,
    /// Rows without a user, an item or a finite rating.
    pub rows_skipped: u64,
    pub memory_bytes: u64,
    /// When rows were folded in for the last time, milliseconds since 1970.
    pub updated_ms: Option<i64>,
}

/// The users of one version that have ratings since its training. One task writes, statements read.
#[derive(Debug, Default)]
pub struct Online {
    state: RwLock<State>,
    /// What went wrong last, and whether nothing more is tried.
    trouble: Mutex<Option<(String, bool)>>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<u32, Arc<LiveUser>>,
    new: BTreeMap<Id, Arc<LiveUser>>,
    numbers: OnlineNumbers,
    memory: Option<MemoryReservation>,
    /// There is no room for more.
    is_full: bool,
    /// Nobody sees it any more.
    is_closed: bool,
}

impl Online {
    /// How much was folded in.
    pub fn numbers(&self) -> OnlineNumbers {
        self.read().numbers
    }

    /// Forgets everything: the users are as the training left them.
    pub fn clear(&self) {
        // It may be large: statements do not wait until it is gone.
        let before = std::mem::take(&mut *self.write());
        drop(before);
    }

    /// Forgets everything for good: nothing is folded in any more.
    pub fn close(&self) {
        let before = std::mem::replace(&mut *self.write(), State { is_closed: true, ..State::default() });
        drop(before);
    }

    /// Whether there is no room for more: nothing is folded in any more.
    pub fn is_full(&self) -> bool {
        self.read().is_full
    }

    /// New rows were folded in: nothing is wrong any more.
    pub fn went_well(&self) {
        *self.trouble() = None;
    }

    /// New rows were not folded in; `is_final` when nothing more is tried.
    pub fn failed(&self, error: &Error, is_final: bool) {
        *self.trouble() = Some((error.one_line(), is_final));
    }

    /// `following`, `retrying` or `stopped`, and what went wrong.
    pub fn state(&self) -> (&'static str, Option<String>) {
        match self.trouble().clone() {
            None => ("following", None),
            Some((error, false)) => ("retrying", Some(error)),
            Some((error, true)) => ("stopped", Some(error)),
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Option<(String, bool)>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // Every change is one of whole users.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// New rows of the training query, by user.
#[derive(Debug, Default)]
pub struct NewRatings {
    known: HashMap<u32, History>,
    new: BTreeMap<Id, History>,
    rows: u64,
    unknown_items: u64,
    rows_skipped: u64,
}

impl NewRatings {
    /// Rows that wait to be folded in.
    pub fn n_rows(&self) -> u64 {
        self.rows
    }

    fn is_empty(&self) -> bool {
        self.rows + self.unknown_items + self.rows_skipped == 0
    }
}

impl RecommenderModel {
    /// Sorts rows of the training query by user; rows that mean nothing to the model are counted.
    ///
    /// # Errors
    /// `UndefinedColumn` and `InvalidStatement` when the columns are not those of the training.
    pub fn read_new(&self, batch: &RecordBatch, new: &mut NewRatings) -> Result<()> {
        let columns =
            Columns::of_model(&self.name, &self.users.column, &self.items.column, self.rating_column.as_deref(), batch.schema_ref())?;
        let unreadable = |error| Error::internal(format!("could not read new ratings: {error}"));
        let users = batch.column(columns.user);
        let places = self.users.find(users).map_err(|error| self.wrong_ids(&error))?;
        let ids = self.users.outside(users).map_err(|error| self.wrong_ids(&error))?;
        let items = self.items.find(batch.column(columns.item)).map_err(|error| self.wrong_ids(&error))?;
        let ratings = columns.rating.map(|rating| cast(batch.column(rating), &DataType::Float64)).transpose().map_err(unreadable)?;
        for (row, ((place, id), item)) in places.into_iter().zip(ids).zip(items).enumerate() {
            let rating = match &ratings {
                None => 1.0,
                Some(ratings) if ratings.is_null(row) => f32::NAN,
                Some(ratings) => ratings.as_primitive::<Float64Type>().value(row) as f32,
            };
            let (Some(id), true) = (id, rating.is_finite()) else {
                new.rows_skipped += 1;
                continue;
            };
            let item = match item {
                Key::Known(item) => item,
                Key::Unknown => {
                    new.unknown_items += 1;
                    continue;
                }
                Key::Null => {
                    new.rows_skipped += 1;
                    continue;
                }
            };
            let history = match place {
                Key::Known(user) => new.known.entry(user).or_default(),
                Key::Unknown | Key::Null => new.new.entry(id).or_default(),
            };
            history.push(item, rating);
            new.rows += 1;
        }
        Ok(())
    }

    /// Solves the users with new ratings and shows them to statements, all at once. Blocks: some 20 µs a user.
    ///
    /// # Errors
    /// `Cancelled` when the table of users was closed; `LimitExceeded` when the pool has not the memory: nothing has changed
    /// then. It may have at another time, unless the users have taken their share of it: then [`Online::is_full`].
    pub fn fold_in_new(&self, online: &Online, new: NewRatings, pool: &Arc<dyn MemoryPool>, now_ms: i64) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let mut solver = LiveSolver::new(self);
        let mut known = Vec::with_capacity(new.known.len());
        for (place, history) in new.known {
            let before = online.read().known.get(&place).cloned();
            known.push((place, solver.solve(Some(place), before, history)));
        }
        let mut strangers = Vec::with_capacity(new.new.len());
        for (id, history) in new.new {
            let before = online.read().new.get(&id).cloned();
            strangers.push((id, solver.solve(None, before, history)));
        }
        let mut state = online.write();
        if state.is_closed {
            return Err(Error::new(Code::Cancelled, "nobody follows the model any more"));
        }
        let before =
            known.iter().filter_map(|(place, _)| state.known.get(place)).chain(strangers.iter().filter_map(|(id, _)| state.new.get(id)));
        let freed: usize = before.map(|user| user.bytes()).sum();
        let taken: usize = known.iter().map(|(_, user)| user).chain(strangers.iter().map(|(_, user)| user)).map(|user| user.bytes()).sum();
        let bytes = (state.numbers.memory_bytes as usize + taken).saturating_sub(freed);
        if let MemoryLimit::Finite(limit) = pool.memory_limit()
            && bytes > limit / POOL_SHARE
        {
            state.is_full = true;
            let what = format!("the ratings since the training of model \"{}\" need {} MiB of memory", self.name, bytes >> 20);
            return Err(Error::new(Code::LimitExceeded, what)
                .detail(format!("They may take a quarter of 'limits.memory', {} MiB.", (limit / POOL_SHARE) >> 20))
                .hint("Train the model again: then they are part of it."));
        }
        let memory = state.memory.get_or_insert_with(|| MemoryConsumer::new(format!("new ratings of model {}", self.name)).register(pool));
        memory.try_resize(bytes).map_err(|_| {
            let what =
                format!("the ratings since the training of model \"{}\" need {} MiB of memory, more than is free", self.name, bytes >> 20);
            Error::new(Code::LimitExceeded, what).hint("It is tried again when statements have given memory back.")
        })?;
        state.known.extend(known);
        state.new.extend(strangers);
        let n_new = state.new.len() as u64;
        state.numbers = OnlineNumbers {
            rows: state.numbers.rows + new.rows,
            users: state.known.len() as u64 + n_new,
            new_users: n_new,
            unknown_items: state.numbers.unknown_items + new.unknown_items,
            rows_skipped: state.numbers.rows_skipped + new.rows_skipped,
            memory_bytes: bytes as u64,
            updated_ms: Some(now_ms),
        };
        Ok(())
    }

    /// What statements see of new ratings from now on.
    pub(in crate::models) fn attach(&self, online: Option<Arc<Online>>) {
        *self.online.write().unwrap_or_else(PoisonError::into_inner) = online;
    }

    /// The users with new ratings, if there are any.
    fn online(&self) -> Option<Arc<Online>> {
        let online = self.online.read().unwrap_or_else(PoisonError::into_inner).clone();
        online.filter(|online| online.numbers().users > 0)
    }

    /// The users of an array of ids, as they are now.
    pub(super) fn users_of(&self, array: &ArrayRef) -> QueryResult<Vec<User>> {
        let keys = self.users.find(array)?;
        let Some(online) = self.online() else { return Ok(keys.into_iter().map(User::of).collect()) };
        let state = online.read();
        let ids = if state.new.is_empty() { Vec::new() } else { self.users.outside(array)? };
        let user = |(row, key)| match key {
            Key::Null => User::Null,
            Key::Known(place) => state.known.get(&place).map_or(User::Known(place), User::live),
            Key::Unknown => {
                let id: Option<&Id> = ids.get(row).and_then(Option::as_ref);
                id.and_then(|id| state.new.get(id)).map_or(User::Unknown, User::live)
            }
        };
        Ok(keys.into_iter().enumerate().map(user).collect())
    }

    /// All users with their ids, those whom the training did not know last; `None` when there are no new ratings.
    pub(super) fn live_users(&self) -> QueryResult<Option<(ArrayRef, Vec<User>)>> {
        let Some(online) = self.online() else { return Ok(None) };
        let state = online.read();
        let known = |place: u32| state.known.get(&place).map_or(User::Known(place), User::live);
        let new = || state.new.iter().filter(|(_, user)| user.vectors.is_some());
        let users = (0..self.n_users() as u32).map(known).chain(new().map(|(_, user)| User::live(user))).collect();
        let new = self.users.stored_of(new().map(|(id, _)| id));
        let ids = concat(&[self.users.stored().as_ref(), new.as_ref()])?;
        Ok(Some((cast(&ids, &self.users.data_type)?, users)))
    }

    /// All ratings of a user: those of the training, then those since.
    pub(super) fn ratings_of(&self, user: &User) -> (Cow<'_, [u32]>, Cow<'_, [f32]>) {
        match user {
            User::Null | User::Unknown => Default::default(),
            User::Known(place) => {
                let (items, ratings) = self.seen.row(*place as usize);
                (items.into(), ratings.into())
            }
            User::Live(live, _) => {
                let (items, ratings) = live.place.map_or((&[][..], &[][..]), |place| self.seen.row(place as usize));
                ([items, &live.history.items].concat().into(), [ratings, &live.history.ratings].concat().into())
            }
        }
    }
}

impl User {
    /// Who has new ratings; without factors from them he is as the training left him.
    fn live(user: &Arc<LiveUser>) -> Self {
        match (&user.vectors, user.place) {
            (Some(vectors), _) => Self::Live(Arc::clone(user), Arc::clone(vectors)),
            (None, Some(place)) => Self::Known(place),
            (None, None) => Self::Unknown,
        }
    }

    fn of(key: Key) -> Self {
        match key {
            Key::Null => Self::Null,
            Key::Unknown => Self::Unknown,
            Key::Known(place) => Self::Known(place),
        }
    }
}

/// Solves one user after the other with the same buffers.
struct LiveSolver<'a> {
    model: &'a RecommenderModel,
    primary: weir_ml::als::FoldIn<'a>,
    companion: Option<(&'a FactorModel, weir_ml::als::FoldIn<'a>)>,
}

impl<'a> LiveSolver<'a> {
    fn new(model: &'a RecommenderModel) -> Self {
        let companion = model.companion.as_ref().map(|companion| (companion, companion.folder()));
        Self { model, primary: model.primary.folder(), companion }
    }

    /// The user with these ratings more; equations without a solution leave his factors as they were.
    fn solve(&mut self, place: Option<u32>, before: Option<Arc<LiveUser>>, new: History) -> Arc<LiveUser> {
        let mut history = before.as_ref().map(|user| user.history.clone()).unwrap_or_default();
        history.items.extend(new.items);
        history.ratings.extend(new.ratings);
        let (items, ratings) = place.map_or((&[][..], &[][..]), |place| self.model.seen.row(place as usize));
        let (items, ratings) = ([items, &history.items].concat(), [ratings, &history.ratings].concat());
        let vectors = self.vectors(&items, &ratings).map(Arc::new).or_else(|| before?.vectors.clone());
        let mut seen = items;
        seen.sort_unstable();
        Arc::new(LiveUser { place, history, seen, vectors })
    }

    fn vectors(&mut self, items: &[u32], ratings: &[f32]) -> Option<Vectors> {
        let primary = self.model.primary.fold_in_with(&mut self.primary, items, ratings)?;
        let companion = match &mut self.companion {
            Some((companion, solver)) => Some(companion.fold_in_with(solver, items, ratings)?),
            None => None,
        };
        Some(Vectors { primary, companion })
    }
}
