//! Options, and sources against the mock cluster and a small schema registry.

mod avro;
mod faults;
mod options;
mod reading;

use super::*;
use crate::connect::{Failure, Fetched, Origin, Position, SourceColumn, SourceColumns, SourceEvent, SourceStatus};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Longer than anything takes; a test that waits so long has failed.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A broker, a topic `events`, and somebody who sends to it.
struct Bench {
    broker: MockBroker,
    producer: Producer,
}

impl Bench {
    fn new(n_partitions: i32) -> Self {
        let broker = MockBroker::start().unwrap();
        broker.create_topic("events", n_partitions).unwrap();
        let options = KafkaOptions::of_topic("events", broker.bootstrap_servers(), &[]).unwrap();
        let producer = Producer::new(&options.properties, &[("message.max.bytes", "8000000")]).unwrap();
        Self { broker, producer }
    }

    fn options(&self, more: &[(&str, &str)]) -> KafkaOptions {
        KafkaOptions::of_topic("events", self.broker.bootstrap_servers(), more).unwrap()
    }

    /// Sends payloads to a partition and waits until they are there.
    fn send(&self, partition: i32, payloads: &[Option<&str>]) {
        for payload in payloads {
            let payload = payload.map(str::as_bytes);
            self.producer.send("events", Outgoing { partition: Some(partition), payload, ..Outgoing::default() }).unwrap();
        }
        self.producer.flush("events", WAIT_MAX).unwrap();
    }

    /// Sends `{"id":n}` for each number.
    fn send_ids(&self, partition: i32, ids: std::ops::Range<i64>) {
        let payloads = ids.map(|id| format!("{{\"id\":{id}}}")).collect::<Vec<_>>();
        self.send(partition, &payloads.iter().map(|payload| Some(payload.as_str())).collect::<Vec<_>>());
    }

    fn start(&self, more: &[(&str, &str)], committed: &[(i32, i64)], first: bool) -> Reading {
        Reading::start(self.options(more), committed, first, 64)
    }
}

/// A table of one column, `id BIGINT`.
fn id_column() -> SourceColumns {
    let field = Arc::new(Field::new("id", DataType::Int64, true));
    SourceColumns { columns: vec![SourceColumn { field, origin: Origin::Payload }], event_time: None }
}

/// A source and what came from it.
struct Reading {
    handle: SourceHandle,
    status: Arc<SourceStatus>,
    events: mpsc::Receiver<SourceEvent>,
    assigned: Vec<BTreeMap<i32, i64>>,
    topic_id: Option<i64>,
    /// Partition, offset, id.
    rows: Vec<(i32, i64, Option<i64>)>,
    positions: BTreeMap<i32, i64>,
    fetched: Vec<Fetched>,
    skipped: Vec<(i32, i64, i64)>,
    failure: Option<Failure>,
}

impl Reading {
    fn start(options: KafkaOptions, committed: &[(i32, i64)], first: bool, capacity: usize) -> Self {
        let (sender, events) = mpsc::channel(capacity);
        let status = Arc::new(SourceStatus::default());
        let committed = committed.iter().copied().collect();
        let handle = Source::start("t", options, &id_column(), committed, first, sender, Arc::clone(&status)).unwrap();
        Self {
            handle,
            status,
            events,
            assigned: Vec::new(),
            topic_id: None,
            rows: Vec::new(),
            positions: BTreeMap::new(),
            fetched: Vec::new(),
            skipped: Vec::new(),
            failure: None,
        }
    }

    /// Takes events until something is so.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_so(self) {
                match self.events.recv().await {
                    Some(event) => self.take(event),
                    None => break,
                }
            }
        };
        assert!(tokio::time::timeout(WAIT_MAX, wait).await.is_ok(), "waited for {what}; status: {:?}", self.status.lock());
        assert!(is_so(self), "the source ended before {what}: {:?}", self.failure);
    }

    async fn until_rows(&mut self, n_rows: usize) {
        self.until(&format!("{n_rows} rows"), |reading| reading.rows.len() >= n_rows).await;
    }

    /// Looks at the status until something is so, while events are taken.
    async fn until_status(&mut self, what: &str, is_so: impl Fn(&crate::connect::SourceState) -> bool) {
        let wait = async {
            while !is_so(&self.status.lock()) {
                if let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(20), self.events.recv()).await {
                    self.take(event);
                }
            }
        };
        assert!(tokio::time::timeout(WAIT_MAX, wait).await.is_ok(), "waited for {what}; status: {:?}", self.status.lock());
    }

    fn take(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Assigned { positions, topic_id } => {
                let positions = positions.iter().map(|position: &Position| (position.partition, position.next_offset));
                self.assigned.push(positions.collect());
                self.topic_id = topic_id;
            }
            SourceEvent::Skipped { partition, from_offset, to_offset } => self.skipped.push((partition, from_offset, to_offset)),
            SourceEvent::Failed(failure) => self.failure = Some(failure),
            SourceEvent::Fetched(fetched) => {
                let rows = &fetched.rows;
                let ids = rows.column(0).as_primitive::<Int64Type>();
                let partitions = rows.column(1).as_primitive::<Int32Type>();
                let offsets = rows.column(2).as_primitive::<Int64Type>();
                for (row, id) in ids.iter().enumerate() {
                    self.rows.push((partitions.value(row), offsets.value(row), id));
                }
                self.positions.extend(fetched.positions.iter().map(|position| (position.partition, position.next_offset)));
                self.fetched.push(fetched);
            }
        }
    }

    fn ids(&self) -> Vec<i64> {
        let mut ids = self.rows.iter().filter_map(|(_, _, id)| *id).collect::<Vec<_>>();
        ids.sort_unstable();
        ids
    }
}
