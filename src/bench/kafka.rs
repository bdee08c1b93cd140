//! `weir bench kafka`: how fast a backlog becomes a table, what it costs, and how fresh the rows are.
//!
//! ```text
//! 1. backlog    N events wait in a topic of a real broker
//! 2. bare       librdkafka alone reads them and throws them away: the wall to compare with
//! 3. weir       a streaming table reads them until they are committed; CPU by groups of threads
//! 4. freshness  events arrive at a rate; SELECTs without a pause say when each was seen first
//! 5. snapshots  self-joins and counts while rows arrive and commits happen each second
//! ```
//! The broker runs on the same machine and takes its share of it: the ratio to the bare consumer of the same run counts.

use super::cpu::ThreadCpu;
use super::latency::Latencies;
use crate::config::Config;
use crate::connect::kafka::{KafkaOptions, Outgoing, Producer, create_topic, delete_topic, drain};
use crate::engine::{Door, Engine, EngineOptions, Session};
use crate::error::{Code, Error, Result};
use crate::stream::Supervisor;
use clap::Args;
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two looks at how far a backlog was read.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Bytes of one event, as JSON.
const EVENT_BYTES: usize = 142;
/// Offsets over which a snapshot is checked, of all partitions together.
const SNAPSHOT_OFFSETS: i64 = 100_000;
/// Of the bare client's rate.
const RATE_SHARE_MIN: f64 = 50.0;
/// Of weir's own threads.
const CPU_US_MAX: f64 = 1.0;
/// Of the 99th percentile of freshness.
const FRESHNESS_MS_MAX: f64 = 250.0;
/// So often a check looks at all offsets of the table.
const WHOLE_EVERY: usize = 250;

/// What `weir bench kafka` is told.
#[derive(Debug, Args)]
pub struct KafkaBench {
    /// A broker on this machine; topics are made and removed
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: String,
    /// Events of the backlog
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    rows: usize,
    /// Partitions of the topics
    #[arg(long, value_name = "N", default_value_t = 4)]
    partitions: i32,
    /// Events a second while freshness and snapshots are measured
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    rate: usize,
    /// Seconds over which freshness is measured
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u64,
    /// Snapshots to check while rows arrive
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    snapshots: usize,
    /// Where the bench keeps its data; by default a directory of its own that is removed
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Something that must be reached.
struct Bar {
    what: &'static str,
    holds: bool,
}

/// The directory of a run that was given none: it goes at the end, however that comes.
struct OwnDirectory(PathBuf);

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl KafkaBench {
    /// Runs all parts and prints what was measured. False when a bar was missed; without optimisation there is none.
    ///
    /// # Errors
    /// When the broker does not answer, or when a result is wrong: then no number counts.
    pub async fn run(self, config: &Config, mut options: EngineOptions) -> Result<bool> {
        let own = self.dir.is_none().then(|| OwnDirectory(std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()))));
        let directory = self.dir.clone().or_else(|| own.as_ref().map(|own| own.0.clone())).unwrap_or_default();
        options.data_dir = directory.join("server");
        options.warehouse = directory.join("warehouse");
        options.limits.spill_directory = directory.join("spill");
        if cfg!(debug_assertions) {
            println!("this is not a release build: its numbers mean nothing");
        }
        println!("memory limit {} MiB, {} cores", config.limits.memory_bytes >> 20, options.limits.parallelism);
        let engine = Engine::open(options).await?;
        engine.first_admin(None).await?;
        let supervisor = Supervisor::start(Arc::clone(&engine));
        let session = engine.trusted_session("admin", Door::Internal, "bench")?;
        let result = self.measure(&session).await;
        supervisor.stop().await;
        engine.shutdown().await;
        let missed: Vec<&str> = result?.iter().filter(|bar| !bar.holds).map(|bar| bar.what).collect();
        if missed.is_empty() || cfg!(debug_assertions) {
            return Ok(true);
        }
        println!("missed       {}", missed.join(", "));
        Ok(false)
    }

    async fn measure(&self, session: &Session) -> Result<Vec<Bar>> {
        let begun_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        // Topics of a run's own: offsets are counted from zero.
        let topic = |name: &str| KafkaOptions::of_topic(&format!("weir-bench-{name}-{begun_ms}"), &self.bootstrap, &[]);
        let (backlog, live) = (topic("backlog")?, topic("live")?);
        let measured = async {
            let mut bars = self.backlog(session, &backlog).await?;
            bars.push(self.live(session, &live).await?);
            Ok(bars)
        };
        let measured = measured.await;
        for options in [backlog, live] {
            if let Err(error) = blocking(move || delete_topic(&options)).await {
                eprintln!("{}", error.message);
            }
        }
        measured
    }

    async fn backlog(&self, session: &Session, options: &KafkaOptions) -> Result<Vec<Bar>> {
        let started = Instant::now();
        let (to_fill, n_rows, n_partitions) = (options.clone(), self.rows, self.partitions);
        let filled = blocking(move || {
            create_topic(&to_fill, n_partitions, &[("retention.ms", "-1")])?;
            fill(&to_fill, n_rows, n_partitions)
        });
        filled.await?;
        let seconds = started.elapsed().as_secs_f64();
        println!("backlog      {} events of {EVENT_BYTES} B, {} partitions, produced in {seconds:.1} s", self.rows, self.partitions);

        let (to_drain, n_rows) = (options.clone(), self.rows as u64);
        let (before, started) = (ThreadCpu::now(), Instant::now());
        blocking(move || drain(&to_drain, n_rows, PATIENCE)).await?;
        let bare = started.elapsed().as_secs_f64();
        let bare_cpu = ThreadCpu::now().all_since(&before);
        println!("bare client  {}; CPU of all its threads {:.2} us a row", rate(self.rows, bare), per_row(bare_cpu, self.rows));

        let (before, started) = (ThreadCpu::now(), Instant::now());
        create_table(session, "bench_backlog", &self.bootstrap, &options.topic, Columns::OfEvent).await?;
        let visible = |engine: &Engine| engine.streams().board().all().iter().map(|(_, status)| status.lock().rows_total as i64).sum();
        wait_for(session, "visible", self.rows as i64, visible).await?;
        let found = number(session, "SELECT count(*) FROM bench_backlog").await?;
        let visible = started.elapsed().as_secs_f64();
        if found != Some(self.rows as i64) {
            return Err(Error::new(Code::DataCorrupted, format!("{found:?} rows, {} were produced", self.rows)));
        }
        let committed = |engine: &Engine| {
            let streams = engine.streams().board().all();
            let partitions = streams.iter().flat_map(|(_, status)| status.snapshot().partitions.into_values());
            partitions.filter_map(|partition| partition.committed).sum()
        };
        wait_for(session, "committed", self.rows as i64, committed).await?;
        let (after, all) = (ThreadCpu::now(), started.elapsed().as_secs_f64());
        println!("weir         {}; committed after {all:.1} s", rate(self.rows, visible));
        let share = 100.0 * bare / visible;
        println!("             {share:.0} % of the bare client's rate (bar: at least {RATE_SHARE_MIN:.0} %)");
        let library = after.since(&before, is_client_library);
        let source = after.since(&before, |name| name.starts_with("kafka "));
        // Of the process, so that threads count that have ended.
        let own = after.all_since(&before) - library;
        println!(
            "CPU a row    weir's threads {:.2} us (bar: at most {CPU_US_MAX:.2}): reading and decoding {:.2}, files and the rest {:.2}; \
             librdkafka's threads {:.2} us",
            per_row(own, self.rows),
            per_row(source, self.rows),
            per_row(own - source, self.rows),
            per_row(library, self.rows)
        );
        session.rows("DROP TABLE bench_backlog").await?;
        Ok(vec![
            Bar { what: "the bare client's rate", holds: share >= RATE_SHARE_MIN },
            Bar { what: "CPU a row", holds: per_row(own, self.rows) <= CPU_US_MAX },
        ])
    }

    async fn live(&self, session: &Session, options: &KafkaOptions) -> Result<Bar> {
        let (to_make, n_partitions) = (options.clone(), self.partitions);
        // Many checks take long, and the disk is not for the topic alone: what was read long ago may go.
        let settings = [("segment.bytes", "67108864"), ("retention.bytes", "536870912")];
        blocking(move || create_topic(&to_make, n_partitions, &settings)).await?;
        create_table(session, "bench_live", &self.bootstrap, &options.topic, Columns::WithPlace).await?;
        let sent = Arc::new(Sent::new(self.partitions));
        let stop = Arc::new(AtomicBool::new(false));
        let producer = {
            let (options, sent, stop, rate) = (options.clone(), Arc::clone(&sent), Arc::clone(&stop), self.rate);
            let work = move || produce(&options, rate, &sent, &stop);
            std::thread::Builder::new().name("bench producer".into()).spawn(work)
        };
        let producer = producer.map_err(|error| Error::new(Code::LimitExceeded, format!("could not start a thread: {error}")))?;
        let measured = async {
            let bar = freshness(session, &sent, self.rate, Duration::from_secs(self.seconds)).await?;
            snapshots(session, self.snapshots, self.partitions, self.rate).await?;
            Ok(bar)
        };
        let measured: Result<Bar> = measured.await;
        stop.store(true, Ordering::SeqCst);
        // Without events nothing was measured: why there were none says more.
        blocking(move || producer.join().map_err(|_| Error::internal("the producer of the bench panicked"))?).await?;
        let bar = measured?;
        session.rows("DROP TABLE bench_live").await?;
        Ok(bar)
    }
}

/// Runs work that waits, away from the threads of the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal(format!("bench: {error}")))?
}

/// librdkafka names its threads so.
fn is_client_library(name: &str) -> bool {
    name.starts_with("rdk:")
}

fn rate(n_rows: usize, seconds: f64) -> String {
    format!("{seconds:6.1} s  {:7.0} k rows/s", n_rows as f64 / seconds / 1000.0)
}

fn per_row(seconds: f64, n_rows: usize) -> f64 {
    seconds * 1e6 / n_rows as f64
}

/// An event of exactly [`EVENT_BYTES`] bytes and eight columns.
fn event(number: usize, payload: &mut Vec<u8>) {
    use std::io::Write;
    payload.clear();
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // Writing to a vector cannot fail.
    let _ = write!(
        payload,
        r#"{{"user_id":{},"movie_id":{},"rating":{}.{},"event_time":"2026-11-01T12:{:02}:{:02}.{:03}","device":"phone","country":"FR","n":{number},"pad":""#,
        mixed % 1_000_000,
        (mixed >> 24) % 100_000,
        1 + mixed % 4,
        if mixed & 64 == 0 { 0 } else { 5 },
        number / 60_000 % 60,
        number / 1000 % 60,
        number % 1000,
    );
    payload.resize(EVENT_BYTES - 2, b'x');
    payload.extend_from_slice(b"\"}");
}

fn fill(options: &KafkaOptions, n_rows: usize, n_partitions: i32) -> Result<()> {
    let producer = Producer::new(&options.properties, &[])?;
    let mut payload = Vec::with_capacity(EVENT_BYTES);
    for number in 0..n_rows {
        event(number, &mut payload);
        let partition = Some((number % n_partitions as usize) as i32);
        producer.send(&options.topic, Outgoing { partition, payload: Some(&payload), ..Outgoing::default() })?;
    }
    producer.flush(&options.topic, PATIENCE)
}

/// Which columns a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Columns {
    /// The eight of an event.
    OfEvent,
    /// .. and its partition and offset; with a commit each second.
    WithPlace,
}

async fn create_table(session: &Session, table: &str, bootstrap: &str, topic: &str, columns: Columns) -> Result<()> {
    let (place, more) = match columns {
        Columns::OfEvent => ("", ""),
        Columns::WithPlace => {
            (", k_partition INT METADATA FROM 'partition', k_offset BIGINT METADATA FROM 'offset'", ", 'commit.interval' = '1 s'")
        }
    };
    let sql = format!(
        "CREATE STREAMING TABLE {table} (user_id BIGINT, movie_id BIGINT, rating DOUBLE, event_time TIMESTAMP, device STRING, country STRING,
           n BIGINT, pad STRING{place})
         WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap}', 'format' = 'json'{more})"
    );
    // Of a run that failed, in a directory that was given.
    session.rows(&format!("DROP TABLE IF EXISTS {table}")).await?;
    session.rows(&sql).await.map(drop)
}

/// Waits until the only streaming table has come to `expected` rows: a SELECT says then whether it has them. Its status is read
/// meanwhile, for SELECTs cost what is no part of a row.
async fn wait_for(session: &Session, what: &str, expected: i64, rows: impl Fn(&Engine) -> i64) -> Result<()> {
    let begun = Instant::now();
    loop {
        let found = rows(session.engine());
        if found >= expected {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::new(Code::Timeout, format!("{found} of {expected} rows are {what} after {} s", PATIENCE.as_secs())));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn number(session: &Session, sql: &str) -> Result<Option<i64>> {
    let batches = session.rows(sql).await?;
    let first = batches.iter().find(|batch| batch.num_rows() > 0);
    Ok(first
        .and_then(|batch| batch.column(0).as_primitive_opt::<Int64Type>())
        .filter(|column| !column.is_empty())
        .and_then(|column| column.iter().next().flatten()))
}

/// When each event was handed to the client library, by partition and offset: nobody else writes the topic.
struct Sent {
    begun: Instant,
    /// Microseconds since `begun`.
    times: Vec<Mutex<Vec<u64>>>,
    /// Nobody looks at the times any more: they would fill the memory.
    is_over: AtomicBool,
}

impl Sent {
    fn new(n_partitions: i32) -> Self {
        let times = (0..n_partitions).map(|_| Mutex::default()).collect();
        Self { begun: Instant::now(), times, is_over: AtomicBool::new(false) }
    }

    fn now_us(&self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }
}

/// Sends events in small steps, so that the rate is even.
fn produce(options: &KafkaOptions, rate: usize, sent: &Sent, stop: &AtomicBool) -> Result<()> {
    const STEP: Duration = Duration::from_millis(5);
    // The producer's own delay is part of the freshness: short.
    let producer = Producer::new(&options.properties, &[("linger.ms", "1")])?;
    let mut payload = Vec::with_capacity(EVENT_BYTES);
    let begun = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as usize;
        while number < due {
            event(number, &mut payload);
            let partition = number % sent.times.len();
            if !sent.is_over.load(Ordering::Relaxed) {
                sent.times[partition].lock().unwrap_or_else(PoisonError::into_inner).push(sent.now_us());
            }
            producer
                .send(&options.topic, Outgoing { partition: Some(partition as i32), payload: Some(&payload), ..Outgoing::default() })?;
            number += 1;
        }
        std::thread::sleep(STEP);
    }
    producer.flush(&options.topic, PATIENCE)
}

/// From the moment an event was produced to the answer of the first SELECT that shows it.
async fn freshness(session: &Session, sent: &Sent, rate: usize, duration: Duration) -> Result<Bar> {
    let mut seen = vec![0_usize; sent.times.len()];
    let mut delays = Vec::new();
    let (mut n_polls, begun) = (0, Instant::now());
    // The first seconds warm everything up.
    let warm = duration / 5;
    while begun.elapsed() < duration + warm {
        let batches = session.rows("SELECT k_partition, max(k_offset) FROM bench_live GROUP BY k_partition").await?;
        let now = sent.now_us();
        n_polls += 1;
        for batch in &batches {
            let (partitions, offsets) = (batch.column(0).as_primitive::<Int32Type>(), batch.column(1).as_primitive::<Int64Type>());
            for (partition, offset) in partitions.iter().flatten().zip(offsets.iter().flatten()) {
                let (partition, n_visible) = (partition as usize, offset as usize + 1);
                let times = sent.times[partition].lock().unwrap_or_else(PoisonError::into_inner);
                if begun.elapsed() > warm {
                    let fresh = times.get(seen[partition]..n_visible).ok_or_else(|| {
                        let what = format!("partition {partition} ends before offset {n_visible}, and had {} rows before", seen[partition]);
                        Error::new(Code::DataCorrupted, what)
                    })?;
                    delays.extend(fresh.iter().map(|time| Duration::from_micros(now.saturating_sub(*time))));
                }
                seen[partition] = n_visible;
            }
        }
    }
    sent.is_over.store(true, Ordering::Relaxed);
    if delays.is_empty() {
        return Err(Error::new(Code::Timeout, "no event was seen while freshness was measured")
            .hint("The broker must take the events at the wanted rate: --rate."));
    }
    let (n_rows, delays) = (delays.len(), Latencies::new(delays));
    println!(
        "freshness    at {rate} rows/s: p50 {:.0} ms, p99 {:.0} ms (bar: at most {FRESHNESS_MS_MAX:.0} ms), max {:.0} ms \
         ({n_rows} rows, {n_polls} SELECTs)",
        delays.ms(0.5),
        delays.ms(0.99),
        delays.ms(1.0)
    );
    Ok(Bar { what: "freshness", holds: delays.ms(0.99) <= FRESHNESS_MS_MAX })
}

/// One moment of the table in each statement: no row twice, no gap, no count going back.
async fn snapshots(session: &Session, n_checks: usize, n_partitions: i32, rate: usize) -> Result<()> {
    let begun = Instant::now();
    let wrong = |check: usize, what: String| Error::new(Code::DataCorrupted, format!("check {check}: {what}"));
    // The greatest offset of each partition so far.
    let mut greatest: BTreeMap<i32, i64> = BTreeMap::new();
    for check in 0..n_checks {
        // A number in the text, so that files without such offsets are not read: the table grows all the time.
        let newest = greatest.values().copied().min().unwrap_or_default();
        let from = (newest + 1 - SNAPSHOT_OFFSETS / i64::from(n_partitions)).max(0);
        let counted_from = if check.is_multiple_of(WHOLE_EVERY) { 0 } else { from };
        let sql = format!(
            "SELECT k_partition, count(*), min(k_offset), max(k_offset) FROM bench_live WHERE k_offset >= {counted_from} \
             GROUP BY k_partition"
        );
        let counts = session.rows(&sql).await?.iter().flat_map(offset_counts).collect::<BTreeMap<_, _>>();
        for (partition, known) in &greatest {
            let Some((_, _, last)) = counts.get(partition) else {
                return Err(wrong(check, format!("partition {partition} has no rows any more")));
            };
            if last < known {
                return Err(wrong(check, format!("partition {partition} ends at offset {last}, and ended at {known} before")));
            }
        }
        for (partition, (n_rows, first, last)) in &counts {
            if *first != counted_from || *n_rows != last - first + 1 {
                return Err(wrong(
                    check,
                    format!("{n_rows} rows from {first} to {last} of partition {partition}, asked from {counted_from}"),
                ));
            }
            greatest.insert(*partition, *last);
        }
        let sql = format!(
            "WITH r AS (SELECT k_partition AS p, k_offset AS o FROM bench_live WHERE k_offset >= {from}) \
             SELECT count(*) - (SELECT count(*) FROM r) FROM r AS a JOIN r AS b ON a.p = b.p AND a.o = b.o"
        );
        match number(session, &sql).await? {
            Some(0) => {}
            other => return Err(wrong(check, format!("a self-join differs from the table by {other:?} rows"))),
        }
    }
    println!(
        "snapshots    {n_checks} checks in {:.0} s at {rate} rows/s with a commit each second: no row twice, no gap, no count going back \
         ({} rows)",
        begun.elapsed().as_secs_f64(),
        greatest.values().map(|last| last + 1).sum::<i64>()
    );
    Ok(())
}

/// Partition, then count, least and greatest offset, of each row.
fn offset_counts(batch: &RecordBatch) -> Vec<(i32, (i64, i64, i64))> {
    let partitions = batch.column(0).as_primitive::<Int32Type>().values();
    let number = |column: usize, row: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
    let rows = partitions.iter().enumerate();
    rows.map(|(row, partition)| (*partition, (number(1, row), number(2, row), number(3, row)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_of_one_length() {
        let mut payload = Vec::new();
        for number in [0, 9, 1_234_567, 4_999_999, 99_999_999] {
            event(number, &mut payload);
            let parsed: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            assert_eq!(
                (payload.len(), parsed["n"].as_u64(), parsed.as_object().map(serde_json::Map::len)),
                (EVENT_BYTES, Some(number as u64), Some(8))
            );
        }
    }
}
