//! CREATE, ALTER and DROP STREAMING TABLE: what is wanted goes to the catalog, the table's job follows it.

use crate::catalog::{ObjectKey, Seek, SeekTo, Snapshot, StreamDef, Table, TableKind, WatermarkDef};
use crate::connect::{Start, kafka};
use crate::engine::ddl::table;
use crate::engine::dispatch::{Answer, Call};
use crate::engine::{Engine, ddl_text, dml, errors, places, providers, streams};
use crate::error::{Code, Error, Result};
use crate::parser::{AlterStream, AlterTable, ColumnDef, CreateStream, ObjectName, OptionValue, SeekTarget, SqlOption};
use crate::tables::managed::{Layout, NewTable};
use crate::tables::streaming::status::StreamState;
use crate::tables::streaming::{physical_schema, system_fields};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the brokers may take to say where a topic ends; then SEEK TO LATEST is refused.
const ENDS_TIMEOUT: Duration = Duration::from_secs(10);
/// Connectors that feed tables.
const CONNECTORS: &[&str] = &["kafka"];
/// Formats of the files.
const FORMATS: &[&str] = &["DELTA", "PARQUET"];

/// Runs CREATE STREAMING TABLE with declared columns.
pub fn create<'a>(call: &'a Call<'a>, create: &'a CreateStream) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let planning = call.planning();
        let snapshot = planning.snapshot();
        let key = planning.key(&create.table.name.0)?;
        table::check_database(snapshot, &key.database)?;
        if table::taken(snapshot, &key) && !create.table.or_replace {
            return if create.table.if_not_exists { Ok(()) } else { Err(table::exists(&key)) };
        }
        table::check_names(&create.table)?;
        if create.table.columns.is_empty() {
            return Err(Error::new(Code::InvalidStatement, format!("streaming table \"{key}\" needs columns"))
                .hint("Declare them, or write INFER FROM TOPIC."));
        }
        let (table, declared) = definition(call, snapshot, create, &key)?;
        // It reads files: secrets, certificates.
        let (engine, asked, columns) = (Arc::clone(call.session.engine()), table.clone(), Arc::clone(&declared));
        let checked = tokio::task::spawn_blocking(move || check_source(&engine, &asked, &columns)).await;
        checked.map_err(|error| Error::internal(format!("options of a source: {error}")))??;
        create_stored(call, table, physical_schema(&declared), create).await
    })
}

/// Runs CREATE STREAMING TABLE .. INFER FROM TOPIC: the columns come from records; answers the statement that would
/// make the same table without looking.
pub fn create_inferred<'a>(call: &'a Call<'a>, create: &'a CreateStream) -> BoxFuture<'a, Result<Answer>> {
    Box::pin(async move {
        let planning = call.planning();
        let snapshot = planning.snapshot();
        let key = planning.key(&create.table.name.0)?;
        table::check_database(snapshot, &key.database)?;
        let mut declared = create.clone();
        declared.infer_records = None;
        if !table::taken(snapshot, &key) || create.table.or_replace {
            let Options { connector, plain, secrets } = options(snapshot, &key, &create.table.options)?;
            let source = StreamDef { connector, secret_options: secrets, ..StreamDef::default() };
            let columns = infer(call.session.engine(), &key, plain, &source, create.infer_records.unwrap_or_default()).await?;
            declared.table.columns = columns
                .into_iter()
                .map(|(name, type_text)| {
                    let data_type = crate::parser::parse_type(&type_text)?;
                    Ok(ColumnDef { name, data_type, type_text, nullable: true, comment: None })
                })
                .collect::<Result<_>>()?;
        }
        self::create(call, &declared).await?;
        let created = dml::writable_table(&call.planning(), &create.table.name.0)?;
        let text: ArrayRef = Arc::new(StringArray::from(vec![ddl_text::create_table(&created)]));
        let batch = RecordBatch::try_from_iter_with_nullable([("create_statement", text, true)]).map_err(errors::from_arrow)?;
        let schema = batch.schema();
        Ok(Answer::Rows(vec![batch], schema))
    })
}

/// Name and type of the columns that the records of a topic have.
fn infer<'a>(
    engine: &'a Engine,
    key: &'a ObjectKey,
    options: Vec<(String, String)>,
    source: &'a StreamDef,
    n_records: u64,
) -> BoxFuture<'a, Result<Vec<(String, String)>>> {
    Box::pin(async move {
        let options = streams::check_source(engine, &key.to_string(), options, source)?;
        let n_records = usize::try_from(n_records).unwrap_or(usize::MAX);
        let looked = tokio::task::spawn_blocking(move || kafka::infer(&options, n_records)).await;
        looked.map_err(|error| Error::internal(format!("columns of a topic: {error}")))?
    })
}

/// The definition of the new table, and its declared columns.
fn definition(call: &Call<'_>, snapshot: &Snapshot, create: &CreateStream, key: &ObjectKey) -> Result<(Table, SchemaRef)> {
    let Options { connector, plain, secrets } = options(snapshot, key, &create.table.options)?;
    if let Some(property) = create.table.properties.iter().find(|property| is_secret(property)) {
        return Err(must_be_secret(property));
    }
    table::check_properties(key, &table::option_pairs(&create.table.properties)?)?;
    let mut new = table::definition(&create.table, key, call.session.user());
    new.kind = TableKind::Streaming;
    new.options = plain;
    new.format = match create.table.stored_as.as_deref() {
        None => "DELTA".into(),
        Some(format) if FORMATS.contains(&format) => format.to_owned(),
        Some(format) => {
            return Err(Error::new(Code::NotSupported, format!("a streaming table cannot be stored as {format}"))
                .hint("Write STORED AS DELTA or STORED AS PARQUET."));
        }
    };
    let declared = table::managed_schema(&create.table, &mut new)?;
    if let Some(column) = new.columns.iter().find(|column| is_hidden(&column.name)) {
        return Err(Error::new(
            Code::DuplicateColumn,
            format!("column \"{}\" of a streaming table has its name from the server", column.name),
        )
        .hint("Give it another name, and METADATA FROM."));
    }
    new.partition_columns = table::managed_partitions(&create.table, &new)?;
    let watermark = match &create.watermark {
        None => None,
        Some(watermark) => {
            Some(WatermarkDef { column: event_time(&declared, &watermark.column)?.name().clone(), delay_ms: watermark.delay_ms })
        }
    };
    new.stream = Some(StreamDef {
        connector,
        secret_options: secrets,
        metadata_columns: create.metadata_columns.clone(),
        watermark,
        paused: false,
        seek: None,
        restarts: 0,
    });
    Ok((new, declared))
}

/// Whether the server itself has a column of that name in every streaming table.
fn is_hidden(name: &str) -> bool {
    system_fields().iter().any(|hidden| hidden.name().eq_ignore_ascii_case(name))
}

/// What WITH says, sorted.
struct Options {
    connector: String,
    plain: Vec<(String, String)>,
    secrets: Vec<(String, String)>,
}

fn options(snapshot: &Snapshot, key: &ObjectKey, options: &[SqlOption]) -> Result<Options> {
    let mut sorted = Options { connector: String::new(), plain: Vec::new(), secrets: Vec::new() };
    for option in options {
        match &option.value {
            OptionValue::Secret(name) => sorted.secrets.push((option.key.clone(), snapshot.secret(name)?.name.clone())),
            _ if is_secret(option) => return Err(must_be_secret(option)),
            _ => sorted.plain.extend(table::option_pairs(std::slice::from_ref(option))?),
        }
    }
    let Some(idx) = sorted.plain.iter().position(|(name, _)| name.eq_ignore_ascii_case("connector")) else {
        return Err(Error::new(Code::InvalidParameter, format!("streaming table \"{key}\" needs the option \"connector\""))
            .hint("Write WITH ('connector' = 'kafka', 'topic' = '..', 'properties.bootstrap.servers' = '..')."));
    };
    let (_, connector) = sorted.plain.remove(idx);
    sorted.connector = connector.to_lowercase();
    if !CONNECTORS.contains(&sorted.connector.as_str()) {
        let message = format!("connector \"{connector}\" does not exist");
        return Err(Error::unknown(Code::InvalidParameter, message, &sorted.connector, CONNECTORS.iter().copied()));
    }
    Ok(sorted)
}

/// An option whose value stands in the statement, and must not.
fn must_be_secret(option: &SqlOption) -> Error {
    Error::new(Code::InvalidParameter, format!("option \"{}\" must be a secret", option.key))
        .detail("Its value would be seen in SHOW CREATE TABLE and in the history.")
        .hint(format!("CREATE SECRET name FROM ENV '..' or FROM FILE '..', then write '{}' = SECRET name in WITH.", option.key))
}

/// Whether the value of an option must not be seen, as the connector says; the name of a secret may be.
pub fn is_secret(option: &SqlOption) -> bool {
    match &option.value {
        OptionValue::Secret(_) => false,
        value => kafka::is_secret_option(&option.key, &value.as_text().unwrap_or_default()),
    }
}

/// Looks at options and columns as the source will.
fn check_source(engine: &Engine, table: &Table, declared: &Schema) -> Result<()> {
    let stream = table.stream.clone().unwrap_or_default();
    let options = streams::check_source(engine, &providers::full_name(table), table.options.clone(), &stream)?;
    kafka::Source::check(&options, &streams::source_columns(&stream, declared)?)
}

fn is_timestamp(field: &Field) -> bool {
    *field.data_type() == DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn field<'a>(schema: &'a Schema, name: &str) -> Result<&'a Field> {
    let found = schema.fields().iter().find(|field| field.name() == name);
    let found = found.or_else(|| schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name)));
    found.map(AsRef::as_ref).ok_or_else(|| {
        let known = schema.fields().iter().map(|field| field.name().as_str());
        Error::unknown(Code::UndefinedColumn, format!("column \"{name}\" is not a column of the table"), name, known)
    })
}

/// The column of WATERMARK FOR.
fn event_time<'a>(schema: &'a Schema, name: &str) -> Result<&'a Field> {
    let field = field(schema, name)?;
    if is_timestamp(field) {
        return Ok(field);
    }
    Err(Error::new(Code::InvalidStatement, format!("column \"{name}\" with a WATERMARK must be a TIMESTAMP"))
        .hint("Declare it as TIMESTAMP; 'json.timestamp-format' says how it is written in the records."))
}

/// Writes the empty table; it becomes visible, and a replaced one goes, in one change of the catalog.
fn create_stored<'a>(call: &'a Call<'a>, mut new: Table, schema: SchemaRef, create: &'a CreateStream) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let engine = Arc::clone(call.session.engine());
        let snapshot = engine.catalog().snapshot();
        let (place, _reserved) = places::choose(&engine, &snapshot, &mut new, create.table.location.as_deref()).await?;
        let partition_columns = new.partition_columns.iter().map(|column| column.name.clone()).collect();
        let name = providers::full_name(&new);
        let layout = if new.format == "PARQUET" { Layout::Parquet } else { Layout::Delta };
        let empty = NewTable { partition_columns, properties: new.properties.clone(), layout, ..NewTable::streaming(schema) };
        // When this fails, the place may be another server's: nothing there is touched.
        engine.managed().create(&new.id, &name, &place, empty).await?;
        let result = table::put(call, new.clone(), create.table.or_replace, create.table.if_not_exists).await;
        // Refused, or somebody else was quicker: nothing of it stays.
        let is_there = engine.catalog().snapshot().table_by_id(&new.id).is_some();
        if !is_there {
            let _ = engine.managed().close(&new.id, Some(&place)).await;
        }
        result
    })
}

/// The table, when it is a streaming one.
pub fn streaming_table(call: &Call<'_>, name: &ObjectName) -> Result<Arc<Table>> {
    let planning = call.planning();
    let table = dml::writable_table(&planning, &name.0)?;
    if table.kind == TableKind::Streaming { Ok(table) } else { Err(not_streaming(&table, "Use ALTER TABLE.")) }
}

fn not_streaming(table: &Table, hint: &str) -> Error {
    Error::new(Code::WrongObject, format!("table \"{}\" is not a streaming table", providers::full_name(table))).hint(hint)
}

/// Runs DROP STREAMING TABLE.
pub fn drop<'a>(call: &'a Call<'a>, name: &'a ObjectName, if_exists: bool) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let planning = call.planning();
        match planning.snapshot().tables.get(&planning.key(&name.0)?) {
            Some(table) if table.kind != TableKind::Streaming => Err(not_streaming(table, "Use DROP TABLE.")),
            _ => table::drop(call, name, if_exists).await,
        }
    })
}

/// Runs ALTER STREAMING TABLE.
pub fn alter<'a>(call: &'a Call<'a>, name: &'a ObjectName, action: &'a AlterStream) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let old = streaming_table(call, name)?;
        match action {
            AlterStream::Pause => change(call, &old, Box::new(|stream: &mut StreamDef| stream.paused = true)).await,
            AlterStream::Resume => {
                // A job that works goes on; one that failed, or waits for its next try, is started again.
                let status = call.session.engine().streams_board().get(&old.id);
                let is_well = status.is_some_and(|status| status.lock().state.is_well());
                let resume = move |stream: &mut StreamDef| {
                    if stream.paused || !is_well {
                        stream.restarts = stream.restarts.wrapping_add(1);
                    }
                    stream.paused = false;
                };
                change(call, &old, Box::new(resume)).await
            }
            AlterStream::Seek(target) => {
                let to = seek_to(call, &old, target).await?;
                if let SeekTo::Offsets(offsets) = &to {
                    check_partitions(call.session.engine(), &old, offsets)?;
                }
                let seek = move |stream: &mut StreamDef| {
                    let number = stream.seek.as_ref().map_or(0, |seek| seek.number) + 1;
                    stream.seek = Some(Seek { number, to: to.clone() });
                };
                change(call, &old, Box::new(seek)).await
            }
            AlterStream::Rename(new_name) => table::alter(call, name, &AlterTable::Rename(new_name.clone())).await,
        }
    })
}

/// Refuses a SEEK to partitions that the topic does not have, as far as the job knows them: one that has failed may be about
/// another topic of the same name.
fn check_partitions(engine: &Engine, table: &Table, offsets: &BTreeMap<i32, i64>) -> Result<()> {
    const SHOWN_MAX: usize = 20;
    let Some(numbers) = engine.streams_board().get(&table.id).map(|status| status.snapshot()) else { return Ok(()) };
    let known = &numbers.partitions;
    let is_known = (numbers.state.is_well() || numbers.state == StreamState::Paused) && !known.is_empty();
    let Some(unknown) = offsets.keys().find(|partition| is_known && !known.contains_key(*partition)) else { return Ok(()) };
    let mut shown: Vec<String> = known.keys().take(SHOWN_MAX).map(i32::to_string).collect();
    if known.len() > SHOWN_MAX {
        shown.push(format!("and {} more", known.len() - SHOWN_MAX));
    }
    Err(Error::new(Code::InvalidParameter, format!("the topic of table \"{}\" has no partition {unknown}", providers::full_name(table)))
        .detail(format!("Its partitions are {}.", shown.join(", ")))
        .hint("system.stream_partitions lists them; a new one is there when the stream has found it."))
}

/// Changes what is wanted of a stream, in the catalog as it is at that moment.
fn change<'a>(call: &'a Call<'a>, table: &'a Table, edit: Box<dyn Fn(&mut StreamDef) + Send + Sync + 'a>) -> BoxFuture<'a, Result<()>> {
    let edit = move |current: &mut Table| match &mut current.stream {
        Some(stream) => {
            edit(stream);
            Ok(())
        }
        None => Err(not_streaming(current, "Use ALTER TABLE.")),
    };
    table::change(call, table, Box::new(edit))
}

fn seek_to<'a>(call: &'a Call<'a>, table: &'a Arc<Table>, target: &'a SeekTarget) -> BoxFuture<'a, Result<SeekTo>> {
    Box::pin(async move {
        Ok(match target {
            SeekTarget::Earliest => SeekTo::Earliest,
            // Asked now: what is sent after the statement has been answered is read.
            SeekTarget::Latest => topic_ends(call.session.engine(), table).await?,
            SeekTarget::Timestamp(text) => SeekTo::TimestampMs(timestamp_ms(text, call.session.settings().timezone())?),
            SeekTarget::Offsets(offsets) => SeekTo::Offsets(offsets.iter().copied().collect()),
        })
    })
}

/// Where the partitions of a table's topic end.
fn topic_ends<'a>(engine: &'a Arc<Engine>, table: &'a Arc<Table>) -> BoxFuture<'a, Result<SeekTo>> {
    let (asked, of) = (Arc::clone(engine), Arc::clone(table));
    Box::pin(async move {
        // One step: options read files (secrets, certificates), brokers may be away.
        let ends = tokio::task::spawn_blocking(move || kafka::resolve(&asked.kafka_options(&of)?, Start::Latest, ENDS_TIMEOUT)).await;
        let (ends, topic_id) = ends.map_err(|error| Error::internal(format!("ends of a topic: {error}")))??;
        Ok(SeekTo::LatestAt { ends, topic_id })
    })
}

/// `2026-01-31 12:00:00`, with a zone or in the session's; or milliseconds since 1970.
fn timestamp_ms(text: &str, timezone: &str) -> Result<i64> {
    let wrong = || {
        Error::new(Code::InvalidValue, format!("\"{text}\" is not a timestamp"))
            .hint("Write '2026-01-31 12:00:00', or milliseconds since 1970.")
    };
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() > 4 {
        return text.parse().map_err(|_| wrong());
    }
    let zone: Tz = timezone.parse().map_err(|_| wrong())?;
    string_to_datetime(&zone, text).map(|time| time.timestamp_millis()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_in_the_zone_of_the_session_unless_they_say_theirs() {
        for (text, zone, expected) in [
            ("1767225600000", "UTC", 1_767_225_600_000),
            ("2026-01-01", "UTC", 1_767_225_600_000),
            ("2026-01-01 00:00:00", "UTC", 1_767_225_600_000),
            ("2026-01-01T00:00:00.250Z", "Europe/Paris", 1_767_225_600_250),
            ("2026-01-01 01:00:00", "Europe/Paris", 1_767_225_600_000),
            ("2026-01-01 00:00:00+02:00", "UTC", 1_767_218_400_000),
        ] {
            assert_eq!(timestamp_ms(text, zone).unwrap(), expected, "{text} in {zone}");
        }
        for text in ["", "yesterday", "2026", "2026-13-01", "99999999999999999999"] {
            assert_eq!(timestamp_ms(text, "UTC").unwrap_err().code, Code::InvalidValue, "{text}");
        }
    }

    #[test]
    fn passwords_and_keys_must_be_secrets() {
        let option = |key: &str, value: &str| SqlOption { key: key.into(), value: OptionValue::Text(value.into()) };
        for (key, value, expected) in [
            ("properties.sasl.password", "x", true),
            ("properties.SSL.Key.Password", "x", true),
            ("properties.ssl.key.pem", "x", true),
            ("properties.sasl.jaas.config", "x", true),
            ("avro-confluent.basic-auth.password", "x", true),
            ("avro-confluent.url", "https://u:p@host/", true),
            ("avro-confluent.url", "https://host:8081/a@b:c", false),
            ("properties.ssl.key.location", "service.key", false),
            ("properties.sasl.username", "u", false),
            ("topic", "passwords", false),
        ] {
            assert_eq!(is_secret(&option(key, value)), expected, "{key} = {value}");
        }
        let list = OptionValue::List(vec![OptionValue::Text("x".into())]);
        assert!(is_secret(&SqlOption { key: "properties.sasl.password".into(), value: list }));
        assert!(!is_secret(&SqlOption { key: "properties.sasl.password".into(), value: OptionValue::Secret("s".into()) }));
    }
}
