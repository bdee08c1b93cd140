//! Columns out of a sample of a topic.

use super::admin::{self, REACH_TIMEOUT};
use super::batch::{Batch, Client};
use super::decode::avro_schema;
use super::lookup;
use super::options::{KafkaOptions, PayloadFormat};
use super::registry::{NoSchema, Registry};
use crate::connect::Start;
use crate::error::{Code, Error, Result};
use crate::tables::hive::{JsonSample, sql_type};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Reading the sample.
const SAMPLE_WAIT_MAX: Duration = Duration::from_secs(15);
/// Payload bytes of a sample at most.
const SAMPLE_BYTES_MAX: usize = 64 << 20;

/// The columns that the newest records of a topic have, with SQL types: about `n_sample` records, as many of each
/// partition. Waits for the brokers: not for a thread that has other things to do.
pub fn infer(options: &KafkaOptions, n_sample: usize) -> Result<Vec<(String, String)>> {
    let topic = &options.topic;
    let hint = "Declare the columns.";
    match &options.format {
        PayloadFormat::Raw => return Ok(vec![("value".into(), "STRING".into())]),
        PayloadFormat::Csv(_) => {
            let what = "columns cannot be inferred from a topic of CSV: its records have no names";
            return Err(Error::new(Code::NotSupported, what).hint(hint));
        }
        PayloadFormat::Json(_) | PayloadFormat::Avro(_) => {}
    }
    let payloads = sample(options, n_sample.max(1))?;
    let nothing = |what: String| Error::new(Code::InvalidStatement, what).hint(hint);
    if payloads.is_empty() {
        return Err(nothing(format!("topic \"{topic}\" has no records to infer columns from")));
    }
    let columns = match &options.format {
        PayloadFormat::Json(timestamps) => {
            let mut sample = JsonSample::default();
            payloads.iter().for_each(|payload| sample.add(payload));
            sample.fields(*timestamps)
        }
        PayloadFormat::Avro(registry) => {
            let mut registry = Registry::new(registry);
            let id = payloads.iter().rev().find_map(|payload| match payload.split_first_chunk::<5>() {
                Some(([0, id @ ..], _)) => Some(u32::from_be_bytes(*id)),
                _ => None,
            });
            let Some(id) = id else { return Err(nothing(format!("topic \"{topic}\" has no records with the id of a schema"))) };
            let json = registry.schema(id).map_err(|none| match none {
                NoSchema::Unknown(why) => Error::new(Code::InvalidStatement, why),
                NoSchema::Away(why) => Error::new(Code::Unavailable, why),
            })?;
            let schema = avro_schema(id, &json).map_err(|why| Error::new(Code::NotSupported, why))?;
            schema.fields().iter().map(|field| field.as_ref().clone()).collect()
        }
        PayloadFormat::Raw | PayloadFormat::Csv(_) => Vec::new(),
    };
    if columns.is_empty() {
        return Err(nothing(format!("topic \"{topic}\" has no records to infer columns from: none of the newest is an object")));
    }
    Ok(columns.iter().map(|field| (field.name().clone(), sql_type(field.data_type()))).collect())
}

/// The newest payloads, oldest first within a partition.
fn sample(options: &KafkaOptions, n_sample: usize) -> Result<Vec<Vec<u8>>> {
    let topic = &options.topic;
    let client = admin::client(options)?;
    let (ends, begins) = find_range(options, &client, n_sample)?;
    let deadline = Instant::now() + SAMPLE_WAIT_MAX;
    let mut open = ends.keys().copied().filter(|partition| begins.get(partition) < ends.get(partition)).collect::<Vec<_>>();
    let assigned = begins.into_iter().filter(|(partition, _)| open.contains(partition)).collect::<BTreeMap<_, _>>();
    if assigned.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |why: String| Error::new(Code::Unavailable, format!("could not read topic \"{topic}\": {why}"));
    client.consumer().assign(&lookup::position_list(topic, &assigned)).map_err(|error| failed(error.to_string()))?;
    let (mut payloads, mut n_bytes) = (Vec::new(), 0);
    let mut batch = Batch::new(&client, 1_024);
    while !open.is_empty() && Instant::now() < deadline && n_bytes < SAMPLE_BYTES_MAX {
        batch.fill(1_024, Duration::from_millis(100));
        for message in batch.messages() {
            let (partition, end) = (message.partition(), ends.get(&message.partition()).copied().unwrap_or_default());
            match message.error() {
                Some(RDKafkaErrorCode::PartitionEOF) => open.retain(|other| *other != partition),
                Some(_) => return Err(failed(message.error_text())),
                None => {
                    if message.offset() + 1 >= end {
                        open.retain(|other| *other != partition);
                    }
                    if let Some(payload) = message.payload().filter(|payload| payload.len() as u64 <= options.record_bytes_max) {
                        n_bytes += payload.len();
                        payloads.push(payload.to_vec());
                    }
                }
            }
        }
        batch.clear();
    }
    Ok(payloads)
}

type Offsets = BTreeMap<i32, i64>;

/// Where the sample ends and begins in each partition.
fn find_range(options: &KafkaOptions, client: &Client, n_sample: usize) -> Result<(Offsets, Offsets)> {
    let topic = &options.topic;
    let (lows, ends) = admin::ask(client, options, REACH_TIMEOUT, |client, wait| {
        let partitions = lookup::partitions(client, topic, wait)?;
        let lows = lookup::starts(client, topic, &partitions, Start::Earliest, wait)?;
        let ends = lookup::starts(client, topic, &partitions, Start::Latest, wait)?;
        Ok((lows, ends))
    })?;
    let each = i64::try_from(n_sample.div_ceil(ends.len().max(1))).unwrap_or(i64::MAX);
    let begin = |(partition, end): (&i32, &i64)| (*partition, end.saturating_sub(each).max(lows.get(partition).copied().unwrap_or(0)));
    let begins = ends.iter().map(begin).collect();
    Ok((ends, begins))
}
