//! The factors of one user from ratings at hand, and why an item scores what it scores.

use super::bias::user_bias;
use super::equations::{Gram, Others, RowRatings};
use super::kernel::{self, Isa};
use super::row_solver::{Outcome, RowSolver};
use super::{AlsParams, Bias, Factors, Feedback, Solver, dot};
use std::borrow::Cow;

/// Solves users against fixed item factors: new users, and users with new ratings. Use it again for user after user.
///
/// Always exact, also for models trained with conjugate gradients. To fold in an item, give the users' factors instead.
#[derive(Debug)]
pub struct FoldIn<'a> {
    fixed: Fixed<'a>,
    params: AlsParams,
    solver: RowSolver,
    unknowns: Vec<f32>,
    target: Vec<f32>,
    user_bias: f32,
}

/// What does not change from user to user.
#[derive(Debug)]
struct Fixed<'a> {
    items: &'a Factors,
    mean: f32,
    /// Empty for a model without biases.
    item_bias: &'a [f32],
    gram: Option<Cow<'a, Gram>>,
    is_learned: bool,
}

impl Fixed<'_> {
    fn others(&self) -> Others<'_> {
        Others {
            rows: kernel::Rows { data: self.items.as_slice(), rank: self.items.rank(), with_one: self.is_learned },
            bias: (!self.item_bias.is_empty()).then_some(self.item_bias),
            gram: self.gram.as_deref(),
        }
    }
}

impl<'a> FoldIn<'a> {
    /// Prepares to solve users of a model trained with `params` (its rank is that of `items`, whatever it says).
    ///
    /// Implicit feedback needs the Gram matrix of `items`: keep it with the model, or it is made here in
    /// O(items·rank²). A model with biases needs [`Self::with_bias`].
    pub fn new(items: &'a Factors, params: &AlsParams, gram: Option<&'a Gram>) -> Self {
        let isa = Isa::detect();
        let gram = match params.feedback {
            Feedback::Explicit => None,
            Feedback::Implicit { .. } => Some(gram.map_or_else(|| Cow::Owned(Gram::with_isa(items, isa)), Cow::Borrowed)),
        };
        // The solution is unique: a search need not begin at the last factors.
        let params = AlsParams { rank: items.rank(), solver: Solver::Cholesky, bias: Bias::None, ..params.clone() };
        Self {
            fixed: Fixed { items, mean: 0.0, item_bias: &[], gram, is_learned: false },
            solver: RowSolver::new(&params, isa),
            unknowns: vec![0.0; params.n_unknowns()],
            target: vec![0.0; params.n_unknowns()],
            params,
            user_bias: 0.0,
        }
    }

    /// Adds the biases of an explicit model: how they were trained, their mean, and one number per item.
    ///
    /// Ignores them when there is not one per item.
    pub fn with_bias(mut self, bias: Bias, mean: f32, item_bias: &'a [f32]) -> Self {
        if bias != Bias::None && item_bias.len() == self.fixed.items.n_rows() {
            self.params.bias = bias;
            (self.fixed.mean, self.fixed.item_bias, self.fixed.is_learned) = (mean, item_bias, bias == Bias::Learned);
            self.solver = RowSolver::new(&self.params, Isa::detect());
            self.unknowns = vec![0.0; self.params.n_unknowns()];
            self.target = vec![0.0; self.params.n_unknowns()];
        }
        self
    }

    /// Writes the factors of a user with these ratings to `out`, as training would (the order of ratings may change
    /// the last bits). A user without ratings gets zeros.
    ///
    /// Returns false, with `out` meaning nothing, for an unknown item, a rating that is not finite, slices that do
    /// not fit together, or equations without a finite solution.
    ///
    /// # Cost
    /// O(ratings·rank² + rank³): some 10 µs for 165 ratings at rank 64.
    pub fn solve(&mut self, items: &[u32], ratings: &[f32], out: &mut [f32]) -> bool {
        let rank = self.fixed.items.rank();
        if !self.is_usable(items, ratings) || out.len() != rank {
            return false;
        }
        let base = self.base(items, ratings);
        let row = RowRatings { neighbours: items, values: ratings, next: &[], base };
        self.unknowns.fill(0.0);
        let outcome = self.solver.solve(&self.fixed.others(), &row, || true, &mut self.unknowns);
        out.copy_from_slice(&self.unknowns[..rank]);
        self.user_bias = match self.params.bias {
            Bias::None => 0.0,
            Bias::Static { .. } => base - self.fixed.mean,
            Bias::Learned => self.unknowns[rank],
        };
        matches!(outcome, Outcome::Solved { .. })
    }

    /// What the user of the last [`Self::solve`] adds to every rating; 0 for a model without biases.
    pub fn user_bias(&self) -> f32 {
        self.user_bias
    }

    /// What each rating of a user contributes to the score of the item `target`, in the order of the ratings.
    ///
    /// The contributions sum to the product of the user's and the item's factors (plus the user's bias, where it is
    /// learned). Those of a nonnegative model go through the factors that are not zero: between them its equations are
    /// those of any other model. `None` where [`Self::solve`] returns false.
    ///
    /// # Cost
    /// That of [`Self::solve`], twice for nonnegative models.
    ///
    /// # Source
    /// Hu, Koren, Volinsky 2008, *Collaborative Filtering for Implicit Feedback Datasets*, §5.
    pub fn explain(&mut self, items: &[u32], ratings: &[f32], target: u32) -> Option<Vec<f32>> {
        let rank = self.fixed.items.rank();
        if !self.is_usable(items, ratings) || target as usize >= self.fixed.items.n_rows() {
            return None;
        }
        if items.is_empty() {
            return Some(Vec::new());
        }
        // With A z = y_target: score = y_targetᵀ A⁻¹ Σ coefficient·y = Σ coefficient·(zᵀy).
        self.target[..rank].copy_from_slice(self.fixed.items.row(target as usize));
        if self.fixed.is_learned {
            self.target[rank] = 1.0;
        }
        let base = self.base(items, ratings);
        let row = RowRatings { neighbours: items, values: ratings, next: &[], base };
        let others = self.fixed.others();
        let mut is_free = vec![true; self.unknowns.len()];
        if self.params.nonnegative {
            self.unknowns.fill(0.0);
            let Outcome::Solved { .. } = self.solver.solve(&others, &row, || true, &mut self.unknowns) else { return None };
            // A bias may be below zero.
            is_free[..rank].iter_mut().zip(&self.unknowns).for_each(|(is_free, factor)| *is_free = *factor > 0.0);
        }
        if !self.solver.solve_for(&others, &row, &self.target, |place| is_free[place], &mut self.unknowns) {
            return None;
        }
        let bias = if self.fixed.is_learned { self.unknowns[rank] } else { 0.0 };
        let similarity = |item: u32| dot(self.fixed.items.row(item as usize), &self.unknowns[..rank]) + bias;
        let coefficient = |item: u32, rating: f32| match self.params.feedback {
            Feedback::Explicit => rating - self.fixed.item_bias.get(item as usize).map_or(0.0, |bias| base + bias),
            Feedback::Implicit { alpha } if rating > 0.0 => 1.0 + alpha as f32 * rating,
            Feedback::Implicit { .. } => 0.0,
        };
        Some(items.iter().zip(ratings).map(|(item, rating)| coefficient(*item, *rating) * similarity(*item)).collect())
    }

    fn is_usable(&self, items: &[u32], ratings: &[f32]) -> bool {
        let n_items = self.fixed.items.n_rows();
        items.len() == ratings.len()
            && items.iter().all(|item| (*item as usize) < n_items)
            && ratings.iter().all(|rating| rating.is_finite())
    }

    /// What the user's ratings have in common.
    fn base(&self, items: &[u32], ratings: &[f32]) -> f32 {
        let Fixed { mean, item_bias, .. } = self.fixed;
        match self.params.bias {
            Bias::None => 0.0,
            Bias::Learned => mean,
            Bias::Static { damping } => mean + user_bias(mean, item_bias, items, ratings, damping),
        }
    }
}
