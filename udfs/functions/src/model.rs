//! What the SQL functions need of models; `weir::models` implements it.

use crate::als_predict::AlsPredict;
use crate::recommend::Recommend;
use crate::recommend_items::RecommendItems;
use arrow::array::{Array, ArrayRef, Float64Array, new_empty_array};
use arrow::datatypes::DataType;
use datafusion::catalog::TableFunctionImpl;
use datafusion::common::{Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::fmt::Debug;
use std::sync::Arc;

/// The most items that one call may ask for.
pub const K_MAX: i64 = 10_000;

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

/// Lists of recommended items for many users, in columns.
#[derive(Debug, Clone)]
pub struct ItemLists {
    /// How long the list of each user is; `None` for a user that is NULL.
    pub lengths: Vec<Option<usize>>,
    /// The items of all lists, one after the other.
    pub items: ArrayRef,
    pub scores: Vec<f64>,
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
    /// The predicted rating; `None` for an unknown user or item (NaN when the model's cold-start strategy asks for it).
    fn predict(&self, user: &ScalarValue, item: &ScalarValue) -> Result<Option<f64>>;

    /// [`Recommender::recommend`] for a column of users, each with its `k`.
    fn recommend_many(&self, users: &ArrayRef, k: &[usize], exclude_seen: bool) -> Result<ItemLists> {
        let (mut lengths, mut items, mut scores) = (Vec::with_capacity(users.len()), Vec::new(), Vec::new());
        for (row, k) in k.iter().enumerate().take(users.len()) {
            if users.data_type().is_null() || users.is_null(row) {
                lengths.push(None);
                continue;
            }
            let list = self.recommend(&ScalarValue::try_from_array(users, row)?, *k, exclude_seen)?;
            lengths.push(Some(list.len()));
            for scored in list {
                items.push(scored.item);
                scores.push(scored.score);
            }
        }
        let items = if items.is_empty() { new_empty_array(self.item_column().1) } else { ScalarValue::iter_to_array(items)? };
        Ok(ItemLists { lengths, items, scores })
    }

    /// [`Recommender::predict`] for two columns of equal length.
    fn predict_many(&self, users: &ArrayRef, items: &ArrayRef) -> Result<Float64Array> {
        (0..users.len())
            .map(|row| self.predict(&ScalarValue::try_from_array(users, row)?, &ScalarValue::try_from_array(items, row)?))
            .collect()
    }
}

/// Table functions with the names under which they are registered.
pub type TableFunctions = Vec<(&'static str, Arc<dyn TableFunctionImpl>)>;

/// The SQL functions over models: scalar functions, and table functions with their names.
///
/// A lookup sees one snapshot of the catalog; functions are made for each statement that may use models.
pub fn model_functions(lookup: Arc<dyn ModelLookup>) -> (Vec<ScalarUDF>, TableFunctions) {
    let scalar = vec![
        ScalarUDF::new_from_impl(RecommendItems::new(Arc::clone(&lookup))),
        ScalarUDF::new_from_impl(AlsPredict::new(Arc::clone(&lookup))),
    ];
    let table: TableFunctions = vec![("recommend", Arc::new(Recommend::new(lookup)))];
    (scalar, table)
}

/// A model that a function call has: looked up when planning, then held.
///
/// Equality is that of the model in memory, so that two calls bound to different versions stay apart.
#[derive(Debug, Clone)]
pub(crate) enum Binding {
    /// Not planned yet: the model is looked up by name.
    Lookup(Arc<dyn ModelLookup>),
    Model(Arc<dyn Recommender>),
}

impl Binding {
    /// The model; `name` is the first argument of the function, when it is a literal.
    pub fn model(&self, function: &str, name: Option<&ScalarValue>) -> Result<Arc<dyn Recommender>> {
        match self {
            Self::Model(model) => Ok(Arc::clone(model)),
            Self::Lookup(lookup) => lookup.recommender(model_name(function, name)?),
        }
    }

    fn address(&self) -> *const () {
        match self {
            Self::Lookup(lookup) => Arc::as_ptr(lookup).cast(),
            Self::Model(model) => Arc::as_ptr(model).cast(),
        }
    }
}

impl PartialEq for Binding {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.address(), other.address())
    }
}

impl Eq for Binding {}

impl std::hash::Hash for Binding {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

/// The model's name of a call, which must be there before any row is read: it decides the types.
pub(crate) fn model_name<'a>(function: &str, name: Option<&'a ScalarValue>) -> Result<&'a str> {
    match name.map(|value| (value, value.try_as_str())) {
        Some((_, Some(Some(name)))) => Ok(name),
        Some((value, _)) => plan_err!("the first argument of {function} is a model's name in quotes, not {value}"),
        None => plan_err!("the first argument of {function} must be a model's name in quotes, not a column or a parameter"),
    }
}

/// Checks that values of type `given` can be users or items of a model whose ids are of type `expected`.
///
/// Integers of any width go together, and so do strings; NULL goes with both. Anything else would be a
/// guess: `'42'` and 42 are different ids.
pub fn check_id_type(column: &str, expected: &DataType, given: &DataType) -> Result<()> {
    let given = match given {
        DataType::Dictionary(_, values) => values,
        other => other,
    };
    if given.is_null() || id_kind(expected).is_some_and(|kind| id_kind(given) == Some(kind)) {
        return Ok(());
    }
    let kind = id_kind(expected).unwrap_or("other values");
    let hint = if kind == "strings" { "CAST it to VARCHAR" } else { "CAST it to BIGINT" };
    plan_err!("the model's column \"{column}\" holds {kind}, the argument is of type {}. {hint}", type_name(given))
}

/// What the values of an id column are, for messages; `None` for a type that cannot be an id.
pub fn id_kind(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        integer if integer.is_integer() => Some("integers"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some("strings"),
        DataType::Dictionary(_, values) => id_kind(values),
        _ => None,
    }
}

/// The SQL name of a type, as far as arguments of our functions need it.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".into(),
        integer if integer.is_integer() => "BIGINT".into(),
        other => other.to_string(),
    }
}

/// The number of items asked for, checked.
pub(crate) fn check_k(function: &str, k: &ScalarValue) -> Result<usize> {
    let number = match k.data_type() {
        integer if integer.is_integer() => k.cast_to(&DataType::Int64).ok(),
        _ => None,
    };
    let Some(ScalarValue::Int64(Some(number))) = number else {
        return plan_err!("the number of items of {function} must be an integer from 1 to {K_MAX}, not {k}");
    };
    check_k_value(function, number)
}

/// [`check_k`] for one value of a column.
pub(crate) fn check_k_value(function: &str, k: i64) -> Result<usize> {
    if !(1..=K_MAX).contains(&k) {
        return plan_err!("the number of items of {function} must be from 1 to {K_MAX}, not {k}");
    }
    usize::try_from(k).map_err(|_| plan_datafusion_err!("the number of items of {function} must be from 1 to {K_MAX}, not {k}"))
}

/// The flag `exclude_seen`, checked.
pub(crate) fn check_exclude_seen(function: &str, flag: &ScalarValue) -> Result<bool> {
    match flag {
        ScalarValue::Boolean(Some(flag)) => Ok(*flag),
        other => plan_err!("the last argument of {function} (exclude_seen) must be TRUE or FALSE, not {other}"),
    }
}
