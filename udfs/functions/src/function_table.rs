//! Table functions: their arguments, and their answer as a table.

use crate::model::model_name;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::Placeholder;
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
    /// A parameter that has no value yet, `$n`.
    Parameter(Option<usize>),
}

impl Arguments {
    /// Takes literals and parameters, as many as `usage` says there may be; `instead` is said of a column.
    pub fn new(function: &'static str, exprs: &[Expr], n: std::ops::RangeInclusive<usize>, usage: &str, instead: &str) -> Result<Self> {
        if !n.contains(&exprs.len()) {
            return plan_err!("{function} takes {usage}; {} given", exprs.len());
        }
        let argument = |expr: &Expr| match expr {
            Expr::Literal(value, _) => Ok(Argument::Value(value.clone())),
            Expr::Placeholder(placeholder) => Ok(Argument::Parameter(number(placeholder))),
            // Its type is that of the cast.
            Expr::Cast(cast) if matches!(*cast.expr, Expr::Placeholder(_)) => Ok(Argument::Parameter(None)),
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
            Some(Argument::Parameter(_)) => Ok(None),
            None => Ok(default),
        }
    }

    /// The parameters among these arguments, given as place and type.
    pub fn parameters(&self, types: &[(usize, DataType)]) -> Parameters {
        let number = |place: usize| match self.arguments.get(place) {
            Some(Argument::Parameter(number)) => *number,
            _ => None,
        };
        types.iter().filter_map(|(place, data_type)| Some((number(*place)?, data_type.clone()))).collect()
    }
}

/// The `n` of `$n`.
pub(crate) fn number(placeholder: &Placeholder) -> Option<usize> {
    placeholder.id.strip_prefix('$')?.parse().ok()
}

/// Number and type of parameters: they are not in the plan, for they are needed to make it.
pub(crate) type Parameters = Vec<(usize, DataType)>;

/// Makes the rows of a call whose arguments are all known.
pub(crate) type Answer = Box<dyn Fn() -> Result<RecordBatch> + Send + Sync>;

/// The answer of one call as a table.
pub struct FunctionTable {
    pub(crate) function: &'static str,
    pub(crate) schema: SchemaRef,
    pub(crate) parameters: Parameters,
    /// `None` while a parameter has no value: good for a schema, not for rows.
    pub(crate) answer: Option<Answer>,
}

impl FunctionTable {
    /// Number and type of the parameters that are arguments of the call.
    pub fn parameters(&self) -> &[(usize, DataType)] {
        &self.parameters
    }
}

impl fmt::Debug for FunctionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionTable").field("function", &self.function).field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for FunctionTable {
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
