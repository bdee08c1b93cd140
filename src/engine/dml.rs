//! INSERT, COPY TO and bulk ingest.

use crate::catalog::{ObjectKey, Table, TableKind};
use crate::engine::dispatch::Call;
use crate::engine::execute::{self, Runnable};
use crate::engine::planning::Planning;
use crate::engine::{IngestMode, ddl, errors, places, providers};
use crate::error::{Code, Error, Result};
use crate::parser::{CopyTo, Insert, PartitionValue};
use crate::storage::Access;
use crate::tables::WriteMode;
use crate::tables::hive::Format;
use datafusion::arrow::array::{Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::future::BoxFuture;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// Runs an INSERT and returns the rows written.
pub async fn insert(call: &Call<'_>, insert: &Insert, values: &[ScalarValue]) -> Result<i64> {
    let planning = call.planning();
    let table = writable_table(&planning, &insert.table.0)?;
    refuse_external_delta(&table)?;
    let insert = insert.clone();
    let values = values.to_vec();
    let runnable = call
        .session
        .engine()
        .planning_threads()
        .run(async move {
            let plan = source(&planning, &table, &insert, Some(&values)).await?;
            let plan = bind(plan, &values)?;
            let mode = write_mode(&planning, &table, &insert).await?;
            let input = planning.state().create_physical_plan(&plan).await.map_err(errors::from_datafusion)?;
            let physical = write_plan(&planning, &table, input, mode).await?;
            Ok(Runnable { planning, logical: None, physical })
        })
        .await?;
    count(call, runnable).await
}

/// The rows of an INSERT in the columns of its table. With `values: None` it is for a prepared schema.
pub async fn source(planning: &Planning, table: &Table, insert: &Insert, values: Option<&[ScalarValue]>) -> Result<LogicalPlan> {
    let target = target_schema(table)?;
    let fixed = fixed_partitions(planning, table, &insert.partition).await?;
    // The columns that the query gives, in its order.
    let given: Vec<usize> = if insert.columns.is_empty() {
        // All of them, without those that PARTITION fixes; with dynamic partitions they come last.
        (0..target.fields().len()).filter(|idx| !fixed.iter().any(|(fixed_idx, _)| fixed_idx == idx)).collect()
    } else {
        insert.columns.iter().map(|name| column_index(table, &target, name)).collect::<Result<_>>()?
    };
    let mut seen = vec![false; target.fields().len()];
    for idx in given.iter().chain(fixed.iter().map(|(idx, _)| idx)) {
        if std::mem::replace(&mut seen[*idx], true) {
            return Err(Error::new(Code::DuplicateColumn, format!("column \"{}\" is given twice", target.field(*idx).name())));
        }
    }
    let mut statement = insert.source.clone();
    let types: Vec<String> = given.iter().map(|idx| super::types::sql_name(target.field(*idx).data_type())).collect();
    type_values(&mut statement.query, &types);
    name_repeated(&mut statement.query.body);
    let plan = planning.query(&statement, values).await?;
    let n_given = plan.schema().fields().len();
    if n_given != given.len() {
        return Err(Error::new(
            Code::InvalidStatement,
            format!("INSERT into \"{}\" has {n_given} columns for {}", providers::full_name(table), given.len()),
        )
        .detail(format!(
            "The columns are: {}.",
            given.iter().map(|idx| target.field(*idx).name().as_str()).collect::<Vec<_>>().join(", ")
        )));
    }
    let sources = plan.schema().columns();
    let projection: Vec<Expr> = target
        .fields()
        .iter()
        .enumerate()
        .map(|(idx, field)| {
            let expr = match (given.iter().position(|given| *given == idx), fixed.iter().find(|(fixed_idx, _)| *fixed_idx == idx)) {
                (Some(position), _) => Expr::Column(sources[position].clone()),
                (None, Some((_, value))) => lit(value.clone()),
                (None, None) => lit(ScalarValue::Null),
            };
            expr.alias(field.name())
        })
        .collect();
    let plan = LogicalPlanBuilder::from(plan).project(projection).and_then(LogicalPlanBuilder::build).map_err(errors::from_datafusion)?;
    providers::fit(plan, &target)
}

/// Columns of a table in the order of INSERT: data columns, then a Hive table's partition columns.
pub fn target_schema(table: &Table) -> Result<SchemaRef> {
    let mut columns = table.columns.clone();
    if table.has_partition_directories() {
        columns.extend(table.partition_columns.iter().cloned());
    }
    providers::schema(&columns)
}

/// The position of a column by its name, exact first, then without regard to case.
pub fn column_index(table: &Table, schema: &Schema, name: &str) -> Result<usize> {
    let fields = schema.fields();
    fields
        .iter()
        .position(|field| field.name() == name)
        .or_else(|| fields.iter().position(|field| field.name().to_lowercase() == name.to_lowercase()))
        .ok_or_else(|| {
            let names = fields.iter().map(|field| field.name().as_str());
            Error::unknown(
                Code::UndefinedColumn,
                format!("table \"{}\" has no column \"{name}\"", providers::full_name(table)),
                name,
                names,
            )
        })
}

/// The values that PARTITION (k = v) fixes, by column index.
async fn fixed_partitions(planning: &Planning, table: &Table, partition: &[PartitionValue]) -> Result<Vec<(usize, ScalarValue)>> {
    let target = target_schema(table)?;
    let mut fixed = Vec::new();
    for entry in partition {
        let idx = column_index(table, &target, &entry.column)?;
        if !table.partition_columns.iter().any(|column| column.name.to_lowercase() == entry.column.to_lowercase()) {
            return Err(Error::new(
                Code::InvalidStatement,
                format!("\"{}\" is not a partition column of \"{}\"", entry.column, providers::full_name(table)),
            )
            .hint("PARTITION names the columns of PARTITIONED BY."));
        }
        if let Some(expr) = &entry.value {
            let value = constant(planning, expr)?;
            let value = value.cast_to(target.field(idx).data_type()).map_err(errors::from_datafusion)?;
            fixed.push((idx, value));
        }
    }
    Ok(fixed)
}

/// The value of a constant expression.
pub fn constant(planning: &Planning, expr: &sqlparser::ast::Expr) -> Result<ScalarValue> {
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::ColumnarValue;
    let schema = DFSchema::empty();
    let not_constant = || Error::new(Code::InvalidStatement, format!("\"{expr}\" is not a constant"));
    let logical = planning.state().create_logical_expr(&expr.to_string(), &schema).map_err(|_| not_constant())?;
    let physical = planning.state().create_physical_expr(logical, &schema).map_err(errors::from_datafusion)?;
    let batch =
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &RecordBatchOptions::new().with_row_count(Some(1)))
            .map_err(errors::from_arrow)?;
    match physical.evaluate(&batch).map_err(errors::from_datafusion)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0).map_err(errors::from_datafusion),
    }
}

async fn write_mode(planning: &Planning, table: &Table, insert: &Insert) -> Result<WriteMode> {
    if !insert.overwrite {
        return Ok(WriteMode::Append);
    }
    if insert.partition.is_empty() {
        // As Hive and Spark (static mode) do: without PARTITION the whole table is replaced.
        return Ok(WriteMode::OverwriteTable);
    }
    let target = target_schema(table)?;
    let fixed = fixed_partitions(planning, table, &insert.partition).await?;
    let fixed = fixed
        .into_iter()
        .map(|(idx, value)| {
            let text = if value.is_null() {
                None
            } else {
                Some(value.cast_to(&DataType::Utf8).map_or_else(|_| value.to_string(), |text| text.to_string()))
            };
            (target.field(idx).name().clone(), text)
        })
        .collect();
    Ok(WriteMode::OverwritePartitions { fixed })
}

async fn write_plan(planning: &Planning, table: &Table, input: Arc<dyn ExecutionPlan>, mode: WriteMode) -> Result<Arc<dyn ExecutionPlan>> {
    let engine = planning.engine();
    refuse_external_delta(table)?;
    match table.kind {
        TableKind::External => {
            let location = engine.storage().location(&table.location, Access::Write)?;
            places::refuse_inside(engine, &location.local, &table.location)?;
            providers::hive(engine, table)?.insert_plan(input, mode)
        }
        TableKind::Managed => providers::managed(engine, table).await?.insert_plan(input, mode),
        TableKind::Streaming => Err(fed_by_source(&providers::full_name(table))),
    }
}

/// A streaming table cannot be written.
pub fn fed_by_source(full_name: &str) -> Error {
    Error::new(Code::WrongObject, format!("table \"{full_name}\" is a streaming table: its rows come from its source only"))
        .hint("CREATE TABLE .. AS SELECT makes a table that can be changed.")
}

/// Another program commits to such a table; a second writer would have to follow all of its rules.
pub fn refuse_external_delta(table: &Table) -> Result<()> {
    match table.is_external_delta() {
        false => Ok(()),
        true => Err(Error::new(Code::NotSupported, format!("external Delta table \"{}\" can only be read", providers::full_name(table)))
            .hint("Write to it with the program that made it, or CREATE TABLE .. AS SELECT makes a copy that weir writes.")),
    }
}

/// The table that an INSERT names; views and the server's own tables cannot be written.
pub fn writable_table(planning: &Planning, name: &[String]) -> Result<Arc<Table>> {
    let key = planning.key(name)?;
    let snapshot = planning.snapshot();
    if let Some(table) = snapshot.tables.get(&key) {
        return Ok(Arc::clone(table));
    }
    Err(not_a_table(snapshot, &key, &name.join(".")))
}

/// Why a name is not a table: it is a view, it belongs to the server, or there is none.
pub fn not_a_table(snapshot: &crate::catalog::Snapshot, key: &ObjectKey, name: &str) -> Error {
    if snapshot.views.contains_key(key) {
        return Error::new(Code::WrongObject, format!("\"{name}\" is a view, not a table"));
    }
    if super::planning::is_virtual(&key.database) {
        return Error::new(Code::WrongObject, format!("\"{name}\" is a table of the server and cannot be changed"));
    }
    if !snapshot.databases.contains_key(&key.database) {
        return super::planning::undefined_database(snapshot, &key.database);
    }
    let near = super::planning::relation_names(snapshot, &key.database);
    Error::unknown(Code::UndefinedTable, format!("table \"{name}\" does not exist"), &key.name, near)
}

/// Runs a plan that answers one row with a count.
pub async fn count(call: &Call<'_>, runnable: Runnable) -> Result<i64> {
    let batches = execute::collect(call.session.engine(), runnable, &call.guard, call.timeout()).await?;
    let total: u64 = batches
        .iter()
        .filter_map(|batch| batch.columns().first())
        .filter_map(|column| column.as_any().downcast_ref::<UInt64Array>())
        .flat_map(|counts| counts.iter().flatten())
        .sum();
    call.guard.count(total as usize, 0);
    Ok(i64::try_from(total).unwrap_or(i64::MAX))
}

/// Puts the parameters' values into a plan.
pub fn bind(plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan> {
    if values.is_empty() {
        return Ok(plan);
    }
    plan.with_param_values(values.to_vec()).map_err(errors::from_datafusion)
}

/// `VALUES (?, 1.10)`: each placeholder gets the type of its column, and so does a number for a DECIMAL: the planner
/// would read it as a DOUBLE, of which 15 digits are right.
fn type_values(query: &mut sqlparser::ast::Query, types: &[String]) {
    use sqlparser::ast::SetExpr;
    let SetExpr::Values(values) = query.body.as_mut() else { return };
    for row in &mut values.rows {
        for (cell, sql_type) in row.iter_mut().zip(types) {
            type_value(cell, sql_type);
        }
    }
}

/// As [`type_values`], for one value.
pub fn type_value(cell: &mut sqlparser::ast::Expr, sql_type: &str) {
    use sqlparser::ast::{CastKind, Expr as SqlExpr, Value};
    let typed = match &*cell {
        SqlExpr::Value(value) if matches!(value.value, Value::Placeholder(_)) => Some(cell.clone()),
        other if sql_type.starts_with("DECIMAL") => {
            plain_number(other).map(|digits| SqlExpr::Value(Value::SingleQuotedString(digits).into()))
        }
        _ => None,
    };
    if let (Some(expr), Ok(data_type)) = (typed, crate::parser::parse_type(sql_type)) {
        *cell = SqlExpr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None };
    }
}

/// The digits of a number literal, with its sign and without an exponent.
fn plain_number(expr: &sqlparser::ast::Expr) -> Option<String> {
    use sqlparser::ast::{Expr as SqlExpr, UnaryOperator, Value};
    match expr {
        SqlExpr::Value(value) => match &value.value {
            Value::Number(digits, _) if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => Some(digits.clone()),
            _ => None,
        },
        SqlExpr::UnaryOp { op: UnaryOperator::Minus, expr } if matches!(**expr, SqlExpr::Value(_)) => {
            Some(format!("-{}", plain_number(expr)?))
        }
        _ => None,
    }
}

/// `SELECT 1, 'x', 1`: columns that occur again get names of their own. The planner wants different names, an INSERT
/// goes by position.
fn name_repeated(body: &mut sqlparser::ast::SetExpr) {
    use sqlparser::ast::{Expr as SqlExpr, Ident, SelectItem, SetExpr};
    let select = match body {
        SetExpr::Select(select) => select,
        SetExpr::Query(query) => return name_repeated(&mut query.body),
        SetExpr::SetOperation { left, right, .. } => {
            name_repeated(left);
            return name_repeated(right);
        }
        _ => return,
    };
    let has_wildcard = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut seen = HashSet::new();
    for (idx, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        // `a`, `A` and `t.a` may be the same column; a star may have it already.
        let (text, is_column) = match &*expr {
            SqlExpr::Identifier(name) => (name.value.to_lowercase(), true),
            SqlExpr::CompoundIdentifier(names) => (names.last().map_or_else(String::new, |name| name.value.to_lowercase()), true),
            other => (other.to_string().to_lowercase(), false),
        };
        if !seen.insert(text) || (is_column && has_wildcard) {
            let expr = expr.clone();
            *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', format!("insert_column_{}", idx + 1)) };
        }
    }
}

/// Runs COPY .. TO and returns the rows written.
pub async fn copy(call: &Call<'_>, copy: &CopyTo, values: &[ScalarValue]) -> Result<i64> {
    let planning = call.planning();
    let engine = Arc::clone(call.session.engine());
    let location = engine.storage().location(&copy.target, Access::Write)?;
    places::refuse_inside(&engine, &location.local, &copy.target)?;
    let kind = match copy.stored_as.as_deref().or_else(|| providers::kind_of_ending(&copy.target)) {
        Some(kind) => kind.to_owned(),
        None => {
            return Err(Error::new(Code::InvalidStatement, format!("cannot tell the format of \"{}\" from its ending", copy.target))
                .hint("Add STORED AS PARQUET, CSV or JSON."));
        }
    };
    let options = ddl::table::option_pairs(&copy.options)?;
    let format = Format::parse(&kind, &format!("COPY to \"{}\"", copy.target), options)?;
    let copy = copy.clone();
    let values = values.to_vec();
    let runnable = engine
        .planning_threads()
        .run(async move {
            let plan = bind(planning.query(&copy.source, Some(&values)).await?, &values)?;
            let input = planning.state().create_physical_plan(&plan).await.map_err(errors::from_datafusion)?;
            let physical =
                crate::tables::hive::write::copy_plan(planning.engine().storage(), &location, &format, &copy.partitioned_by, input)?;
            Ok(Runnable { planning, logical: None, physical })
        })
        .await?;
    count(call, runnable).await
}

/// Writes a client's stream of batches into a table in one commit.
pub fn ingest<'a>(
    call: &'a Call<'_>,
    name: &'a [String],
    mode: IngestMode,
    batches: SendableRecordBatchStream,
) -> BoxFuture<'a, Result<i64>> {
    Box::pin(async move {
        let planning = call.planning();
        let key = planning.key(name)?;
        let existing = planning.snapshot().tables.get(&key).cloned();
        let schema = batches.schema();
        let display = name.join(".");
        match &existing {
            None if planning.snapshot().views.contains_key(&key) => return Err(not_a_table(planning.snapshot(), &key, &display)),
            None if !mode.create_if_missing => return Err(not_a_table(planning.snapshot(), &key, &display)),
            Some(_) if mode.fail_if_exists => return Err(ddl::table::exists(&key)),
            _ => {}
        }
        let plan = stream_plan(batches)?;
        match existing.filter(|_| !mode.replace) {
            Some(table) => {
                let plan = by_name(plan, &schema, &table)?;
                let runnable = call
                    .session
                    .engine()
                    .planning_threads()
                    .run(async move {
                        let input = planning.state().create_physical_plan(&plan).await.map_err(errors::from_datafusion)?;
                        let physical = write_plan(&planning, &table, input, WriteMode::Append).await?;
                        Ok(Runnable { planning, logical: None, physical })
                    })
                    .await?;
                count(call, runnable).await
            }
            None => ddl::table::create_as(call, &key, name.last().map_or("", String::as_str), plan, mode.replace).await,
        }
    })
}

/// The columns of a stream as the columns of a table: by name when all are found, else by position.
fn by_name(plan: LogicalPlan, schema: &Schema, table: &Table) -> Result<LogicalPlan> {
    let target = target_schema(table)?;
    let mut projection = Vec::new();
    let mut used = 0;
    for field in target.fields() {
        match schema.fields().iter().position(|given| given.name().to_lowercase() == field.name().to_lowercase()) {
            Some(idx) => {
                used += 1;
                projection.push(Expr::Column(plan.schema().columns()[idx].clone()).alias(field.name()));
            }
            None => projection.push(lit(ScalarValue::Null).alias(field.name())),
        }
    }
    if used != schema.fields().len() {
        let stranger = schema
            .fields()
            .iter()
            .find(|given| !target.fields().iter().any(|field| field.name().to_lowercase() == given.name().to_lowercase()));
        let name = stranger.map_or("", |field| field.name().as_str());
        let known = target.fields().iter().map(|field| field.name().as_str());
        return Err(Error::unknown(
            Code::UndefinedColumn,
            format!("table \"{}\" has no column \"{name}\"", providers::full_name(table)),
            name,
            known,
        ));
    }
    let plan = LogicalPlanBuilder::from(plan).project(projection).and_then(LogicalPlanBuilder::build).map_err(errors::from_datafusion)?;
    providers::fit(plan, &target)
}

fn stream_plan(batches: SendableRecordBatchStream) -> Result<LogicalPlan> {
    let schema = batches.schema();
    let once = Once { schema: Arc::clone(&schema), batches: Mutex::new(Some(batches)) };
    let table = StreamingTable::try_new(schema, vec![Arc::new(once)]).map_err(errors::from_datafusion)?;
    LogicalPlanBuilder::scan("ingest", provider_as_source(Arc::new(table)), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(errors::from_datafusion)
}

/// A stream that can be read once.
struct Once {
    schema: SchemaRef,
    batches: Mutex<Option<SendableRecordBatchStream>>,
}

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Once")
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }
    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
        match self.batches.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            Some(batches) => batches,
            None => {
                let error = Error::internal("a client's stream was read twice");
                Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::once(async { Err(error.into()) })))
            }
        }
    }
}
