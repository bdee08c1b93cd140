//! Parameters of prepared statements: their types, and their values.

use crate::engine::{edge, errors};
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan};
use sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, Query, TableFactor, Value, VisitMut, VisitorMut};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use weir_functions::FunctionTable;

/// The fields of `$1..$n`, named by their numbers; a parameter whose type nothing tells is text.
pub fn schema(plan: &LogicalPlan, n_parameters: usize) -> Result<SchemaRef> {
    let types = types(plan)?;
    let fields: Vec<Field> = (1..=n_parameters)
        .map(|number| {
            let data_type = types.get(&number).map_or(DataType::Utf8, edge::edge_type);
            Field::new(number.to_string(), data_type, true)
        })
        .collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// Types by number, as comparisons, casts and the engine tell them.
fn types(plan: &LogicalPlan) -> Result<HashMap<usize, DataType>> {
    let mut types = HashMap::new();
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Placeholder(placeholder) => {
                        if let (Some(number), Some(field)) = (number(&placeholder.id), &placeholder.field) {
                            types.entry(number).or_insert_with(|| field.data_type().clone());
                        }
                    }
                    Expr::Cast(cast) => {
                        if let Expr::Placeholder(placeholder) = cast.expr.as_ref()
                            && let Some(number) = number(&placeholder.id)
                        {
                            types.insert(number, cast.field.data_type().clone());
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(errors::from_datafusion)?;
    // Arguments of table functions are not in the plan.
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(table) = provider.downcast_ref::<FunctionTable>()
        {
            for (number, data_type) in table.parameters() {
                types.entry(*number).or_insert_with(|| data_type.clone());
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(errors::from_datafusion)?;
    // LIMIT and OFFSET take whole numbers.
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::Limit(limit) = plan {
            for expr in [&limit.skip, &limit.fetch].into_iter().flatten() {
                if let Expr::Placeholder(placeholder) = expr.as_ref()
                    && let Some(number) = number(&placeholder.id)
                {
                    types.insert(number, DataType::Int64);
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(errors::from_datafusion)?;
    Ok(types)
}

fn number(id: &str) -> Option<usize> {
    id.strip_prefix('$')?.parse().ok()
}

/// The values of the one bound row, in order.
///
/// A value whose parameter has a known type is cast to it; one that does not fit is refused.
pub fn values(bound: Option<&RecordBatch>, declared: &Schema, n_parameters: usize) -> Result<Vec<ScalarValue>> {
    let n_bound = bound.map_or(0, RecordBatch::num_columns);
    if n_bound != n_parameters {
        return Err(Error::new(Code::InvalidParameter, format!("the statement has {n_parameters} parameters, {n_bound} are bound")));
    }
    let Some(batch) = bound.filter(|_| n_parameters > 0) else { return Ok(Vec::new()) };
    if batch.num_rows() != 1 {
        return Err(Error::new(Code::InvalidParameter, format!("{} rows of parameters are bound, one is needed", batch.num_rows())));
    }
    batch
        .columns()
        .iter()
        .enumerate()
        .map(|(idx, column)| {
            let target = declared.fields().get(idx).map_or(column.data_type(), |field| field.data_type());
            // Nothing told the type: the client's own stands.
            let target = if target == &DataType::Utf8 { column.data_type() } else { target };
            let options = CastOptions { safe: false, ..CastOptions::default() };
            let read = cast_with_options(column, target, &options).map_err(|error| {
                Error::new(Code::InvalidValue, format!("parameter {} cannot be read as {}", idx + 1, super::types::sql_name(target)))
                    .detail(format!("{error}."))
            })?;
            // `id = ?` with 2.5 must find nothing rather than 2: a value that would lose something stays, as a literal would.
            let column = if is_lossy(column, &read) { column } else { &read };
            ScalarValue::try_from_array(column, 0).map_err(errors::from_datafusion)
        })
        .collect()
}

/// True when a number or a time lost something on its way to another type.
fn is_lossy(original: &ArrayRef, read: &ArrayRef) -> bool {
    let source = original.data_type();
    (source.is_numeric() || source.is_temporal())
        && cast_with_options(read, source, &CastOptions { safe: false, ..CastOptions::default() }).map_or(true, |back| &back != original)
}

/// Puts values into the arguments of table functions: those are needed while planning.
pub fn into_table_functions(query: &mut Query, values: &[ScalarValue]) -> Result<()> {
    struct Arguments<'a>(&'a [ScalarValue]);
    impl VisitorMut for Arguments<'_> {
        type Break = Error;
        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
            let arguments = match factor {
                TableFactor::Table { args: Some(args), .. } => &mut args.args,
                TableFactor::Function { args, .. } => args,
                _ => return ControlFlow::Continue(()),
            };
            for argument in arguments {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                    expr.visit(&mut Placeholders(self.0))?;
                }
            }
            ControlFlow::Continue(())
        }
    }
    /// Also inside a cast, or a list.
    struct Placeholders<'a>(&'a [ScalarValue]);
    impl VisitorMut for Placeholders<'_> {
        type Break = Error;
        fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<Error> {
            if let SqlExpr::Value(value) = expr
                && let Value::Placeholder(id) = &value.value
                && let Some(scalar) = number(id).and_then(|number| self.0.get(number.checked_sub(1)?))
            {
                match literal(scalar) {
                    Ok(literal) => *expr = literal,
                    Err(error) => return ControlFlow::Break(error),
                }
            }
            ControlFlow::Continue(())
        }
    }
    match query.visit(&mut Arguments(values)) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn literal(scalar: &ScalarValue) -> Result<SqlExpr> {
    let elements: Option<ArrayRef> = match scalar {
        _ if scalar.is_null() => None,
        ScalarValue::List(lists) => Some(lists.value(0)),
        ScalarValue::LargeList(lists) => Some(lists.value(0)),
        ScalarValue::FixedSizeList(lists) => Some(lists.value(0)),
        _ => None,
    };
    if let Some(elements) = elements {
        let scalars = (0..elements.len()).map(|place| ScalarValue::try_from_array(&elements, place).map_err(errors::from_datafusion));
        let elem = scalars.map(|scalar| literal(&scalar?)).collect::<Result<_>>()?;
        return Ok(SqlExpr::Array(sqlparser::ast::Array { elem, named: false }));
    }
    Ok(SqlExpr::value(match scalar {
        _ if scalar.is_null() => Value::Null,
        ScalarValue::Boolean(Some(flag)) => Value::Boolean(*flag),
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Value::SingleQuotedString(text.clone())
        }
        other if other.data_type().is_numeric() => Value::Number(other.to_string(), false),
        other => {
            return Err(Error::new(
                Code::InvalidParameter,
                format!("a table function cannot take a parameter of type {}", super::types::sql_name(&other.data_type())),
            ));
        }
    }))
}
