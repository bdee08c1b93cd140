//! Kafka: a topic as a source of rows.
//!
//! ```text
//! options (what was typed) -> Source: a thread of its own for each table
//!   client + batch: librdkafka, records in batches without a copy
//!   session: where to begin, what is new, what is lost      lookup: questions to the brokers
//!   decode: records to rows, or dead letters                trouble: what is wrong, in one line
//!   consumer: the thread and its handle                     watchdog: a client that is stuck
//! admin: topics made and looked at without a source; infer: columns out of a sample
//! producer, mock: for `weir produce`, the demo and tests
//! ```

mod admin;
#[expect(unsafe_code, reason = "librdkafka has no safe batch call")]
mod batch;
mod consumer;
mod decode;
mod infer;
mod lookup;
mod mock;
mod options;
mod producer;
mod properties;
mod registry;
mod session;
#[cfg(test)]
mod tests;
mod trouble;
mod watchdog;

pub use admin::{create_topic, delete_topic, drain, n_partitions, resolve};
pub use consumer::{Source, SourceHandle};
pub use infer::infer;
pub use mock::MockBroker;
pub use options::{KAFKA_OPTIONS, KafkaOptions, OnDataLoss, OptionRow, PayloadFormat, RegistryOptions, Startup, StreamSettings};
pub use producer::{Outgoing, Producer};
pub use properties::{Properties, canonical_key, is_file_key, is_secret_key, is_secret_option};
