//! SQL functions of weir over models, text and time.
//!
//! One file per function or family, all listed in [`FUNCTIONS`]: the reference, SHOW FUNCTIONS and the tests are made
//! from that table. Models are reached only through [`ModelLookup`].

mod alias;
mod als_predict;
mod collect;
mod conditional;
mod date_add;
mod date_diff;
mod date_name;
mod date_part;
mod explain_recommendation;
mod function;
mod function_table;
mod interval;
mod limit;
pub mod model;
#[cfg(test)]
mod model_tests;
mod modulo;
mod octet_length;
mod odbc;
mod pattern;
mod recommend;
mod recommend_items;
mod regexp;
mod series;
mod session;
mod similar;
mod size;
#[cfg(test)]
mod tests;
mod text;
mod to_date;
mod unit;
mod unix_time;

pub use function::{Code, Function, Group};
pub use function_table::FunctionTable;
pub use interval::IntervalPlanner;
pub use limit::{BATCH_BYTES_MAX, VALUE_BYTES_MAX, check_constants};
pub use model::{Contribution, Given, ItemLists, ItemScore, ModelLookup, RecommendOptions, Recommender, model_functions};
pub use odbc::{DATE_FUNCTIONS, NUMERIC_FUNCTIONS, STRING_FUNCTIONS, SYSTEM_FUNCTIONS};
pub use series::{SERIES_ROWS_MAX, table_functions};
pub use session::session_functions;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use std::sync::Arc;

/// Every function that weir adds to the engine's, or limits.
pub static FUNCTIONS: &[&Function] = &[
    // Numbers
    &modulo::MODULO,
    &modulo::POSITIVE_MODULO,
    &alias::CEILING,
    &alias::SIGN,
    &alias::TRUNCATE,
    // Text
    &alias::CHAR,
    &text::INSERT,
    &alias::LCASE,
    &text::LOCATE,
    &alias::LPAD,
    &alias::MID,
    &octet_length::OCTET_LENGTH,
    &regexp::REGEXP_EXTRACT,
    &alias::REPEAT,
    &alias::REPLACE,
    &alias::RPAD,
    &text::SPACE,
    &alias::UCASE,
    // Time
    &date_add::ADD_MONTHS,
    &alias::CURDATE,
    &alias::CURTIME,
    &date_add::DATE_ADD,
    &date_diff::DATE_DIFF,
    &unix_time::DATE_FORMAT,
    &date_add::DATE_SUB,
    &date_part::DAY,
    &date_name::DAY_NAME,
    &date_part::DAY_OF_WEEK,
    &date_part::DAY_OF_YEAR,
    &unix_time::FROM_UNIXTIME,
    &date_part::HOUR,
    &interval::INTERVAL_MUL,
    &date_add::LAST_DAY,
    &date_part::MINUTE,
    &date_part::MONTH,
    &date_name::MONTH_NAME,
    &date_diff::MONTHS_BETWEEN,
    &date_part::QUARTER,
    &date_part::SECOND,
    &date_add::TIMESTAMP_ADD,
    &date_diff::TIMESTAMP_DIFF,
    &to_date::TO_DATE,
    &unix_time::UNIX_TIMESTAMP,
    &date_part::WEEK,
    &date_part::YEAR,
    // Conditions
    &conditional::IF,
    &conditional::IS_NOT_NULL,
    &conditional::IS_NULL,
    &alias::NVL,
    &alias::NVL2,
    // Arrays
    &alias::ARRAY_REPEAT,
    &alias::ARRAY_RESIZE,
    &alias::GENERATE_SERIES,
    &alias::RANGE,
    &size::SIZE,
    &regexp::SPLIT,
    // Aggregates
    &collect::COLLECT_LIST,
    &collect::COLLECT_SET,
    &alias::PERCENTILE_APPROX,
    &alias::STD,
    &alias::VARIANCE,
    // Session
    &session::CURRENT_CATALOG,
    &session::CURRENT_DATABASE,
    &session::CURRENT_USER,
];

/// Registers all functions that need no session and no models, and the planner of interval arithmetic.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in FUNCTIONS {
        if let Some(scalar) = function.scalar() {
            registry.register_udf(Arc::new(scalar))?;
        }
        if let Some(aggregate) = function.aggregate() {
            registry.register_udaf(Arc::new(aggregate))?;
        }
    }
    registry.register_expr_planner(Arc::new(IntervalPlanner))
}
