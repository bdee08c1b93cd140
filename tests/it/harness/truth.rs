//! What a topic holds, read to its end by a client of its own: the measure of what a table must hold.

use super::kafka::{Kafka, Placed};
use super::row_hash::RowHash;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A topic is read in less, also when it has a million records.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// How many missing or additional rows a difference names.
const NAMED_ROWS_MAX: usize = 20;

/// The committed records of a topic that are rows of the table.
#[derive(Debug, Clone)]
pub struct Truth {
    hash: RowHash,
    partitions: BTreeMap<i32, PartitionTruth>,
}

#[derive(Debug, Clone, Default)]
struct PartitionTruth {
    offsets: Vec<i64>,
    sums: [i64; 2],
}

impl Truth {
    /// Reads a topic to the end that it has now. `decode` gives the numbers of a record's columns, or None when it is no row
    /// of the table (a tombstone, a dead letter).
    pub async fn read(
        kafka: &Kafka,
        topic: &str,
        hash: &RowHash,
        decode: impl Fn(&BorrowedMessage<'_>) -> Option<Vec<Option<i64>>> + Send + 'static,
    ) -> Self {
        let (partitions, bootstrap) = (kafka.partitions(topic).await, kafka.direct().to_owned());
        let (topic, hash) = (topic.to_owned(), hash.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut truth = Self { hash, partitions: BTreeMap::new() };
            read_to_end(&bootstrap, &topic, &partitions, |message| {
                if let Some(values) = decode(message) {
                    let halves = truth.hash.of(message.partition(), message.offset(), &values);
                    let partition = truth.partitions.entry(message.partition()).or_default();
                    partition.offsets.push(message.offset());
                    for (sum, half) in partition.sums.iter_mut().zip(halves) {
                        *sum += half;
                    }
                }
            });
            truth
        });
        read.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
    }

    /// How many rows there are.
    pub fn n_rows(&self) -> usize {
        self.partitions.values().map(|partition| partition.offsets.len()).sum()
    }

    /// What [`RowHash::sql`] must answer.
    pub fn rows(&self) -> Vec<String> {
        self.summaries().iter().map(|row| row.map(|number| number.to_string()).join("\t")).collect()
    }

    /// What `stream_compare.py` must find, with the offsets, so that it can name what is missing.
    pub fn json(&self) -> serde_json::Value {
        let offsets = self.partitions.iter().map(|(partition, found)| (partition.to_string(), ranges(&found.offsets)));
        serde_json::json!({
            "columns": self.hash.columns_json(),
            "rows": self.summaries(),
            "offsets": offsets.collect::<BTreeMap<String, Vec<[i64; 2]>>>(),
        })
    }

    /// What differs between the topic and rows of a table, in words; empty when nothing does.
    pub fn difference(&self, found: impl IntoIterator<Item = Placed>) -> String {
        let expected: BTreeSet<Placed> = self
            .partitions
            .iter()
            .flat_map(|(partition, found)| found.offsets.iter().map(|offset| Placed { partition: *partition, offset: *offset }))
            .collect();
        let (mut seen, mut twice) = (BTreeSet::new(), Vec::new());
        twice.extend(found.into_iter().filter(|placed| !seen.insert(*placed)));
        let missing: Vec<Placed> = expected.difference(&seen).copied().collect();
        let additional: Vec<Placed> = seen.difference(&expected).copied().collect();
        let parts = [("missing", missing), ("not in the topic", additional), ("more than once", twice)];
        let said = parts.iter().filter(|(_, rows)| !rows.is_empty()).map(|(what, rows)| {
            let named: Vec<String> = rows.iter().take(NAMED_ROWS_MAX).map(|row| format!("{}:{}", row.partition, row.offset)).collect();
            format!("{} {what}: {}", rows.len(), named.join(" "))
        });
        said.collect::<Vec<_>>().join("\n")
    }

    fn summaries(&self) -> Vec<[i64; 7]> {
        let summary = |(partition, found): (&i32, &PartitionTruth)| {
            let n_rows = i64::try_from(found.offsets.len()).expect("a count");
            let (first, last) = (found.offsets[0], found.offsets[found.offsets.len() - 1]);
            [i64::from(*partition), n_rows, n_rows, first, last, found.sums[0], found.sums[1]]
        };
        self.partitions.iter().map(summary).collect()
    }
}

/// Runs of offsets without a gap: first and last of each.
fn ranges(offsets: &[i64]) -> Vec<[i64; 2]> {
    let mut ranges: Vec<[i64; 2]> = Vec::new();
    for offset in offsets {
        match ranges.last_mut() {
            Some([_, last]) if *last + 1 == *offset => *last = *offset,
            _ => ranges.push([*offset; 2]),
        }
    }
    ranges
}

fn read_to_end(bootstrap: &str, topic: &str, partitions: &[i32], mut each: impl FnMut(&BorrowedMessage<'_>)) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "truth").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    config.set("queued.max.messages.kbytes", "65536").set("broker.address.family", "v4");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&assignment).expect("an assignment");
    let deadline = Instant::now() + READ_TIMEOUT;
    let mut open: BTreeSet<i32> = partitions.iter().copied().collect();
    while !open.is_empty() {
        match consumer.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => each(&message),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => assert!(Instant::now() < deadline, "{topic} could not be read: {error}"),
            None => assert!(Instant::now() < deadline, "{topic} was not read to its end in time; open: {open:?}"),
        }
    }
}
