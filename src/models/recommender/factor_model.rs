//! Fitted factors with what is needed to answer quickly: the index of items, and the equations of a new user.

use crate::error::{Error, Result};
use std::sync::OnceLock;
use weir_ml::als::{AlsModel, AlsParams, Feedback, FoldIn, Gram, dot};
use weir_ml::topk::{Filter, ItemIndex, Scored, select};

/// Factors of one training.
#[derive(Debug)]
pub(super) struct FactorModel {
    pub als: AlsModel,
    pub params: AlsParams,
    /// Of the items, with their biases.
    pub index: ItemIndex,
    /// Of implicit feedback: made when a user is first folded in.
    gram: OnceLock<Gram>,
}

/// A user as the factors see him.
#[derive(Debug, Clone)]
pub(super) struct UserVector {
    pub factors: Vec<f32>,
    /// What is added to every score: the mean and the user's bias.
    pub shift: f32,
}

/// Items, best first.
#[derive(Debug, Clone, Default)]
pub(super) struct List {
    pub scored: Vec<Scored>,
    /// What is added to every score.
    pub shift: f32,
}

impl List {
    /// The items with their scores.
    pub fn items(&self) -> impl ExactSizeIterator<Item = (u32, f64)> {
        self.scored.iter().map(|scored| (scored.item, f64::from(scored.score + self.shift)))
    }
}

impl FactorModel {
    /// # Errors
    /// Only internal ones: fitted factors are finite.
    pub fn new(als: AlsModel, params: AlsParams) -> Result<Self> {
        let biases = als.has_bias().then_some(als.item_bias.as_slice());
        let index = ItemIndex::new(&als.items, biases).map_err(|error| Error::internal(format!("could not index items: {error}")))?;
        Ok(Self { als, params, index, gram: OnceLock::new() })
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        (self.als.users.as_slice().len() + self.als.items.as_slice().len()) * size_of::<f32>() + self.index.bytes()
    }

    /// What is added to every score of a known user.
    pub fn shift(&self, user: u32) -> f32 {
        self.als.mean + self.als.user_bias.get(user as usize).copied().unwrap_or(0.0)
    }

    /// The best items of a known user.
    pub fn top(&self, user: u32, k: usize, filter: &Filter<'_>) -> List {
        // Factors are finite and of the right length: there is nothing to go wrong.
        let scored = self.index.top(self.als.users.row(user as usize), k, filter).unwrap_or_default();
        List { scored, shift: self.shift(user) }
    }

    /// The best items of any user.
    pub fn top_of(&self, user: &UserVector, k: usize, filter: &Filter<'_>) -> List {
        List { scored: self.index.top(&user.factors, k, filter).unwrap_or_default(), shift: user.shift }
    }

    /// The score of an item for a known user: the same bits as in a list.
    pub fn score(&self, user: u32, item: u32) -> Option<f64> {
        self.index.score(self.als.users.row(user as usize), item).map(|score| f64::from(score + self.shift(user)))
    }

    /// The score of an item for any user.
    pub fn score_of(&self, user: &UserVector, item: u32) -> Option<f64> {
        self.index.score(&user.factors, item).map(|score| f64::from(score + user.shift))
    }

    /// What solves users of this model, one after the other.
    pub fn folder(&self) -> FoldIn<'_> {
        self.solver(&self.params)
    }

    /// The factors of a user who has rated these items, each known; `None` without any.
    pub fn fold_in(&self, items: &[u32], ratings: &[f32]) -> Option<UserVector> {
        self.fold_in_with(&mut self.folder(), items, ratings)
    }

    /// The same with a [`Self::folder`].
    pub fn fold_in_with(&self, solver: &mut FoldIn<'_>, items: &[u32], ratings: &[f32]) -> Option<UserVector> {
        if items.is_empty() {
            return None;
        }
        let mut factors = vec![0.0; self.als.items.rank()];
        let is_solved = solver.solve(items, ratings, &mut factors);
        is_solved.then(|| UserVector { factors, shift: self.als.mean + solver.user_bias() })
    }

    /// What each of these ratings adds to the score of `item`.
    pub fn explain(&self, items: &[u32], ratings: &[f32], item: u32) -> Option<Vec<f32>> {
        self.solver(&self.params).explain(items, ratings, item)
    }

    fn solver(&self, params: &AlsParams) -> FoldIn<'_> {
        let gram = matches!(params.feedback, Feedback::Implicit { .. }).then(|| self.gram.get_or_init(|| Gram::new(&self.als.items)));
        let solver = FoldIn::new(&self.als.items, params, gram);
        if self.als.has_bias() { solver.with_bias(params.bias, self.als.mean, &self.als.item_bias) } else { solver }
    }
}

/// The `k` rows whose factors point in the most similar direction as `own`, with the cosine; the own `row` is left out, and
/// rows of zeros, which have no direction.
///
/// O(rows·rank), without an index: it is not asked as often as for recommendations.
pub(super) fn similar<'a>(rows: impl Iterator<Item = &'a [f32]>, own: &[f32], row: u32, k: usize) -> Vec<Scored> {
    let length = |factors: &[f32]| dot(factors, factors).sqrt();
    let own_length = length(own);
    if own_length <= 0.0 {
        return Vec::new();
    }
    let scored = (0u32..).zip(rows).filter_map(|(item, factors)| {
        let length = length(factors);
        (length > 0.0).then(|| Scored { item, score: (dot(own, factors) / (own_length * length)).clamp(-1.0, 1.0) })
    });
    select(scored, k, &[row])
}
