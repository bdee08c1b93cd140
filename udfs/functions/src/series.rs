//! `generate_series` and `range` in FROM, with a limit on the rows.

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
        self.inner.call_with_args(args)
    }
}
