//! CREATE, DROP and ALTER TABLE.

use crate::catalog::{Change, Column, ObjectKey, Snapshot, Table, TableKind};
use crate::engine::ddl::partition;
use crate::engine::dispatch::Call;
use crate::engine::execute::Runnable;
use crate::engine::planning::{self, Planning};
use crate::engine::queries::now_ms;
use crate::engine::{Engine, dml, errors, places, providers};
use crate::error::{Code, Error, Result};
use crate::parser::{AlterTable, ColumnDef, CreateTable, ObjectName, RowFormat, SqlOption};
use crate::storage::Access;
use crate::tables::WriteMode;
use crate::tables::hive::{Format, HiveTable};
use crate::tables::managed::{NewTable, storable_schema};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::logical_expr::LogicalPlan;
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Runs CREATE [EXTERNAL] TABLE.
pub async fn create(call: &Call<'_>, create: &CreateTable) -> Result<()> {
    let planning = call.planning();
    let key = planning.key(&create.name.0)?;
    check_database(planning.snapshot(), &key.database)?;
    if taken(planning.snapshot(), &key) && !create.or_replace {
        return if create.if_not_exists { Ok(()) } else { Err(exists(&key)) };
    }
    if create.temporary {
        return Err(Error::new(Code::NotSupported, "temporary tables are not supported yet"));
    }
    check_names(create)?;
    option_pairs(&create.options)?;
    check_properties(&key, &option_pairs(&create.properties)?)?;
    let external = create.external || (create.location.is_some() && create.stored_as.as_deref().is_some_and(|format| format != "DELTA"));
    if external {
        let table = external_table(&planning, create, &key, call.session.user()).await?;
        return put(call, table, create.or_replace, create.if_not_exists).await;
    }
    if create.row_format.is_some() {
        return Err(Error::new(Code::NotSupported, "ROW FORMAT is for external tables").hint("Use CREATE EXTERNAL TABLE .. LOCATION '..'."));
    }
    if let Some(format) = create.stored_as.as_deref().filter(|format| !matches!(*format, "DELTA" | "PARQUET")) {
        return Err(Error::new(Code::NotSupported, format!("a managed table cannot be stored as {format}"))
            .hint("Managed tables are Parquet with a Delta log; use CREATE EXTERNAL TABLE .. LOCATION for other formats."));
    }
    managed_table(call, planning, create, &key).await
}

/// `table "x" already exists`.
pub fn exists(key: &ObjectKey) -> Error {
    Error::new(Code::DuplicateTable, format!("table \"{key}\" already exists")).hint("Add IF NOT EXISTS, or drop it first.")
}

/// Whether a table or a view has that name.
pub(super) fn taken(snapshot: &Snapshot, key: &ObjectKey) -> bool {
    snapshot.tables.contains_key(key) || snapshot.views.contains_key(key)
}

/// The database of a new object must exist and be a stored one.
pub fn check_database(snapshot: &Snapshot, database: &str) -> Result<()> {
    if planning::is_virtual(database) {
        return Err(Error::new(Code::WrongObject, format!("database \"{database}\" belongs to the server and cannot be changed")));
    }
    if snapshot.databases.contains_key(database) { Ok(()) } else { Err(planning::undefined_database(snapshot, database)) }
}

/// Columns have names, and each its own; a key names columns.
pub(super) fn check_names(create: &CreateTable) -> Result<()> {
    let mut seen = BTreeSet::new();
    let partition_names = create.partitioned_by.iter().filter(|column| column.data_type.is_some()).map(|column| &column.name);
    for name in create.columns.iter().map(|column| &column.name).chain(partition_names) {
        if name.is_empty() {
            return Err(Error::new(Code::InvalidStatement, "a column has an empty name"));
        }
        if !seen.insert(name) {
            return Err(Error::new(Code::DuplicateColumn, format!("column \"{name}\" is given twice")));
        }
    }
    let known = |name: &str| create.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    if let Some(name) = create.primary_key.iter().find(|name| !create.columns.is_empty() && !known(name)) {
        return Err(Error::new(Code::UndefinedColumn, format!("the primary key names column \"{name}\", which the table does not have")));
    }
    Ok(())
}

async fn external_table(planning: &Planning, create: &CreateTable, key: &ObjectKey, owner: &str) -> Result<Table> {
    let Some(location) = &create.location else {
        return Err(Error::new(Code::InvalidStatement, format!("external table \"{key}\" needs a LOCATION")));
    };
    if create.query.is_some() {
        return Err(Error::new(Code::NotSupported, "CREATE EXTERNAL TABLE .. AS SELECT is not supported")
            .hint("Create the table with its columns, then INSERT INTO it; or COPY (SELECT ..) TO a location."));
    }
    let engine = planning.engine();
    let mut table = definition(create, key, owner);
    table.location.clone_from(location);
    if create.stored_as.as_deref() == Some("DELTA") {
        return external_delta(engine, create, table).await;
    }
    table.format = create.stored_as.clone().unwrap_or_else(|| providers::kind_of_ending(location).unwrap_or("TEXTFILE").to_owned());
    let checked = engine.storage().location(location, Access::Read)?;
    // Also when the columns are declared: wrong options are refused now, not by the first query.
    let format = Format::parse(&table.format, &format!("table \"{key}\""), providers::format_options(&table))?;
    if create.columns.is_empty() {
        let name = providers::full_name(&table);
        let (schema, partitions) = HiveTable::infer(planning.state(), engine.storage(), &name, &checked, &format).await?;
        table.columns = providers::columns(&schema);
        table.partition_columns = partitions.iter().map(|field| column_of(field)).collect();
        table.inferred = true;
        if !create.partitioned_by.is_empty() {
            table.partition_columns = inferred_partitions(create, &table)?;
        }
    } else {
        table.partition_columns = partition_columns(create, &mut table.columns)?;
    }
    providers::hive(engine, &table)?; // Types and options fit together.
    Ok(table)
}

/// Another program's Delta table: the log says what its columns are.
async fn external_delta(engine: &Engine, create: &CreateTable, mut table: Table) -> Result<Table> {
    let declared = if !create.columns.is_empty() {
        Some("columns")
    } else if !create.partitioned_by.is_empty() {
        Some("PARTITIONED BY")
    } else if !create.options.is_empty() || create.row_format.is_some() {
        Some("options")
    } else {
        None
    };
    if let Some(declared) = declared {
        return Err(Error::new(Code::InvalidStatement, format!("an external Delta table takes no {declared}"))
            .detail("The columns and partitions of the table are in its log.")
            .hint("Leave them out: CREATE EXTERNAL TABLE t STORED AS DELTA LOCATION '..'."));
    }
    let newest = providers::delta(engine, &table).await?;
    table.columns = providers::columns(&newest.schema());
    table.partition_columns = managed_partition_columns(newest.partition_columns().iter(), &table)?;
    table.inferred = true;
    Ok(table)
}

fn inferred_partitions(create: &CreateTable, table: &Table) -> Result<Vec<Column>> {
    create
        .partitioned_by
        .iter()
        .map(|wanted| {
            let found = table.partition_columns.iter().find(|column| column.name.eq_ignore_ascii_case(&wanted.name));
            match (&wanted.type_text, found) {
                (Some(sql_type), _) => {
                    Ok(Column { name: wanted.name.clone(), sql_type: sql_type.clone(), nullable: true, comment: wanted.comment.clone() })
                }
                (None, Some(column)) => Ok(column.clone()),
                (None, None) => Err(Error::new(Code::UndefinedColumn, format!("no directory names partition column \"{}\"", wanted.name))
                    .hint("Give its type: PARTITIONED BY (dt STRING).")),
            }
        })
        .collect()
}

/// The partition columns of a Hive table. `PARTITIONED BY (dt)` moves a declared column to the partitions.
fn partition_columns(create: &CreateTable, columns: &mut Vec<Column>) -> Result<Vec<Column>> {
    let mut partitions = Vec::new();
    for wanted in &create.partitioned_by {
        let position = columns.iter().position(|column| column.name.eq_ignore_ascii_case(&wanted.name));
        match (&wanted.type_text, position) {
            (Some(_), Some(_)) => {
                return Err(Error::new(
                    Code::DuplicateColumn,
                    format!("column \"{}\" is both a column and a partition column", wanted.name),
                )
                .hint("Declare it once, in PARTITIONED BY."));
            }
            (Some(sql_type), None) => {
                partitions.push(Column {
                    name: wanted.name.clone(),
                    sql_type: sql_type.clone(),
                    nullable: true,
                    comment: wanted.comment.clone(),
                });
            }
            (None, Some(position)) => partitions.push(columns.remove(position)),
            (None, None) => {
                return Err(Error::new(
                    Code::UndefinedColumn,
                    format!("partition column \"{}\" is not a column of the table", wanted.name),
                ));
            }
        }
    }
    Ok(partitions)
}

/// Everything of a definition that does not depend on the kind.
pub(super) fn definition(create: &CreateTable, key: &ObjectKey, owner: &str) -> Table {
    let mut options = create.row_format.as_ref().map(row_format_options).unwrap_or_default();
    options.extend(create.options.iter().filter_map(|option| Some((option.key.clone(), option.value.as_text()?))));
    Table {
        id: uuid::Uuid::new_v4().to_string(),
        database: key.database.clone(),
        name: create.name.0.last().cloned().unwrap_or_default(),
        kind: TableKind::External,
        columns: create.columns.iter().map(declared).collect(),
        partition_columns: Vec::new(),
        primary_key: create.primary_key.clone(),
        format: "DELTA".into(),
        location: String::new(),
        located: false,
        comment: create.comment.clone(),
        properties: create.properties.iter().filter_map(|option| Some((option.key.clone(), option.value.as_text()?))).collect(),
        options,
        partition_locations: Default::default(),
        inferred: false,
        created_ms: now_ms(),
        owner: owner.to_owned(),
        stream: None,
    }
}

fn declared(column: &ColumnDef) -> Column {
    Column { name: column.name.clone(), sql_type: column.type_text.clone(), nullable: column.nullable, comment: column.comment.clone() }
}

fn column_of(field: &Field) -> Column {
    Column { name: field.name().clone(), sql_type: crate::engine::types::sql_name(field.data_type()), nullable: true, comment: None }
}

/// ROW FORMAT as the option keys of the text formats.
fn row_format_options(row: &RowFormat) -> Vec<(String, String)> {
    let mut options = Vec::new();
    let mut add = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            options.push((key.to_owned(), value.clone()));
        }
    };
    add("field.delim", &row.fields_terminated_by);
    add("escape.delim", &row.escaped_by);
    add("collection.delim", &row.collection_items_terminated_by);
    add("mapkey.delim", &row.map_keys_terminated_by);
    add("line.delim", &row.lines_terminated_by);
    add("serialization.null.format", &row.null_defined_as);
    options.extend(row.serde_properties.iter().filter_map(|option| Some((option.key.clone(), option.value.as_text()?))));
    options
}

/// Properties may hold anything; one that is nearly the dotted name of an option is that option misspelt.
pub(super) fn check_properties(key: &ObjectKey, pairs: &[(String, String)]) -> Result<()> {
    let known: Vec<&str> = crate::tables::hive::PROPERTY_KEYS.iter().copied().filter(|known| known.contains('.')).collect();
    for (name, _) in pairs.iter().filter(|(name, _)| !known.iter().any(|known| known.eq_ignore_ascii_case(name))) {
        if let Some(near) = crate::error::nearest(name, known.iter().copied()) {
            let message = format!("table \"{key}\" has no property \"{name}\"");
            return Err(Error::new(Code::InvalidParameter, message).hint(format!("Did you mean \"{near}\"?")));
        }
    }
    Ok(())
}

/// Options as text pairs; lists and secrets have no place there.
pub fn option_pairs(options: &[SqlOption]) -> Result<Vec<(String, String)>> {
    options
        .iter()
        .map(|option| match option.value.as_text() {
            Some(text) => Ok((option.key.clone(), text)),
            None => Err(Error::new(Code::InvalidParameter, format!("option \"{}\" must be a text, a number, true or false", option.key))),
        })
        .collect()
}

async fn managed_table(call: &Call<'_>, planning: Planning, create: &CreateTable, key: &ObjectKey) -> Result<()> {
    if let Some(option) = create.options.first() {
        return Err(Error::new(Code::InvalidParameter, format!("table \"{key}\" has no option \"{}\"", option.key))
            .hint("A managed table takes TBLPROPERTIES; OPTIONS are for external tables."));
    }
    let mut table = definition(create, key, call.session.user());
    table.kind = TableKind::Managed;
    let (schema, plan) = match &create.query {
        None if create.columns.is_empty() => {
            let error = Error::new(Code::InvalidStatement, format!("table \"{key}\" needs columns, or AS SELECT"));
            return Err(match create.location {
                Some(_) => error.hint("CREATE EXTERNAL TABLE .. STORED AS DELTA reads a Delta table that is there."),
                None => error,
            });
        }
        None => (managed_schema(create, &mut table)?, None),
        Some(query) => {
            let (query, planning) = (query.clone(), planning.clone());
            let plan = call.session.engine().planning_threads().run(async move { planning.query(&query, None).await }).await?;
            let schema = if create.columns.is_empty() {
                storable_schema(&nullable(plan.schema().as_arrow()))?
            } else {
                managed_schema(create, &mut table)?
            };
            let (n_query, n_table) = (plan.schema().fields().len(), schema.fields().len());
            if n_query != n_table {
                return Err(Error::new(Code::InvalidStatement, format!("the query has {n_query} columns, the table declares {n_table}")));
            }
            (schema, Some(plan))
        }
    };
    if create.columns.is_empty() {
        table.columns = providers::columns(&schema);
    }
    table.partition_columns = managed_partitions(create, &table)?;
    let wanted = Wanted { location: create.location.clone(), or_replace: create.or_replace, if_not_exists: create.if_not_exists };
    create_managed(call, planning, table, schema, plan, wanted).await.map(|_| ())
}

/// The columns of CREATE TABLE AS: as in PostgreSQL and Spark they may all be NULL, though the query's own rows
/// are not. A literal says nothing about the rows that come later.
fn nullable(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// Declared columns; typed partition columns come last, as in Hive.
pub(super) fn managed_schema(create: &CreateTable, table: &mut Table) -> Result<Arc<Schema>> {
    for wanted in create.partitioned_by.iter() {
        if let Some(sql_type) = &wanted.type_text {
            table.columns.push(Column {
                name: wanted.name.clone(),
                sql_type: sql_type.clone(),
                nullable: true,
                comment: wanted.comment.clone(),
            });
        }
    }
    storable_schema(&*providers::schema(&table.columns)?)
}

/// The columns that PARTITIONED BY names.
pub(super) fn managed_partitions(create: &CreateTable, table: &Table) -> Result<Vec<Column>> {
    managed_partition_columns(create.partitioned_by.iter().map(|wanted| &wanted.name), table)
}

/// The columns of a table by the names of its partition columns.
fn managed_partition_columns<'a>(names: impl Iterator<Item = &'a String>, table: &Table) -> Result<Vec<Column>> {
    names
        .map(|wanted| {
            table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(wanted)).cloned().ok_or_else(|| {
                let known = table.columns.iter().map(|column| column.name.as_str());
                let message = format!("partition column \"{wanted}\" is not a column of the table");
                Error::unknown(Code::UndefinedColumn, message, wanted, known)
            })
        })
        .collect()
}

/// Creates a managed table from a plan's rows: for ingest. Returns the rows written.
pub async fn create_as(call: &Call<'_>, key: &ObjectKey, name: &str, plan: LogicalPlan, or_replace: bool) -> Result<i64> {
    let planning = call.planning();
    check_database(planning.snapshot(), &key.database)?;
    let create = CreateTable { name: ObjectName(vec![name.to_owned()]), ..CreateTable::default() };
    let mut table = definition(&create, key, call.session.user());
    table.kind = TableKind::Managed;
    let schema = storable_schema(plan.schema().as_arrow())?;
    table.columns = providers::columns(&schema);
    create_managed(call, planning, table, schema, Some(plan), Wanted { location: None, or_replace, if_not_exists: false }).await
}

/// What the statement says about the new table besides its columns and rows.
struct Wanted {
    location: Option<String>,
    or_replace: bool,
    if_not_exists: bool,
}

/// Writes the new table aside; it becomes visible, and a replaced one goes, in one change of the catalog.
async fn create_managed(
    call: &Call<'_>,
    planning: Planning,
    mut table: Table,
    schema: Arc<Schema>,
    plan: Option<LogicalPlan>,
    wanted: Wanted,
) -> Result<i64> {
    let engine = Arc::clone(call.session.engine());
    let (place, _reserved) = places::choose(&engine, planning.snapshot(), &mut table, wanted.location.as_deref()).await?;
    let partitions: Vec<String> = table.partition_columns.iter().map(|column| column.name.clone()).collect();
    let name = providers::full_name(&table);
    let new = NewTable { partition_columns: partitions, properties: table.properties.clone(), ..NewTable::of(Arc::clone(&schema)) };
    let managed = engine.managed().create(&table.id, &name, &place, new).await?;
    let filled = async {
        let Some(plan) = plan else { return Ok(0) };
        let plan = providers::fit(plan, &schema)?;
        let runnable = engine
            .planning_threads()
            .run(async move {
                let input = planning.state().create_physical_plan(&plan).await.map_err(errors::from_datafusion)?;
                let physical = managed.insert_plan(input, WriteMode::Append)?;
                Ok(Runnable { planning, logical: None, physical })
            })
            .await?;
        dml::count(call, runnable).await
    };
    let result = match filled.await {
        Ok(rows) => put(call, table.clone(), wanted.or_replace, wanted.if_not_exists).await.map(|()| rows),
        Err(error) => Err(error),
    };
    // Refused, or somebody else was quicker: nothing of it stays.
    let is_there = engine.catalog().snapshot().tables.values().any(|known| known.id == table.id);
    if !is_there {
        let _ = engine.managed().close(&table.id, Some(&place)).await;
    }
    result
}

/// Puts a table into the catalog; one that it replaces is forgotten.
pub(super) async fn put(call: &Call<'_>, table: Table, or_replace: bool, if_not_exists: bool) -> Result<()> {
    let key = ObjectKey::new(&table.database, &table.name);
    let engine = call.session.engine();
    let replaced = engine
        .catalog()
        .update(|snapshot| {
            check_database(snapshot, &key.database)?;
            if snapshot.views.contains_key(&key) {
                return Err(Error::new(Code::WrongObject, format!("\"{key}\" is a view, not a table")).hint("DROP VIEW first."));
            }
            match snapshot.tables.get(&key) {
                Some(_) if if_not_exists => Ok((Vec::new(), None)),
                Some(_) if !or_replace => Err(exists(&key)),
                old => Ok((vec![Change::PutTable(table.clone())], old.cloned())),
            }
        })
        .await?;
    if let Some(old) = replaced {
        engine.forget_table(&old).await;
    }
    Ok(())
}

/// Runs DROP TABLE: an external table keeps its files, a managed one loses them.
pub async fn drop(call: &Call<'_>, name: &ObjectName, if_exists: bool) -> Result<()> {
    let key = call.planning().key(&name.0)?;
    let engine: &Arc<Engine> = call.session.engine();
    let dropped = engine
        .catalog()
        .update(|snapshot| match snapshot.tables.get(&key) {
            Some(table) => Ok((vec![Change::DropTable(key.clone())], Some(Arc::clone(table)))),
            None if snapshot.views.contains_key(&key) => {
                Err(Error::new(Code::WrongObject, format!("\"{name}\" is a view, not a table")).hint("Use DROP VIEW."))
            }
            None if if_exists => Ok((Vec::new(), None)),
            None => Err(dml::not_a_table(snapshot, &key, &name.to_string())),
        })
        .await?;
    if let Some(table) = dropped {
        engine.forget_table(&table).await;
    }
    Ok(())
}

/// Runs ALTER TABLE.
pub async fn alter(call: &Call<'_>, name: &ObjectName, action: &AlterTable) -> Result<()> {
    let planning = call.planning();
    let table = dml::writable_table(&planning, &name.0)?;
    match action {
        AlterTable::Rename(new_name) => rename(call, &planning, &table, new_name).await,
        AlterTable::AddColumns(columns) => add_columns(call, &table, columns).await,
        AlterTable::SetProperties(options) => {
            let pairs = option_pairs(options)?;
            check_properties(&ObjectKey::new(&table.database, &table.name), &pairs)?;
            if let Some((name, _)) = pairs.iter().find(|(name, _)| table.kind != TableKind::External && name.starts_with("delta.")) {
                return Err(Error::new(Code::InvalidParameter, format!("property \"{name}\" of table \"{}\" cannot be set", table.name))
                    .hint("Properties that start with \"delta.\" belong to the server."));
            }
            let edit = move |table: &mut Table| {
                for (key, value) in &pairs {
                    table.properties.retain(|(known, _)| known != key);
                    table.properties.push((key.clone(), value.clone()));
                }
                Format::parse(&table.format, &format!("table \"{}\"", table.name), providers::format_options(table))
                    .map(|_| ())
                    .or_else(|error| if table.kind != TableKind::External || table.is_external_delta() { Ok(()) } else { Err(error) })
            };
            change(call, &table, Box::new(edit)).await
        }
        AlterTable::AddPartitions { if_not_exists, partitions } => {
            partition::add(call, &planning, &table, partitions, *if_not_exists).await
        }
        AlterTable::DropPartitions { if_exists, partitions } => partition::drop(call, &planning, &table, partitions, *if_exists).await,
    }
}

async fn rename(call: &Call<'_>, planning: &Planning, table: &Table, new_name: &ObjectName) -> Result<()> {
    // RENAME TO u stays in the table's own database.
    let new_key = if new_name.0.len() == 1 { ObjectKey::new(&table.database, &new_name.0[0]) } else { planning.key(&new_name.0)? };
    let old_key = ObjectKey::new(&table.database, &table.name);
    call.session
        .engine()
        .catalog()
        .update(|snapshot| {
            check_database(snapshot, &new_key.database)?;
            let Some(current) = snapshot.tables.get(&old_key) else { return Err(dml::not_a_table(snapshot, &old_key, &table.name)) };
            if taken(snapshot, &new_key) && new_key != old_key {
                return Err(exists(&new_key));
            }
            let mut renamed = (**current).clone();
            renamed.database.clone_from(&new_key.database);
            renamed.name = new_name.0.last().cloned().unwrap_or_default();
            Ok((vec![Change::DropTable(old_key.clone()), Change::PutTable(renamed)], ()))
        })
        .await
}

async fn add_columns(call: &Call<'_>, table: &Table, columns: &[ColumnDef]) -> Result<()> {
    dml::refuse_external_delta(table)?;
    if table.kind != TableKind::External {
        let (kind, hint) = match table.kind {
            TableKind::Streaming => ("streaming", "CREATE OR REPLACE STREAMING TABLE with the column begins anew."),
            TableKind::Managed | TableKind::External => ("managed", "CREATE TABLE .. AS SELECT a new one with the column."),
        };
        return Err(Error::new(Code::NotSupported, format!("ALTER TABLE .. ADD COLUMN of a {kind} table is not supported yet")).hint(hint));
    }
    let columns: Vec<Column> = columns.iter().map(declared).collect();
    let edit = move |table: &mut Table| {
        for column in &columns {
            if table.columns.iter().chain(&table.partition_columns).any(|known| known.name.eq_ignore_ascii_case(&column.name)) {
                return Err(Error::new(
                    Code::DuplicateColumn,
                    format!("table \"{}\" has a column \"{}\" already", table.name, column.name),
                ));
            }
            if !column.nullable {
                return Err(Error::new(
                    Code::InvalidStatement,
                    format!("a new column \"{}\" cannot be NOT NULL: old files do not have it", column.name),
                ));
            }
            table.columns.push(column.clone());
        }
        providers::schema(&table.columns).map(|_| ())
    };
    change(call, table, Box::new(edit)).await
}

/// What a statement changes in a definition.
pub(super) type Edit<'a> = Box<dyn Fn(&mut Table) -> Result<()> + Send + Sync + 'a>;

/// Changes a table's definition in the catalog as it is at that moment.
pub(super) fn change<'a>(call: &'a Call<'a>, table: &'a Table, edit: Edit<'a>) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let key = ObjectKey::new(&table.database, &table.name);
        let update = call.session.engine().catalog().update(|snapshot| {
            let Some(current) = snapshot.tables.get(&key) else { return Err(dml::not_a_table(snapshot, &key, &table.name)) };
            let mut changed = (**current).clone();
            edit(&mut changed)?;
            Ok((vec![Change::PutTable(changed)], ()))
        });
        update.await
    })
}
