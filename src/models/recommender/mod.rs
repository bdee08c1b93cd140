//! A trained recommender in memory: immutable, shared by all statements that use it.

pub(super) mod artefact;
mod columns;
mod evaluation;
mod ids;
mod options;
mod scoring;
mod training;

#[cfg(test)]
mod options_tests;
#[cfg(test)]
mod tests;

pub(super) use evaluation::evaluate;
pub use options::{ColdStart, RecommenderOptions};
pub(super) use training::train;

use super::evaluation::Evaluation;
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, Float64Array, UInt32Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result as QueryResult, ScalarValue};
use ids::{Ids, Key};
use weir_functions::{ItemLists, ItemScore, Recommender};
use weir_ml::als::{AlsModel, Csr};
use weir_ml::topk::{self, Scored};

/// Names of the model type; the first is the one that the catalog lists.
pub(super) const MODEL_TYPES: &[&str] = &["matrix_factorization", "als"];

/// Ratings of the mean added to every item when popularity is computed: few ratings prove little.
const POPULARITY_DAMPING: f64 = 25.0;

/// The items that each user has rated.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// User `u` has rated `items[offsets[u]..offsets[u + 1]]`, ascending.
    pub offsets: Vec<usize>,
    pub items: Vec<u32>,
}

impl Seen {
    /// The items of each row of ratings, once.
    pub fn of_ratings(ratings: &Csr) -> Self {
        let mut seen = Self { offsets: vec![0], items: Vec::new() };
        for user in 0..ratings.n_rows() {
            let (items, _) = ratings.row(user);
            seen.push(items);
        }
        seen
    }

    /// Appends a user; `items` ascending, possibly repeated.
    pub fn push(&mut self, items: &[u32]) {
        for (place, item) in items.iter().enumerate() {
            if place == 0 || items[place - 1] != *item {
                self.items.push(*item);
            }
        }
        self.offsets.push(self.items.len());
    }

    /// The items that a user has rated, ascending.
    pub fn of_user(&self, user: u32) -> &[u32] {
        &self.items[self.offsets[user as usize]..self.offsets[user as usize + 1]]
    }
}

/// The damped mean rating of each item: what is recommended to users without a history.
pub(super) fn popularity(ratings: &Csr) -> Vec<f32> {
    let n = ratings.n_ratings().max(1) as f64;
    let mean = ratings.values().iter().map(|value| f64::from(*value)).sum::<f64>() / n;
    let (mut sums, mut counts) = (vec![0f64; ratings.n_columns()], vec![0f64; ratings.n_columns()]);
    for (_, item, value) in ratings.entries() {
        sums[item as usize] += f64::from(value);
        counts[item as usize] += 1.0;
    }
    sums.iter().zip(&counts).map(|(sum, count)| ((sum + POPULARITY_DAMPING * mean) / (count + POPULARITY_DAMPING)) as f32).collect()
}

/// A recommender: factors, ids, and what each user has seen.
#[derive(Debug)]
pub struct RecommenderModel {
    pub(super) name: String,
    users: Ids,
    items: Ids,
    pub(super) rating_column: String,
    pub(super) als: AlsModel,
    pub(super) seen: Seen,
    pub(super) popularity: Vec<f32>,
    pub(super) cold_start: ColdStart,
    pub(super) held_out: Option<Evaluation>,
}

impl RecommenderModel {
    /// The model's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The evaluation on the rows held out in training: the answer of `ML.EVALUATE(MODEL m)`.
    pub fn held_out(&self) -> Result<&Evaluation> {
        self.held_out.as_ref().ok_or_else(|| {
            Error::new(Code::InvalidStatement, format!("model \"{}\" has no held-out rows to be evaluated on", self.name))
                .detail("It was trained with data_split_method 'no_split'.")
                .hint("Give the rows: ML.EVALUATE(MODEL m, TABLE t) or ML.EVALUATE(MODEL m, (SELECT ..)).")
        })
    }

    /// What [`evaluate`] answers, without numbers: the columns are known before a row is read.
    pub fn evaluation_form(&self) -> Evaluation {
        evaluation::measures(&Default::default(), 0)
    }

    /// The number of users.
    pub fn n_users(&self) -> usize {
        self.users.len()
    }

    /// The number of items.
    pub fn n_items(&self) -> usize {
        self.items.len()
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        let factors = (self.als.users.as_slice().len() + self.als.items.as_slice().len()) * size_of::<f32>();
        let seen = self.seen.offsets.len() * size_of::<usize>() + self.seen.items.len() * size_of::<u32>();
        factors + seen + self.popularity.len() * size_of::<f32>() + self.users.bytes() + self.items.bytes()
    }

    /// User, item and rating column.
    pub(super) fn column_names(&self) -> [&str; 3] {
        [&self.users.column, &self.items.column, &self.rating_column]
    }

    fn user_ids(&self) -> &Ids {
        &self.users
    }

    fn item_ids(&self) -> &Ids {
        &self.items
    }

    pub(super) fn factors(&self) -> &AlsModel {
        &self.als
    }

    /// The best items of a user; `None` for NULL.
    fn best(&self, user: Key, k: usize, exclude_seen: bool) -> Option<Vec<Scored>> {
        match user {
            Key::Null => None,
            Key::Known(user) => {
                let seen = if exclude_seen { self.seen.of_user(user) } else { &[] };
                Some(topk::of_user(self.als.users.row(user as usize), &self.als.items, k, seen))
            }
            Key::Unknown => Some(match self.cold_start {
                ColdStart::Popular => {
                    let scored = self.popularity.iter().zip(0u32..).map(|(score, item)| Scored { item, score: *score });
                    topk::select(scored, k, &[])
                }
                ColdStart::Drop | ColdStart::Nan => Vec::new(),
            }),
        }
    }

    fn score(&self, user: Key, item: Key) -> Option<f64> {
        match (user, item) {
            (Key::Null, _) | (_, Key::Null) => None,
            (Key::Known(user), Key::Known(item)) => Some(f64::from(self.als.predict(user, item))),
            _ => match self.cold_start {
                ColdStart::Nan => Some(f64::NAN),
                ColdStart::Popular | ColdStart::Drop => None,
            },
        }
    }
}

/// The key of one value.
fn key_of(ids: &Ids, value: &ScalarValue) -> QueryResult<Key> {
    Ok(ids.find(&value.to_array()?)?.first().copied().unwrap_or(Key::Null))
}

impl Recommender for RecommenderModel {
    fn user_column(&self) -> (&str, &DataType) {
        (&self.users.column, &self.users.data_type)
    }

    fn item_column(&self) -> (&str, &DataType) {
        (&self.items.column, &self.items.data_type)
    }

    fn rating_column(&self) -> &str {
        &self.rating_column
    }

    fn recommend(&self, user: &ScalarValue, k: usize, exclude_seen: bool) -> QueryResult<Vec<ItemScore>> {
        let best = self.best(key_of(&self.users, user)?, k, exclude_seen).unwrap_or_default();
        let items = self.items.at(&best.iter().map(|scored| scored.item).collect::<Vec<_>>().into())?;
        best.iter()
            .enumerate()
            .zip(1..)
            .map(|((place, scored), rank)| {
                Ok(ItemScore { item: ScalarValue::try_from_array(&items, place)?, score: f64::from(scored.score), rank })
            })
            .collect()
    }

    fn predict(&self, user: &ScalarValue, item: &ScalarValue) -> QueryResult<Option<f64>> {
        Ok(self.score(key_of(&self.users, user)?, key_of(&self.items, item)?))
    }

    fn recommend_many(&self, users: &ArrayRef, k: &[usize], exclude_seen: bool) -> QueryResult<ItemLists> {
        let keys = self.users.find(users)?;
        let (mut lengths, mut places, mut scores) = (Vec::with_capacity(keys.len()), Vec::new(), Vec::new());
        for (user, k) in keys.into_iter().zip(k) {
            let best = self.best(user, *k, exclude_seen);
            lengths.push(best.as_ref().map(Vec::len));
            for scored in best.into_iter().flatten() {
                places.push(scored.item);
                scores.push(f64::from(scored.score));
            }
        }
        Ok(ItemLists { lengths, items: self.items.at(&UInt32Array::from(places))?, scores })
    }

    fn predict_many(&self, users: &ArrayRef, items: &ArrayRef) -> QueryResult<Float64Array> {
        debug_assert_eq!(users.len(), items.len());
        Ok(self.users.find(users)?.into_iter().zip(self.items.find(items)?).map(|(user, item)| self.score(user, item)).collect())
    }
}
