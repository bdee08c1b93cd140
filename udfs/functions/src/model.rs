//! What the SQL functions need of models; `weir::models` implements it.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use std::fmt::Debug;
use std::sync::Arc;

/// Finds models by the name written in SQL (`'m'`, `'db.m'`), at plan time.
pub trait ModelLookup: Debug + Send + Sync {
    /// The recommender of that name, loaded; an error names the model that is missing or of another kind.
    fn recommender(&self, name: &str) -> Result<Arc<dyn Recommender>>;
}

/// One recommended item.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemScore {
    pub item: ScalarValue,
    pub score: f64,
    /// From 1.
    pub rank: i64,
}

/// A trained recommender, immutable.
pub trait Recommender: Debug + Send + Sync {
    /// The user column's name and type in the training query.
    fn user_column(&self) -> (&str, &DataType);
    /// The item column's name and type in the training query.
    fn item_column(&self) -> (&str, &DataType);
    /// The rating column's name.
    fn rating_column(&self) -> &str;
    /// The best `k` items for a user, best first; ties by item. Items the user has rated are left out
    /// when `exclude_seen`. An unknown user is answered by the model's cold-start strategy.
    fn recommend(&self, user: &ScalarValue, k: usize, exclude_seen: bool) -> Result<Vec<ItemScore>>;
    /// The predicted rating; `None` for an unknown user or item.
    fn predict(&self, user: &ScalarValue, item: &ScalarValue) -> Result<Option<f64>>;
}
