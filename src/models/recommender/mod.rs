//! A trained recommender in memory: immutable, shared by all statements that use it.
//!
//! ```text
//! rows ─► Ratings ─► Data ─► Run: split ─► search ─► fit ─► evaluation ─► fit on all ─► RecommenderModel
//!                                                                                          │
//!               recommend('m', ..), similar_items, explain ..  ◄── serving ────────────────┤
//!               ML.RECOMMEND(MODEL m, ..)                      ◄── rows    ────────────────┤
//!               new rows of the training query                 ──► online  ────────────────┤
//!               <id>/<version>/*.parquet                       ◄── artefact ───────────────┘
//! ```

pub(super) mod artefact;
mod columns;
mod evaluation;
mod factor_model;
mod fit;
mod ids;
mod import;
mod objective;
mod online;
mod option_reader;
mod options;
mod ratings;
mod rows;
mod scoring;
mod search;
mod serving;
mod split;
mod training;

#[cfg(test)]
mod export_tests;
#[cfg(test)]
mod online_tests;
#[cfg(test)]
mod options_tests;
#[cfg(test)]
mod quality_tests;
#[cfg(test)]
mod serving_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod training_tests;

pub(super) use import::{ImportedFactors, ImportedSide};
pub use online::{NewRatings, Online, OnlineNumbers};
pub use options::{BiasType, ColdStart, FeedbackType, FitOptions, RecommenderOptions, Regularisation, Solver};
pub use rows::{RecommendRequest, RecommendedRows};
pub(super) use training::train;

use super::evaluation::Evaluation;
use crate::error::{Code, Error, Result};
use evaluation::RankingOptions;
use factor_model::{FactorModel, List};
use ids::{Ids, Key};
use online::User;
use std::sync::{Arc, RwLock};
use weir_ml::als::{AlsModel, Csr};
use weir_ml::topk::{Bitmap, Filter, Scored, select};

/// Names of the model type; the first is the one that the catalog lists.
pub(super) const MODEL_TYPES: &[&str] = &["matrix_factorization", "als"];

/// What a rating is called when the training query had none.
const NO_RATING: &str = "rating";

/// Ratings of the mean added to every item when popularity is computed: few ratings prove little.
const POPULARITY_DAMPING: f64 = 25.0;

/// What is recommended to users without a history: explicit, the damped mean rating of each item; implicit, the
/// number of its ratings.
fn popularity(ratings: &Csr, feedback: FeedbackType) -> Vec<f32> {
    let (mut sums, mut counts) = (vec![0f64; ratings.n_columns()], vec![0f64; ratings.n_columns()]);
    for (_, item, value) in ratings.entries() {
        sums[item as usize] += f64::from(value);
        counts[item as usize] += 1.0;
    }
    if feedback == FeedbackType::Implicit {
        return counts.iter().map(|count| *count as f32).collect();
    }
    let mean = sums.iter().sum::<f64>() / (ratings.n_ratings().max(1) as f64);
    sums.iter().zip(&counts).map(|(sum, count)| ((sum + POPULARITY_DAMPING * mean) / (count + POPULARITY_DAMPING)) as f32).collect()
}

/// A recommender: factors, ids, and what each user has rated.
#[derive(Debug)]
pub struct RecommenderModel {
    name: String,
    users: Ids,
    items: Ids,
    rating_column: Option<String>,
    fit: FitOptions,
    /// What predicts ratings.
    primary: FactorModel,
    /// The implicit companion of an explicit model: it ranks.
    companion: Option<FactorModel>,
    /// All ratings of the training query.
    seen: Csr,
    /// Whether the factors are fitted to all of them: not when held-out ones were left out for good.
    is_fitted_to_all: bool,
    popularity: Vec<f32>,
    cold_start: ColdStart,
    ranking: RankingOptions,
    held_out: Option<Evaluation>,
    /// Users with ratings since the training, when somebody follows them.
    online: RwLock<Option<Arc<Online>>>,
}

/// The other spellings of an option.
pub(super) fn aliases(option: &str) -> &'static [&'static str] {
    option_reader::aliases(option)
}

impl RecommenderModel {
    /// The model's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The evaluation on the rows held out in training: the answer of `ML.EVALUATE(MODEL m)`.
    ///
    /// # Errors
    /// `InvalidStatement` when no rows were held out.
    pub fn held_out(&self) -> Result<&Evaluation> {
        self.held_out.as_ref().ok_or_else(|| {
            let why = if self.is_imported() {
                "It was imported from Spark, with factors and without rows."
            } else {
                "It was trained with data_split_method 'no_split', or 'auto_split' on fewer than 500 rows."
            };
            Error::new(Code::InvalidStatement, format!("model \"{}\" has no held-out rows to be evaluated on", self.name))
                .detail(why)
                .hint("Give it rows: ML.EVALUATE(MODEL m, TABLE t) or ML.EVALUATE(MODEL m, (SELECT ..)).")
        })
    }

    /// Whether it was trained elsewhere: then no ratings are known.
    fn is_imported(&self) -> bool {
        self.seen.n_ratings() == 0
    }

    /// What [`RecommenderModel::evaluate`] answers, without numbers: the columns are known before a row is read.
    pub fn evaluation_form(&self) -> Evaluation {
        evaluation::Scores::default().measures(self.fit.feedback)
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
        let models = self.primary.bytes() + self.companion.as_ref().map_or(0, FactorModel::bytes);
        let seen = self.seen.n_rows() * size_of::<usize>() + self.seen.n_ratings() * 2 * size_of::<f32>();
        models + seen + self.popularity.len() * size_of::<f32>() + self.users.bytes() + self.items.bytes()
    }

    /// The factors that predict ratings.
    pub fn factors(&self) -> &AlsModel {
        &self.primary.als
    }

    /// The factors of the implicit companion that ranks, when one was trained.
    pub fn companion_factors(&self) -> Option<&AlsModel> {
        self.companion.as_ref().map(|companion| &companion.als)
    }

    /// Whether the scores of lists are confidences, not predicted ratings.
    pub fn ranks_by_confidence(&self) -> bool {
        self.fit.feedback == FeedbackType::Implicit || self.companion.is_some()
    }

    /// What lists are ordered by.
    fn ranker(&self) -> &FactorModel {
        self.companion.as_ref().unwrap_or(&self.primary)
    }

    fn rating_name(&self) -> &str {
        self.rating_column.as_deref().unwrap_or(NO_RATING)
    }

    /// The items that a known user has rated, ascending, possibly repeated.
    fn seen_by(&self, user: u32) -> &[u32] {
        self.seen.row(user as usize).0
    }

    /// The best items of a user; `None` for NULL.
    fn best(&self, user: &User, k: usize, exclude_seen: bool, allowed: Option<&Bitmap>) -> Option<List> {
        match user {
            User::Null => None,
            User::Known(user) => {
                let excluded = if exclude_seen { self.seen_by(*user) } else { &[] };
                Some(self.ranker().top(*user, k, &Filter { excluded, allowed }))
            }
            User::Live(user, vectors) => {
                let excluded = if exclude_seen { user.seen.as_slice() } else { &[] };
                Some(self.ranker().top_of(vectors.ranking(), k, &Filter { excluded, allowed }))
            }
            User::Unknown => Some(self.best_of_unknown(k, &[], allowed)),
        }
    }

    /// What a user without a history gets; `excluded` ascending.
    fn best_of_unknown(&self, k: usize, excluded: &[u32], allowed: Option<&Bitmap>) -> List {
        match self.cold_start {
            // Nothing is popular.
            _ if self.is_imported() => List::default(),
            ColdStart::Popular | ColdStart::FoldIn => self.popular(k, excluded, allowed),
            ColdStart::Drop | ColdStart::Nan => List::default(),
        }
    }

    /// What is popular; `excluded` ascending.
    fn popular(&self, k: usize, excluded: &[u32], allowed: Option<&Bitmap>) -> List {
        let scored = self.popularity.iter().zip(0u32..).map(|(score, item)| Scored { item, score: *score });
        let scored = scored.filter(|scored| allowed.is_none_or(|allowed| allowed.contains(scored.item)));
        List { scored: select(scored, k, excluded), shift: 0.0 }
    }

    /// The best items of a user with these ratings, which may repeat items; without any, what an unknown user gets.
    fn best_of_history(&self, history: &History, k: usize, exclude_seen: bool, allowed: Option<&Bitmap>) -> List {
        let mut excluded: Vec<u32> = if exclude_seen { history.items.clone() } else { Vec::new() };
        excluded.sort_unstable();
        let ranker = self.ranker();
        match ranker.fold_in(&history.items, &history.ratings) {
            Some(user) => ranker.top_of(&user, k, &Filter { excluded: &excluded, allowed }),
            None => self.best_of_unknown(k, &excluded, allowed),
        }
    }

    fn score(&self, user: &User, item: Key) -> Option<f64> {
        match (user, item) {
            (User::Null, _) | (_, Key::Null) => None,
            (User::Known(user), Key::Known(item)) => self.primary.score(*user, item),
            (User::Live(_, vectors), Key::Known(item)) => self.primary.score_of(&vectors.primary, item),
            _ => match self.cold_start {
                ColdStart::Nan => Some(f64::NAN),
                ColdStart::Popular | ColdStart::FoldIn | ColdStart::Drop => None,
            },
        }
    }
}

/// Ratings of one user: items that the model knows.
#[derive(Debug, Clone, Default)]
struct History {
    items: Vec<u32>,
    ratings: Vec<f32>,
}

impl History {
    fn push(&mut self, item: u32, rating: f32) {
        self.items.push(item);
        self.ratings.push(rating);
    }
}

/// Which items (columns) have a rating.
fn rated(ratings: &Csr) -> Vec<bool> {
    let mut is_rated = vec![false; ratings.n_columns()];
    for row in 0..ratings.n_rows() {
        ratings.row(row).0.iter().for_each(|item| is_rated[*item as usize] = true);
    }
    is_rated
}
