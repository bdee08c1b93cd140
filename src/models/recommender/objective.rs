//! What a search makes as good as it can: a measure of the held-out rows.

/// A measure, and which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Objective {
    measure: &'static str,
    lower_is_better: bool,
}

/// The names that may be asked for, with the measure: ours, then BigQuery's.
const NAMES: &[(&str, &str)] = &[
    ("rmse", "rmse"),
    ("mae", "mae"),
    ("r2", "r2"),
    ("precision_at_k", "precision_at_k"),
    ("recall_at_k", "recall_at_k"),
    ("ndcg_at_k", "ndcg_at_k"),
    ("map_at_k", "map_at_k"),
    ("mrr", "mrr"),
    ("hit_rate_at_k", "hit_rate_at_k"),
    ("auc", "auc"),
    ("mean_squared_error", "rmse"),
    ("mean_absolute_error", "mae"),
    ("r2_score", "r2"),
    ("mean_average_precision", "map_at_k"),
    ("normalized_discounted_cumulative_gain", "ndcg_at_k"),
];

impl Objective {
    /// The errors of predicted ratings.
    pub const RMSE: Self = Self { measure: "rmse", lower_is_better: true };
    /// The quality of lists.
    pub const NDCG: Self = Self { measure: "ndcg_at_k", lower_is_better: false };

    /// The names that [`Self::of_name`] knows.
    pub fn names() -> Vec<&'static str> {
        NAMES.iter().map(|(name, _)| *name).collect()
    }

    /// By one of [`Self::names`].
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, measure) = NAMES.iter().find(|(known, _)| *known == name)?;
        Some(Self { measure, lower_is_better: matches!(*measure, "rmse" | "mae") })
    }

    /// As it is written in SQL.
    pub fn name(self) -> &'static str {
        self.measure
    }

    /// Whether it is about lists: then they are evaluated in every trial.
    pub fn is_ranking(self) -> bool {
        !matches!(self.measure, "rmse" | "mae" | "r2")
    }

    /// Whether `value` is better than `other`; equal is not better.
    pub fn is_better(self, value: f64, other: f64) -> bool {
        if self.lower_is_better { value < other } else { value > other }
    }
}
