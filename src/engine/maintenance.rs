//! OPTIMIZE and VACUUM of managed tables; they answer what was done.

use crate::catalog::{Table, TableKind};
use crate::engine::dispatch::{Answer, Call};
use crate::engine::{dml, errors, execute, providers};
use crate::error::{Code, Error, Result};
use crate::parser::{ObjectName, Vacuum};
use crate::tables::managed::GRACE;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// The columns of OPTIMIZE.
pub fn optimize_schema() -> SchemaRef {
    let count = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![count("files_before"), count("files_after"), count("bytes_before"), count("bytes_after")]))
}

/// The columns of VACUUM.
pub fn vacuum_schema() -> SchemaRef {
    let count = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![count("files"), count("bytes"), Field::new("dry_run", DataType::Boolean, true)]))
}

/// The table, when its files are ours.
fn own_table(call: &Call<'_>, name: &ObjectName, verb: &str) -> Result<Arc<Table>> {
    let table = dml::writable_table(&call.planning(), &name.0)?;
    dml::refuse_external_delta(&table)?;
    let full_name = providers::full_name(&table);
    match table.kind {
        TableKind::Managed | TableKind::Streaming => Ok(table),
        TableKind::External => Err(Error::new(Code::NotSupported, format!("{verb} of external table \"{full_name}\" is not supported"))
            .hint("INSERT OVERWRITE writes its files again.")),
    }
}

/// Runs OPTIMIZE.
pub fn optimize<'a>(call: &'a Call<'a>, name: &'a ObjectName) -> BoxFuture<'a, Result<Answer>> {
    Box::pin(async move {
        let table = own_table(call, name, "OPTIMIZE")?;
        let engine = call.session.engine();
        let managed = providers::managed(engine, &table).await?;
        let pool = call.guard.query().memory_pool(Arc::clone(&engine.base_state().runtime_env().memory_pool));
        let work = async move { managed.optimize(&pool).await };
        let report = execute::run_to_end(engine, &call.guard, call.timeout(), work).await?;
        let counts = [report.n_files_before as u64, report.n_files_after as u64, report.n_bytes_before, report.n_bytes_after];
        answer(optimize_schema(), counts.map(count).into())
    })
}

/// Runs VACUUM.
pub fn vacuum<'a>(call: &'a Call<'a>, vacuum: &'a Vacuum) -> BoxFuture<'a, Result<Answer>> {
    Box::pin(async move {
        let table = own_table(call, &vacuum.name, "VACUUM")?;
        let engine = call.session.engine();
        let managed = providers::managed(engine, &table).await?;
        let (retain, dry_run) = (vacuum.retain_hours.map_or(GRACE, |hours| Duration::from_secs_f64(hours * 3600.0)), vacuum.dry_run);
        let work = async move { managed.vacuum(retain, dry_run).await };
        let report = execute::run_to_end(engine, &call.guard, call.timeout(), work).await?;
        let dry_run: ArrayRef = Arc::new(BooleanArray::from(vec![dry_run]));
        answer(vacuum_schema(), vec![count(report.files.len() as u64), count(report.n_bytes), dry_run])
    })
}

fn count(n: u64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![i64::try_from(n).unwrap_or(i64::MAX)]))
}

fn answer(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<Answer> {
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(errors::from_arrow)?;
    Ok(Answer::Rows(vec![batch], schema))
}
