//! `weir bench query`: one statement, sent to a running server again and again over Flight SQL.

use super::cpu::ThreadCpu;
use super::latency::Latencies;
use crate::console::{Client, ConnectionArguments, Connector, Prepared};
use crate::error::{Code, Error, Result};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use clap::Args;
use futures::TryStreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What each connection asks before the clock starts.
const WARM_UP_REQUESTS: usize = 20;

/// After so many failures without an answer between them a connection gives up.
const FAILED_IN_A_ROW_MAX: usize = 20;

/// What `weir bench query` is told.
#[derive(Debug, Args)]
pub struct QueryBench {
    /// A query; $1, $2 .. are parameters
    sql: String,
    #[command(flatten)]
    connection: ConnectionArguments,
    /// Sessions that ask at the same time, each over a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Requests a second of all connections together; by default each connection asks as soon as it has its answer
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Seconds over which is measured
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    seconds: f64,
    /// Values of the next parameter: a range of integers as 1..6040, or texts as a,b,c; one of them at random for each request
    #[arg(long = "param", value_name = "VALUES")]
    parameters: Vec<String>,
}

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq)]
enum Values {
    /// Both ends included.
    Range(i64, i64),
    Texts(Vec<String>),
}

/// What one connection saw.
#[derive(Debug, Default)]
struct Seen {
    /// From when a request was due to its last row.
    latencies: Vec<Duration>,
    /// From when it was sent.
    services: Vec<Duration>,
    /// How late a request was sent on a connection that was free.
    lags: Vec<Duration>,
    n_rows: u64,
    n_failed: usize,
    first_failure: Option<Error>,
}

impl QueryBench {
    /// Asks, and prints how long the answers took. At a fixed rate request k is due at k / rate whether or not earlier ones
    /// have been answered, and its latency counts from then: a stall of the server is not hidden by clients that wait.
    ///
    /// # Errors
    /// When there is no session, the statement is none that answers rows, its parameters do not fit, or a request failed.
    pub async fn run(self) -> Result<()> {
        if !(self.seconds > 0.0 && self.seconds.is_finite()) || self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err(Error::new(Code::InvalidParameter, "--seconds and --rate must be above 0"));
        }
        let parameters = self.parameters.iter().map(|text| values(text)).collect::<Result<Vec<_>>>()?;
        let mut connector = Connector::new(&self.connection)?;
        let plan = Arc::new(Plan {
            parameters,
            n_connections: self.connections as usize,
            rate: self.rate,
            duration: Duration::from_secs_f64(self.seconds),
            ready: Barrier::new(self.connections as usize + 1),
        });
        let mut tasks = JoinSet::new();
        for number in 0..plan.n_connections {
            let client = connector.connect().await?;
            let prepared = client.prepare(&self.sql).await?;
            check(&prepared, &plan.parameters)?;
            tasks.spawn(ask(client, prepared, Arc::clone(&plan), number));
        }
        plan.ready.wait().await;
        let (begun, cpu) = (Instant::now(), ThreadCpu::now());
        let mut all = Seen::default();
        while let Some(seen) = tasks.join_next().await {
            let seen = seen.map_err(|error| Error::internal(format!("a connection of the bench: {error}")))?;
            all.latencies.extend(seen.latencies);
            all.services.extend(seen.services);
            all.lags.extend(seen.lags);
            all.n_rows += seen.n_rows;
            all.n_failed += seen.n_failed;
            all.first_failure = all.first_failure.or(seen.first_failure);
        }
        self.report(all, begun.elapsed().as_secs_f64(), ThreadCpu::now().all_since(&cpu))
    }

    fn report(&self, all: Seen, seconds: f64, cpu_seconds: f64) -> Result<()> {
        let n_answers = all.latencies.len();
        let n_asked = n_answers + all.n_failed;
        println!(
            "{n_answers} answers in {seconds:.1} s: {:.0} a second, {} connections, {:.1} rows an answer",
            n_answers as f64 / seconds,
            self.connections,
            all.n_rows as f64 / n_answers.max(1) as f64
        );
        println!("{:<42}{:>9}{:>9}{:>9}{:>9}{:>9}", "ms", "p50", "p90", "p99", "p99.9", "max");
        if self.rate.is_some() {
            println!("{:<42}{}", "latency, from when the request was due", Latencies::new(all.latencies));
            println!("{:<42}{}", "service, from when it was sent", Latencies::new(all.services));
            println!("{:<42}{}", "the clients' own lag", Latencies::new(all.lags));
        } else {
            println!("{:<42}{}", "latency", Latencies::new(all.services));
        }
        println!("CPU of the clients {:.2} ms a request", 1000.0 * cpu_seconds / n_asked.max(1) as f64);
        match all.first_failure {
            None => Ok(()),
            Some(first) => Err(Error::new(first.code, format!("{} of {n_asked} requests failed", all.n_failed))
                .detail(format!("The first error: {}.", first.one_line()))),
        }
    }
}

/// What all connections know.
#[derive(Debug)]
struct Plan {
    parameters: Vec<Values>,
    n_connections: usize,
    rate: Option<f64>,
    duration: Duration,
    ready: Barrier,
}

/// The life of one connection: every `n_connections`-th request from `number` on is its own.
async fn ask(client: Client, prepared: Prepared, plan: Arc<Plan>, number: usize) -> Seen {
    // The same values in each run.
    let mut random = StdRng::seed_from_u64(number as u64);
    let mut seen = Seen::default();
    for _ in 0..WARM_UP_REQUESTS {
        // It will fail again where failures count.
        if request(&client, &prepared, &plan.parameters, &mut random).await.is_err() {
            break;
        }
    }
    plan.ready.wait().await;
    let mut n_failed_in_a_row = 0;
    let begun = Instant::now();
    let mut free = begun;
    for place in (number..).step_by(plan.n_connections) {
        let due = match plan.rate {
            Some(rate) => begun + Duration::from_secs_f64(place as f64 / rate),
            None => free,
        };
        if due.duration_since(begun) >= plan.duration {
            break;
        }
        tokio::time::sleep_until(due).await;
        let sent = Instant::now();
        match request(&client, &prepared, &plan.parameters, &mut random).await {
            Ok(n_rows) => {
                let finished = Instant::now();
                seen.latencies.push(finished - due);
                seen.services.push(finished - sent);
                seen.lags.push(sent - due.max(free));
                seen.n_rows += n_rows;
                n_failed_in_a_row = 0;
            }
            Err(error) => {
                seen.n_failed += 1;
                seen.first_failure.get_or_insert(error);
                n_failed_in_a_row += 1;
                if n_failed_in_a_row == FAILED_IN_A_ROW_MAX {
                    break;
                }
            }
        }
        free = Instant::now();
    }
    client.close(prepared).await;
    client.close_session().await;
    seen
}

/// Binds values, runs the statement, and reads all rows; returns how many.
async fn request(client: &Client, prepared: &Prepared, parameters: &[Values], random: &mut StdRng) -> Result<u64> {
    if !parameters.is_empty() {
        client.bind(prepared, row(&prepared.parameter_schema, parameters, random)?).await?;
    }
    let mut n_rows = 0;
    for endpoint in client.info(prepared).await?.endpoint {
        let Some(ticket) = endpoint.ticket else { continue };
        let mut rows = client.rows(ticket).await?;
        while let Some(batch) = rows.try_next().await.map_err(crate::console::Failure::from)? {
            n_rows += batch.num_rows() as u64;
        }
    }
    Ok(n_rows)
}

/// One row of parameters, in the types that the server expects.
fn row(schema: &SchemaRef, parameters: &[Values], random: &mut StdRng) -> Result<RecordBatch> {
    let columns = schema.fields().iter().zip(parameters).map(|(field, values)| {
        let value: ArrayRef = match values {
            Values::Range(low, high) => Arc::new(Int64Array::from(vec![random.random_range(*low..=*high)])),
            Values::Texts(texts) => Arc::new(StringArray::from(vec![texts[random.random_range(0..texts.len())].as_str()])),
        };
        match field.data_type() {
            DataType::Null => Ok(value),
            wanted => cast_with_options(&value, wanted, &CastOptions { safe: false, ..CastOptions::default() }),
        }
        .map_err(|error| Error::new(Code::InvalidParameter, format!("parameter ${} does not take the value: {error}", field.name())))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let named = schema.fields().iter().zip(columns).map(|(field, column)| (field.name().clone(), column));
    RecordBatch::try_from_iter(named).map_err(|error| Error::internal(format!("a row of parameters: {error}")))
}

/// Refuses what cannot be asked.
fn check(prepared: &Prepared, parameters: &[Values]) -> Result<()> {
    if prepared.is_update() {
        return Err(Error::new(Code::InvalidStatement, "the statement answers no rows").hint("Measure a query."));
    }
    let (wanted, given) = (prepared.parameter_schema.fields().len(), parameters.len());
    if wanted != given {
        return Err(Error::new(Code::InvalidParameter, format!("the statement has {wanted} parameters, --param is given {given} times"))
            .hint("Write --param once for each parameter, in their order: --param 1..6040."));
    }
    Ok(())
}

/// `1..6040`, or `a,b,c`.
fn values(text: &str) -> Result<Values> {
    let range = text.split_once("..").map(|(low, high)| (low.parse::<i64>(), high.parse::<i64>()));
    match range {
        Some((Ok(low), Ok(high))) if low <= high => Ok(Values::Range(low, high)),
        Some((Ok(low), Ok(high))) => Err(Error::new(Code::InvalidParameter, format!("--param {text}: {low} is above {high}"))),
        _ => Ok(Values::Texts(text.split(',').map(str::to_owned).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{Field, Int32Type, Schema};

    #[test]
    fn values_are_ranges_or_texts() {
        let texts = |texts: &[&str]| Values::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
        for (text, expected) in [
            ("1..6040", Values::Range(1, 6040)),
            ("-5..-5", Values::Range(-5, -5)),
            ("a,b", texts(&["a", "b"])),
            ("7", texts(&["7"])),
            ("a..b", texts(&["a..b"])),
        ] {
            assert_eq!(values(text).unwrap(), expected, "{text}");
        }
        assert_eq!(values("9..1").unwrap_err().message, "--param 9..1: 9 is above 1");
    }

    #[test]
    fn parameters_have_the_types_of_the_statement() {
        let schema = Arc::new(Schema::new(vec![Field::new("1", DataType::Int32, true), Field::new("2", DataType::Int32, true)]));
        let mut random = StdRng::seed_from_u64(1);
        let parameters = [Values::Range(3, 4), Values::Texts(vec!["7".into()])];
        for _ in 0..50 {
            let row = row(&schema, &parameters, &mut random).unwrap();
            let (first, second) = (row.column(0).as_primitive::<Int32Type>().value(0), row.column(1).as_primitive::<Int32Type>().value(0));
            assert!((3..=4).contains(&first) && second == 7, "{first} {second}");
        }
    }
}
