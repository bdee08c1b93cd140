//! Sends records to topics: for `weir produce`, the demo, benchmarks and tests.

use super::batch::ClientEvent;
use super::properties::Properties;
use super::trouble::{explain, explain_creation, explain_error};
use crate::error::{Code, Error, Result};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Deliveries are looked at after so many records.
const POLL_EVERY: u64 = 1_000;
/// A record that the full queue does not take in this time is given up.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(30);

/// What is sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outgoing<'a> {
    /// `None`: by the key, or anyhow.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    /// `None`: a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Milliseconds since 1970; `None`: now.
    pub timestamp_ms: Option<i64>,
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Sends records; idempotent, so that none arrives twice.
pub struct Producer {
    producer: BaseProducer<Deliveries>,
    n_sent: AtomicU64,
}

/// What became of the records.
#[derive(Default)]
struct Deliveries {
    n_delivered: AtomicU64,
    n_failed: AtomicU64,
    /// The first failure, and the newest trouble with brokers.
    failure: Mutex<Option<String>>,
    trouble: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, text: &str) {
        tracing::debug!(text, "librdkafka");
    }

    fn error(&self, error: KafkaError, text: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if let Some(trouble) = explain(&ClientEvent::Error { code, text: text.to_string() }) {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        match result {
            Ok(_) => {
                self.n_delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                self.n_failed.fetch_add(1, Ordering::Relaxed);
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| explain_error(code, &code.to_string()));
            }
        }
    }
}

impl Producer {
    /// Makes a producer; it connects when it sends. `more` are properties that win.
    pub fn new(properties: &Properties, more: &[(&str, &str)]) -> Result<Self> {
        let mut config = properties.producer_config();
        for (key, value) in [("enable.idempotence", "true"), ("linger.ms", "5")] {
            if properties.get(key).is_none() {
                config.set(key, value);
            }
        }
        for (key, value) in more {
            config.set(*key, *value);
        }
        let producer = config.create_with_context(Deliveries::default());
        let producer = producer.map_err(|error| Error::new(Code::InvalidParameter, explain_creation(&error)))?;
        Ok(Self { producer, n_sent: AtomicU64::new(0) })
    }

    /// Puts a record into the queue; waits while it is full. Whether it arrives is known after [`Self::flush`].
    pub fn send(&self, topic: &str, record: Outgoing<'_>) -> Result<()> {
        if self.n_sent.fetch_add(1, Ordering::Relaxed).is_multiple_of(POLL_EVERY) {
            self.producer.poll(Duration::ZERO);
        }
        let mut base = BaseRecord::<[u8], [u8]>::to(topic);
        base.partition = record.partition;
        base.key = record.key;
        base.payload = record.payload;
        base.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            base.headers =
                Some(record.headers.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(*value) })));
        }
        let asked_at = Instant::now();
        loop {
            match self.producer.send(base) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) if asked_at.elapsed() < QUEUE_WAIT_MAX => {
                    self.producer.poll(Duration::from_millis(10));
                    base = again;
                }
                Err((error, _)) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                    return Err(self.failed(topic, explain_error(code, &code.to_string())));
                }
            }
        }
    }

    /// Waits until every record has arrived; an error says how many have not, and why.
    pub fn flush(&self, topic: &str, timeout: Duration) -> Result<()> {
        let flushed = self.producer.flush(timeout);
        let failure = self.producer.context().failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (flushed, failure) {
            (Ok(()), None) => Ok(()),
            (_, Some(failure)) => Err(self.failed(topic, failure)),
            (Err(_), None) => Err(self.failed(topic, "no answer in time".into())),
        }
    }

    /// Records that a broker has acknowledged.
    pub fn n_delivered(&self) -> u64 {
        self.producer.context().n_delivered.load(Ordering::Relaxed)
    }

    /// Looks at what has arrived, without waiting.
    pub fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }

    fn failed(&self, topic: &str, why: String) -> Error {
        let context = self.producer.context();
        let trouble = context.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (n_sent, n_delivered) = (self.n_sent.load(Ordering::Relaxed), self.n_delivered());
        Error::new(Code::Unavailable, format!("could not send to topic \"{topic}\": {}", trouble.unwrap_or(why)))
            .detail(format!("{n_delivered} of {n_sent} records have arrived."))
    }
}
