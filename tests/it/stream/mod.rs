//! Streaming tables against a real broker: exactly once, fresh, one snapshot a query, whatever is killed or broken.

mod avro;
mod bad_records;
mod basics;
mod columns;
mod crashes;
mod demo;
mod failpoints;
mod online;
mod outages;
mod positions;
mod security;
mod settings;
mod snapshots;
mod soak;
mod ten_tables;
mod topics;

use crate::harness::kafka::{Kafka, Record};
use crate::harness::truth::Truth;
use crate::harness::{Client, Server, events, python};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything takes that the tests wait for, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// A number from the environment, with which a test is made longer or repeated.
fn option(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// A name for a topic that no other test uses.
fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4().simple())
}

/// CREATE STREAMING TABLE over a topic of events; `clauses` stand before WITH, `options` end its list.
fn create_events(table: &str, clauses: &str, bootstrap: &str, topic: &str, options: &str) -> String {
    format!(
        "CREATE STREAMING TABLE {table} ({}, k_partition INT METADATA FROM 'partition', k_offset BIGINT METADATA FROM 'offset') {clauses} \
         WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap}', 'format' = 'json'{options})",
        events::COLUMNS
    )
}

/// Asks until the first row of the answer is as expected.
async fn until(client: &mut Client, sql: &str, expected: &str) {
    until_it(client, sql, &format!("{expected:?}"), |row| row == expected).await;
}

/// Asks until the first row of the answer satisfies a condition; returns it.
async fn until_it(client: &mut Client, sql: &str, wanted: &str, is_it: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rows = client.rows(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
        let first = rows.first().cloned().unwrap_or_default();
        if is_it(&first) {
            return first;
        }
        if Instant::now() > deadline {
            let streams = client.rows("SELECT table_name, state, last_error FROM system.streams").await;
            panic!("{sql}\nanswers {rows:?} after {} s, not {wanted}\n{streams:?}", PATIENCE.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks for a number of rows until it is as expected; as long as it grows, the server has time.
async fn until_counted(client: &mut Client, sql: &str, expected: u64) {
    let mut counted = 0;
    while counted < expected {
        let grown = |row: &str| row.parse::<u64>().is_ok_and(|n_rows| n_rows > counted);
        counted = until_it(client, sql, &format!("{expected}"), grown).await.parse().unwrap();
    }
    assert_eq!(counted, expected, "{sql}");
}

/// The table holds the topic: by partition and offset, and by the hash of the rows, through weir.
async fn assert_equals_topic(client: &mut Client, table: &str, truth: &Truth) {
    let sql = events::hash().sql(table, "k_partition", "k_offset");
    let found = client.rows(&sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
    assert_eq!(found, truth.rows(), "{table}: partition, rows, offsets, first, last, sums");
}

/// Readers of other projects find the topic in the table's directory.
fn assert_readers_agree(directory: &Path, truth: &Truth, readers: &[&str]) {
    assert_readers_agree_at(&directory.display().to_string(), &[], truth, readers);
}

/// The same for a directory or `s3://bucket/prefix`; `login` are the script's arguments for the bucket.
fn assert_readers_agree_at(place: &str, login: &[&str], truth: &Truth, readers: &[&str]) {
    let expected = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(expected.path(), truth.json().to_string()).unwrap();
    let mut arguments = vec![place.to_owned(), expected.path().display().to_string()];
    arguments.extend(login.iter().map(|argument| (*argument).to_owned()));
    arguments.extend(readers.iter().flat_map(|reader| ["--reader".to_owned(), (*reader).to_owned()]));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    python::run("tests/clients/stream_compare.py", &arguments);
}

/// The directory of a table.
async fn location(client: &mut Client, table: &str) -> String {
    let sql = format!("SELECT location FROM system.tables WHERE table_name = '{table}'");
    client.rows(&sql).await.unwrap().remove(0)
}

/// A producer on a thread of its own that sends events at a rate until it is stopped or all are sent.
struct Producing {
    stop: Arc<AtomicBool>,
    n_sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Producing {
    fn start(kafka: &Kafka, topic: &str, n_partitions: u64, rate: u64, n_max: u64) -> Self {
        let (stop, n_sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (sender, stopped, counted) = (kafka.sender(topic), Arc::clone(&stop), Arc::clone(&n_sent));
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            let mut n = 0;
            while n < n_max && !stopped.load(Ordering::SeqCst) {
                let due = n_max.min((begun.elapsed().as_secs_f64() * rate as f64) as u64);
                for event in events::Event::json(n..due) {
                    sender.send(Some((n % n_partitions) as i32), &Record::from(event));
                    n += 1;
                }
                counted.store(n, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
            }
            sender.flush();
        });
        Self { stop, n_sent, thread: Some(thread) }
    }

    fn n_sent(&self) -> u64 {
        self.n_sent.load(Ordering::SeqCst)
    }

    /// Waits until all are sent and acknowledged.
    fn join(mut self) {
        self.thread.take().unwrap().join().expect("the producer works");
    }

    /// Ends it early; everything sent is acknowledged.
    fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.join();
    }
}

impl Drop for Producing {
    /// After a test that failed nobody stops it: it would take the broker's time from the others.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
