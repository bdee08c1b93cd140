//! `recommend_items('model', user, k [, exclude_seen [, items]])`: the best items of each user of a column, as lists.

use crate::model::{
    Binding, ItemLists, ModelLookup, RecommendOptions, Recommender, check_exclude_seen, check_id_type, check_items, check_k, check_k_value,
};
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::sync::Arc;

const NAME: &str = "recommend_items";

/// The scalar function; bound to a model once planned.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct RecommendItems {
    signature: Signature,
    binding: Binding,
}

impl RecommendItems {
    /// Finds the model through `lookup`.
    pub fn new(lookup: Arc<dyn ModelLookup>) -> Self {
        Self::bound(Binding::Lookup(lookup))
    }

    fn bound(binding: Binding) -> Self {
        let arguments = TypeSignature::OneOf(vec![TypeSignature::Any(3), TypeSignature::Any(4), TypeSignature::Any(5)]);
        // Stable: a model may be trained again between two statements, not inside one.
        Self { signature: Signature::new(arguments, Volatility::Stable), binding }
    }
}

/// The fields of one recommendation.
fn item_fields(model: &dyn Recommender) -> Fields {
    Fields::from(vec![
        Field::new("item", model.item_column().1.clone(), true),
        Field::new("score", DataType::Float64, true),
        Field::new("rank", DataType::Int64, true),
    ])
}

fn list_type(model: &dyn Recommender) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Struct(item_fields(model)), true)))
}

impl ScalarUDFImpl for RecommendItems {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {NAME} depends on the model")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let model = self.binding.model(NAME, args.scalar_arguments.first().copied().flatten())?;
        let (user_column, user_type) = model.user_column();
        check_id_type(user_column, user_type, args.arg_fields[1].data_type())?;
        let k_type = args.arg_fields[2].data_type();
        match args.scalar_arguments[2] {
            Some(k) => check_k(NAME, k).map(|_| ())?,
            // A parameter without a type arrives as NULL.
            None if k_type.is_integer() || k_type.is_null() => {}
            None => return plan_err!("the number of items of {NAME} must be an integer, not {k_type}"),
        }
        if let Some(Some(flag)) = args.scalar_arguments.get(3) {
            check_exclude_seen(NAME, flag)?;
        }
        if let Some(Some(items)) = args.scalar_arguments.get(4) {
            check_items(NAME, model.as_ref(), items)?;
        }
        Ok(Arc::new(Field::new(NAME, list_type(model.as_ref()), true)))
    }

    fn simplify(&self, args: Vec<Expr>, _context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let (Binding::Lookup(_), Some(Expr::Literal(name, _))) = (&self.binding, args.first()) else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let bound = Self::bound(Binding::Model(self.binding.model(NAME, Some(name))?));
        Ok(ExprSimplifyResult::Simplified(ScalarUDF::new_from_impl(bound).call(args)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = match &args.args[0] {
            ColumnarValue::Scalar(name) => Some(name),
            ColumnarValue::Array(_) => None,
        };
        let model = self.binding.model(NAME, name)?;
        let exclude_seen = match args.args.get(3) {
            None => true,
            Some(ColumnarValue::Scalar(flag)) => check_exclude_seen(NAME, flag)?,
            Some(ColumnarValue::Array(_)) => {
                return exec_err!("the argument exclude_seen of {NAME} must be TRUE or FALSE, not a column");
            }
        };
        let items = match args.args.get(4) {
            None => None,
            Some(ColumnarValue::Scalar(items)) => check_items(NAME, model.as_ref(), items)?,
            Some(ColumnarValue::Array(_)) => return exec_err!("the items of {NAME} must be one list for all rows, not a column"),
        };
        let options = RecommendOptions { exclude_seen, items };
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let n_rows = if is_constant { 1 } else { args.number_rows };
        let users = args.args[1].to_array(n_rows)?;
        let k = counts(&args.args[2], n_rows)?;
        let lists = list_array(model.as_ref(), model.recommend_many(&users, &k, &options)?)?;
        if is_constant { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&lists, 0)?)) } else { Ok(ColumnarValue::Array(lists)) }
    }
}

/// The number of items for each row.
fn counts(k: &ColumnarValue, n_rows: usize) -> Result<Vec<usize>> {
    match k {
        ColumnarValue::Scalar(k) => Ok(vec![check_k(NAME, k)?; n_rows]),
        ColumnarValue::Array(k) => {
            let k = cast(k, &DataType::Int64)?;
            k.as_primitive::<Int64Type>()
                .iter()
                .map(|k| match k {
                    Some(k) => check_k_value(NAME, k),
                    None => exec_err!("the number of items of {NAME} is NULL"),
                })
                .collect()
        }
    }
}

fn list_array(model: &dyn Recommender, lists: ItemLists) -> Result<ArrayRef> {
    let validity: Vec<bool> = lists.lengths.iter().map(Option::is_some).collect();
    let ranks: Int64Array = lists.lengths.iter().flat_map(|length| (1..).take(length.unwrap_or(0))).map(Some).collect();
    let fields = item_fields(model);
    let items = StructArray::try_new(fields.clone(), vec![lists.items, Arc::new(Float64Array::from(lists.scores)), Arc::new(ranks)], None)?;
    let total: usize = lists.lengths.iter().flatten().sum();
    if i32::try_from(total).is_err() {
        return exec_err!("one batch of {NAME} gives {total} items, more than a list column can hold. Ask for fewer items per user");
    }
    let offsets = OffsetBuffer::from_lengths(lists.lengths.iter().map(|length| length.unwrap_or(0)));
    let field = Arc::new(Field::new_list_field(DataType::Struct(fields), true));
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(items), Some(NullBuffer::from(validity)))?))
}
