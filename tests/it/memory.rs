//! A large result costs the server little memory, whether the client reads it, reads slowly, or stops reading.

use crate::harness::{Client, Server};
use arrow_flight::decode::FlightRecordBatchStream;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::sum as sum_of;
use datafusion::arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const N_ROWS: i64 = 10_000_000;
/// What a server may take above its baseline while it streams.
const GROWTH_BYTES_MAX: u64 = 256 << 20;
/// How long the resting client rests.
const REST: Duration = Duration::from_secs(60);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// Eight columns of four types.
fn query(marker: &str) -> String {
    format!(
        "SELECT value AS id, value * 2 AS twice, value % 1000 AS bucket, CAST(value AS DOUBLE) / 3 AS third, \
         value % 2 = 0 AS is_even, concat('row ', value) AS name, {N_ROWS} - value AS left_over, '{marker}' AS marker \
         FROM generate_series(1, {N_ROWS})"
    )
}

/// Watches the resident memory of a server.
struct Watch {
    baseline_bytes: u64,
    peak_bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    fn start(server: &Arc<Server>) -> Self {
        let (peak_bytes, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (peak, stopped, server) = (Arc::clone(&peak_bytes), Arc::clone(&stop), Arc::clone(server));
        let baseline_bytes = server.resident_bytes();
        assert!(baseline_bytes > 0, "the memory of the server cannot be read");
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                peak.fetch_max(server.resident_bytes(), Ordering::Relaxed);
                std::thread::sleep(SAMPLE_INTERVAL);
            }
        });
        Self { baseline_bytes, peak_bytes, stop, thread: Some(thread) }
    }

    /// The most that the server had above the baseline.
    fn growth_bytes(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.peak_bytes.load(Ordering::Relaxed).saturating_sub(self.baseline_bytes)
    }
}

async fn open(client: &mut Client, sql: &str) -> FlightRecordBatchStream {
    let info = client.inner().execute(sql.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    client.inner().do_get(ticket).await.unwrap()
}

/// A server that has answered something already: what the first statement takes is not the stream's.
async fn warm_server() -> (Arc<Server>, Client) {
    let server = Arc::new(Server::start());
    let mut client = server.client().await;
    client.rows("SELECT value, concat('row ', value) FROM generate_series(1, 10)").await.unwrap();
    (server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_million_rows_are_streamed_not_collected() {
    let (server, mut client) = warm_server().await;
    let mut watch = Watch::start(&server);
    let started = Instant::now();
    let mut stream = open(&mut client, &query("read")).await;
    let (mut n_rows, mut sum) = (0, 0_i128);
    while let Some(batch) = stream.try_next().await.unwrap() {
        assert_eq!(batch.num_columns(), 8);
        n_rows += batch.num_rows();
        sum += i128::from(sum_of(batch.column(0).as_primitive::<Int64Type>()).unwrap_or_default());
    }
    let growth_bytes = watch.growth_bytes();
    println!("{n_rows} rows in {:.1} s, {} MiB above the baseline", started.elapsed().as_secs_f64(), growth_bytes >> 20);
    let n = i128::from(N_ROWS);
    assert_eq!((i64::try_from(n_rows).unwrap(), sum), (N_ROWS, n * (n + 1) / 2));
    assert!(growth_bytes < GROWTH_BYTES_MAX, "{} MiB above the baseline", growth_bytes >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_costs_little_and_its_query_ends_with_it() {
    const STATE: &str = "SELECT state FROM system.queries WHERE sql LIKE '%AS marker%' AND sql NOT LIKE '%system.queries%'";
    let (server, mut client) = warm_server().await;
    let mut watch = Watch::start(&server);
    let mut stream = open(&mut client, &query("rest")).await;
    let first = stream.try_next().await.unwrap().unwrap();
    assert!(first.num_rows() > 0);
    // Not a wait for something: the rest is what is tested.
    tokio::time::sleep(REST).await;
    let growth_bytes = watch.growth_bytes();
    println!("{} MiB above the baseline after {} s without reading", growth_bytes >> 20, REST.as_secs());
    assert!(growth_bytes < GROWTH_BYTES_MAX, "{} MiB above the baseline", growth_bytes >> 20);
    assert_eq!(server.sql(STATE).await, ["running"], "a client may rest");
    drop(stream);
    let dropped = Instant::now();
    loop {
        let state = server.sql(STATE).await;
        if state == ["cancelled"] {
            break;
        }
        assert!(dropped.elapsed() < Duration::from_secs(5), "5 s after the client has gone the query is {state:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
