//! SQL type names and Arrow types.
//!
//! [`arrow_type`] reads the type names of Hive, Spark, PostgreSQL, MySQL, BigQuery and ODBC; [`sql_name`] writes the one
//! name that [`parse`] turns back into the same type. Clients see [`client_name`] (Flight SQL metadata) and
//! [`postgres_name`] (`information_schema`).

mod from_sql;
mod names;
#[cfg(test)]
mod tests;

pub use from_sql::{arrow_type, parse};
pub use names::{client_name, postgres_name, precision, scale, sql_name};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;

/// The type a table column gets for a type that a query or a file has: the one that survives [`sql_name`] and [`parse`].
pub fn column_type(data_type: &DataType) -> DataType {
    // Every name that `sql_name` writes can be read again (a test walks the types).
    parse(&sql_name(data_type)).unwrap_or_else(|_| data_type.clone())
}

/// Lets the query planner read every type name that DDL reads, in casts and typed literals.
#[derive(Debug, Default)]
pub struct WeirTypePlanner;

impl TypePlanner for WeirTypePlanner {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>, DataFusionError> {
        let data_type = arrow_type(sql_type)?;
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}
