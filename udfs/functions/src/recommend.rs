//! `recommend('model', user, k [, exclude_seen [, items]])` and `recommend_from('model', items, ratings, k ..)`: the
//! best items of one user, as a table.

use crate::function_table::{Arguments, FunctionTable};
use crate::model::{Given, ItemScore, ModelLookup, RecommendOptions, Recommender, check_exclude_seen, check_id_type, check_items, check_k};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, new_empty_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use std::sync::Arc;

const RECOMMEND: &str = "recommend";
const RECOMMEND_FROM: &str = "recommend_from";

/// What is said of a column as an argument.
const INSTEAD: &str = ". To recommend for the users of a table, select unnest(recommend_items('model', user_column, k)) from it";

/// `recommend`: looks the model up when planning.
#[derive(Debug)]
pub struct Recommend {
    lookup: Arc<dyn ModelLookup>,
}

impl Recommend {
    /// Finds models through `lookup`.
    pub fn new(lookup: Arc<dyn ModelLookup>) -> Self {
        Self { lookup }
    }
}

impl TableFunctionImpl for Recommend {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        const USAGE: &str = "a model's name, a user, the number of items, and optionally exclude_seen and a list of items to choose from";
        let args = Arguments::new(RECOMMEND, args.exprs(), 3..=5, USAGE, INSTEAD)?;
        let model = self.lookup.recommender(args.model_name()?)?;
        let (user_column, user_type) = model.user_column();
        let user = args.read(1, None, |user| check_id_type(user_column, user_type, &user.data_type()).map(|()| user.clone()))?;
        let k = args.read(2, None, |k| check_k(RECOMMEND, k))?;
        let options = options(RECOMMEND, &args, 3, model.as_ref())?;
        let parameters = args.parameters(&[(1, user_type.clone()), (2, DataType::Int64), (3, DataType::Boolean)]);
        let schema = item_schema(model.item_column());
        let call = user.zip(k).zip(options);
        let answer = call.map(|((user, k), options)| {
            let schema = Arc::clone(&schema);
            let rows = move || {
                // NULL is no user, known or unknown: it has no recommendations.
                let list = if user.is_null() { Vec::new() } else { model.recommend(&user, k, &options)? };
                item_rows(&schema, list)
            };
            Box::new(rows) as _
        });
        Ok(Arc::new(FunctionTable { function: RECOMMEND, schema, parameters, answer }))
    }
}

/// `recommend_from`: for somebody of whom only these ratings are known.
#[derive(Debug)]
pub struct RecommendFrom {
    lookup: Arc<dyn ModelLookup>,
}

impl RecommendFrom {
    /// Finds models through `lookup`.
    pub fn new(lookup: Arc<dyn ModelLookup>) -> Self {
        Self { lookup }
    }
}

impl TableFunctionImpl for RecommendFrom {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        const USAGE: &str = "a model's name, a list of items, a list of their ratings (or NULL: each counts 1), the number of items, \
                             and optionally exclude_seen and a list of items to choose from";
        let args = Arguments::new(RECOMMEND_FROM, args.exprs(), 4..=6, USAGE, INSTEAD)?;
        let model = self.lookup.recommender(args.model_name()?)?;
        let items = args.read(1, None, |items| check_items(RECOMMEND_FROM, model.as_ref(), items))?;
        let ratings = args.read(2, None, ratings)?;
        if let (Some(Some(items)), Some(Some(ratings))) = (&items, &ratings)
            && items.len() != ratings.len()
        {
            return plan_err!("{RECOMMEND_FROM} has {} items and {} ratings", items.len(), ratings.len());
        }
        let k = args.read(3, None, |k| check_k(RECOMMEND_FROM, k))?;
        let options = options(RECOMMEND_FROM, &args, 4, model.as_ref())?;
        let schema = item_schema(model.item_column());
        let answer = items.zip(ratings).zip(k).zip(options).map(|(((items, ratings), k), options)| {
            let schema = Arc::clone(&schema);
            let items = items.unwrap_or_else(|| new_empty_array(model.item_column().1));
            let given = Given { items, ratings };
            Box::new(move || item_rows(&schema, model.recommend_from(&given, k, &options)?)) as _
        });
        let parameters = args.parameters(&[(3, DataType::Int64), (4, DataType::Boolean)]);
        Ok(Arc::new(FunctionTable { function: RECOMMEND_FROM, schema, parameters, answer }))
    }
}

/// The optional arguments from `place` on: exclude_seen, and the items to choose from.
fn options(function: &str, args: &Arguments, place: usize, model: &dyn Recommender) -> Result<Option<RecommendOptions>> {
    let exclude_seen = args.read(place, Some(true), |flag| check_exclude_seen(function, flag))?;
    let items = args.read(place + 1, Some(None), |items| check_items(function, model, items))?;
    Ok(exclude_seen.zip(items).map(|(exclude_seen, items)| RecommendOptions { exclude_seen, items }))
}

fn ratings(list: &ScalarValue) -> Result<Option<Float64Array>> {
    let values = match list {
        null if null.is_null() => return Ok(None),
        ScalarValue::List(list) => list.values(),
        other => return plan_err!("the ratings of {RECOMMEND_FROM} must be a list of numbers, not {other}"),
    };
    if !(values.data_type().is_numeric() || values.data_type().is_null()) {
        return plan_err!("the ratings of {RECOMMEND_FROM} must be a list of numbers, not of {}", values.data_type());
    }
    Ok(Some(cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone()))
}

/// The columns of a list: the id under its column's own name, its score and its rank from 1.
pub(crate) fn item_schema((column, data_type): (&str, &DataType)) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(column, data_type.clone(), true),
        Field::new("score", DataType::Float64, true),
        Field::new("rank", DataType::Int64, true),
    ]))
}

/// A list as rows of [`item_schema`].
pub(crate) fn item_rows(schema: &SchemaRef, list: Vec<ItemScore>) -> Result<RecordBatch> {
    let scores: Float64Array = list.iter().map(|scored| Some(scored.score)).collect();
    let ranks: Int64Array = list.iter().map(|scored| Some(scored.rank)).collect();
    let items: ArrayRef = if list.is_empty() {
        new_empty_array(schema.field(0).data_type())
    } else {
        ScalarValue::iter_to_array(list.into_iter().map(|scored| scored.item))?
    };
    Ok(RecordBatch::try_new(Arc::clone(schema), vec![items, Arc::new(scores), Arc::new(ranks)])?)
}
