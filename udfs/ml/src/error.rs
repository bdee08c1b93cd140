//! Why there is no model: the errors of all learners except the recommenders' (`als::AlsError`).

/// Why training ended without a model. Rows and columns are the numbers the caller gave.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LearnError {
    #[error("there is no row to train on")]
    Empty,
    #[error("there is no feature to learn from")]
    NoFeature,
    #[error("all rows have the same label")]
    OneClass,
    /// A label, target or weight that cannot be used: not finite, or outside what the learner can model.
    #[error("the {what} in row {row} is {value}, it must be {expected}")]
    Value { what: &'static str, row: usize, value: f64, expected: &'static str },
    #[error("{name} is {value}, it must be {range}")]
    Parameter { name: &'static str, value: String, range: &'static str },
    #[error("the data do not fit together: {what}")]
    Shape { what: &'static str },
    #[error("training did not come to a finite result: {what}")]
    Diverged { what: &'static str },
    #[error("training was cancelled")]
    Cancelled,
}
