//! SHOW and DESCRIBE: small answers out of the catalog.

use crate::catalog::{Column, Model, ObjectKey, Secret, SecretSource, Table, TableKind, View};
use crate::engine::dispatch::{Answer, Call};
use crate::engine::system::{self, streams};
use crate::engine::{ddl_text, dml, edge, errors, maintenance, planning, providers, types};
use crate::error::{Code, Error, Result};
use crate::models::ModelOptions;
use crate::parser::{DescribeTarget, ObjectName, Show, Statement};
use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// The columns that a statement answers; `None` when it answers no rows (or is a query).
pub fn schema(statement: &Statement) -> Option<SchemaRef> {
    Some(match statement {
        Statement::Explain(_) => explain_schema(),
        Statement::Describe { target, .. } => match target {
            DescribeTarget::Object(_) | DescribeTarget::Query(_) => text_schema(&["col_name", "data_type", "comment"]),
            DescribeTarget::Model(_) | DescribeTarget::Database(_) => text_schema(&["property", "value"]),
        },
        Statement::Optimize { .. } => maintenance::optimize_schema(),
        Statement::Vacuum(_) => maintenance::vacuum_schema(),
        Statement::CreateStream(create) if create.infer_records.is_some() => text_schema(&["create_statement"]),
        Statement::Show(show) => match show {
            Show::Databases { .. } => text_schema(&["database_name"]),
            Show::Tables { .. } => text_schema(&["database_name", "table_name", "table_type"]),
            Show::Views { .. } => text_schema(&["database_name", "view_name"]),
            Show::Columns { .. } => text_schema(&["column_name", "data_type", "is_nullable", "comment"]),
            Show::Partitions { .. } => text_schema(&["partition"]),
            Show::CreateTable { .. } | Show::CreateView { .. } => text_schema(&["create_statement"]),
            Show::Models { .. } => text_schema(&["database_name", "model_name", "model_type", "default_version"]),
            Show::Streams { .. } => streams::listing_schema(),
            Show::Users => text_schema(&["user_name", "role"]),
            Show::Secrets => text_schema(&["secret_name", "source"]),
            Show::Functions { .. } => text_schema(&["function_name", "signature", "description"]),
            Show::ProcessList => system::queries_schema(),
            Show::Setting { name: Some(name) } => text_schema(&[name.as_str()]),
            Show::Setting { name: None } => text_schema(&["name", "value", "description"]),
            Show::TblProperties { .. } => text_schema(&["key", "value"]),
        },
        _ => return None,
    })
}

/// The columns of EXPLAIN.
pub fn explain_schema() -> SchemaRef {
    text_schema(&["plan_type", "plan"])
}

fn text_schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

/// Runs SHOW or DESCRIBE.
pub async fn run(call: &Call<'_>, statement: &Statement) -> Result<Answer> {
    let schema = schema(statement).ok_or_else(|| Error::internal("not a statement with rows"))?;
    let rows = match statement {
        Statement::Show(Show::ProcessList) => {
            let mine = call.session.current_user()?;
            let batch = system::processes(call.session.engine(), &mine)?;
            return Ok(Answer::Rows(vec![batch], schema));
        }
        Statement::Show(Show::Streams { like }) => {
            let batch = streams::listing(&call.planning(), |name| matches(name, like))?;
            return Ok(Answer::Rows(vec![batch], schema));
        }
        Statement::Show(show) => show_rows(call, show).await?,
        Statement::Describe { target, formatted } => describe(call, target, *formatted).await?,
        _ => return Err(Error::internal("not a SHOW or DESCRIBE")),
    };
    let columns: Vec<ArrayRef> = (0..schema.fields().len())
        .map(|idx| Arc::new(rows.iter().map(|row| row.get(idx).cloned().flatten()).collect::<StringArray>()) as ArrayRef)
        .collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(errors::from_arrow)?;
    Ok(Answer::Rows(vec![batch], schema))
}

type Row = Vec<Option<String>>;

fn row<const N: usize>(values: [&str; N]) -> Row {
    values.iter().map(|value| Some((*value).to_owned())).collect()
}

async fn show_rows(call: &Call<'_>, show: &Show) -> Result<Vec<Row>> {
    let planning = call.planning();
    let snapshot = planning.snapshot();
    let database_of = |given: &Option<String>| -> Result<String> {
        let name = given.as_deref().map_or_else(|| call.session.current_database(), planning::database_name);
        let known = snapshot.databases.contains_key(&name) || planning::is_virtual(&name);
        if known { Ok(name) } else { Err(planning::undefined_database(snapshot, &name)) }
    };
    Ok(match show {
        Show::Databases { like } => {
            let mut names: Vec<String> = snapshot.databases.values().map(|database| database.name.clone()).collect();
            names.extend(["information_schema".to_owned(), "system".to_owned()]);
            names.sort_by_key(|name| name.to_lowercase());
            names.into_iter().filter(|name| matches(name, like)).map(|name| vec![Some(name)]).collect()
        }
        Show::Tables { database, like } => {
            let database = database_of(database)?;
            let mut rows: Vec<(String, &str)> = Vec::new();
            rows.extend(tables_of(snapshot, &database).map(|table| (table.name.clone(), table_type(table))));
            rows.extend(views_of(snapshot, &database).map(|view| (view.name.clone(), "VIEW")));
            let supplied = call.session.system_tables().into_iter().filter(|(schema, _)| *schema == database);
            rows.extend(supplied.map(|(_, name)| (name, "SYSTEM TABLE")));
            rows.sort_by_key(|(name, _)| name.to_lowercase());
            rows.into_iter().filter(|(name, _)| matches(name, like)).map(|(name, kind)| row([&database, &name, kind])).collect()
        }
        Show::Views { database, like } => {
            let database = database_of(database)?;
            views_of(snapshot, &database).filter(|view| matches(&view.name, like)).map(|view| row([&database, &view.name])).collect()
        }
        Show::Columns { table } => {
            let parts = table.0.clone();
            let columns = relation_columns(call, &parts).await?;
            columns
                .into_iter()
                .map(|column| {
                    vec![
                        Some(column.name),
                        Some(column.sql_type),
                        Some(if column.nullable { "YES" } else { "NO" }.to_owned()),
                        column.comment,
                    ]
                })
                .collect()
        }
        Show::Partitions { table } => {
            let table = dml::writable_table(&planning, &table.0)?;
            if table.partition_columns.is_empty() {
                return Err(Error::new(Code::WrongObject, format!("table \"{}\" is not partitioned", providers::full_name(&table))));
            }
            let engine = call.session.engine();
            let partitions = match table.kind {
                TableKind::External if table.is_external_delta() => providers::delta(engine, &table).await?.partitions(),
                TableKind::External => providers::hive(engine, &table)?.partitions().await?,
                TableKind::Managed | TableKind::Streaming => providers::managed(engine, &table).await?.partitions(),
            };
            partitions.into_iter().map(|partition| vec![Some(partition)]).collect()
        }
        Show::CreateTable { name } | Show::CreateView { name } => vec![vec![Some(create_statement(call, name)?)]],
        Show::Models { like } => snapshot
            .models
            .values()
            .filter(|model| matches(&model.name, like))
            .map(|model| row([&model.database, &model.name, &model.training.model_type, &model.default_version.to_string()]))
            .collect(),
        Show::Users => {
            let me = call.session.current_user()?;
            snapshot
                .users
                .values()
                .filter(|user| me.admin || user.name == me.name)
                .map(|user| row([&user.name, if user.admin { "administrator" } else { "reader" }]))
                .collect()
        }
        Show::Secrets => {
            // Where a secret lies is for administrators.
            let me = call.session.current_user()?;
            let source = |secret: &Secret| match &secret.source {
                SecretSource::Env(name) => format!("ENV '{name}'"),
                SecretSource::File(path) => format!("FILE '{path}'"),
            };
            snapshot.secrets.values().map(|secret| vec![Some(secret.name.clone()), me.admin.then(|| source(secret))]).collect()
        }
        Show::Functions { like } => system::functions(call.session.engine())
            .into_iter()
            .filter(|(name, ..)| matches(name, like))
            .map(|(name, signature, help)| row([&name, &signature, &help]))
            .collect(),
        Show::Setting { name: Some(name) } => vec![vec![Some(setting(call, name)?)]],
        Show::Setting { name: None } => {
            call.session.settings().all().into_iter().map(|(name, value, help)| row([name, &value, help])).collect()
        }
        Show::TblProperties { name } => {
            let table = dml::writable_table(&planning, &name.0)?;
            table.properties.iter().map(|(key, value)| row([key, value])).collect()
        }
        Show::ProcessList | Show::Streams { .. } => Vec::new(),
    })
}

fn setting(call: &Call<'_>, name: &str) -> Result<String> {
    if ["search_path", "schema", "current_schema"].iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(call.session.current_database());
    }
    call.session.settings().get(name)
}

/// SQL LIKE (`%`, `_`) or Hive's pattern (`*`, `|`), without regard to case.
fn matches(name: &str, like: &Option<String>) -> bool {
    let Some(pattern) = like else { return true };
    let name = name.to_lowercase();
    pattern.to_lowercase().split('|').any(|pattern| {
        let pattern: Vec<char> = pattern.replace('*', "%").chars().collect();
        like_matches(&name.chars().collect::<Vec<_>>(), &pattern)
    })
}

fn like_matches(name: &[char], pattern: &[char]) -> bool {
    // Iterative with one point of return: linear for one `%`, never exponential.
    let (mut at, mut p, mut star) = (0, 0, None);
    while at < name.len() {
        match pattern.get(p) {
            Some('%') => {
                star = Some((p, at));
                p += 1;
            }
            Some(c) if *c == '_' || *c == name[at] => {
                at += 1;
                p += 1;
            }
            _ => match star {
                Some((star_p, star_at)) => {
                    p = star_p + 1;
                    at = star_at + 1;
                    star = Some((star_p, at));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

fn tables_of<'a>(snapshot: &'a crate::catalog::Snapshot, database: &str) -> impl Iterator<Item = &'a Arc<Table>> {
    let database = database.to_owned();
    snapshot.tables.iter().filter(move |(key, _)| key.database == database).map(|(_, table)| table)
}

fn views_of<'a>(snapshot: &'a crate::catalog::Snapshot, database: &str) -> impl Iterator<Item = &'a Arc<View>> {
    let database = database.to_owned();
    snapshot.views.iter().filter(move |(key, _)| key.database == database).map(|(_, view)| view)
}

fn table_type(table: &Table) -> &'static str {
    match table.kind {
        TableKind::External => "EXTERNAL TABLE",
        TableKind::Managed => "TABLE",
        TableKind::Streaming => "STREAMING TABLE",
    }
}

/// The columns of any relation as declared; partition columns of a Hive table last.
async fn relation_columns(call: &Call<'_>, parts: &[String]) -> Result<Vec<Column>> {
    let planning = call.planning();
    let key = planning.key(parts)?;
    let snapshot = Arc::clone(planning.snapshot());
    if let Some(table) = snapshot.tables.get(&key) {
        let mut columns = table.columns.clone();
        if table.has_partition_directories() {
            columns.extend(table.partition_columns.iter().cloned());
        }
        return Ok(columns);
    }
    let owned = parts.to_vec();
    let provider = call.session.engine().planning_threads().run(async move { planning.provider(&owned).await }).await?;
    match provider {
        Some(provider) => Ok(providers::columns(&provider.schema())),
        None => Err(dml::not_a_table(&snapshot, &key, &parts.join("."))),
    }
}

fn create_statement(call: &Call<'_>, name: &ObjectName) -> Result<String> {
    let planning = call.planning();
    let key = planning.key(&name.0)?;
    let snapshot = planning.snapshot();
    match (snapshot.tables.get(&key), snapshot.views.get(&key)) {
        (Some(table), _) => Ok(ddl_text::create_table(table)),
        (None, Some(view)) => Ok(ddl_text::create_view(view)),
        (None, None) => Err(dml::not_a_table(snapshot, &key, &name.to_string())),
    }
}

async fn describe(call: &Call<'_>, target: &DescribeTarget, formatted: bool) -> Result<Vec<Row>> {
    let planning = call.planning();
    match target {
        DescribeTarget::Object(name) => {
            let mut rows: Vec<Row> = relation_columns(call, &name.0)
                .await?
                .into_iter()
                .map(|column| {
                    let sql_type = if column.nullable { column.sql_type } else { format!("{} NOT NULL", column.sql_type) };
                    vec![Some(column.name), Some(sql_type), column.comment]
                })
                .collect();
            if formatted {
                rows.extend(details(planning.snapshot(), &planning.key(&name.0)?));
            }
            Ok(rows)
        }
        DescribeTarget::Query(query) => {
            let query = query.clone();
            let schema = call
                .session
                .engine()
                .planning_threads()
                .run(async move { Ok(planning.query(&query, None).await?.schema().as_arrow().clone()) })
                .await?;
            let schema = edge::edge_schema(&schema);
            Ok(schema
                .fields()
                .iter()
                .map(|field| vec![Some(field.name().clone()), Some(types::sql_name(field.data_type())), None])
                .collect())
        }
        DescribeTarget::Model(name) => {
            let key = planning.key(&name.0)?;
            match planning.snapshot().models.get(&key) {
                Some(model) => Ok(model_rows(model)),
                None => Err(super::ddl::model::undefined(planning.snapshot(), &key)),
            }
        }
        DescribeTarget::Database(name) => {
            let database = planning::database_name(name);
            let Some(found) = planning.snapshot().databases.get(&database) else {
                return Err(planning::undefined_database(planning.snapshot(), name));
            };
            let mut rows = vec![row(["database_name", &found.name])];
            rows.extend(found.comment.iter().map(|comment| row(["comment", comment])));
            rows.extend(found.location.iter().map(|location| row(["location", location])));
            Ok(rows)
        }
    }
}

fn details(snapshot: &crate::catalog::Snapshot, key: &ObjectKey) -> Vec<Row> {
    let mut rows = vec![row(["", "", ""])];
    let mut add = |name: &str, value: &str| rows.push(row([name, value, ""]));
    if let Some(table) = snapshot.tables.get(key) {
        add("# Partition Information", "");
        for column in &table.partition_columns {
            add(&column.name, &column.sql_type);
        }
        add("# Detailed Table Information", "");
        add("Database", &table.database);
        add("Table", &table.name);
        add("Owner", &table.owner);
        add("Created", &timestamp_text(table.created_ms));
        add("Type", table_type(table));
        add("Format", &table.format);
        add("Location", &table.location);
        if let Some(comment) = &table.comment {
            add("Comment", comment);
        }
        if let Some(stream) = &table.stream {
            add("Connector", &stream.connector);
            add("Wanted", if stream.paused { "paused" } else { "running" });
            if let Some(watermark) = &stream.watermark {
                add("Watermark", &ddl_text::watermark(watermark));
            }
            for (column, kind) in &stream.metadata_columns {
                add("Metadata", &format!("{column} FROM '{kind}'"));
            }
            for (name, secret) in &stream.secret_options {
                add(name, &format!("SECRET {secret}"));
            }
        }
        for (name, value) in table.properties.iter().chain(&table.options) {
            add(name, value);
        }
    } else if let Some(view) = snapshot.views.get(key) {
        add("# Detailed View Information", "");
        add("Database", &view.database);
        add("View", &view.name);
        add("Owner", &view.owner);
        add("Created", &timestamp_text(view.created_ms));
        add("View Text", &view.sql);
    }
    rows
}

fn model_rows(model: &Model) -> Vec<Row> {
    let mut rows = vec![
        row(["model_name", &model.name]),
        row(["model_type", &model.training.model_type]),
        row(["owner", &model.owner]),
        row(["default_version", &model.default_version.to_string()]),
        row(["query", &model.training.query]),
    ];
    if let Some(version) = model.versions.iter().find(|version| version.version == model.default_version) {
        rows.push(row(["trained", &timestamp_text(version.trained_ms)]));
        rows.push(row(["train_seconds", &format!("{:.3}", version.train_seconds)]));
        let model_type = &version.training.as_ref().unwrap_or(&model.training).model_type;
        for (name, value) in version.parameters.iter().filter(|(name, _)| *name != "model_type") {
            rows.push(row([name, value]));
            // Who knows the option from another system looks for its name there.
            let others = ModelOptions::other_spellings(model_type, name).into_iter();
            rows.extend(others.filter(|other| !version.parameters.contains_key(*other)).map(|other| row([other, value])));
        }
        rows.extend(version.metrics.iter().map(|(name, value)| row([name, &value.to_string()])));
    }
    rows
}

fn timestamp_text(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{ModelVersion, Training};
    use std::collections::BTreeMap;

    #[test]
    fn parameters_of_models_have_the_names_of_both_systems() {
        let parameters = [("max_tree_depth", "5"), ("model_type", "random_forest_classifier"), ("num_parallel_tree", "20")];
        let training = Training {
            model_type: "random_forest_classifier".into(),
            options: Vec::new(),
            query: "SELECT 1".into(),
            search_database: String::new(),
            timezone: String::new(),
        };
        let version = ModelVersion {
            version: 1,
            trained_ms: 0,
            train_seconds: 0.5,
            metrics: BTreeMap::new(),
            parameters: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            training: None,
            followed: None,
        };
        let model = Model {
            id: "id".into(),
            database: "public".into(),
            name: "m".into(),
            training,
            default_version: 1,
            versions: vec![version],
            created_ms: 0,
            owner: "admin".into(),
        };
        let expected = [["max_tree_depth", "5"], ["maxDepth", "5"], ["num_parallel_tree", "20"], ["numTrees", "20"]].map(row);
        assert_eq!(model_rows(&model)[7..], expected);
    }

    #[test]
    fn patterns_are_sql_or_hive() {
        for (name, pattern, expected) in [
            ("ratings", "rat%", true),
            ("ratings", "r_tings", true),
            ("Ratings", "*INGS", true),
            ("movies", "ratings|movies", true),
            ("movies", "m%x%", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "%a%a%a%a%a%a%b", false),
        ] {
            assert_eq!(matches(name, &Some(pattern.into())), expected, "{name} LIKE {pattern}");
        }
    }
}
