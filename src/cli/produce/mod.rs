//! `weir produce`: the lines of a file as records of a topic, at a chosen rate.
//!
//! A JSON-lines file is sent line by line. The records of a CSV file become JSON objects with typed values, or stay CSV
//! lines with `--format csv`. What is broken in the file is sent as it stands: the reader of the topic decides.

mod csv;
mod lines;
mod rate;
#[cfg(test)]
mod tests;

use crate::connect::kafka::{KafkaOptions, Outgoing, Producer, n_partitions};
use crate::error::{Code, Error, Result};
use crate::telemetry::shutdown::{Shutdown, Stage};
use clap::{Args, ValueEnum};
use lines::{Lines, Sent};
use rate::{Pace, Rate};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the cluster may take to say that it knows the topic.
const REACH_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the last records may take; librdkafka gives a record up earlier.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// `weir produce FILE`
#[derive(Debug, Args)]
pub struct Produce {
    /// JSON lines, or a CSV file with a header line when it ends in .csv
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Brokers to begin with
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: String,
    /// Where the records go; it must exist
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// At most so many records: 1000/s, 90/min; by default as fast as the brokers take them
    #[arg(long, value_name = "N/UNIT")]
    rate: Option<Rate>,
    /// Begin again at the end of the file, until Ctrl-C
    #[arg(long)]
    repeat: bool,
    /// The record's key: a field of the JSON object, or a column of the CSV file
    #[arg(long, value_name = "NAME")]
    key_column: Option<String>,
    /// How the records of a CSV file are written: JSON objects, or the lines as they stand
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// A property of librdkafka: `--property security.protocol=SSL`
    #[arg(long = "property", value_name = "KEY=VALUE")]
    properties: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Csv,
}

impl Produce {
    /// Sends the file; ends at its end, or in order after Ctrl-C.
    pub async fn run(self, shutdown: Arc<Shutdown>) -> Result<()> {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&is_stopped);
        let watch = crate::telemetry::task::spawn("produce: stop", async move {
            shutdown.reached(Stage::Graceful).await;
            stopping.store(true, Ordering::Relaxed);
        });
        let sent = tokio::task::spawn_blocking(move || self.send(&is_stopped)).await;
        watch.abort();
        sent.map_err(|error| Error::new(Code::Internal, format!("the producer ended: {error}")))?
    }

    fn send(&self, is_stopped: &AtomicBool) -> Result<()> {
        let mut lines = Lines::open(&self.file, self.format == Format::Csv, self.key_column.as_deref())?;
        let options = self.options()?;
        let producer = Producer::new(&options.properties, &[])?;
        let n_partitions = n_partitions(&options, REACH_TIMEOUT)?;
        eprintln!("topic \"{}\" has {n_partitions} {}", self.topic, plural(n_partitions as u64, "partition"));
        let started = Instant::now();
        let mut pace = Pace::new(self.rate, started);
        let (mut sent, mut reported) = (Sent::default(), started);
        while !is_stopped.load(Ordering::Relaxed) {
            let Some(record) = lines.next_record()? else {
                if !self.repeat || lines.is_empty() {
                    break;
                }
                lines.rewind()?;
                continue;
            };
            if !pace.wait(is_stopped) {
                break;
            }
            producer.send(&self.topic, Outgoing { key: record.key.as_deref(), payload: Some(&record.payload), ..Outgoing::default() })?;
            sent.add(&record);
            if reported.elapsed() >= REPORT_INTERVAL {
                reported = Instant::now();
                eprintln!("{}", sent.report(started.elapsed()));
            }
        }
        let flushed = producer.flush(&self.topic, FLUSH_TIMEOUT);
        let delivered = producer.n_delivered();
        println!("{}; {delivered} delivered", sent.report(started.elapsed()));
        if self.key_column.is_some() && sent.n_keyless > 0 {
            println!("{} of them without a key", sent.n_keyless);
        }
        flushed
    }

    fn options(&self) -> Result<KafkaOptions> {
        let mut properties = Vec::new();
        for property in &self.properties {
            // The text is not shown: it may be a secret without its name.
            let (key, value) = property
                .split_once('=')
                .ok_or_else(|| Error::new(Code::InvalidParameter, "a --property has no \"=\"").hint("Write --property key=value."))?;
            let key = key.trim();
            let key = key.strip_prefix("properties.").unwrap_or(key);
            properties.push((format!("properties.{key}"), value.trim()));
        }
        let properties: Vec<(&str, &str)> = properties.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        KafkaOptions::of_topic(&self.topic, &self.bootstrap, &properties)
    }
}

fn plural(n: u64, noun: &str) -> String {
    if n == 1 { noun.to_owned() } else { format!("{noun}s") }
}
