//! `explain_recommendation('model', user, item [, k])`: what in a user's history led to the score of an item.

use crate::function_table::{Arguments, FunctionTable};
use crate::model::{ModelLookup, check_id_type, check_k};
use arrow::array::{ArrayRef, Float64Array, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue};
use std::sync::Arc;

const NAME: &str = "explain_recommendation";
/// Items of the history that are shown when nothing is said.
const K: usize = 10;

/// The table function: looks the model up when planning.
#[derive(Debug)]
pub struct ExplainRecommendation {
    lookup: Arc<dyn ModelLookup>,
}

impl ExplainRecommendation {
    /// Finds models through `lookup`.
    pub fn new(lookup: Arc<dyn ModelLookup>) -> Self {
        Self { lookup }
    }
}

impl TableFunctionImpl for ExplainRecommendation {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        const USAGE: &str = "a model's name, a user, an item, and optionally the number of past items";
        let args = Arguments::new(NAME, args.exprs(), 3..=4, USAGE, "")?;
        let model = self.lookup.recommender(args.model_name()?)?;
        let ((user_column, user_type), (item_column, item_type)) = (model.user_column(), model.item_column());
        let user = args.read(1, None, |user| check_id_type(user_column, user_type, &user.data_type()).map(|()| user.clone()))?;
        let item = args.read(2, None, |item| check_id_type(item_column, item_type, &item.data_type()).map(|()| item.clone()))?;
        let k = args.read(3, Some(K), |k| check_k(NAME, k))?;
        let number = |name: &str| Field::new(name, DataType::Float64, true);
        let fields =
            vec![Field::new(item_column, item_type.clone(), true), number(model.rating_column()), number("contribution"), number("share")];
        let schema = Arc::new(Schema::new(fields));
        let answer = user.zip(item).zip(k).map(|((user, item), k)| {
            let (schema, model) = (Arc::clone(&schema), Arc::clone(&model));
            let rows = move || {
                let past = if user.is_null() || item.is_null() { Vec::new() } else { model.explain(&user, &item, k)? };
                let ratings: Float64Array = past.iter().map(|past| Some(past.rating)).collect();
                let contributions: Float64Array = past.iter().map(|past| Some(past.contribution)).collect();
                let shares: Float64Array = past.iter().map(|past| Some(past.share)).collect();
                let items: ArrayRef = if past.is_empty() {
                    new_empty_array(schema.field(0).data_type())
                } else {
                    ScalarValue::iter_to_array(past.into_iter().map(|past| past.item))?
                };
                let columns: Vec<ArrayRef> = vec![items, Arc::new(ratings), Arc::new(contributions), Arc::new(shares)];
                Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
            };
            Box::new(rows) as _
        });
        let parameters = args.parameters(&[(1, user_type.clone()), (2, item_type.clone()), (3, DataType::Int64)]);
        Ok(Arc::new(FunctionTable { function: NAME, schema, parameters, answer }))
    }
}
