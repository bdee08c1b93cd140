//! Questions and wishes without a source: topics made, partitions counted, places found, a topic read for its speed.

use super::batch::{Batch, Client};
use super::lookup::{self, Trouble};
use super::options::KafkaOptions;
use super::properties::Properties;
use crate::connect::Start;
use crate::error::{Code, Error, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a broker may take to make a topic.
const CREATE_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two questions.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// Records taken at once by [`drain`].
const DRAIN_RECORDS: usize = 8_192;
const DRAIN_WAIT: Duration = Duration::from_millis(20);

/// Makes a topic, unless it is there.
///
/// # Errors
/// `Unavailable` when no broker answers or it refuses.
pub async fn create_topic(properties: &Properties, topic: &str, n_partitions: i32) -> Result<()> {
    let failed = |why: &dyn std::fmt::Display| Error::new(Code::Unavailable, format!("could not create topic \"{topic}\": {why}"));
    let admin: AdminClient<DefaultClientContext> = properties.producer_config().create().map_err(|error| failed(&error))?;
    let wanted = NewTopic::new(topic, n_partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(CREATE_TIMEOUT)).request_timeout(Some(CREATE_TIMEOUT));
    let answers = admin.create_topics([&wanted], &options).await.map_err(|error| failed(&error))?;
    match answers.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => Err(failed(&code)),
        _ => Ok(()),
    }
}

/// How many partitions a topic has; asks until there is an answer. Waits: not for the threads of a runtime.
///
/// # Errors
/// `Unavailable` when no broker answers within `timeout`, or there is no such topic.
pub fn n_partitions(options: &KafkaOptions, timeout: Duration) -> Result<usize> {
    ask(options, timeout, |client| lookup::partitions(client, &options.topic, RETRY_WAIT * 10)).map(|partitions| partitions.len())
}

/// The offset at which each partition of a topic starts. Waits: not for the threads of a runtime.
///
/// # Errors
/// As [`n_partitions`].
pub fn resolve(options: &KafkaOptions, start: Start, timeout: Duration) -> Result<BTreeMap<i32, i64>> {
    ask(options, timeout, |client| {
        let partitions = lookup::partitions(client, &options.topic, RETRY_WAIT * 10)?;
        lookup::starts(client, &options.topic, &partitions, start, RETRY_WAIT * 10)
    })
}

fn ask<T>(options: &KafkaOptions, timeout: Duration, question: impl Fn(&Client) -> std::result::Result<T, Trouble>) -> Result<T> {
    let servers = options.properties.get("bootstrap.servers").unwrap_or_default();
    let failed = |why: String| Error::new(Code::Unavailable, why);
    let client = Client::new(&options.properties.consumer_config()).map_err(|error| failed(format!("could not make a client: {error}")))?;
    let deadline = Instant::now() + timeout;
    loop {
        match question(&client) {
            Ok(answer) => return Ok(answer),
            Err(trouble) if Instant::now() >= deadline => return Err(failed(trouble.explain(&options.topic, servers))),
            Err(_) => std::thread::sleep(RETRY_WAIT),
        }
    }
}

/// Reads a topic from its beginning and throws the records away: what the client library alone can do. Waits.
///
/// # Errors
/// `Timeout` when `n_records` have not come in time.
pub fn drain(options: &KafkaOptions, n_records: u64, timeout: Duration) -> Result<()> {
    let failed =
        |error: &dyn std::fmt::Display| Error::new(Code::Unavailable, format!("could not read topic \"{}\": {error}", options.topic));
    let partitions = n_partitions(options, timeout)?;
    let client = Client::new(&options.properties.consumer_config()).map_err(|error| failed(&error))?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        list.add_partition_offset(&options.topic, partition, Offset::Beginning).map_err(|error| failed(&error))?;
    }
    client.consumer().assign(&list).map_err(|error| failed(&error))?;
    let deadline = Instant::now() + timeout;
    let mut batch = Batch::new(&client, DRAIN_RECORDS);
    let mut n_read = 0;
    while n_read < n_records {
        if Instant::now() > deadline {
            return Err(Error::new(Code::Timeout, format!("topic \"{}\" gave {n_read} of {n_records} records in time", options.topic)));
        }
        batch.fill(DRAIN_RECORDS, DRAIN_WAIT);
        n_read += batch.messages().filter(|message| message.error().is_none()).count() as u64;
        batch.clear();
    }
    Ok(())
}
