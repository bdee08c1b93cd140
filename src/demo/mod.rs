//! The main job on sample data, in one command: files to tables, cleaning, trends, a recommender, a live stream, a server.

mod events;
mod movielens;

pub use events::Events;

use crate::engine::{Door, Engine, Session};
use crate::error::{Code, Error, Result};
use crate::parser;
use crate::storage::Root;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// The scripts of `sql/pipelines/recommender` that the demo runs, in order.
static SCRIPTS: &[(&str, &str)] = &[
    ("01_tables.sql", include_str!("../../sql/pipelines/recommender/01_tables.sql")),
    ("02_clean.sql", include_str!("../../sql/pipelines/recommender/02_clean.sql")),
    ("03_trends.sql", include_str!("../../sql/pipelines/recommender/03_trends.sql")),
    ("04_model.sql", include_str!("../../sql/pipelines/recommender/04_model.sql")),
];

/// The query that the demo shows and runs.
static RECOMMEND: &str = include_str!("../../sql/pipelines/recommender/05_recommend.sql");

/// Where the demo's things lie.
#[derive(Debug)]
pub struct Places {
    directory: PathBuf,
    movielens: PathBuf,
}

impl Places {
    /// Makes the demo's directory and, unless a real data set is given, its sample data.
    pub fn prepare(directory: &Path, movielens: Option<&Path>) -> Result<Self> {
        let io = |error: std::io::Error| Error::new(Code::Io, format!("could not prepare \"{}\": {error}", directory.display()));
        std::fs::create_dir_all(directory.join("data")).map_err(io)?;
        let directory = directory.canonicalize().map_err(io)?;
        let movielens = match movielens {
            Some(given) => real(given)?,
            None => {
                let sample = directory.join("movielens");
                movielens::write(&sample).map_err(io)?;
                sample
            }
        };
        Ok(Self { directory, movielens })
    }

    /// The server's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("server")
    }

    /// What the scripts call `/movielens` and `/data`.
    pub fn roots(&self) -> Vec<Root> {
        vec![
            Root { prefix: "/movielens".into(), path: self.movielens.clone(), writable: false },
            Root { prefix: "/data".into(), path: self.directory.join("data"), writable: true },
        ]
    }
}

fn real(given: &Path) -> Result<PathBuf> {
    for file in ["ratings.csv", "movies.csv"] {
        if !given.join(file).is_file() {
            return Err(Error::new(Code::Io, format!("there is no {file} in \"{}\"", given.display()))
                .hint("--movielens takes a directory of MovieLens CSV files, such as ml-latest-small."));
        }
    }
    given.canonicalize().map_err(|error| Error::new(Code::Io, format!("could not open \"{}\": {error}", given.display())))
}

/// Runs the scripts and says what came of each.
pub async fn build(engine: &Arc<Engine>) -> Result<()> {
    let session = engine.trusted_session("admin", Door::Internal, "demo")?;
    for (name, script) in SCRIPTS {
        let started = Instant::now();
        let rows = run(&session, script).await.map_err(|error| Error { message: format!("{name}: {}", error.message), ..error })?;
        let wrote = if rows > 0 { format!(", {rows} rows") } else { String::new() };
        println!("  {name:<16} {:>6.2} s{wrote}", started.elapsed().as_secs_f64());
    }
    for (label, sql) in [
        ("data", "SELECT count(*) AS ratings, count(DISTINCT user_id) AS users, count(DISTINCT movie_id) AS movies FROM clean_ratings"),
        ("model", "SELECT rmse, mae, rows_eval, rows_eval_dropped FROM ML.EVALUATE(MODEL movie_recs)"),
        ("user 42", RECOMMEND),
    ] {
        let batches = session.rows(last_statement(sql).trim()).await?;
        let table = pretty_format_batches(&batches).map_err(crate::engine::errors::from_arrow)?;
        println!("\n{label}:\n{table}");
    }
    Ok(())
}

/// Runs a script's statements; returns the rows that they wrote.
async fn run(session: &Session, script: &str) -> Result<i64> {
    let mut written = 0;
    for statement in parser::split(script).0 {
        let execution = session.run(&statement).await?;
        written += execution.rows_affected.unwrap_or(0);
        let _: Vec<_> = execution.stream.try_collect().await.map_err(crate::engine::errors::from_datafusion)?;
    }
    Ok(written)
}

fn last_statement(script: &str) -> String {
    let (mut statements, rest) = parser::split(script);
    statements.pop().unwrap_or(rest)
}

/// Three things to try, for the address of the running server.
pub fn invitation(address: std::net::SocketAddr) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "weir".into());
    let query = last_statement(RECOMMEND);
    format!(
        r#"
weir demo is ready on grpc://{address}. Four things to try:

1. The console, in another terminal (\d lists the tables, \q leaves):
     {program} sql grpc://{address}

2. Python (pip install adbc-driver-flightsql pyarrow):
     from adbc_driver_flightsql import dbapi
     with dbapi.connect("grpc://{address}", autocommit=True) as connection, connection.cursor() as cursor:
         cursor.execute("SELECT * FROM recommend('movie_recs', 42, 10)")
         print(cursor.fetch_arrow_table().to_pydict())

3. SQL:
{}

4. What people do now, from Kafka; ask twice:
     SELECT count(*), max(event_time) FROM user_events;
     SHOW STREAMS;

Ctrl-C ends it. Starting it again is harmless."#,
        query.trim().lines().map(|line| format!("     {line}")).collect::<Vec<_>>().join("\n")
    )
}

/// Waits until live events are seen, and are more and newer a moment later; prints what they are.
pub async fn show_events(session: &Session) -> Result<()> {
    let deadline = Instant::now() + std::time::Duration::from_secs(30);
    let mut seen = (0, 0);
    loop {
        let rows = session.rows("SELECT count(*), max(event_time) FROM user_events").await?;
        let (n_rows, newest_us) = rows.first().map_or((0, 0), |batch| {
            let newest = batch.column(1).as_primitive_opt::<TimestampMicrosecondType>();
            (batch.column(0).as_primitive::<Int64Type>().value(0), newest.and_then(|newest| newest.iter().next()?).unwrap_or(0))
        });
        if seen.0 > 0 && n_rows > seen.0 && newest_us > seen.1 {
            break;
        }
        seen = (n_rows, newest_us);
        if Instant::now() > deadline {
            return Err(Error::new(Code::Timeout, "no live events arrived in 30 s").hint("SELECT last_error FROM system.streams says why."));
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let batches =
        session.rows("SELECT event, count(*) AS n, max(event_time) AS newest FROM user_events GROUP BY event ORDER BY event").await?;
    println!("live events:\n{}", pretty_format_batches(&batches).map_err(crate::engine::errors::from_arrow)?);
    Ok(())
}
