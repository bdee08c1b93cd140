//! `generate_series` and `range` in FROM, with a limit on the rows.

use crate::function_table::{FunctionTable, number};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_table::generate_series::{GenerateSeriesFunc, RangeFunc};
use datafusion::logical_expr::Expr;
use std::sync::Arc;

/// The most rows that one call makes.
pub const SERIES_ROWS_MAX: u64 = 100_000_000;

/// The table functions to register, by name.
pub fn table_functions() -> Vec<(&'static str, Arc<dyn TableFunctionImpl>)> {
    vec![
        ("generate_series", Arc::new(Series { name: "generate_series", inner: Arc::new(GenerateSeriesFunc {}) })),
        ("range", Arc::new(Series { name: "range", inner: Arc::new(RangeFunc {}) })),
    ]
}

#[derive(Debug)]
struct Series {
    name: &'static str,
    inner: Arc<dyn TableFunctionImpl>,
}

impl TableFunctionImpl for Series {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let number = |expr: &Expr| match expr {
            Expr::Literal(ScalarValue::Int64(value), _) => *value,
            _ => None,
        };
        let numbers: Option<Vec<i64>> = args.exprs().iter().map(number).collect();
        let rows = match numbers.as_deref() {
            Some([end]) => end.unsigned_abs(),
            Some([start, end]) => end.abs_diff(*start),
            Some([start, end, step]) => end.abs_diff(*start) / step.unsigned_abs().max(1),
            // Dates, timestamps and NULL: the engine checks them, and a statement has a timeout.
            _ => 0,
        };
        if rows > SERIES_ROWS_MAX {
            return plan_err!("{} would make {rows} rows, the limit is {SERIES_ROWS_MAX}", self.name);
        }
        match self.with_parameters(args.exprs()) {
            Some(table) => Ok(Arc::new(table)),
            None => self.inner.call_with_args(args),
        }
    }
}

impl Series {
    /// The columns of a call with parameters that have no value yet; `None` when all arguments are known.
    fn with_parameters(&self, exprs: &[Expr]) -> Option<FunctionTable> {
        let is_parameter = |expr: &&Expr| match expr {
            Expr::Cast(cast) => matches!(*cast.expr, Expr::Placeholder(_)),
            expr => matches!(expr, Expr::Placeholder(_)),
        };
        exprs.iter().find(is_parameter)?;
        // Of the type of the start; whole numbers when nothing tells it.
        let data_type = match exprs.first()? {
            Expr::Literal(value, _) if value.data_type().is_temporal() => value.data_type(),
            Expr::Cast(cast) if cast.field.data_type().is_temporal() => cast.field.data_type().clone(),
            _ => DataType::Int64,
        };
        let parameters = exprs.iter().enumerate().filter_map(|(place, expr)| match expr {
            // A step between times is an interval, which has no literal among parameters.
            Expr::Placeholder(placeholder) if place < 2 || data_type == DataType::Int64 => Some((number(placeholder)?, data_type.clone())),
            _ => None,
        });
        let parameters: Vec<_> = parameters.collect();
        // Days make timestamps: the step may be hours.
        let value_type = if data_type == DataType::Date32 { DataType::Timestamp(TimeUnit::Nanosecond, None) } else { data_type };
        let schema = Arc::new(Schema::new(vec![Field::new("value", value_type, false)]));
        Some(FunctionTable { function: self.name, schema, parameters, answer: None })
    }
}
