//! How good lists of recommendations are: against held-out ratings, over the full catalogue.
//!
//! Sampled negatives are never used: they reorder models (Krichene, Rendle 2020, *On Sampled Metrics for Item
//! Recommendation*).

use crate::als::{Csr, Factors};
use crate::control::Control;
use crate::error::LearnError;
use crate::topk::{Best, Bitmap, ItemIndex, Scored, TILE};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is ranked against what.
#[derive(Debug, Clone, Copy)]
pub struct RankingTask<'a> {
    /// The ratings that the model has seen (users × items): they are no candidates.
    pub train: &'a Csr,
    /// The held-out ratings (users × items).
    pub eval: &'a Csr,
    /// The length of a list.
    pub k: usize,
    /// A held-out item is relevant when one of its ratings by the user is at least this; `f32::NEG_INFINITY`: every
    /// item, as for implicit feedback.
    pub min_relevant: f32,
    /// The items that can be in a list: others are nobody's candidates, and no part of the catalogue. `None`: all.
    pub catalogue: Option<&'a Bitmap>,
}

/// Measures of lists, each the mean over users unless it says otherwise.
///
/// A user counts when he has a relevant item. His *candidates* are the catalogue but what he has in `train`; relevant is a
/// held-out candidate with a rating of at least `min_relevant`, so an item that is in both parts is not. The list is the
/// first `k` candidates, score descending, then the smaller item. A *hit* is a relevant item in the list. All measures
/// lie between 0 and 1; larger is better but for `average_rank`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RankingMetrics {
    /// The length of a list.
    pub k: usize,
    /// Users that count.
    pub n_users: usize,
    /// Relevant items of all of them.
    pub n_relevant: usize,
    /// Hits / k, also when there are fewer than k candidates.
    pub precision: f64,
    /// Hits / relevant items. With many of them it cannot reach 1: see `recall_capped`.
    pub recall: f64,
    /// Hits / min(k, relevant items): the recall of Liang et al. 2018 and of the figures published since.
    pub recall_capped: f64,
    /// The sum of 1 / log2(1 + rank) over hits, divided by what it is when all of the first min(k, relevant items) are hits.
    pub ndcg: f64,
    /// The sum over hits of the precision at their rank, divided by min(k, relevant items).
    pub map: f64,
    /// 1 / rank of the first hit; 0 without one.
    pub mrr: f64,
    /// The share of users with a hit.
    pub hit_rate: f64,
    /// The share of the catalogue that is in the list of a user: not a mean.
    pub coverage: f64,
    /// The probability that a relevant item has a higher score than another candidate, ties half, over all candidates.
    /// `None` when every candidate of every user is relevant.
    pub auc: Option<f64>,
    /// The place of a relevant item among the candidates: 0 first, 1 last, ties in their middle; the mean over all
    /// relevant items. 0.5 is chance (Hu, Koren, Volinsky 2008, eq. 8, every relevant item with weight 1).
    pub average_rank: f64,
}

impl RankingMetrics {
    /// Evaluates the items of an index for the users of `factors`; `None` when no user has a relevant item.
    ///
    /// The result does not depend on the number of threads. `control.progress` is not called.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when users or items differ in number or rank, [`LearnError::Parameter`] for `k` = 0,
    /// [`LearnError::Value`] for a factor that is not finite, [`LearnError::Cancelled`].
    ///
    /// # Cost
    /// O(users·items·rank + relevant items·items).
    pub fn evaluate(
        index: &ItemIndex,
        factors: &Factors,
        task: &RankingTask<'_>,
        control: &Control<'_>,
    ) -> Result<Option<Self>, LearnError> {
        check(index, factors, task)?;
        let users: Vec<u32> = (0..task.eval.n_rows() as u32).filter(|user| !task.relevant(*user).is_empty()).collect();
        for user in &users {
            index.check_user(*user as usize, factors.row(*user as usize))?;
        }
        let n_chunks = users.len().div_ceil(USERS_PER_CHUNK);
        let done: Mutex<Vec<(usize, Vec<UserMetrics>, Bitmap)>> = Mutex::new(Vec::with_capacity(n_chunks));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut ranker = Ranker::new(index, factors, task);
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= n_chunks {
                    return;
                }
                let chunk = &users[place * USERS_PER_CHUNK..users.len().min((place + 1) * USERS_PER_CHUNK)];
                let mut of_users = Vec::with_capacity(chunk.len());
                let mut listed = Bitmap::empty(index.n_items());
                for tile in chunk.chunks(TILE) {
                    if control.is_cancelled() {
                        return;
                    }
                    ranker.rank(tile, &mut of_users, &mut listed, control);
                }
                done.lock().unwrap_or_else(PoisonError::into_inner).push((place, of_users, listed));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..control.threads.get().min(n_chunks) {
                scope.spawn(work);
            }
            work();
        });
        if control.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        // Sums of floating-point numbers depend on their order: it is that of the users.
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(place, _, _)| *place);
        let mut listed = Bitmap::empty(index.n_items());
        done.iter().for_each(|(_, _, of_chunk)| listed.union(of_chunk));
        let of_users = done.iter().flat_map(|(_, of_users, _)| of_users);
        let n_items = task.catalogue.map_or(index.n_items(), Bitmap::count);
        Ok(Self::of_users(task.k, of_users, listed.count() as f64 / n_items as f64))
    }

    /// Evaluates the list that is the same for everybody: items by their number of ratings in `counted`, what the model was
    /// fitted to, without those that the user has seen. What a model must beat.
    ///
    /// # Errors
    /// Those of [`Self::evaluate`].
    pub fn evaluate_popularity(task: &RankingTask<'_>, counted: &Csr, control: &Control<'_>) -> Result<Option<Self>, LearnError> {
        let mut counts = vec![0f32; task.train.n_columns()];
        // Exact to 16,777,216 ratings of one item; beyond, items differ by more than that in effect.
        counted.columns().iter().for_each(|item| counts[*item as usize] += 1.0);
        // The count is the only factor of an item, and users have 1.
        let index = ItemIndex::new(&Factors::from_vec(1, counts), None)?;
        let everybody = Factors::from_vec(1, vec![1.0; task.train.n_rows()]);
        Self::evaluate(&index, &everybody, task, control)
    }

    fn of_users<'a>(k: usize, of_users: impl Iterator<Item = &'a UserMetrics>, coverage: f64) -> Option<Self> {
        let mut sum = UserMetrics::default();
        let (mut n_users, mut n_with_auc) = (0usize, 0usize);
        for user in of_users {
            n_users += 1;
            n_with_auc += usize::from(user.auc.is_some());
            sum.add(user);
        }
        let mean = |sum: f64| sum / n_users as f64;
        (n_users > 0).then(|| Self {
            k,
            n_users,
            n_relevant: sum.n_relevant,
            precision: mean(sum.precision),
            recall: mean(sum.recall),
            recall_capped: mean(sum.recall_capped),
            ndcg: mean(sum.ndcg),
            map: mean(sum.map),
            mrr: mean(sum.mrr),
            hit_rate: mean(sum.hit_rate),
            coverage,
            auc: (n_with_auc > 0).then(|| sum.auc.unwrap_or_default() / n_with_auc as f64),
            average_rank: sum.ranks / sum.n_relevant as f64,
        })
    }
}

/// Users whom a thread takes at once.
const USERS_PER_CHUNK: usize = 8 * TILE;

impl RankingTask<'_> {
    /// The relevant items of a user, ascending.
    fn relevant(&self, user: u32) -> Vec<u32> {
        let (items, ratings) = self.eval.row(user as usize);
        let (seen, _) = self.train.row(user as usize);
        let mut relevant: Vec<u32> = items
            .iter()
            .zip(ratings)
            .filter(|(item, rating)| **rating >= self.min_relevant && seen.binary_search(item).is_err() && self.is_listed(**item))
            .map(|(item, _)| *item)
            .collect();
        relevant.dedup();
        relevant
    }

    fn is_listed(&self, item: u32) -> bool {
        self.catalogue.is_none_or(|catalogue| catalogue.contains(item))
    }
}

fn check(index: &ItemIndex, factors: &Factors, task: &RankingTask<'_>) -> Result<(), LearnError> {
    let (train, eval) = (task.train, task.eval);
    if task.k == 0 {
        return Err(LearnError::Parameter { name: "k", value: "0".into(), range: "at least 1" });
    }
    if factors.n_rows() != eval.n_rows() || train.n_rows() != eval.n_rows() {
        return Err(LearnError::Shape { what: "the model and the ratings differ in their number of users" });
    }
    if index.n_items() != eval.n_columns() || train.n_columns() != eval.n_columns() {
        return Err(LearnError::Shape { what: "the model and the ratings differ in their number of items" });
    }
    if task.catalogue.is_some_and(|catalogue| catalogue.n_items() != index.n_items()) {
        return Err(LearnError::Shape { what: "the model and the catalogue differ in their number of items" });
    }
    Ok(())
}

/// The measures of one user, or sums of those of many.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct UserMetrics {
    n_relevant: usize,
    precision: f64,
    recall: f64,
    recall_capped: f64,
    ndcg: f64,
    map: f64,
    mrr: f64,
    hit_rate: f64,
    auc: Option<f64>,
    /// The sum over relevant items.
    ranks: f64,
}

impl UserMetrics {
    /// What follows from the list alone; `relevant` ascending and not empty.
    fn of_list(list: &[Scored], relevant: &[u32], k: usize) -> Self {
        let mut metrics = Self { n_relevant: relevant.len(), ..Self::default() };
        let (mut n_hits, mut gain) = (0usize, 0.0);
        for (rank, scored) in (1usize..).zip(list) {
            if relevant.binary_search(&scored.item).is_ok() {
                n_hits += 1;
                gain += discount(rank);
                metrics.map += n_hits as f64 / rank as f64;
                if n_hits == 1 {
                    metrics.mrr = 1.0 / rank as f64;
                }
            }
        }
        let capped = relevant.len().min(k);
        metrics.precision = n_hits as f64 / k as f64;
        metrics.recall = n_hits as f64 / relevant.len() as f64;
        metrics.recall_capped = n_hits as f64 / capped as f64;
        metrics.ndcg = gain / (1..=capped).map(discount).sum::<f64>();
        metrics.map /= capped as f64;
        metrics.hit_rate = f64::from(n_hits > 0);
        metrics
    }

    fn add(&mut self, other: &Self) {
        self.n_relevant += other.n_relevant;
        self.precision += other.precision;
        self.recall += other.recall;
        self.recall_capped += other.recall_capped;
        self.ndcg += other.ndcg;
        self.map += other.map;
        self.mrr += other.mrr;
        self.hit_rate += other.hit_rate;
        self.ranks += other.ranks;
        if let Some(auc) = other.auc {
            *self.auc.get_or_insert_default() += auc;
        }
    }
}

/// The gain of a hit at a rank from 1.
fn discount(rank: usize) -> f64 {
    1.0 / (rank as f64 + 1.0).log2()
}

/// What a thread needs to rank the items of a tile of users.
struct Ranker<'a> {
    index: &'a ItemIndex,
    factors: &'a Factors,
    task: &'a RankingTask<'a>,
    /// The places in the index of items outside of the catalogue.
    unlisted: Vec<usize>,
    tile: Vec<[f32; TILE]>,
    /// Of each user, the score at each place of the index; NaN for an item that is no candidate.
    scores: [Vec<f32>; TILE],
    best: Best,
    list: Vec<Scored>,
    relevant_scores: Vec<f32>,
}

impl<'a> Ranker<'a> {
    fn new(index: &'a ItemIndex, factors: &'a Factors, task: &'a RankingTask<'a>) -> Self {
        let unlisted = task.catalogue.into_iter().flat_map(Bitmap::iter_absent).filter_map(|item| index.place(item)).collect();
        Self {
            index,
            factors,
            task,
            unlisted,
            tile: vec![[0.0; TILE]; index.rank()],
            scores: Default::default(),
            best: Best::new(task.k.min(index.n_items())),
            list: Vec::new(),
            relevant_scores: Vec::new(),
        }
    }

    /// Appends the measures of at most a tile of users, and adds the items of their lists; not when it is cancelled.
    fn rank(&mut self, users: &[u32], of_users: &mut Vec<UserMetrics>, listed: &mut Bitmap, control: &Control<'_>) {
        for (place, user) in users.iter().enumerate() {
            for (slot, factor) in self.tile.iter_mut().zip(self.factors.row(*user as usize)) {
                slot[place] = *factor;
            }
        }
        self.index.score_all(&self.tile, &mut self.scores, control);
        for (place, user) in users.iter().enumerate() {
            if control.is_cancelled() {
                return;
            }
            let relevant = self.task.relevant(*user);
            let n_candidates = self.leave_out(place, *user);
            self.find_list(place);
            self.list.iter().for_each(|scored| {
                listed.insert(scored.item);
            });
            let mut metrics = UserMetrics::of_list(&self.list, &relevant, self.task.k);
            self.rank_relevant(place, &relevant, n_candidates, &mut metrics);
            of_users.push(metrics);
        }
    }

    /// Leaves out what the user has seen and what is in no list. Returns the number of candidates.
    fn leave_out(&mut self, place: usize, user: u32) -> usize {
        let scores = &mut self.scores[place];
        // A score that overflowed to NaN is the worst one; NaN shall mean no candidate.
        scores.iter_mut().filter(|score| score.is_nan()).for_each(|score| *score = f32::NEG_INFINITY);
        let (seen, _) = self.task.train.row(user as usize);
        let seen = seen.iter().filter_map(|item| self.index.place(*item));
        let mut n_left_out = 0;
        for item_at in self.unlisted.iter().copied().chain(seen) {
            // A repeated rating is one item.
            n_left_out += usize::from(!scores[item_at].is_nan());
            scores[item_at] = f32::NAN;
        }
        scores.len() - n_left_out
    }

    fn find_list(&mut self, place: usize) {
        for (item_place, score) in self.scores[place].iter().enumerate() {
            if *score >= self.best.threshold() {
                self.best.offer(self.index.item_at(item_place), *score);
            }
        }
        self.list.clear();
        self.best.drain_into(&mut self.list);
    }

    fn rank_relevant(&mut self, place: usize, relevant: &[u32], n_candidates: usize, metrics: &mut UserMetrics) {
        let scores = &self.scores[place];
        self.relevant_scores.clear();
        self.relevant_scores.extend(relevant.iter().filter_map(|item| self.index.place(*item)).map(|place| scores[place]));
        let n_others = n_candidates - relevant.len();
        let (mut pairs_won, mut ranks) = (0.0, 0.0);
        for score in &self.relevant_scores {
            let (n_greater, n_equal) = self.index.count_greater_and_equal(scores, *score);
            let (n_relevant_greater, n_relevant_equal) = self.index.count_greater_and_equal(&self.relevant_scores, *score);
            let others_greater = (n_greater - n_relevant_greater) as f64;
            let others_equal = (n_equal - n_relevant_equal) as f64;
            pairs_won += n_others as f64 - others_greater - others_equal / 2.0;
            // The item is equal to itself. An only candidate is the first.
            ranks += (n_greater as f64 + (n_equal - 1) as f64 / 2.0) / (n_candidates - 1).max(1) as f64;
        }
        metrics.ranks = ranks;
        metrics.auc = (n_others > 0).then(|| pairs_won / (relevant.len() as f64 * n_others as f64));
    }
}

#[cfg(test)]
mod tests;
