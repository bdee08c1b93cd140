//! What the jobs of streaming tables need of the engine: open tables, checked options, secrets, memory, threads.

use crate::catalog::{SecretSource, Snapshot, StreamDef, Table};
use crate::connect::kafka::KafkaOptions;
use crate::connect::{MetadataKind, Origin, SourceColumn, SourceColumns};
use crate::engine::{Engine, providers};
use crate::error::{Code, Error, Result};
use crate::storage::Access;
use crate::tables::streaming::{StreamTable, StreamTables};
use datafusion::arrow::datatypes::Schema;
use datafusion::execution::memory_pool::MemoryPool;
use futures::future::BoxFuture;
use std::sync::Arc;

impl Engine {
    /// The streaming tables that are open, and what they tell about themselves.
    pub fn streams(&self) -> &StreamTables {
        &self.streams
    }

    /// The open streaming table behind a definition.
    ///
    /// # Errors
    /// `UndefinedTable` when it was dropped since the definition was read: nobody opens its log again, or takes it over.
    pub fn stream_table<'a>(&'a self, table: &'a Table) -> BoxFuture<'a, Result<Arc<StreamTable>>> {
        let snapshot = self.catalog().snapshot();
        let is_there = snapshot.tables.get(&table.key()).is_some_and(|now| now.id == table.id) || snapshot.table_by_id(&table.id).is_some();
        if !is_there {
            let error = Error::new(Code::UndefinedTable, format!("table \"{}\" was dropped", providers::full_name(table)));
            return Box::pin(std::future::ready(Err(error.hint("Run the statement again if there is a new one of that name."))));
        }
        self.streams.open(&table.id, providers::managed(self, table))
    }

    /// The options of a streaming table, checked, with the values of its secrets.
    pub fn kafka_options(&self, table: &Table) -> Result<KafkaOptions> {
        let stream = table.stream.as_ref().ok_or_else(|| Error::internal("a streaming table without a source"))?;
        check_source(self, &providers::full_name(table), table.options.clone(), stream)
    }

    /// The columns that the source of a table delivers.
    pub fn source_columns(&self, definition: &Table, table: &StreamTable) -> Result<SourceColumns> {
        source_columns(&definition.stream.clone().unwrap_or_default(), table.declared())
    }

    /// The memory that all statements and streams share.
    pub fn memory_pool(&self) -> Arc<dyn MemoryPool> {
        Arc::clone(&self.base_state.runtime_env().memory_pool)
    }

    /// The threads of plans, for work behind the scenes.
    pub fn background(&self) -> tokio::runtime::Handle {
        self.cpu()
    }
}

/// The columns that a source delivers, and where each value comes from.
pub fn source_columns(stream: &StreamDef, declared: &Schema) -> Result<SourceColumns> {
    let columns = declared.fields().iter().map(|field| {
        let metadata = stream.metadata_columns.iter().find(|(column, _)| column == field.name());
        let origin = match metadata {
            None => Origin::Payload,
            Some((column, kind)) => Origin::Metadata(metadata_kind(column, kind)?),
        };
        Ok(SourceColumn { field: Arc::clone(field), origin })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let watermark = stream.watermark.as_ref();
    let event_time = watermark.and_then(|watermark| columns.iter().position(|column| *column.field.name() == watermark.column));
    Ok(SourceColumns { columns, event_time })
}

/// Checks the options of a source: names, values, secrets, files inside the allowed roots.
pub fn check_source(engine: &Engine, table: &str, options: Vec<(String, String)>, stream: &StreamDef) -> Result<KafkaOptions> {
    let snapshot = engine.catalog().snapshot();
    let secrets = stream.secret_options.iter().map(|(key, name)| Ok((key.clone(), secret(&snapshot, name)?)));
    let secrets = secrets.collect::<Result<Vec<_>>>()?;
    let check_file = |path: &str| engine.storage().location(path, Access::Read).map(|location| location.local);
    KafkaOptions::parse(table, options, secrets, &check_file)
}

/// What METADATA FROM names.
pub fn metadata_kind(column: &str, kind: &str) -> Result<MetadataKind> {
    const KINDS: &[(&str, MetadataKind)] = &[
        ("topic", MetadataKind::Topic),
        ("partition", MetadataKind::Partition),
        ("offset", MetadataKind::Offset),
        ("timestamp", MetadataKind::Timestamp),
        ("key", MetadataKind::Key),
        ("headers", MetadataKind::Headers),
    ];
    KINDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)).map(|(_, kind)| *kind).ok_or_else(|| {
        let what = format!("column \"{column}\": a record has no metadata \"{kind}\"");
        Error::unknown(Code::InvalidParameter, what, kind, KINDS.iter().map(|(name, _)| *name))
    })
}

/// The value of a secret, read where its definition says. It goes to the client library and nowhere else.
fn secret(snapshot: &Snapshot, name: &str) -> Result<String> {
    let secret = snapshot.secret(name)?;
    match &secret.source {
        SecretSource::Env(variable) => std::env::var(variable).map_err(|_| {
            Error::new(Code::UndefinedObject, format!("secret \"{name}\" has no value: the server has no variable \"{variable}\""))
        }),
        SecretSource::File(path) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
            Err(error) => Err(Error::new(Code::Io, format!("could not read secret \"{name}\" from \"{path}\": {error}"))),
        },
    }
}
