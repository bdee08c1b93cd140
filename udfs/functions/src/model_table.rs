//! Table functions over models: their arguments, and their answer as a table.

use crate::model::model_name;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use std::fmt;
use std::sync::Arc;

/// The arguments of a call, as they arrive when planning.
pub(crate) struct Arguments {
    function: &'static str,
    arguments: Vec<Argument>,
}

enum Argument {
    Value(ScalarValue),
    /// A parameter that has no value yet.
    Parameter,
}

impl Arguments {
    /// Takes literals and parameters, as many as `usage` says there may be; `instead` is said of a column.
    pub fn new(function: &'static str, exprs: &[Expr], n: std::ops::RangeInclusive<usize>, usage: &str, instead: &str) -> Result<Self> {
        if !n.contains(&exprs.len()) {
            return plan_err!("{function} takes {usage}; {} given", exprs.len());
        }
        let argument = |expr: &Expr| match expr {
            Expr::Literal(value, _) => Ok(Argument::Value(value.clone())),
            Expr::Placeholder(_) => Ok(Argument::Parameter),
            Expr::Cast(cast) if matches!(*cast.expr, Expr::Placeholder(_)) => Ok(Argument::Parameter),
            column => plan_err!("the arguments of {function} must be literals or parameters, not {column}{instead}"),
        };
        Ok(Self { function, arguments: exprs.iter().map(argument).collect::<Result<_>>()? })
    }

    /// The model's name, which must be there before any row is read: it decides the columns.
    pub fn model_name(&self) -> Result<&str> {
        let function = self.function;
        match self.arguments.first() {
            Some(Argument::Value(name)) => model_name(function, Some(name)),
            _ => plan_err!("the first argument of {function} must be a model's name in quotes, not a parameter: it decides the columns"),
        }
    }

    /// What `read` makes of an argument: what is known now is checked now, so that `prepare` answers with the error and
    /// not the first execution. `Ok(None)` for a parameter without a value, `default` for an argument that is not there.
    pub fn read<T>(&self, place: usize, default: Option<T>, read: impl FnOnce(&ScalarValue) -> Result<T>) -> Result<Option<T>> {
        match self.arguments.get(place) {
            Some(Argument::Value(value)) => read(value).map(Some),
            Some(Argument::Parameter) => Ok(None),
            None => Ok(default),
        }
    }
}

/// Makes the rows of a call whose arguments are all known.
pub(crate) type Answer = Box<dyn Fn() -> Result<RecordBatch> + Send + Sync>;

/// The answer of one call as a table.
pub(crate) struct ModelTable {
    pub function: &'static str,
    pub schema: SchemaRef,
    /// `None` while a parameter has no value: good for a schema, not for rows.
    pub answer: Option<Answer>,
}

impl fmt::Debug for ModelTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelTable").field("function", &self.function).field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for ModelTable {
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
        let Some(answer) = &self.answer else {
            return plan_err!("a parameter of {} has no value", self.function);
        };
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![vec![answer()?]])?;
        table.scan(state, projection, filters, limit).await
    }
}
