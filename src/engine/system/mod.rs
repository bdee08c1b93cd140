//! The tables of the `system` database: what the server knows of itself.

pub mod streams;

use crate::catalog::User;
use crate::engine::Engine;
use crate::engine::errors;
use crate::engine::model_runs::ModelRun;
use crate::engine::planning::Planning;
use crate::engine::queries::QueryRow;
use crate::error::Result;
use crate::models::OnlineNumbers;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use std::sync::Arc;

/// One system table.
pub struct SystemTable {
    /// Its name in the `system` database.
    pub name: &'static str,
    /// What its rows are, a fragment.
    pub help: &'static str,
    rows: fn(&Planning, &User) -> Result<RecordBatch>,
}

/// All system tables.
pub static TABLES: &[SystemTable] = &[
    SystemTable { name: "functions", help: "functions of SQL", rows: function_rows },
    SystemTable { name: "metrics", help: "counters and gauges of the server", rows: metric_rows },
    SystemTable { name: "model_runs", help: "training runs since the server was started, with their progress", rows: model_run_rows },
    SystemTable {
        name: "model_updates",
        help: "models that follow streams, with what was folded in since their training",
        rows: model_update_rows,
    },
    SystemTable { name: "model_versions", help: "trained versions of models with their metrics", rows: model_version_rows },
    SystemTable { name: "models", help: "models", rows: model_rows },
    SystemTable { name: "queries", help: "queries that run, and the last ones that ended", rows: query_rows },
    SystemTable { name: "settings", help: "settings that a session may change", rows: setting_rows },
    SystemTable { name: "stream_gaps", help: "records that streaming tables passed over because they were gone", rows: streams::gap_rows },
    SystemTable { name: "stream_partitions", help: "partitions of streaming tables with their positions", rows: streams::partition_rows },
    SystemTable { name: "streams", help: "streaming tables with their state, lag and errors", rows: streams::stream_rows },
    SystemTable { name: "tables", help: "tables and views with their places", rows: table_rows },
];

/// The system table of that name, filled now.
pub fn table(planning: &Planning, user: &str, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    let Some(table) = TABLES.iter().find(|table| table.name.eq_ignore_ascii_case(name)) else { return Ok(None) };
    let user = planning.engine().user(user)?;
    let batch = (table.rows)(planning, &user)?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(errors::from_datafusion)?;
    Ok(Some(Arc::new(table)))
}

/// The columns of `system.queries` and SHOW PROCESSLIST.
pub fn queries_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let count = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        text("query_id"),
        text("user_name"),
        text("door"),
        text("session_id"),
        text("state"),
        Field::new("started", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("seconds", DataType::Float64, true),
        count("rows"),
        count("bytes"),
        count("memory_bytes_max"),
        text("sql"),
        text("error"),
        text("plan_metrics"),
    ]))
}

fn query_rows(planning: &Planning, user: &User) -> Result<RecordBatch> {
    queries(planning.engine().queries().rows(), user)
}

/// Running queries that the user may see: all for administrators, else their own.
pub fn processes(engine: &Engine, user: &User) -> Result<RecordBatch> {
    queries(engine.queries().running(), user)
}

fn queries(rows: Vec<QueryRow>, user: &User) -> Result<RecordBatch> {
    let rows: Vec<QueryRow> = rows.into_iter().filter(|row| user.admin || row.user == user.name).collect();
    let text = |value: fn(&QueryRow) -> Option<String>| Arc::new(rows.iter().map(value).collect::<StringArray>()) as ArrayRef;
    let count = |value: fn(&QueryRow) -> u64| Arc::new(rows.iter().map(|row| Some(value(row) as i64)).collect::<Int64Array>()) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        text(|row| Some(row.id.clone())),
        text(|row| Some(row.user.clone())),
        text(|row| Some(row.door.name().to_owned())),
        text(|row| Some(row.session.clone())),
        text(|row| Some(row.state.name().to_owned())),
        Arc::new(rows.iter().map(|row| Some(row.started_ms * 1000)).collect::<TimestampMicrosecondArray>()),
        Arc::new(rows.iter().map(|row| Some(row.elapsed.as_secs_f64())).collect::<Float64Array>()),
        count(|row| row.rows),
        count(|row| row.bytes),
        count(|row| row.memory_bytes_max),
        text(|row| Some(row.sql.clone())),
        text(|row| row.error.clone()),
        text(|row| row.metrics.clone()),
    ];
    RecordBatch::try_new(queries_schema(), columns).map_err(errors::from_arrow)
}

fn setting_rows(_planning: &Planning, _user: &User) -> Result<RecordBatch> {
    let settings = crate::engine::settings::SETTINGS;
    batch(vec![
        ("name", texts(settings.iter().map(|setting| Some(setting.name.to_owned())))),
        ("default_value", texts(settings.iter().map(|setting| Some(setting.default.to_owned())))),
        ("description", texts(settings.iter().map(|setting| Some(setting.help.to_owned())))),
    ])
}

fn table_rows(planning: &Planning, _user: &User) -> Result<RecordBatch> {
    let snapshot = planning.snapshot();
    let tables: Vec<_> = snapshot.tables.values().collect();
    let views: Vec<_> = snapshot.views.values().collect();
    let both = |table: fn(&crate::catalog::Table) -> Option<String>, view: fn(&crate::catalog::View) -> Option<String>| {
        texts(tables.iter().map(|entry| table(entry)).chain(views.iter().map(|entry| view(entry))).collect::<Vec<_>>())
    };
    let created = tables.iter().map(|table| table.created_ms).chain(views.iter().map(|view| view.created_ms));
    batch(vec![
        ("database_name", both(|table| Some(table.database.clone()), |view| Some(view.database.clone()))),
        ("table_name", both(|table| Some(table.name.clone()), |view| Some(view.name.clone()))),
        ("kind", both(|table| Some(format!("{:?}", table.kind).to_lowercase()), |_| Some("view".into()))),
        ("format", both(|table| Some(table.format.clone()), |_| None)),
        ("location", both(|table| Some(table.location.clone()), |_| None)),
        ("owner", both(|table| Some(table.owner.clone()), |view| Some(view.owner.clone()))),
        ("created", Arc::new(created.map(|ms| Some(ms * 1000)).collect::<TimestampMicrosecondArray>()) as ArrayRef),
    ])
}

fn model_rows(planning: &Planning, _user: &User) -> Result<RecordBatch> {
    let models: Vec<_> = planning.snapshot().models.values().cloned().collect();
    batch(vec![
        ("database_name", texts(models.iter().map(|model| Some(model.database.clone())))),
        ("model_name", texts(models.iter().map(|model| Some(model.name.clone())))),
        ("model_type", texts(models.iter().map(|model| Some(model.training.model_type.clone())))),
        ("default_version", Arc::new(models.iter().map(|model| Some(model.default_version as i64)).collect::<Int64Array>()) as ArrayRef),
        ("owner", texts(models.iter().map(|model| Some(model.owner.clone())))),
        ("query", texts(models.iter().map(|model| Some(model.training.query.clone())))),
    ])
}

fn model_version_rows(planning: &Planning, _user: &User) -> Result<RecordBatch> {
    let snapshot = planning.snapshot();
    let versions: Vec<_> = snapshot.models.values().flat_map(|model| model.versions.iter().map(move |version| (model, version))).collect();
    batch(vec![
        ("database_name", texts(versions.iter().map(|(model, _)| Some(model.database.clone())))),
        ("model_name", texts(versions.iter().map(|(model, _)| Some(model.name.clone())))),
        ("version", Arc::new(versions.iter().map(|(_, version)| Some(version.version as i64)).collect::<Int64Array>()) as ArrayRef),
        (
            "is_default",
            Arc::new(versions.iter().map(|(model, version)| Some(model.default_version == version.version)).collect::<BooleanArray>())
                as ArrayRef,
        ),
        (
            "trained",
            Arc::new(versions.iter().map(|(_, version)| Some(version.trained_ms * 1000)).collect::<TimestampMicrosecondArray>())
                as ArrayRef,
        ),
        ("train_seconds", Arc::new(versions.iter().map(|(_, version)| Some(version.train_seconds)).collect::<Float64Array>()) as ArrayRef),
        ("metrics", texts(versions.iter().map(|(_, version)| Some(json(&version.metrics))))),
        ("parameters", texts(versions.iter().map(|(_, version)| Some(json(&version.parameters))))),
    ])
}

fn model_run_rows(planning: &Planning, user: &User) -> Result<RecordBatch> {
    let rows: Vec<_> = planning.engine().model_runs().rows().into_iter().filter(|run| user.admin || run.user == user.name).collect();
    let count = |value: fn(&ModelRun) -> u64| Arc::new(rows.iter().map(|run| Some(value(run) as i64)).collect::<Int64Array>()) as ArrayRef;
    let number = |value: fn(&ModelRun) -> Option<f64>| Arc::new(rows.iter().map(value).collect::<Float64Array>()) as ArrayRef;
    let text = |value: fn(&ModelRun) -> Option<String>| texts(rows.iter().map(value));
    batch(vec![
        ("query_id", text(|run| Some(run.query_id.clone()))),
        ("session_id", text(|run| Some(run.session.clone()))),
        ("database_name", text(|run| Some(run.database.clone()))),
        ("model_name", text(|run| Some(run.model.clone()))),
        ("model_type", text(|run| Some(run.model_type.clone()))),
        ("user_name", text(|run| Some(run.user.clone()))),
        ("state", text(|run| Some(run.state.name().to_owned()))),
        ("phase", text(|run| Some(run.progress.phase.clone()))),
        ("rows", count(|run| run.progress.rows)),
        ("iteration", count(|run| run.progress.iteration as u64)),
        ("iterations_max", count(|run| run.progress.max_iterations as u64)),
        ("loss", number(|run| run.progress.loss)),
        ("metric", text(|run| run.progress.metric.as_ref().map(|(name, _)| name.clone()))),
        ("metric_value", number(|run| run.progress.metric.as_ref().map(|(_, value)| *value))),
        ("started", Arc::new(rows.iter().map(|run| Some(run.started_ms * 1000)).collect::<TimestampMicrosecondArray>()) as ArrayRef),
        ("seconds", number(|run| Some(run.elapsed.as_secs_f64()))),
        ("version", Arc::new(rows.iter().map(|run| run.version.map(u64::cast_signed)).collect::<Int64Array>()) as ArrayRef),
        ("error", text(|run| run.error.clone())),
    ])
}

/// The models whose default version follows its streams.
fn model_update_rows(planning: &Planning, _user: &User) -> Result<RecordBatch> {
    let snapshot = planning.snapshot();
    let followed = snapshot.models.values().filter(|model| model.default().is_some_and(|version| version.followed.is_some()));
    let rows: Vec<_> = followed
        .map(|model| {
            let online = planning.engine().models().folded_in(&model.id, model.default_version);
            let (state, error) = online.as_ref().map_or(("starting", None), |online| online.state());
            (model, online.map(|online| online.numbers()).unwrap_or_default(), state, error)
        })
        .collect();
    let count = |value: fn(&OnlineNumbers) -> u64| {
        Arc::new(rows.iter().map(|(_, numbers, ..)| Some(value(numbers).cast_signed())).collect::<Int64Array>()) as ArrayRef
    };
    let updated = rows.iter().map(|(_, numbers, ..)| numbers.updated_ms.map(|ms| ms * 1000)).collect::<TimestampMicrosecondArray>();
    batch(vec![
        ("database_name", texts(rows.iter().map(|(model, ..)| Some(model.database.clone())))),
        ("model_name", texts(rows.iter().map(|(model, ..)| Some(model.name.clone())))),
        ("version", Arc::new(rows.iter().map(|(model, ..)| Some(model.default_version.cast_signed())).collect::<Int64Array>()) as ArrayRef),
        ("state", texts(rows.iter().map(|(_, _, state, _)| Some((*state).to_owned())))),
        ("rows", count(|numbers| numbers.rows)),
        ("users", count(|numbers| numbers.users)),
        ("new_users", count(|numbers| numbers.new_users)),
        ("unknown_items", count(|numbers| numbers.unknown_items)),
        ("rows_skipped", count(|numbers| numbers.rows_skipped)),
        ("memory_bytes", count(|numbers| numbers.memory_bytes)),
        ("updated", Arc::new(updated) as ArrayRef),
        ("last_error", texts(rows.iter().map(|(.., error)| error.clone()))),
    ])
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn metric_rows(_planning: &Planning, _user: &User) -> Result<RecordBatch> {
    use crate::telemetry::metrics::{METRICS, Value};
    let rows: Vec<(&str, f64, &str)> = METRICS
        .iter()
        .map(|metric| {
            let value = match metric.value {
                Value::Counter(counter) => counter.value() as f64,
                Value::Gauge(gauge) => gauge.value() as f64,
                Value::Histogram(histogram) => histogram.count() as f64,
            };
            (metric.name, value, metric.help)
        })
        .collect();
    batch(vec![
        ("name", texts(rows.iter().map(|(name, ..)| Some((*name).to_owned())))),
        ("value", Arc::new(rows.iter().map(|(_, value, _)| Some(*value)).collect::<Float64Array>()) as ArrayRef),
        ("description", texts(rows.iter().map(|(.., help)| Some((*help).to_owned())))),
    ])
}

fn function_rows(planning: &Planning, _user: &User) -> Result<RecordBatch> {
    let rows = functions(planning.engine());
    batch(vec![
        ("function_name", texts(rows.iter().map(|(name, ..)| Some(name.clone())))),
        ("signature", texts(rows.iter().map(|(_, signature, _)| Some(signature.clone())))),
        ("description", texts(rows.iter().map(|(.., help)| Some(help.clone())))),
    ])
}

/// Name, signature and help of every function, sorted by name.
pub fn functions(engine: &Engine) -> Vec<(String, String, String)> {
    use std::collections::BTreeMap;
    let state = engine.base_state();
    let mut rows: BTreeMap<String, (String, String)> = BTreeMap::new();
    let scalars = state.scalar_functions().values().map(|function| (function.name().to_owned(), function.documentation()));
    let aggregates = state.aggregate_functions().values().map(|function| (function.name().to_owned(), function.documentation()));
    let windows = state.window_functions().values().map(|function| (function.name().to_owned(), function.documentation()));
    for (name, documentation) in scalars.chain(aggregates).chain(windows) {
        let entry = documentation.map_or_else(
            || (format!("{name}(..)"), String::new()),
            |documentation| (documentation.syntax_example.clone(), documentation.description.trim().to_owned()),
        );
        rows.insert(name, entry);
    }
    for name in state.table_functions().keys() {
        rows.insert(name.clone(), (format!("{name}(..)"), "table function, for FROM".into()));
    }
    // Registered anew for each statement, for they see the statement's catalog.
    for (name, signature, help) in weir_functions::model::SIGNATURES {
        rows.insert((*name).to_owned(), ((*signature).to_owned(), (*help).to_owned()));
    }
    for function in weir_functions::FUNCTIONS {
        rows.insert(function.name.to_owned(), (function.signature.to_owned(), function.help.to_owned()));
    }
    rows.into_iter().map(|(name, (signature, help))| (name, signature, help)).collect()
}

fn texts(values: impl IntoIterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).map_err(errors::from_arrow)
}
