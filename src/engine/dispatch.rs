//! The one dispatcher: parse, plan, authorise, limit, execute. Every door calls it.

use crate::auth::Action;
use crate::engine::execute::{self, Runnable};
use crate::engine::planned::Planned;
use crate::engine::planning::Planning;
use crate::engine::queries::QueryGuard;
use crate::engine::session::Session;
use crate::engine::{Execution, Prepared, changes, ddl, dml, edge, explain, maintenance, parameters, show};
use crate::error::{Code, Error, Result};
use crate::parser::{self, QueryStatement, Show, Statement};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{EmptyRecordBatchStream, SendableRecordBatchStream};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// One statement that is being run for a session.
pub struct Call<'a> {
    pub session: &'a Session,
    pub guard: QueryGuard,
}

impl Call<'_> {
    /// A planning over the newest catalog, as the session sees names now.
    pub fn planning(&self) -> Planning {
        self.session.planning()
    }

    /// The longest that this statement may run.
    pub fn timeout(&self) -> Option<Duration> {
        self.session.statement_timeout()
    }
}

/// What a statement answers.
pub enum Answer {
    /// A count of rows written; 0 for definitions.
    Count(i64),
    /// A few rows that are there already.
    Rows(Vec<RecordBatch>, SchemaRef),
}

/// What is known of a statement before it runs.
pub struct Description {
    /// The columns of its answer.
    schema: SchemaRef,
    /// One field per parameter.
    parameters: SchemaRef,
    is_update: bool,
    /// The plan of a query whose parameters are bound, or that has none.
    planned: Option<Planned>,
}

/// Parses and plans without running; nothing changes. The plan is for a run that follows at once.
pub fn prepare<'a>(session: &'a Session, sql: &'a str) -> BoxFuture<'a, Result<(Prepared, Option<Planned>)>> {
    Box::pin(async move {
        let catalog_version = session.snapshot().version;
        let statement = parse(session, sql)?;
        authorise(session, &statement)?;
        let Description { schema, parameters, is_update, planned } = describe(session, &statement).await?;
        let prepared = Prepared { schema, parameter_schema: parameters, is_update, statement, sql: sql.to_owned(), catalog_version };
        Ok((prepared, planned))
    })
}

fn parse(session: &Session, sql: &str) -> Result<Statement> {
    let limit = session.engine().limits().sql_bytes_max;
    if sql.len() > limit {
        return Err(Error::new(Code::LimitExceeded, format!("the statement has {} bytes, the limit is {limit}", sql.len())));
    }
    let mut statement = parser::parse_one(sql)?;
    // EXPLAIN of EXPLAIN and the like are refused by the parser; here only queries remain to be counted.
    if let Statement::Query(query) = &mut statement {
        query.text = query.text.trim().to_owned();
    }
    Ok(statement)
}

async fn describe(session: &Session, statement: &Statement) -> Result<Description> {
    let none: SchemaRef = Arc::new(Schema::empty());
    let update = |parameters| Description { schema: Arc::clone(&none), parameters, is_update: true, planned: None };
    match statement {
        Statement::Query(query) => describe_query(session, query, None).await,
        Statement::Insert(insert) => {
            let planning = session.planning();
            let table = dml::writable_table(&planning, &insert.table.0)?;
            dml::refuse_external_delta(&table)?;
            let insert = insert.clone();
            let n_parameters = insert.source.n_parameters;
            let plan = session.engine().planning_threads().run(async move { dml::source(&planning, &table, &insert, None).await }).await?;
            Ok(update(parameters::schema(&plan, n_parameters)?))
        }
        Statement::Delete(delete) => Ok(update(changes::describe_delete(session, delete).await?)),
        Statement::Update(statement) => Ok(update(changes::describe_update(session, statement).await?)),
        Statement::CreateModel(create) if create.query.as_ref().is_some_and(|query| query.n_parameters > 0) => {
            Err(Error::new(Code::NotSupported, "the query of CREATE MODEL takes no parameters")
                .hint("Write the values: the query is kept with the model."))
        }
        other => Ok(match show::schema(other) {
            Some(schema) => Description { schema: edge::edge_schema(&schema), parameters: none, is_update: false, planned: None },
            None => update(Arc::clone(&none)),
        }),
    }
}

/// A query with its parameters: `values` when they are bound already.
async fn describe_query(session: &Session, query: &QueryStatement, values: Option<Vec<ScalarValue>>) -> Result<Description> {
    let planning = session.planning();
    let query = query.clone();
    session
        .engine()
        .planning_threads()
        .run(async move {
            // One without parameters is bound.
            let values = values.or_else(|| (query.n_parameters == 0).then(Vec::new));
            let mut plan = planning.query(&query, values.as_deref()).await?;
            let parameters = parameters::schema(&plan, query.n_parameters)?;
            if let Some(values) = &values {
                plan = dml::bind(plan, values)?;
            }
            let planned = Planned::new(planning, plan)?;
            let schema = Arc::clone(&planned.schema);
            // Tables that it has opened would be held for nothing.
            let is_of_use = values.is_some() && !planned.planning.reads_tables();
            Ok(Description { schema, parameters, is_update: false, planned: is_of_use.then_some(planned) })
        })
        .await
}

/// The schema of a prepared statement's result with these parameters, and its plan for a run that follows at once.
pub async fn result_schema_with(
    session: &Session,
    prepared: &Prepared,
    bound: Option<&RecordBatch>,
) -> Result<(SchemaRef, Option<Planned>)> {
    let described = match &prepared.statement {
        Statement::Query(query) if query.n_parameters > 0 && bound.is_some() => {
            let values = parameters::values(bound, &prepared.parameter_schema, query.n_parameters)?;
            describe_query(session, query, Some(values)).await?
        }
        // A definition changed since: the columns may have, too.
        statement if session.snapshot().version != prepared.catalog_version => describe(session, statement).await?,
        _ => return Ok((Arc::clone(&prepared.schema), None)),
    };
    Ok((described.schema, described.planned))
}

/// Runs a statement. A definition or an INSERT is complete when this returns. `planned` is the plan for these parameters, if
/// it was made a moment ago.
pub fn execute<'a>(
    session: &'a Session,
    prepared: &'a Prepared,
    bound: Option<&'a RecordBatch>,
    planned: Option<Planned>,
) -> BoxFuture<'a, Result<Execution>> {
    Box::pin(async move {
        authorise(session, &prepared.statement)?;
        let shown = mask(&prepared.statement, &prepared.sql);
        let queries = session.engine().queries();
        let guard = match &prepared.statement {
            Statement::KillQuery { .. } | Statement::Show(Show::ProcessList) => {
                queries.start_beyond_limits(session.user(), session.door(), session.id(), &shown)?
            }
            _ => queries.start(session.user(), session.door(), session.id(), &shown)?,
        };
        let call = Call { session, guard };
        match run(&call, prepared, bound, planned).await {
            Ok(Ended::Streaming(runnable, schema)) => {
                let query_id = call.guard.id.clone();
                let timeout = call.timeout();
                let stream = execute::stream(session.engine(), runnable, Arc::clone(&schema), call.guard, timeout);
                Ok(Execution { query_id, schema, stream, rows_affected: None })
            }
            Ok(Ended::Answered(answer)) => {
                call.guard.finished();
                Ok(answered(call.guard.id.clone(), answer, &call.guard)?)
            }
            Err(error) => {
                call.guard.failed(&error);
                Err(error)
            }
        }
    })
}

#[expect(clippy::large_enum_variant, reason = "one value a statement, moved once")]
enum Ended {
    Streaming(Runnable, SchemaRef),
    Answered(Answer),
}

/// What a query's run begins with.
enum Source {
    Planned(Planned),
    Text(Planning, QueryStatement, Vec<ScalarValue>),
}

async fn run(call: &Call<'_>, prepared: &Prepared, bound: Option<&RecordBatch>, planned: Option<Planned>) -> Result<Ended> {
    let n_parameters = match &prepared.statement {
        Statement::Query(query) => query.n_parameters,
        Statement::Insert(insert) => insert.source.n_parameters,
        Statement::Delete(delete) => delete.source.n_parameters,
        Statement::Update(update) => update.source.n_parameters,
        Statement::CopyTo(copy) => copy.source.n_parameters,
        _ => 0,
    };
    let values = parameters::values(bound, &prepared.parameter_schema, n_parameters)?;
    match &prepared.statement {
        Statement::Query(query) => {
            let planned = planned.filter(|planned| planned.is_current(call.session));
            // A planning holds copies of all functions: none is made for nothing.
            let source = match planned {
                Some(planned) => Source::Planned(planned),
                None => Source::Text(call.planning(), query.clone(), values),
            };
            let cancelled = call.guard.cancel_token().clone();
            let plan = call.session.engine().planning_threads().run(async move {
                let planned = match source {
                    Source::Planned(planned) => planned,
                    Source::Text(planning, query, values) => {
                        let plan = dml::bind(planning.query(&query, Some(&values)).await?, &values)?;
                        Planned::new(planning, plan)?
                    }
                };
                let schema = Arc::clone(&planned.schema);
                Ok((Runnable::of(planned).await?, schema))
            });
            let (runnable, schema) = tokio::select! {
                biased;
                () = cancelled.cancelled() => return Err(Error::new(Code::Cancelled, "the query was cancelled")),
                planned = plan => planned?,
            };
            Ok(Ended::Streaming(runnable, schema))
        }
        Statement::Explain(statement) => explain::run(call, statement).await.map(Ended::Answered),
        Statement::Insert(insert) => dml::insert(call, insert, &values).await.map(|count| Ended::Answered(Answer::Count(count))),
        Statement::CopyTo(copy) => dml::copy(call, copy, &values).await.map(|count| Ended::Answered(Answer::Count(count))),
        Statement::Delete(delete) => changes::delete(call, delete, &values).await.map(|count| Ended::Answered(Answer::Count(count))),
        Statement::Update(update) => changes::update(call, update, &values).await.map(|count| Ended::Answered(Answer::Count(count))),
        Statement::Truncate { name } => changes::truncate(call, name).await.map(|count| Ended::Answered(Answer::Count(count))),
        Statement::Optimize { name } => maintenance::optimize(call, name).await.map(Ended::Answered),
        Statement::Vacuum(vacuum) => maintenance::vacuum(call, vacuum).await.map(Ended::Answered),
        Statement::CreateStream(create) if create.infer_records.is_some() => {
            ddl::stream::create_inferred(call, create).await.map(Ended::Answered)
        }
        statement if show::schema(statement).is_some() => show::run(call, statement).await.map(Ended::Answered),
        statement => ddl::run(call, statement).await.map(|()| Ended::Answered(Answer::Count(0))),
    }
}

fn answered(query_id: String, answer: Answer, guard: &QueryGuard) -> Result<Execution> {
    Ok(match answer {
        Answer::Count(count) => {
            let schema: SchemaRef = Arc::new(Schema::empty());
            let stream = Box::pin(EmptyRecordBatchStream::new(Arc::clone(&schema)));
            Execution { query_id, schema, stream, rows_affected: Some(count) }
        }
        Answer::Rows(batches, schema) => {
            guard.count(batches.iter().map(RecordBatch::num_rows).sum(), 0);
            let edge_schema = edge::edge_schema(&schema);
            let batches = futures::stream::iter(batches.into_iter().map(Ok));
            let stream: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema, batches));
            let stream = edge::edge_stream(stream, Arc::clone(&edge_schema));
            Execution { query_id, schema: edge_schema, stream, rows_affected: None }
        }
    })
}

/// Refuses what the user may not do.
fn authorise(session: &Session, statement: &Statement) -> Result<()> {
    let user = session.current_user()?;
    let (action, object) = demand(statement);
    crate::auth::check(&user, action, &object)
}

/// What a statement does to which object.
fn demand(statement: &Statement) -> (Action, String) {
    let named = |kind: &str, name: &dyn std::fmt::Display| format!("{kind} \"{name}\"");
    match statement {
        Statement::Query(_) => (Action::Select, "tables".into()),
        Statement::Explain(_) => (Action::Explain, "queries".into()),
        Statement::Show(_) => (Action::Show, "objects".into()),
        Statement::Describe { .. } => (Action::Describe, "objects".into()),
        Statement::Use { .. } | Statement::Set { .. } | Statement::Reset { .. } | Statement::Transaction(_) => {
            (Action::Set, "settings".into())
        }
        // `Session::cancel` looks at whose query it is.
        Statement::KillQuery { id } => (Action::CancelOwn, named("query", id)),
        Statement::Insert(insert) => (Action::Insert, named("table", &insert.table)),
        Statement::Delete(delete) => (Action::Delete, named("table", &delete.table)),
        Statement::Truncate { name } => (Action::Delete, named("table", name)),
        Statement::Update(update) => (Action::Update, named("table", &update.table)),
        Statement::CopyTo(copy) => (Action::Copy, named("file", &copy.target)),
        Statement::CreateDatabase { name, .. } => (Action::Create, named("database", name)),
        Statement::CreateTable(create) => (Action::Create, named("table", &create.name)),
        Statement::CreateStream(create) => (Action::Create, named("table", &create.table.name)),
        Statement::CreateView { name, .. } => (Action::Create, named("view", name)),
        Statement::CreateModel(create) => (Action::Train, named("model", &create.name)),
        Statement::AlterModel { name, .. } => (Action::Alter, named("model", name)),
        Statement::ExportModel { name, .. } => (Action::Copy, named("model", name)),
        Statement::AlterTable { name, .. }
        | Statement::AlterStream { name, .. }
        | Statement::Optimize { name }
        | Statement::Vacuum(parser::Vacuum { name, .. })
        | Statement::MsckRepair { name }
        | Statement::RefreshTable { name }
        | Statement::AnalyzeTable { name } => (Action::Alter, named("table", name)),
        Statement::DropDatabase { name, .. } => (Action::Drop, named("database", name)),
        Statement::DropTable { name, .. } | Statement::DropStream { name, .. } => (Action::Drop, named("table", name)),
        Statement::DropView { name, .. } => (Action::Drop, named("view", name)),
        Statement::DropModel { name, .. } => (Action::Drop, named("model", name)),
        Statement::CreateUser { name, .. } | Statement::AlterUser { name, .. } | Statement::DropUser { name, .. } => {
            (Action::Administer, named("user", name))
        }
        Statement::CreateSecret { name, .. } | Statement::DropSecret { name, .. } => (Action::Administer, named("secret", name)),
    }
}

/// The text for logs and the history: without passwords. Also of a statement that is refused for showing one.
fn mask(statement: &Statement, sql: &str) -> String {
    match statement {
        Statement::CreateUser { name, .. } => format!("CREATE USER {} PASSWORD '***'", parser::quote_name(name)),
        Statement::AlterUser { name, .. } => format!("ALTER USER {} PASSWORD '***'", parser::quote_name(name)),
        Statement::CreateStream(create) => {
            let options = create.table.options.iter().chain(&create.table.properties);
            let secrets = options.filter(|option| ddl::stream::is_secret(option)).map(|option| option.value.as_text());
            let location = create.table.location.as_deref().and_then(keys_in).map(|keys| Some(keys.to_owned()));
            let hidden = secrets.chain(location).try_fold(sql.trim().to_owned(), |text, secret| hide(&text, &secret?));
            hidden.unwrap_or_else(|| format!("CREATE STREAMING TABLE {} ***", create.table.name))
        }
        Statement::CreateTable(parser::CreateTable { location: Some(location), .. })
        | Statement::CreateDatabase { location: Some(location), .. } => {
            let hidden = keys_in(location).and_then(|keys| hide(sql.trim(), keys));
            hidden.unwrap_or_else(|| sql.trim().to_owned())
        }
        _ => sql.trim().to_owned(),
    }
}

/// A text without a literal; `None` when it is quoted in a way in which it is not found.
fn hide(text: &str, secret: &str) -> Option<String> {
    if secret.is_empty() {
        return Some(text.to_owned());
    }
    let spellings = [secret.replace('\'', "''"), secret.replace('"', "\"\""), secret.to_owned()];
    let hidden = spellings.iter().fold(text.to_owned(), |text, spelling| text.replace(spelling.as_str(), "***"));
    (hidden != text).then_some(hidden)
}

/// What may be keys in `s3://key:secret@bucket/..`, which no location may have. A secret key may have slashes in it.
fn keys_in(location: &str) -> Option<&str> {
    let (_, rest) = location.split_once("://")?;
    let (keys, _) = rest.rsplit_once('@')?;
    let first = rest.split('/').next().unwrap_or_default();
    first.contains([':', '@']).then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_holds_no_password() {
        for (sql, expected) in [
            ("CREATE USER u PASSWORD 'hunter2'", "CREATE USER u PASSWORD '***'"),
            (
                "CREATE STREAMING TABLE t (a INT) WITH ('topic' = 't', 'properties.sasl.password' = 'it''s')",
                "CREATE STREAMING TABLE t (a INT) WITH ('topic' = 't', 'properties.sasl.password' = '***')",
            ),
            (
                "CREATE STREAMING TABLE t (a INT) WITH ('properties.ssl.key.password' = \"hunter2\", 'x.secret' = SECRET s)",
                "CREATE STREAMING TABLE t (a INT) WITH ('properties.ssl.key.password' = \"***\", 'x.secret' = SECRET s)",
            ),
            (
                "CREATE STREAMING TABLE t (a INT) TBLPROPERTIES ('properties.sasl.password' = 'hunter2')",
                "CREATE STREAMING TABLE t (a INT) TBLPROPERTIES ('properties.sasl.password' = '***')",
            ),
            ("CREATE STREAMING TABLE t (a INT) WITH ('properties.sasl.password' = ['hunter2'])", "CREATE STREAMING TABLE t ***"),
            (
                "CREATE STREAMING TABLE t (a INT) LOCATION 's3://key:hun/ter@lake/t' WITH ('topic' = 't')",
                "CREATE STREAMING TABLE t (a INT) LOCATION 's3://***@lake/t' WITH ('topic' = 't')",
            ),
            ("CREATE TABLE t (a INT) LOCATION 's3://key:hunter2@lake/t'", "CREATE TABLE t (a INT) LOCATION 's3://***@lake/t'"),
            ("CREATE DATABASE d LOCATION 's3://key:hunter2@lake/t'", "CREATE DATABASE d LOCATION 's3://***@lake/t'"),
            ("CREATE TABLE t (a INT) LOCATION 's3://lake/a@b'", "CREATE TABLE t (a INT) LOCATION 's3://lake/a@b'"),
            (" DROP TABLE t ", "DROP TABLE t"),
        ] {
            assert_eq!(mask(&parser::parse_one(sql).unwrap(), sql), expected, "{sql}");
        }
    }
}
