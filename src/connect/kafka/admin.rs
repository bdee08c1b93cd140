//! Questions and wishes without a source: topics made, partitions counted, places found, a topic read for its speed.
//!
//! All of them wait: they are not for the threads of a runtime.

use super::batch::{Batch, Client};
use super::lookup::{self, Trouble};
use super::options::KafkaOptions;
use super::trouble::{Reason, explain_creation};
use crate::connect::Start;
use crate::error::{Code, Error, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::time::{Duration, Instant};

/// How long a broker may take to make or remove a topic.
const CREATE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a broker may take to say whether it knows a topic.
pub(super) const REACH_TIMEOUT: Duration = Duration::from_secs(8);
/// One question.
const QUESTION_WAIT: Duration = Duration::from_secs(2);
/// A broker or a topic that is just coming is waited for so long, also when it is known what is wrong.
const EXPLAINED_AFTER: Duration = Duration::from_secs(4);
/// Between two questions.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// Records taken at once by [`drain`].
const DRAIN_RECORDS: usize = 8_192;
const DRAIN_WAIT: Duration = Duration::from_millis(20);

/// Makes the topic of the options, with settings of the broker for it, unless it is there.
///
/// # Errors
/// `Unavailable` when no broker answers (it says why) or it refuses.
pub fn create_topic(options: &KafkaOptions, n_partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
    let topic = options.topic.as_str();
    // The client for wishes does not say what is wrong with a broker: one for questions is sent first.
    let is_there = ask(&client(options)?, options, REACH_TIMEOUT, |client, wait| match lookup::partitions(client, topic, wait) {
        Ok(_) => Ok(true),
        Err(Trouble::UnknownTopic) => Ok(false),
        Err(trouble) => Err(trouble),
    })?;
    if is_there {
        return Ok(());
    }
    let failed = |why: String| Error::new(Code::Unavailable, format!("could not create topic \"{topic}\": {why}"));
    let wanted = NewTopic::new(topic, n_partitions, TopicReplication::Fixed(1));
    let wanted = settings.iter().fold(wanted, |wanted, (key, value)| wanted.set(key, value));
    let admin = admin(options)?;
    let answers = futures::executor::block_on(admin.create_topics([&wanted], &admin_options()));
    match answers.map_err(|error| failed(error.to_string()))?.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => Err(failed(code.to_string())),
        _ => Ok(()),
    }
}

/// Removes the topic of the options, unless it is gone.
///
/// # Errors
/// `Unavailable` when no broker answers or it refuses.
pub fn delete_topic(options: &KafkaOptions) -> Result<()> {
    let failed = |why: String| Error::new(Code::Unavailable, format!("could not remove topic \"{}\": {why}", options.topic));
    let admin = admin(options)?;
    let answers = futures::executor::block_on(admin.delete_topics(&[options.topic.as_str()], &admin_options()));
    match answers.map_err(|error| failed(error.to_string()))?.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::UnknownTopicOrPartition => Err(failed(code.to_string())),
        _ => Ok(()),
    }
}

fn admin(options: &KafkaOptions) -> Result<AdminClient<DefaultClientContext>> {
    options.properties.producer_config().create().map_err(|error| not_made(&error))
}

fn admin_options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(CREATE_TIMEOUT)).request_timeout(Some(CREATE_TIMEOUT))
}

/// How many partitions a topic has; asks until there is an answer.
///
/// # Errors
/// `Unavailable` when no broker answers within `timeout` (it says why), `UndefinedObject` when there is no such topic.
pub fn n_partitions(options: &KafkaOptions, timeout: Duration) -> Result<usize> {
    let question = |client: &Client, wait| lookup::partitions(client, &options.topic, wait);
    ask(&client(options)?, options, timeout, question).map(|partitions| partitions.len())
}

/// The offset at which each partition of a topic starts, and a number that another topic of the same name does not have,
/// if the broker says it.
///
/// # Errors
/// As [`n_partitions`].
pub fn resolve(options: &KafkaOptions, start: Start, timeout: Duration) -> Result<(BTreeMap<i32, i64>, Option<i64>)> {
    let client = client(options)?;
    let starts = ask(&client, options, timeout, |client, wait| {
        let partitions = lookup::partitions(client, &options.topic, wait)?;
        lookup::starts(client, &options.topic, &partitions, start, wait)
    })?;
    let name = CString::new(options.topic.as_str()).ok();
    Ok((starts, name.and_then(|name| client.topic_id(&name, QUESTION_WAIT))))
}

/// A client for questions.
pub(super) fn client(options: &KafkaOptions) -> Result<Client> {
    Client::new(&options.properties.consumer_config()).map_err(|error| not_made(&error))
}

fn not_made(error: &KafkaError) -> Error {
    Error::new(Code::InvalidParameter, explain_creation(error))
}

/// Asks until there is an answer, or `timeout` is over. When it is known what is wrong, that is said after a shorter
/// time. The question gets the time that it may take.
///
/// # Errors
/// As [`n_partitions`].
pub(super) fn ask<T>(
    client: &Client,
    options: &KafkaOptions,
    timeout: Duration,
    question: impl Fn(&Client, Duration) -> std::result::Result<T, Trouble>,
) -> Result<T> {
    let asked_at = Instant::now();
    let mut reason = Reason::default();
    loop {
        let left = timeout.saturating_sub(asked_at.elapsed()).max(RETRY_WAIT);
        let trouble = match question(client, left.min(QUESTION_WAIT)) {
            Ok(answer) => return Ok(answer),
            Err(trouble) => trouble,
        };
        let is_explained = reason.hear(client) || trouble != Trouble::Away;
        let patience = if is_explained { timeout.min(EXPLAINED_AFTER) } else { timeout };
        if asked_at.elapsed() >= patience {
            let servers = options.properties.get("bootstrap.servers").unwrap_or_default();
            let known = reason.text().filter(|_| trouble == Trouble::Away).map(str::to_string);
            let code = if trouble == Trouble::UnknownTopic { Code::UndefinedObject } else { Code::Unavailable };
            return Err(Error::new(code, known.unwrap_or_else(|| trouble.explain(&options.topic, servers))));
        }
        std::thread::sleep(RETRY_WAIT);
    }
}

/// Reads a topic from its beginning and throws the records away: what the client library alone can do.
///
/// # Errors
/// `Timeout` when `n_records` have not come in time; else as [`n_partitions`].
pub fn drain(options: &KafkaOptions, n_records: u64, timeout: Duration) -> Result<()> {
    let failed =
        |error: &dyn std::fmt::Display| Error::new(Code::Unavailable, format!("could not read topic \"{}\": {error}", options.topic));
    let partitions = n_partitions(options, timeout)?;
    let client = client(options)?;
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
