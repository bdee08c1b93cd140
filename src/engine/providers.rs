//! From the catalog's definition of a table to its provider.

use crate::catalog::{Column, Table, TableKind};
use crate::engine::planning_threads::wait_outside;
use crate::engine::settings::StreamReading;
use crate::engine::{Engine, errors, places, types};
use crate::error::{Code, Error, Result};
use crate::storage::{Access, Location};
use crate::tables::hive::{Format, HiveTable, HiveTableDef};
use crate::tables::managed::{DeltaVersion, ManagedTable};
use crate::tables::streaming::{Cursor, DeadLetterTable, NewRows, StreamSnapshot};
use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::execution::session_state::SessionState;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table as it is now; for a managed one, its newest snapshot; for a streaming one, what `reading` says.
pub fn provider<'a>(
    engine: &'a Engine,
    table: &'a Table,
    file_column: bool,
    reading: StreamReading,
) -> BoxFuture<'a, Result<Arc<dyn TableProvider>>> {
    Box::pin(async move {
        match table.kind {
            TableKind::External if table.is_external_delta() => Ok(delta(engine, table).await?.snapshot()),
            TableKind::External => {
                let table = hive(engine, table)?;
                let table: Arc<dyn TableProvider> = if file_column { Arc::new(table.with_file_column()) } else { Arc::new(table) };
                Ok(table)
            }
            TableKind::Managed => Ok(managed(engine, table).await?.snapshot()),
            TableKind::Streaming => {
                let stream = engine.stream_table(table).await?;
                // 'latest' waits for rows.
                let snapshot: Arc<dyn TableProvider> = wait_outside(stream.snapshot(reading.read, reading.timeout)).await?;
                Ok(snapshot)
            }
        }
    })
}

/// The records of a streaming table that could not be decoded, at the same moment as the rows of `provider`.
pub fn dead_letters(provider: &dyn TableProvider, table: &Table) -> Result<Arc<dyn TableProvider>> {
    match (provider as &dyn std::any::Any).downcast_ref::<StreamSnapshot>() {
        Some(snapshot) => Ok(Arc::new(DeadLetterTable::of(snapshot))),
        None => Err(Error::new(Code::WrongObject, format!("table \"{}\" is not a streaming table", full_name(table)))
            .hint("Only streaming tables have dead letters.")),
    }
}

/// Where a reader stands who has had the rows of this provider; `None` for what is no streaming table.
pub fn cursor(provider: &dyn TableProvider) -> Option<Cursor> {
    let provider: &dyn std::any::Any = provider;
    let snapshot = provider.downcast_ref::<StreamSnapshot>().map(Cursor::at);
    snapshot.or_else(|| provider.downcast_ref::<NewRows>().map(NewRows::end))
}

/// What is new in a streaming table; other tables are as they are.
pub fn since(provider: Arc<dyn TableProvider>, table: &Table, cursors: &BTreeMap<String, Cursor>) -> Result<Arc<dyn TableProvider>> {
    let any: Arc<dyn std::any::Any + Send + Sync> = Arc::clone(&provider) as _;
    let Ok(snapshot) = any.downcast::<StreamSnapshot>() else { return Ok(provider) };
    match cursors.get(&table.id) {
        Some(cursor) => Ok(Arc::new(NewRows::new(snapshot, cursor.clone()))),
        None => Err(Error::new(Code::WrongObject, format!("streaming table \"{}\" was not read before", full_name(table)))
            .detail("A view or a table of the query is another one now.")),
    }
}

/// The Hive table behind an external table's definition.
pub fn hive(engine: &Engine, table: &Table) -> Result<HiveTable> {
    let owner = full_name(table);
    let location = engine.storage().location(&table.location, Access::Read)?;
    let mut partition_locations = BTreeMap::new();
    for (partition, text) in &table.partition_locations {
        partition_locations.insert(partition.clone(), engine.storage().location(text, Access::Read)?);
    }
    let def = HiveTableDef {
        format: Format::parse(&table.format, &format!("table \"{owner}\""), format_options(table))?,
        name: owner,
        location,
        schema: schema(&table.columns)?,
        partition_columns: fields(&table.partition_columns)?,
        partition_locations,
    };
    Ok(HiveTable::new(def, Arc::clone(engine.storage())))
}

/// The open managed table behind a definition.
pub fn managed<'a>(engine: &'a Engine, table: &'a Table) -> BoxFuture<'a, Result<Arc<ManagedTable>>> {
    Box::pin(async move { engine.managed().open(&table.id, &full_name(table), &places::of(engine, table)?).await })
}

/// The newest version of another program's Delta table.
pub fn delta<'a>(engine: &'a Engine, table: &'a Table) -> BoxFuture<'a, Result<DeltaVersion>> {
    Box::pin(async move { engine.delta().newest(&table.id, &full_name(table), &table.location).await })
}

/// A file or directory named in a query: the format by its ending, the columns by its contents.
pub async fn file(engine: &Engine, state: &SessionState, path: &str, file_column: bool) -> Result<Arc<dyn TableProvider>> {
    let location = engine.storage().location(path, Access::Read)?;
    let kind = kind_of_file(engine, &location).await?;
    let format = Format::parse(kind, &format!("file \"{path}\""), Vec::new())?;
    let (schema, partition_columns) = HiveTable::infer(state, engine.storage(), path, &location, &format).await?;
    let def = HiveTableDef { name: path.to_owned(), location, schema, partition_columns, format, partition_locations: BTreeMap::new() };
    let table = HiveTable::new(def, Arc::clone(engine.storage()));
    Ok(if file_column { Arc::new(table.with_file_column()) } else { Arc::new(table) })
}

/// The format that a file's ending tells, `.gz` and the like set aside.
pub fn kind_of_ending(path: &str) -> Option<&'static str> {
    let path = path.to_lowercase();
    let path = [".gz", ".zst", ".bz2"].iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(&path);
    let (_, ending) = path.rsplit_once('.')?;
    match ending {
        "parquet" | "parq" => Some("PARQUET"),
        "csv" | "tsv" => Some("CSV"),
        "json" | "jsonl" | "ndjson" => Some("JSON"),
        "txt" | "text" => Some("TEXTFILE"),
        _ => None,
    }
}

async fn kind_of_file(engine: &Engine, location: &Location) -> Result<&'static str> {
    if let Some(kind) = kind_of_ending(&location.text) {
        return Ok(kind);
    }
    let unknown = || {
        Error::new(Code::InvalidStatement, format!("cannot tell the format of \"{}\" from its ending", location.text))
            .hint("Use an ending such as .parquet, .csv or .json, or CREATE EXTERNAL TABLE .. STORED AS.")
    };
    let files = engine.storage().list(location).await?;
    match files.iter().find_map(|file| kind_of_ending(&file.relative)) {
        Some(kind) => Ok(kind),
        None if files.is_empty() => Err(Error::new(Code::Io, format!("there is no file at \"{}\"", location.text))),
        None => Err(unknown()),
    }
}

/// Option keys for [`Format::parse`]: OPTIONS and ROW FORMAT, and the table properties that a format knows.
pub fn format_options(table: &Table) -> Vec<(String, String)> {
    let known = |key: &str| crate::tables::hive::PROPERTY_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
    table.options.iter().chain(table.properties.iter().filter(|(key, _)| known(key))).cloned().collect()
}

/// `database.table` as written.
pub fn full_name(table: &Table) -> String {
    format!("{}.{}", table.database, table.name)
}

/// The Arrow schema of declared columns.
pub fn schema(columns: &[Column]) -> Result<SchemaRef> {
    Ok(Arc::new(Schema::new(fields(columns)?)))
}

fn fields(columns: &[Column]) -> Result<Vec<FieldRef>> {
    columns
        .iter()
        .map(|column| {
            let data_type = types::arrow_type(&crate::parser::parse_type(&column.sql_type)?)?;
            Ok(Arc::new(Field::new(&column.name, data_type, column.nullable)))
        })
        .collect()
}

/// Columns for the catalog from an Arrow schema.
pub fn columns(schema: &Schema) -> Vec<Column> {
    schema
        .fields()
        .iter()
        .map(|field| Column {
            name: field.name().clone(),
            sql_type: types::sql_name(field.data_type()),
            nullable: field.is_nullable(),
            comment: None,
        })
        .collect()
}

/// A plan's rows as the columns of a table: cast by position to the table's types and names.
///
/// `values that do not fit` are errors while it runs, never NULLs.
pub fn fit(plan: datafusion::logical_expr::LogicalPlan, schema: &Schema) -> Result<datafusion::logical_expr::LogicalPlan> {
    use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlanBuilder};
    let columns = plan.schema().columns();
    let projection = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            let expr = Expr::Column(column).cast_to(field.data_type(), plan.schema()).map_err(|error| {
                let inner = errors::from_datafusion(error);
                Error::new(Code::InvalidStatement, format!("column \"{}\" cannot take the values: {}", field.name(), inner.message))
            })?;
            Ok(expr.alias(field.name()))
        })
        .collect::<Result<Vec<_>>>()?;
    LogicalPlanBuilder::from(plan).project(projection).and_then(LogicalPlanBuilder::build).map_err(errors::from_datafusion)
}
