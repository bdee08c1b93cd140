//! What the SQL functions need of models; `weir::models` implements it.

use crate::als_predict::AlsPredict;
use crate::explain_recommendation::ExplainRecommendation;
use crate::recommend::{Recommend, RecommendFrom};
use crate::recommend_items::RecommendItems;
use crate::similar::{Side, Similar};
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

/// Which items a list may have.
#[derive(Debug, Clone)]
pub struct RecommendOptions {
    /// Leave out what the user has rated.
    pub exclude_seen: bool,
    /// Only these items, an array of ids; `None` for all. Ids that the model does not know do no harm.
    pub items: Option<ArrayRef>,
}

impl Default for RecommendOptions {
    fn default() -> Self {
        Self { exclude_seen: true, items: None }
    }
}

/// Ratings of somebody whom the model does not know.
#[derive(Debug, Clone)]
pub struct Given {
    pub items: ArrayRef,
    /// As many as items; `None`: each counts 1.
    pub ratings: Option<Float64Array>,
}

/// What an item of a user's history adds to a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    pub item: ScalarValue,
    pub rating: f64,
    /// All of a history sum to the score, without biases.
    pub contribution: f64,
    /// Its size among the sizes of all contributions of the history.
    pub share: f64,
}

/// A trained recommender, immutable.
pub trait Recommender: Debug + Send + Sync {
    /// The user column's name and type in the training query.
    fn user_column(&self) -> (&str, &DataType);
    /// The item column's name and type in the training query.
    fn item_column(&self) -> (&str, &DataType);
    /// The rating column's name.
    fn rating_column(&self) -> &str;
    /// Whether ratings say how sure it is that a user likes an item, not how much.
    fn is_implicit(&self) -> bool;
    /// The best `k` items for a user, best first; ties by item. An unknown user is answered by the model's
    /// cold-start strategy.
    fn recommend(&self, user: &ScalarValue, k: usize, options: &RecommendOptions) -> Result<Vec<ItemScore>>;
    /// The best `k` items for somebody with these ratings; what is popular when the model knows none of the items.
    fn recommend_from(&self, given: &Given, k: usize, options: &RecommendOptions) -> Result<Vec<ItemScore>>;
    /// The `k` items that are most like one, with the cosine of their factors; none for an unknown item.
    fn similar_items(&self, item: &ScalarValue, k: usize) -> Result<Vec<ItemScore>>;
    /// The `k` users who are most like one (as [`ItemScore::item`]), with the cosine of their factors.
    fn similar_users(&self, user: &ScalarValue, k: usize) -> Result<Vec<ItemScore>>;
    /// The `k` items of a user's history that add the most to the score of an item; none for an unknown user or item.
    fn explain(&self, user: &ScalarValue, item: &ScalarValue, k: usize) -> Result<Vec<Contribution>>;
    /// The predicted rating; `None` for an unknown user or item (NaN when the model's cold-start strategy asks for it).
    fn predict(&self, user: &ScalarValue, item: &ScalarValue) -> Result<Option<f64>>;

    /// [`Recommender::recommend`] for a column of users, each with its `k`.
    fn recommend_many(&self, users: &ArrayRef, k: &[usize], options: &RecommendOptions) -> Result<ItemLists> {
        let (mut lengths, mut items, mut scores) = (Vec::with_capacity(users.len()), Vec::new(), Vec::new());
        for (row, k) in k.iter().enumerate().take(users.len()) {
            if users.data_type().is_null() || users.is_null(row) {
                lengths.push(None);
                continue;
            }
            let list = self.recommend(&ScalarValue::try_from_array(users, row)?, *k, options)?;
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

/// Name, signature and help of the functions over models, for SHOW FUNCTIONS.
pub const SIGNATURES: &[(&str, &str, &str)] = &[
    ("recommend", "recommend(model, user, k [, exclude_seen [, items]])", "the best items of one user; table function, for FROM"),
    ("recommend_items", "recommend_items(model, user, k [, exclude_seen [, items]])", "the best items of the user of each row, as a list"),
    (
        "recommend_from",
        "recommend_from(model, items, ratings, k [, exclude_seen [, allowed]])",
        "the best items for somebody who gave these items these ratings; table function, for FROM",
    ),
    ("als_predict", "als_predict(model, user, item)", "the rating that a user would give an item"),
    ("similar_items", "similar_items(model, item, k)", "the items nearest to an item, by cosine; table function, for FROM"),
    ("similar_users", "similar_users(model, user, k)", "the users nearest to a user, by cosine; table function, for FROM"),
    (
        "explain_recommendation",
        "explain_recommendation(model, user, item [, k])",
        "what each of the user's ratings adds to the score of an item; table function, for FROM",
    ),
];

/// Whether a function of models makes rows: it stands in FROM.
pub fn is_table_function(name: &str) -> bool {
    SIGNATURES.iter().any(|(known, _, help)| known.eq_ignore_ascii_case(name) && help.ends_with("for FROM"))
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
    let table: TableFunctions = vec![
        ("recommend", Arc::new(Recommend::new(Arc::clone(&lookup)))),
        ("recommend_from", Arc::new(RecommendFrom::new(Arc::clone(&lookup)))),
        ("similar_items", Arc::new(Similar::new(Arc::clone(&lookup), Side::Items))),
        ("similar_users", Arc::new(Similar::new(Arc::clone(&lookup), Side::Users))),
        ("explain_recommendation", Arc::new(ExplainRecommendation::new(lookup))),
    ];
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
        other => plan_err!("the argument exclude_seen of {function} must be TRUE or FALSE, not {other}"),
    }
}

/// A list of items of the model, checked; `None` for NULL.
pub(crate) fn check_items(function: &str, model: &dyn Recommender, list: &ScalarValue) -> Result<Option<ArrayRef>> {
    let values = match list {
        null if null.is_null() => return Ok(None),
        ScalarValue::List(list) => list.values(),
        other => return plan_err!("the items of {function} must be a list, as [1, 2], not {other}"),
    };
    let (column, data_type) = model.item_column();
    check_id_type(column, data_type, values.data_type())?;
    Ok(Some(Arc::clone(values)))
}
