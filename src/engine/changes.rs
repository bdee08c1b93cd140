//! DELETE, UPDATE and TRUNCATE of managed tables.
//!
//! Which rows, and their new values, is a query over the table with the place of each row beside it: WHERE means
//! exactly what it means in a SELECT, with sub-queries, views and NULL. The table writes the files of these places again.

use crate::catalog::{Table, TableKind};
use crate::engine::dispatch::Call;
use crate::engine::execute::Runnable;
use crate::engine::planning::{Planning, TARGET};
use crate::engine::session::Session;
use crate::engine::{dml, errors, parameters, providers, types};
use crate::error::{Code, Error, Result};
use crate::parser::{Delete, ObjectName, QueryStatement, Update};
use crate::tables::managed::{FILE_COLUMN, ROW_COLUMN};
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use futures::future::BoxFuture;
use sqlparser::ast::{Expr, Ident, ObjectNamePart, SelectItem, SetExpr, TableAlias, TableFactor};
use std::sync::Arc;

/// How often a statement is run again because its files were changed meanwhile.
const ATTEMPTS_MAX: usize = 10;

/// A statement that changes rows.
#[derive(Debug, Clone)]
struct RowChange {
    operation: &'static str,
    table: ObjectName,
    /// The columns that get new values, in the order of the query's columns; empty for DELETE.
    columns: Vec<String>,
    source: QueryStatement,
}

impl From<&Delete> for RowChange {
    fn from(delete: &Delete) -> Self {
        Self { operation: "DELETE", table: delete.table.clone(), columns: Vec::new(), source: delete.source.clone() }
    }
}

impl From<&Update> for RowChange {
    fn from(update: &Update) -> Self {
        Self { operation: "UPDATE", table: update.table.clone(), columns: update.columns.clone(), source: update.source.clone() }
    }
}

/// Runs a DELETE and returns the rows deleted.
pub async fn delete(call: &Call<'_>, delete: &Delete, values: &[ScalarValue]) -> Result<i64> {
    change(call, delete.into(), values).await
}

/// Runs an UPDATE and returns the rows changed.
pub async fn update(call: &Call<'_>, update: &Update, values: &[ScalarValue]) -> Result<i64> {
    change(call, update.into(), values).await
}

/// The parameters of a DELETE; nothing runs.
pub async fn describe_delete(session: &Session, delete: &Delete) -> Result<SchemaRef> {
    describe(session, delete.into()).await
}

/// The parameters of an UPDATE; nothing runs.
pub async fn describe_update(session: &Session, update: &Update) -> Result<SchemaRef> {
    describe(session, update.into()).await
}

fn describe<'a>(session: &'a Session, change: RowChange) -> BoxFuture<'a, Result<SchemaRef>> {
    Box::pin(async move {
        let planning = session.planning();
        let table = target(&planning, &change.table, change.operation)?;
        let statement = query(&table, &change)?;
        let plan = session.engine().planning_threads().run(async move {
            let managed = providers::managed(planning.engine(), &table).await?;
            let pin = managed.pin();
            let planning = planning.changing(&table.key(), managed.snapshot_of(&pin), managed.rows_with_places(&pin)?).await;
            parameters::schema(&planning.query(&statement, None).await?, statement.n_parameters)
        });
        plan.await
    })
}

fn change<'a>(call: &'a Call<'a>, change: RowChange, values: &'a [ScalarValue]) -> BoxFuture<'a, Result<i64>> {
    Box::pin(async move {
        let mut attempt = 1;
        loop {
            match attempt_change(call, &change, values).await {
                // Nothing was changed: the same question to the newest version.
                Err(error) if error.code == Code::Conflict && attempt < ATTEMPTS_MAX => attempt += 1,
                result => return result,
            }
        }
    })
}

fn attempt_change<'a>(call: &'a Call<'_>, change: &'a RowChange, values: &'a [ScalarValue]) -> BoxFuture<'a, Result<i64>> {
    Box::pin(async move {
        let planning = call.planning();
        let table = target(&planning, &change.table, change.operation)?;
        let statement = query(&table, change)?;
        let (operation, is_update, values) = (change.operation, !change.columns.is_empty(), values.to_vec());
        let planned = call.session.engine().planning_threads().run(async move {
            let managed = providers::managed(planning.engine(), &table).await?;
            let pin = managed.pin();
            let rows = managed.rows_with_places(&pin)?;
            let wanted = is_update.then(|| rows.schema());
            let planning = planning.changing(&table.key(), managed.snapshot_of(&pin), rows).await;
            let mut plan = dml::bind(planning.query(&statement, Some(&values)).await?, &values)?;
            if let Some(schema) = wanted {
                plan = providers::fit(plan, &schema)?;
            }
            let input = planning.state().create_physical_plan(&plan).await.map_err(errors::from_datafusion)?;
            let physical = managed.change_plan(&pin, operation, input, planning.state())?;
            Ok(Runnable { planning, logical: None, physical })
        });
        dml::count(call, planned.await?).await
    })
}

/// Runs TRUNCATE: all rows go, also those that come meanwhile. Like PostgreSQL's it answers no count of rows: 0, as
/// definitions do.
pub fn truncate<'a>(call: &'a Call<'a>, name: &'a ObjectName) -> BoxFuture<'a, Result<i64>> {
    Box::pin(async move {
        let planning = call.planning();
        let table = target(&planning, name, "TRUNCATE")?;
        providers::managed(planning.engine(), &table).await?.truncate().await?;
        Ok(0)
    })
}

/// The table whose rows change.
fn target(planning: &Planning, name: &ObjectName, verb: &str) -> Result<Arc<Table>> {
    let table = dml::writable_table(planning, &name.0)?;
    dml::refuse_external_delta(&table)?;
    let full_name = providers::full_name(&table);
    match table.kind {
        TableKind::Managed => Ok(table),
        TableKind::External => Err(Error::new(Code::NotSupported, format!("{verb} of external table \"{full_name}\" is not supported"))
            .hint("INSERT OVERWRITE t SELECT .. FROM t writes it again with other rows.")),
        TableKind::Streaming => Err(dml::fed_by_source(&full_name)),
    }
}

/// The statement's query over [`TARGET`]: the new values in the table's columns, then the places of the rows.
fn query(table: &Table, change: &RowChange) -> Result<QueryStatement> {
    let mut statement = change.source.clone();
    let SetExpr::Select(select) = statement.query.body.as_mut() else { return Err(unexpected()) };
    let [from] = select.from.as_mut_slice() else { return Err(unexpected()) };
    let TableFactor::Table { name, alias, .. } = &mut from.relation else { return Err(unexpected()) };
    let written = change.table.0.last().cloned().unwrap_or_default();
    alias.get_or_insert_with(|| TableAlias { explicit: true, name: Ident::with_quote('"', written), columns: Vec::new(), at: None });
    name.0 = vec![ObjectNamePart::Identifier(Ident::new(TARGET))];
    let column = |name: &str| SelectItem::UnnamedExpr(Expr::Identifier(Ident::with_quote('"', name)));
    let given = std::mem::take(&mut select.projection);
    if !change.columns.is_empty() {
        select.projection = assignments(table, &change.columns, given)?;
    }
    select.projection.extend([column(FILE_COLUMN), column(ROW_COLUMN)]);
    Ok(statement)
}

/// All columns of the table, in order: those of SET as the query gives them, the others as they are.
fn assignments(table: &Table, columns: &[String], given: Vec<SelectItem>) -> Result<Vec<SelectItem>> {
    let schema = dml::target_schema(table)?;
    let mut values: Vec<Option<Expr>> = vec![None; schema.fields().len()];
    for (name, item) in columns.iter().zip(given) {
        let idx = dml::column_index(table, &schema, name)?;
        let SelectItem::UnnamedExpr(mut value) = item else { return Err(unexpected()) };
        if let Expr::Nested(inner) = value {
            value = *inner;
        }
        dml::type_value(&mut value, &types::sql_name(schema.field(idx).data_type()));
        if values[idx].replace(value).is_some() {
            return Err(Error::new(Code::DuplicateColumn, format!("column \"{name}\" is set twice")));
        }
    }
    let item = |(field, value): (&FieldRef, Option<Expr>)| {
        let name = Ident::with_quote('"', field.name());
        match value {
            Some(expr) => SelectItem::ExprWithAlias { expr, alias: name },
            None => SelectItem::UnnamedExpr(Expr::Identifier(name)),
        }
    };
    Ok(schema.fields().iter().zip(values).map(item).collect())
}

fn unexpected() -> Error {
    Error::internal("a statement that changes rows is not the query that the parser makes")
}
