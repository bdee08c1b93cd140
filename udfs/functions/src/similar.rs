//! `similar_items('model', item, k)` and `similar_users('model', user, k)`: what the factors put closest, as a table.

use crate::function_table::{Arguments, FunctionTable};
use crate::model::{ModelLookup, check_id_type, check_k};
use crate::recommend::{item_rows, item_schema};
use arrow::datatypes::DataType;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::Result;
use std::sync::Arc;

/// Users or items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Users,
    Items,
}

/// The table function of one side: looks the model up when planning.
#[derive(Debug)]
pub struct Similar {
    lookup: Arc<dyn ModelLookup>,
    side: Side,
}

impl Similar {
    /// Finds models through `lookup`.
    pub fn new(lookup: Arc<dyn ModelLookup>, side: Side) -> Self {
        Self { lookup, side }
    }
}

impl TableFunctionImpl for Similar {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let side = self.side;
        let (function, usage) = match side {
            Side::Users => ("similar_users", "a model's name, a user, and the number of users"),
            Side::Items => ("similar_items", "a model's name, an item, and the number of items"),
        };
        let args = Arguments::new(function, args.exprs(), 3..=3, usage, "")?;
        let model = self.lookup.recommender(args.model_name()?)?;
        let (column, data_type) = match side {
            Side::Users => model.user_column(),
            Side::Items => model.item_column(),
        };
        let schema = item_schema((column, data_type));
        let id = args.read(1, None, |id| check_id_type(column, data_type, &id.data_type()).map(|()| id.clone()))?;
        let k = args.read(2, None, |k| check_k(function, k))?;
        let answer = id.zip(k).map(|(id, k)| {
            let (schema, model) = (Arc::clone(&schema), Arc::clone(&model));
            let rows = move || {
                let list = match side {
                    _ if id.is_null() => Vec::new(),
                    Side::Users => model.similar_users(&id, k)?,
                    Side::Items => model.similar_items(&id, k)?,
                };
                item_rows(&schema, list)
            };
            Box::new(rows) as _
        });
        let parameters = args.parameters(&[(1, data_type.clone()), (2, DataType::Int64)]);
        Ok(Arc::new(FunctionTable { function, schema, parameters, answer }))
    }
}
