//! ALTER TABLE .. ADD and DROP PARTITION of external tables.

use crate::catalog::{Table, TableKind};
use crate::engine::dispatch::Call;
use crate::engine::planning::Planning;
use crate::engine::{dml, errors, providers};
use crate::error::{Code, Error, Result};
use crate::parser::PartitionValue;
use crate::storage::{Access, durable};

/// `dt=2026-01-01/country=fr`, in the order of the table's partition columns.
async fn partition_path(planning: &Planning, table: &Table, values: &[PartitionValue]) -> Result<String> {
    dml::refuse_external_delta(table)?;
    match table.kind {
        TableKind::External => {}
        TableKind::Managed => {
            return Err(Error::new(Code::NotSupported, "partitions of a managed table follow its rows")
                .hint("DELETE FROM .. WHERE removes rows, INSERT OVERWRITE .. PARTITION replaces them."));
        }
        TableKind::Streaming => {
            return Err(Error::new(Code::NotSupported, "partitions of a streaming table follow its rows")
                .hint("The option 'retention.time' removes old rows."));
        }
    }
    let hive = providers::hive(planning.engine(), table)?;
    let names = || table.partition_columns.iter().map(|column| column.name.as_str());
    if let Some(unknown) = values.iter().find(|value| !names().any(|name| name.eq_ignore_ascii_case(&value.column))) {
        let message = format!("table \"{}\" has no partition column \"{}\"", table.name, unknown.column);
        return Err(Error::unknown(Code::UndefinedColumn, message, &unknown.column, names()));
    }
    let mut scalars = Vec::new();
    for field in &hive.def.partition_columns {
        let value = values.iter().find(|value| value.column.eq_ignore_ascii_case(field.name())).and_then(|value| value.value.as_ref());
        let Some(expr) = value else {
            return Err(Error::new(
                Code::InvalidStatement,
                format!("the partition of \"{}\" needs a value for \"{}\"", table.name, field.name()),
            ));
        };
        scalars.push(dml::constant(planning, expr)?.cast_to(field.data_type()).map_err(errors::from_datafusion)?);
    }
    Ok(hive.partition_text(&scalars))
}

/// ADD PARTITION: all of them or none. One without a LOCATION gets its directory in the table's own.
pub async fn add(
    call: &Call<'_>,
    planning: &Planning,
    table: &Table,
    partitions: &[(Vec<PartitionValue>, Option<String>)],
    if_not_exists: bool,
) -> Result<()> {
    let engine = call.session.engine();
    let (mut directories, mut locations) = (Vec::new(), Vec::new());
    for (values, location) in partitions {
        let path = partition_path(planning, table, values).await?;
        match location {
            None => directories.push(engine.storage().location(&table.location, Access::Write)?.local.join(&path)),
            Some(location) => {
                engine.storage().location(location, Access::Read)?;
                locations.push((path, location));
            }
        }
    }
    if !locations.is_empty() {
        let edit = |table: &mut Table| {
            for (path, location) in &locations {
                if table.partition_locations.contains_key(path) && !if_not_exists {
                    return Err(Error::new(Code::DuplicateObject, format!("partition \"{path}\" of \"{}\" already exists", table.name))
                        .hint("Add IF NOT EXISTS."));
                }
                table.partition_locations.entry(path.clone()).or_insert_with(|| (*location).clone());
            }
            Ok(())
        };
        super::table::change(call, table, Box::new(edit)).await?;
    }
    for directory in directories {
        durable::create_dir_all(&directory).map_err(|error| durable::io_error("create", &directory, &error))?;
    }
    Ok(())
}

/// DROP PARTITION of an external table forgets partitions' own locations, all or none; it deletes no files.
pub async fn drop(call: &Call<'_>, planning: &Planning, table: &Table, partitions: &[Vec<PartitionValue>], if_exists: bool) -> Result<()> {
    let mut paths = Vec::new();
    for values in partitions {
        paths.push(partition_path(planning, table, values).await?);
    }
    let edit = |table: &mut Table| {
        for path in &paths {
            if table.partition_locations.remove(path).is_none() && !if_exists {
                let message = format!("partition \"{path}\" is a directory of the external table \"{}\"", table.name);
                return Err(Error::new(Code::NotSupported, message)
                    .hint("External tables never delete files: remove the directory, or INSERT OVERWRITE the partition."));
            }
        }
        Ok(())
    };
    super::table::change(call, table, Box::new(edit)).await
}
