//! Rewrites expressions over the table's columns into expressions over one file's columns.

use super::conform::{ConformExpr, Fit, fit};
use crate::error::{Code, Error, Result};
use crate::tables::hive::column::sql_type;
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

/// Matches columns by name, exactly first, then without regard to case; a missing one is NULL, a type that
/// cannot be read as the declared one without loss is an error.
#[derive(Debug)]
pub(in crate::tables::hive) struct HiveAdapterFactory;

impl PhysicalExprAdapterFactory for HiveAdapterFactory {
    fn create(&self, logical_file_schema: SchemaRef, physical_file_schema: SchemaRef) -> PlanResult<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(HiveAdapter { declared: logical_file_schema, found: physical_file_schema }))
    }
}

#[derive(Debug)]
struct HiveAdapter {
    declared: SchemaRef,
    found: SchemaRef,
}

impl PhysicalExprAdapter for HiveAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> PlanResult<Arc<dyn PhysicalExpr>> {
        expr.transform(|expr| match expr.downcast_ref::<Column>() {
            Some(column) => Ok(Transformed::yes(self.column(column, &expr)?)),
            None => Ok(Transformed::no(expr)),
        })
        .data()
    }
}

impl HiveAdapter {
    fn column(&self, column: &Column, expr: &Arc<dyn PhysicalExpr>) -> PlanResult<Arc<dyn PhysicalExpr>> {
        let Ok(declared) = self.declared.field_with_name(column.name()) else {
            // Not a column of the table: an expression of the engine's own over the file.
            return Ok(Arc::clone(expr));
        };
        let names = self.found.fields().iter().map(|field| field.name().as_str());
        let Some(found_idx) = find_name(column.name(), names)? else {
            return Ok(Arc::new(Literal::new(ScalarValue::try_from(declared.data_type())?)));
        };
        let found = self.found.field(found_idx);
        let read = Arc::new(Column::new(found.name(), found_idx)) as Arc<dyn PhysicalExpr>;
        Ok(match fit(found.data_type(), declared.data_type())? {
            Fit::Same => read,
            // A plain cast is what statistics can be pruned through.
            Fit::Cast => {
                let target = Field::new(declared.name(), declared.data_type().clone(), true);
                Arc::new(CastExpr::new_with_target_field(read, Arc::new(target), None))
            }
            Fit::Nested => Arc::new(ConformExpr::new(read, Arc::new(declared.clone()))),
            Fit::No => {
                return Err(Error::new(
                    Code::InvalidStatement,
                    format!(
                        "column \"{}\" is declared as {} and stored as {}",
                        declared.name(),
                        sql_type(declared.data_type()),
                        sql_type(found.data_type())
                    ),
                )
                .hint("Declare the column with the type of the file.")
                .into());
            }
        })
    }
}

/// The place of a name among others: exactly first, then without regard to case; two of the latter are an error.
pub(super) fn find_name<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Result<Option<usize>> {
    let lower = wanted.to_lowercase();
    let mut near = None;
    let mut ambiguous = false;
    for (idx, name) in names.enumerate() {
        if name == wanted {
            return Ok(Some(idx));
        }
        if name.to_lowercase() == lower {
            ambiguous |= near.is_some();
            near = near.or(Some(idx));
        }
    }
    if ambiguous {
        return Err(Error::new(
            Code::InvalidStatement,
            format!("column \"{wanted}\" is ambiguous: several columns of the file have this name in another case"),
        )
        .hint("Declare the column in the exact case of the file."));
    }
    Ok(near)
}
