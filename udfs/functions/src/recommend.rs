//! `recommend('model', user, k [, exclude_seen])`: the best items of one user, as a table.

use crate::model::{ModelLookup, Recommender, check_exclude_seen, check_id_type, check_k, model_name};
use arrow::array::{ArrayRef, Float64Array, Int64Array, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

const NAME: &str = "recommend";

/// The table function: looks the model up when planning.
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
        let args = args.exprs();
        if !(3..=4).contains(&args.len()) {
            return plan_err!(
                "{NAME} takes a model's name, a user, the number of items, and optionally exclude_seen; {} given",
                args.len()
            );
        }
        let args: Vec<Argument> = args.iter().map(Argument::new).collect::<Result<_>>()?;
        let Argument::Value(name) = &args[0] else {
            return plan_err!("the first argument of {NAME} must be a model's name in quotes, not a parameter: it decides the columns");
        };
        let name = model_name(NAME, Some(name))?;
        let model = self.lookup.recommender(name)?;
        let (user_column, user_type) = model.user_column();
        // What is known now is checked now: `prepare` answers with the error, not the first execution.
        if let Argument::Value(user) = &args[1] {
            check_id_type(user_column, user_type, &user.data_type())?;
        }
        let k = args[2].map(|k| check_k(NAME, k))?;
        let exclude_seen = match args.get(3) {
            Some(flag) => flag.map(|flag| check_exclude_seen(NAME, flag))?,
            None => Some(true),
        };
        let user = args[1].map(|user| Ok(user.clone()))?;
        let call = user.zip(k).zip(exclude_seen).map(|((user, k), exclude_seen)| Call { user, k, exclude_seen });
        Ok(Arc::new(RecommendTable { schema: schema(model.as_ref()), model, call }))
    }
}

/// An argument as it arrives when planning.
enum Argument {
    Value(ScalarValue),
    /// A parameter that has no value yet.
    Parameter,
}

impl Argument {
    fn new(expr: &Expr) -> Result<Self> {
        match expr {
            Expr::Literal(value, _) => Ok(Self::Value(value.clone())),
            Expr::Placeholder(_) => Ok(Self::Parameter),
            Expr::Cast(cast) if matches!(*cast.expr, Expr::Placeholder(_)) => Ok(Self::Parameter),
            column => plan_err!(
                "the arguments of {NAME} must be literals or parameters, not {column}. To recommend for the users of a table, \
                 select unnest(recommend_items('model', user_column, k)) from it"
            ),
        }
    }

    /// What `read` makes of the value; `None` for a parameter without one.
    fn map<T>(&self, read: impl FnOnce(&ScalarValue) -> Result<T>) -> Result<Option<T>> {
        match self {
            Self::Value(value) => read(value).map(Some),
            Self::Parameter => Ok(None),
        }
    }
}

/// The columns of the result: the item under its own name, its score and its rank from 1.
fn schema(model: &dyn Recommender) -> SchemaRef {
    let (item_column, item_type) = model.item_column();
    Arc::new(Schema::new(vec![
        Field::new(item_column, item_type.clone(), true),
        Field::new("score", DataType::Float64, true),
        Field::new("rank", DataType::Int64, true),
    ]))
}

/// A call whose arguments are all known.
#[derive(Debug)]
struct Call {
    user: ScalarValue,
    k: usize,
    exclude_seen: bool,
}

/// The recommendations of one call as a table.
#[derive(Debug)]
struct RecommendTable {
    schema: SchemaRef,
    model: Arc<dyn Recommender>,
    /// `None` while a parameter has no value: good for a schema, not for rows.
    call: Option<Call>,
}

impl RecommendTable {
    fn rows(&self, call: &Call) -> Result<RecordBatch> {
        // NULL is no user, known or unknown: it has no recommendations.
        let list = if call.user.is_null() { Vec::new() } else { self.model.recommend(&call.user, call.k, call.exclude_seen)? };
        let scores: Float64Array = list.iter().map(|scored| Some(scored.score)).collect();
        let ranks: Int64Array = list.iter().map(|scored| Some(scored.rank)).collect();
        let items: ArrayRef = if list.is_empty() {
            new_empty_array(self.model.item_column().1)
        } else {
            ScalarValue::iter_to_array(list.into_iter().map(|scored| scored.item))?
        };
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), vec![items, Arc::new(scores), Arc::new(ranks)])?)
    }
}

#[async_trait]
impl TableProvider for RecommendTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(call) = &self.call else {
            return plan_err!("a parameter of {NAME} has no value");
        };
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![vec![self.rows(call)?]])?;
        table.scan(state, projection, filters, limit).await
    }
}
