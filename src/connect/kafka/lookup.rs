//! Questions to the brokers: partitions, first and next offsets. Each waits at most for its timeout.

use super::batch::Client;
use super::trouble::explain_error;
use crate::connect::Start;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No broker answered in time; the client's events may say why.
    Away,
    UnknownTopic,
    /// A broker answered with an error.
    Refused(String),
}

impl Trouble {
    fn new(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(code) => Self::of_code(code),
            None => Self::Refused(error.to_string()),
        }
    }

    fn of_code(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::UnknownTopicId => Self::UnknownTopic,
            Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::BrokerNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition => Self::Away,
            code => Self::Refused(explain_error(code, &code.to_string())),
        }
    }

    /// In one line for people.
    pub(super) fn explain(&self, topic: &str, brokers: &str) -> String {
        match self {
            Self::Away => format!("could not reach a broker of \"{brokers}\": no answer in time"),
            Self::UnknownTopic => format!("topic \"{topic}\" does not exist"),
            Self::Refused(why) => format!("topic \"{topic}\": {why}"),
        }
    }
}

/// The partitions of a topic; at least one.
pub(super) fn partitions(client: &Client, topic: &str, timeout: Duration) -> Result<Vec<i32>, Trouble> {
    let metadata = client.consumer().fetch_metadata(Some(topic), timeout).map_err(|error| Trouble::new(&error))?;
    if metadata.brokers().is_empty() {
        // A broker that is about to stop, or that its controller takes for dead: what it says of topics is nothing.
        return Err(Trouble::Away);
    }
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Err(Trouble::UnknownTopic) };
    if let Some(error) = found.error() {
        return Err(Trouble::of_code(RDKafkaErrorCode::from(error)));
    }
    let mut partitions = found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect::<Vec<_>>();
    partitions.sort_unstable();
    if partitions.is_empty() { Err(Trouble::UnknownTopic) } else { Ok(partitions) }
}

/// The offset at which each partition starts. A time after the last record is the end.
pub(super) fn starts(
    client: &Client,
    topic: &str,
    partitions: &[i32],
    start: Start,
    timeout: Duration,
) -> Result<BTreeMap<i32, i64>, Trouble> {
    let asked = match start {
        Start::Offset(offset) => return Ok(partitions.iter().map(|partition| (*partition, offset)).collect()),
        Start::Earliest => Offset::Beginning,
        Start::Latest => Offset::End,
        Start::TimestampMs(time) => Offset::Offset(time.max(0)),
    };
    let found = list_offsets(client, topic, partitions, asked, timeout)?;
    let open = partitions.iter().copied().filter(|partition| !found.contains_key(partition)).collect::<Vec<_>>();
    match (open.is_empty(), start) {
        (true, _) => Ok(found),
        (false, Start::TimestampMs(_)) => {
            let ends = list_offsets(client, topic, &open, Offset::End, timeout)?;
            Ok(found.into_iter().chain(ends).collect())
        }
        (false, _) => Err(Trouble::Away),
    }
}

/// Asks all leaders at once. Partitions without an answer are left out: there is no record at or after the time.
fn list_offsets(client: &Client, topic: &str, partitions: &[i32], asked: Offset, timeout: Duration) -> Result<BTreeMap<i32, i64>, Trouble> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        // The call takes times where offsets stand; the special offsets are its special times.
        list.add_partition_offset(topic, *partition, asked).map_err(|error| Trouble::new(&error))?;
    }
    let answer = client.consumer().offsets_for_times(list, timeout).map_err(|error| Trouble::new(&error))?;
    let mut found = BTreeMap::new();
    for element in answer.elements() {
        element.error().map_err(|error| Trouble::new(&error))?;
        if let Offset::Offset(offset) = element.offset() {
            found.insert(element.partition(), offset);
        }
    }
    Ok(found)
}

/// A list of partitions and offsets for the client.
pub(super) fn position_list(topic: &str, positions: &BTreeMap<i32, i64>) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (partition, offset) in positions {
        // Fails only for special offsets.
        let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*offset));
    }
    list
}
