//! Records sent to a topic: some at once, in a transaction, or by a producer that goes on.

use super::{Kafka, client_config};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longer than a broker of the tests is ever away.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// One record to be sent.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    /// None is a tombstone.
    pub payload: Option<Vec<u8>>,
    pub timestamp_ms: Option<i64>,
    /// A value may be missing, which is not the same as empty.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// A record of a payload only.
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..Self::default() }
    }

    /// The same with a key.
    pub fn key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }
}

impl From<&str> for Record {
    fn from(payload: &str) -> Self {
        Self::new(payload)
    }
}

impl From<String> for Record {
    fn from(payload: String) -> Self {
        Self::new(payload)
    }
}

impl From<Vec<u8>> for Record {
    fn from(payload: Vec<u8>) -> Self {
        Self::new(payload)
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    pub partition: i32,
    pub offset: i64,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Commit,
    Abort,
}

/// Records that were sent in a transaction which has not ended: they are in the log, and nobody may see them yet.
///
/// Dropping it leaves it open, until the broker aborts it after [`DELIVERY_TIMEOUT`].
pub struct Transaction {
    sender: Sender,
    placed: Vec<Placed>,
}

impl Transaction {
    /// Ends it; returns where its records lie, when its markers are behind them: the coordinator answers before.
    pub async fn end(self, outcome: Outcome) -> Vec<Placed> {
        let Self { sender, placed } = self;
        blocking(move || {
            match outcome {
                Outcome::Commit => sender.producer.commit_transaction(DELIVERY_TIMEOUT).expect("the commit"),
                Outcome::Abort => sender.producer.abort_transaction(DELIVERY_TIMEOUT).expect("the abort"),
            }
            let client = sender.producer.client();
            let ends = placed.iter().map(|placed| (placed.partition, placed.offset + 1)).collect::<BTreeMap<_, _>>();
            let deadline = Instant::now() + DELIVERY_TIMEOUT;
            for (partition, marker) in ends {
                // Looked at again at once: the question goes to the broker and back.
                while client.fetch_watermarks(&sender.topic, partition, DELIVERY_TIMEOUT).expect("the watermarks").1 <= marker {
                    assert!(Instant::now() < deadline, "partition {partition}: no marker at {marker}");
                }
            }
            placed
        })
        .await
    }
}

/// Notes where each record came to lie, by the number under which it was sent.
#[derive(Default)]
struct Deliveries {
    placed: Mutex<Vec<Option<Placed>>>,
    error: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, record_idx: usize) {
        match result {
            Ok(message) => {
                let placed = Placed { partition: message.partition(), offset: message.offset() };
                self.placed.lock().unwrap()[record_idx] = Some(placed);
            }
            Err((error, _)) => *self.error.lock().unwrap() = Some(error.to_string()),
        }
    }
}

/// An idempotent producer: what it sends arrives once and in order, also when the broker was away meanwhile.
///
/// It blocks; tests use it on a thread.
pub struct Sender {
    producer: BaseProducer<Deliveries>,
    topic: String,
}

impl Sender {
    fn new(mut config: ClientConfig, topic: &str) -> Self {
        config.set("enable.idempotence", "true").set("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string());
        config.set("linger.ms", "5").set("message.max.bytes", "20000000").set("queue.buffering.max.messages", "200000");
        let producer = config.create_with_context(Deliveries::default()).expect("a producer");
        Self { producer, topic: topic.to_owned() }
    }

    /// Sends a record; waits while the queue is full. Without a partition the key's hash chooses it, or chance.
    pub fn send(&self, partition: Option<i32>, record: &Record) {
        let record_idx = {
            let mut placed = self.producer.context().placed.lock().unwrap();
            placed.push(None);
            placed.len() - 1
        };
        let mut message = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, record_idx);
        message.partition = partition;
        message.key = record.key.as_deref();
        message.payload = record.payload.as_deref();
        message.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            message.headers =
                Some(record.headers.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: value.as_ref() })));
        }
        loop {
            match self.producer.send(message) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    message = returned;
                    self.producer.poll(POLL_INTERVAL);
                }
                Err((error, _)) => panic!("{} refuses a record: {error}", self.topic),
            }
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until everything is delivered; returns where the records lie, in the order in which they were sent.
    pub fn flush(&self) -> Vec<Placed> {
        self.producer.flush(DELIVERY_TIMEOUT).expect("the records arrive in time");
        let deliveries = self.producer.context();
        if let Some(error) = deliveries.error.lock().unwrap().as_ref() {
            panic!("a record of {} was not delivered: {error}", self.topic);
        }
        deliveries.placed.lock().unwrap().iter().map(|placed| placed.expect("each record was delivered")).collect()
    }
}

impl Kafka {
    /// A producer for a topic, past the proxy.
    pub fn sender(&self, topic: &str) -> Sender {
        Sender::new(client_config(self.direct()), topic)
    }

    /// Sends records and waits until they are there.
    pub async fn produce<R: Into<Record>>(&self, topic: &str, partition: Option<i32>, records: impl IntoIterator<Item = R>) -> Vec<Placed> {
        let (sender, records) = (self.sender(topic), records.into_iter().map(Into::into).collect::<Vec<Record>>());
        blocking(move || {
            records.iter().for_each(|record| sender.send(partition, record));
            sender.flush()
        })
        .await
    }

    /// Sends records in one transaction of its own. After an abort they are in the log, and nobody may see them.
    pub async fn produce_in_transaction<R: Into<Record>>(
        &self,
        topic: &str,
        partition: Option<i32>,
        records: impl IntoIterator<Item = R>,
        outcome: Outcome,
    ) -> Vec<Placed> {
        self.begin_transaction(topic, partition, records).await.end(outcome).await
    }

    /// Sends records in one transaction of its own, which the caller ends.
    pub async fn begin_transaction<R: Into<Record>>(
        &self,
        topic: &str,
        partition: Option<i32>,
        records: impl IntoIterator<Item = R>,
    ) -> Transaction {
        static N_TRANSACTIONS: AtomicU64 = AtomicU64::new(0);
        let mut config = client_config(self.direct());
        config.set("transactional.id", format!("{topic}-{}", N_TRANSACTIONS.fetch_add(1, Ordering::Relaxed)));
        config.set("transaction.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string());
        let (sender, records) = (Sender::new(config, topic), records.into_iter().map(Into::into).collect::<Vec<Record>>());
        blocking(move || {
            sender.producer.init_transactions(DELIVERY_TIMEOUT).expect("a transactional producer");
            sender.producer.begin_transaction().expect("a transaction");
            records.iter().for_each(|record| sender.send(partition, record));
            let placed = sender.flush();
            Transaction { sender, placed }
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
}
