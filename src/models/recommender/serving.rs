//! What the SQL functions ask of a recommender.

use super::factor_model::{List, similar};
use super::ids::{Ids, Key};
use super::online::User;
use super::{FeedbackType, History, RecommenderModel};
use datafusion::arrow::array::{Array, ArrayRef, Float64Array, Scalar, UInt32Array};
use datafusion::arrow::compute::kernels::cmp::eq;
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use weir_functions::{Contribution, Given, ItemLists, ItemScore, RecommendOptions, Recommender};
use weir_ml::topk::{Bitmap, Scored};

/// The key of one value.
fn key_of(ids: &Ids, value: &ScalarValue) -> Result<Key> {
    Ok(ids.find(&value.to_array()?)?.first().copied().unwrap_or(Key::Null))
}

impl RecommenderModel {
    /// The user of one value.
    fn user(&self, value: &ScalarValue) -> Result<User> {
        Ok(self.users_of(&value.to_array()?)?.into_iter().next().unwrap_or(User::Null))
    }
}

/// A list in the form of the functions; its items are places of `ids`.
fn listed(ids: &Ids, list: &List) -> Result<Vec<ItemScore>> {
    with_ids(list, ids.at(&list.items().map(|(item, _)| item).collect::<Vec<_>>().into())?)
}

/// A list in the form of the functions, with the ids of its items.
fn with_ids(list: &List, values: ArrayRef) -> Result<Vec<ItemScore>> {
    let item = |(place, ((_, score), rank)): (usize, ((u32, f64), i64))| {
        Ok(ItemScore { item: ScalarValue::try_from_array(&values, place)?, score, rank })
    };
    list.items().zip(1..).enumerate().map(item).collect()
}

/// Rows by their cosine.
fn alike(scored: Vec<Scored>) -> List {
    List { scored, shift: 0.0 }
}

impl RecommenderModel {
    /// The items of an array that the model knows.
    pub(super) fn bitmap(&self, items: &ArrayRef) -> Result<Bitmap> {
        let known = self.items.find(items)?.into_iter().filter_map(|key| match key {
            Key::Known(item) => Some(item),
            Key::Null | Key::Unknown => None,
        });
        Ok(Bitmap::of_items(self.n_items(), known))
    }

    fn allowed(&self, options: &RecommendOptions) -> Result<Option<Bitmap>> {
        options.items.as_ref().map(|items| self.bitmap(items)).transpose()
    }
}

impl Recommender for RecommenderModel {
    fn user_column(&self) -> (&str, &DataType) {
        (&self.users.column, &self.users.data_type)
    }

    fn item_column(&self) -> (&str, &DataType) {
        (&self.items.column, &self.items.data_type)
    }

    fn rating_column(&self) -> &str {
        self.rating_name()
    }

    fn recommend(&self, user: &ScalarValue, k: usize, options: &RecommendOptions) -> Result<Vec<ItemScore>> {
        let allowed = self.allowed(options)?;
        let best = self.best(&self.user(user)?, k, options.exclude_seen, allowed.as_ref());
        listed(&self.items, &best.unwrap_or_default())
    }

    fn recommend_from(&self, given: &Given, k: usize, options: &RecommendOptions) -> Result<Vec<ItemScore>> {
        let allowed = self.allowed(options)?;
        let mut history = History::default();
        for (row, key) in self.items.find(&given.items)?.into_iter().enumerate() {
            let rating = given.ratings.as_ref().map_or(1.0, |ratings| if ratings.is_null(row) { f64::NAN } else { ratings.value(row) });
            if !(rating as f32).is_finite() {
                return exec_err!("a rating given to model \"{}\" is NULL or no finite number", self.name);
            }
            if let Key::Known(item) = key {
                history.push(item, rating as f32);
            }
        }
        listed(&self.items, &self.best_of_history(&history, k, options.exclude_seen, allowed.as_ref()))
    }

    fn predict(&self, user: &ScalarValue, item: &ScalarValue) -> Result<Option<f64>> {
        Ok(self.score(&self.user(user)?, key_of(&self.items, item)?))
    }

    fn recommend_many(&self, users: &ArrayRef, k: &[usize], options: &RecommendOptions) -> Result<ItemLists> {
        let allowed = self.allowed(options)?;
        let users = self.users_of(users)?;
        let (mut lengths, mut places, mut scores) = (Vec::with_capacity(users.len()), Vec::new(), Vec::new());
        for (user, k) in users.iter().zip(k) {
            let best = self.best(user, *k, options.exclude_seen, allowed.as_ref());
            lengths.push(best.as_ref().map(|best| best.scored.len()));
            for (item, score) in best.iter().flat_map(List::items) {
                places.push(item);
                scores.push(score);
            }
        }
        Ok(ItemLists { lengths, items: self.items.at(&UInt32Array::from(places))?, scores })
    }

    fn predict_many(&self, users: &ArrayRef, items: &ArrayRef) -> Result<Float64Array> {
        debug_assert_eq!(users.len(), items.len());
        Ok(self.users_of(users)?.iter().zip(self.items.find(items)?).map(|(user, item)| self.score(user, item)).collect())
    }

    fn similar_items(&self, item: &ScalarValue, k: usize) -> Result<Vec<ItemScore>> {
        match key_of(&self.items, item)? {
            Key::Known(item) => {
                let items = &self.ranker().als.items;
                listed(&self.items, &alike(similar(items.rows(), items.row(item as usize), item, k)))
            }
            Key::Null | Key::Unknown => Ok(Vec::new()),
        }
    }

    fn similar_users(&self, user: &ScalarValue, k: usize) -> Result<Vec<ItemScore>> {
        let trained = &self.ranker().als.users;
        let key = key_of(&self.users, user)?;
        let Some((ids, users)) = self.live_users()? else {
            return match key {
                Key::Known(user) => listed(&self.users, &alike(similar(trained.rows(), trained.row(user as usize), user, k))),
                Key::Null | Key::Unknown => Ok(Vec::new()),
            };
        };
        let wanted = Scalar::new(cast(&user.to_array()?, &self.users.data_type)?);
        let Some(own) = eq(&ids, &wanted)?.iter().position(|is_own| is_own == Some(true)) else { return Ok(Vec::new()) };
        let factors = users.iter().map(|user| match user {
            User::Known(place) => trained.row(*place as usize),
            User::Live(_, vectors) => vectors.ranking().factors.as_slice(),
            User::Null | User::Unknown => &[],
        });
        let factors: Vec<&[f32]> = factors.collect();
        let alike = alike(similar(factors.iter().copied(), factors[own], own as u32, k));
        with_ids(&alike, take(&ids, &alike.items().map(|(user, _)| user).collect::<UInt32Array>(), None)?)
    }

    fn explain(&self, user: &ScalarValue, item: &ScalarValue, k: usize) -> Result<Vec<Contribution>> {
        let Key::Known(item) = key_of(&self.items, item)? else { return Ok(Vec::new()) };
        let (items, ratings) = self.ratings_of(&self.user(user)?);
        let Some(contributions) = self.ranker().explain(&items, &ratings, item) else { return Ok(Vec::new()) };
        let total: f64 = contributions.iter().map(|contribution| f64::from(contribution.abs())).sum();
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by(|left, right| contributions[*right].total_cmp(&contributions[*left]).then(left.cmp(right)));
        order.truncate(k);
        let values = self.items.at(&order.iter().map(|place| items[*place]).collect::<Vec<_>>().into())?;
        let contribution = |(row, place): (usize, &usize)| {
            Ok(Contribution {
                item: ScalarValue::try_from_array(&values, row)?,
                rating: f64::from(ratings[*place]),
                contribution: f64::from(contributions[*place]),
                share: if total > 0.0 { f64::from(contributions[*place].abs()) / total } else { 0.0 },
            })
        };
        order.iter().enumerate().map(contribution).collect()
    }

    fn is_implicit(&self) -> bool {
        self.fit.feedback == FeedbackType::Implicit
    }
}
