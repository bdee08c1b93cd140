//! How good a model is on rows that it has not been trained on.
//!
//! Errors of predicted ratings (explicit models): rmse, mae, r2. Quality of lists of `k` items over the full
//! catalogue (every item with a row to be trained on), without what the user has rated in training: precision, recall,
//! ndcg, map, mrr, hit rate, coverage, auc, as [`RankingMetrics`] defines them, beside the ndcg of the list that is the
//! same for everybody (items by their number of ratings). Of more than [`USERS_MAX`] users with held-out rows, that many
//! drawn at random are ranked for.

use super::columns::Columns;
use super::factor_model::FactorModel;
use super::fit::RunError;
use super::ids::Key;
use super::ratings::ratings_of;
use super::{FeedbackType, RecommenderModel, rated};
use crate::error::{Error, Result};
use crate::models::evaluation::{Evaluation, Measure};
use crate::models::training::{Rows, StopOnDrop};
use datafusion::arrow::datatypes::Schema;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use weir_ml::als::Csr;
use weir_ml::control::Control;
use weir_ml::metrics::{RankingMetrics, RankingTask, RatingErrors};
use weir_ml::random::Stream;
use weir_ml::topk::Bitmap;

/// Users whose lists are evaluated; more would cost more than the training.
const USERS_MAX: usize = 10_000;
/// Draws of users are apart from those of the split and of the first factors.
const PURPOSE: u64 = 0x5EED_E7A1_0000_0001;

/// How lists are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct RankingOptions {
    /// The length of a list.
    pub k: usize,
    /// A held-out rating of at least this is a hit.
    pub min_relevant: f32,
}

impl RankingOptions {
    /// With the mean of the training ratings as the least relevant one, when none was given; implicit feedback: any
    /// rating above 0.
    pub fn new(k: usize, relevant_rating: Option<f64>, feedback: FeedbackType, train: &Csr) -> Self {
        let min_relevant = match (relevant_rating, feedback) {
            (Some(rating), _) => rating as f32,
            (None, FeedbackType::Implicit) => f32::MIN_POSITIVE,
            (None, FeedbackType::Explicit) => {
                (train.values().iter().map(|value| f64::from(*value)).sum::<f64>() / train.n_ratings().max(1) as f64) as f32
            }
        };
        Self { k, min_relevant }
    }
}

/// What a model scored.
#[derive(Debug, Clone, Default)]
pub(super) struct Scores {
    pub errors: RatingErrors,
    /// Sum and sum of squares of the actual ratings, for r2.
    sums: (f64, f64),
    /// Rows of users or items that the model does not know; they count in no measure.
    pub n_dropped: u64,
    pub n_rows: u64,
    pub ranking: Option<RankingMetrics>,
    pub popularity_ndcg: Option<f64>,
}

impl Scores {
    /// Counts a predicted rating.
    pub fn add(&mut self, predicted: f64, actual: f64) {
        self.errors.add(predicted, actual);
        self.sums.0 += actual;
        self.sums.1 += actual * actual;
    }

    /// The share of the variance that is explained; `None` without any.
    fn r2(&self) -> Option<f64> {
        let n = self.errors.n_rows() as f64;
        let variance = self.sums.1 / n - (self.sums.0 / n).powi(2);
        let rmse = self.errors.rmse()?;
        (variance > 1e-12 * self.sums.1 / n).then(|| 1.0 - rmse * rmse / variance)
    }

    /// The measures of a model of this kind, always the same names.
    pub fn measures(&self, feedback: FeedbackType) -> Evaluation {
        let number = Measure::Number;
        let counts = [("rows_eval", Measure::Count(self.n_rows)), ("rows_eval_dropped", Measure::Count(self.n_dropped))];
        let ranking = self.ranking.as_ref();
        let of = |measure: fn(&RankingMetrics) -> f64| number(ranking.map(measure));
        let lists = [
            ("users_eval", Measure::Count(ranking.map_or(0, |ranking| ranking.n_users as u64))),
            ("precision_at_k", of(|ranking| ranking.precision)),
            ("recall_at_k", of(|ranking| ranking.recall)),
            ("ndcg_at_k", of(|ranking| ranking.ndcg)),
            ("map_at_k", of(|ranking| ranking.map)),
            ("mrr", of(|ranking| ranking.mrr)),
            ("hit_rate_at_k", of(|ranking| ranking.hit_rate)),
            ("coverage", of(|ranking| ranking.coverage)),
            ("auc", number(ranking.and_then(|ranking| ranking.auc))),
            ("average_rank", of(|ranking| ranking.average_rank)),
            ("popularity_ndcg_at_k", number(self.popularity_ndcg)),
        ];
        match feedback {
            FeedbackType::Explicit => Evaluation::new(
                [("rmse", number(self.errors.rmse())), ("mae", number(self.errors.mae()))]
                    .into_iter()
                    .chain(counts)
                    .chain([("r2", number(self.r2()))])
                    .chain(lists),
            ),
            FeedbackType::Implicit => Evaluation::new(counts.into_iter().chain(lists)),
        }
    }
}

/// Which users of held-out rows are ranked for: all, or [`USERS_MAX`] drawn at random.
fn drawn_users(eval: &Csr, seed: u64) -> Option<Csr> {
    let mut users: Vec<(u64, u32)> = (0..eval.n_rows() as u32)
        .filter(|user| eval.row_len(*user as usize) > 0)
        .map(|user| (Stream::new(seed ^ PURPOSE, u64::from(user)).next_u64(), user))
        .collect();
    if users.len() <= USERS_MAX {
        return None;
    }
    users.select_nth_unstable(USERS_MAX);
    let mut is_drawn = vec![false; eval.n_rows()];
    users[..USERS_MAX].iter().for_each(|(_, user)| is_drawn[*user as usize] = true);
    let mut owners = (0..eval.n_rows()).flat_map(|user| std::iter::repeat_n(user, eval.row_len(user)));
    Some(eval.filter(|_| owners.next().is_some_and(|user| is_drawn[user])))
}

/// Evaluates the lists of a model over the items of `catalogue` (`None`: all), and those of the most rated items over the
/// same; they are counted in `fitted`, and `train` is what users have seen. A user without factors (all zero) is nobody's: he has no ratings in `train`.
pub(super) fn rank(
    ranker: &FactorModel,
    (fitted, train): (&Csr, &Csr),
    eval: &Csr,
    catalogue: Option<&Bitmap>,
    options: &RankingOptions,
    seed: u64,
    control: &Control<'_>,
) -> Result<(Option<RankingMetrics>, Option<f64>), RunError> {
    let drawn = drawn_users(eval, seed);
    let RankingOptions { k, min_relevant } = *options;
    let task = RankingTask { train, eval: drawn.as_ref().unwrap_or(eval), k, min_relevant, catalogue };
    let ranking = RankingMetrics::evaluate(&ranker.index, &ranker.als.users, &task, control)?;
    let popularity = RankingMetrics::evaluate_popularity(&task, fitted, control)?;
    Ok((ranking, popularity.map(|popularity| popularity.ndcg)))
}

/// Scores held-out rows; those whose user or item has no rating in `train` are dropped and counted.
pub(super) fn score<'a>(primary: &FactorModel, train: &Csr, eval: &'a Csr, feedback: FeedbackType) -> (Scores, Cow<'a, Csr>) {
    let item_known = rated(train);
    let mut scores = Scores { n_rows: eval.n_ratings() as u64, ..Scores::default() };
    let mut is_known = Vec::with_capacity(eval.n_ratings());
    for (user, item, rating) in eval.entries() {
        let known = train.row_len(user as usize) > 0 && item_known[item as usize];
        is_known.push(known);
        if !known {
            scores.n_dropped += 1;
        } else if feedback == FeedbackType::Explicit {
            scores.add(primary.score(user, item).unwrap_or(f64::NAN), f64::from(rating));
        }
    }
    // What the model cannot know is nothing that its lists could hit.
    let known = if scores.n_dropped == 0 { Cow::Borrowed(eval) } else { Cow::Owned(eval.filter(|place| is_known[place])) };
    (scores, known)
}

impl RecommenderModel {
    /// Scores the rows of a query, whose columns are found by the names of the training query.
    ///
    /// Lists leave out what the user rated in training, but for the items of the rows: rows of the training query can be
    /// evaluated too. Dropping the future stops it.
    ///
    /// # Errors
    /// `UndefinedColumn` for a missing column, `InvalidValue` with the row for a rating that is NULL or not finite,
    /// and those of `rows`.
    pub async fn evaluate(self: &Arc<Self>, schema: &Schema, mut rows: Rows<'_>) -> Result<Evaluation> {
        let (user_column, item_column, rating_column) = self.input_columns();
        let columns = Columns::of_model(self.name(), user_column, item_column, rating_column, schema)?;
        let (mut scores, mut ratings) = (Scores::default(), Vec::new());
        let (mut known_users, mut known_items, mut known_ratings) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(batch) = rows.next().await.transpose()? {
            ratings.clear();
            match columns.rating {
                Some(rating) => ratings_of(&batch, rating, "the query to evaluate", scores.n_rows + 1, &mut ratings)?,
                None => ratings.resize(batch.num_rows(), 1.0),
            }
            let [users, items] = [(&self.users, columns.user), (&self.items, columns.item)]
                .map(|(ids, place)| ids.find(batch.column(place)).map_err(|error| Error::internal(error.to_string())));
            for ((user, item), rating) in users?.into_iter().zip(items?).zip(&ratings) {
                let (Key::Known(user), Key::Known(item)) = (user, item) else {
                    scores.n_dropped += 1;
                    continue;
                };
                if self.fit.feedback == FeedbackType::Explicit {
                    let predicted = self.primary.score(user, item);
                    scores.add(predicted.unwrap_or(f64::NAN), f64::from(*rating));
                }
                known_users.push(user);
                known_items.push(item);
                known_ratings.push(*rating);
            }
            scores.n_rows += batch.num_rows() as u64;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let _guard = StopOnDrop(Arc::clone(&stop));
        let model = Arc::clone(self);
        let ranked = tokio::task::spawn_blocking(move || {
            let eval = Csr::new(model.n_users(), model.n_items(), &known_users, &known_items, &known_ratings)?;
            model.rank_given(&eval, &stop).map(|(ranking, popularity_ndcg)| {
                (scores.ranking, scores.popularity_ndcg) = (ranking, popularity_ndcg);
                scores.measures(model.fit.feedback)
            })
        });
        let name = "the model to evaluate";
        ranked
            .await
            .map_err(|error| Error::internal(format!("an evaluation broke off: {error}")))?
            .map_err(|error: RunError| error.explain(name))
    }

    /// Evaluates lists against given rows.
    fn rank_given(&self, eval: &Csr, stop: &AtomicBool) -> Result<(Option<RankingMetrics>, Option<f64>), RunError> {
        let is_given: Vec<bool> =
            self.seen.entries().map(|(user, item, _)| eval.row(user as usize).0.binary_search(&item).is_ok()).collect();
        let seen = self.seen.filter(|place| !is_given[place]);
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let control = Control { threads, cancel: stop, progress: &|_| {} };
        // Rows that were left out for good are likely those that are given now.
        let fitted = if self.is_fitted_to_all { &self.seen } else { &seen };
        rank(self.ranker(), (fitted, &seen), eval, None, &self.ranking, 0, &control)
    }
}
