//! A connection to a Kafka broker on which questions about the cluster are answered here: it has topics that nobody knows, and
//! no broker. That is what a broker says that its controller takes for dead.
//!
//! Only what librdkafka asks is understood: Metadata, versions 12 and 13 (the layouts are in Kafka's
//! `MetadataRequest.json` and `MetadataResponse.json`).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

/// The number of the request.
const METADATA: i16 = 3;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
/// Topics in the answer that nobody asked for. librdkafka plans to look for its first brokers again when the last one is
/// forgotten, and takes that back when it has read the answer to its end: a long answer makes sure of this order, which a busy
/// machine shows now and then.
const FILLERS: usize = 100_000;
/// No more than a test ever sends.
const FRAME_MAX: usize = 1 << 24;

/// Answers or passes on one request after the other, until an end closes.
pub fn hide_brokers(mut client: TcpStream, mut server: TcpStream) {
    while let Some(request) = frame(&mut client) {
        let answer =
            if request.starts_with(&METADATA.to_be_bytes()) { Some(no_brokers(&request)) } else { passed_on(&request, &mut server) };
        let Some(answer) = answer else { break };
        if send(&mut client, &answer).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn passed_on(request: &[u8], server: &mut TcpStream) -> Option<Vec<u8>> {
    send(server, request).ok()?;
    frame(server)
}

/// A message without its length.
fn frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let length = usize::try_from(i32::from_be_bytes(length)).ok().filter(|length| *length <= FRAME_MAX)?;
    let mut message = vec![0; length];
    from.read_exact(&mut message).ok()?;
    Some(message)
}

fn send(to: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    to.write_all(&(message.len() as i32).to_be_bytes())?;
    to.write_all(message)
}

/// The answer to a Metadata request.
fn no_brokers(request: &[u8]) -> Vec<u8> {
    let mut reader = Reader(request);
    let (_, version) = (reader.i16(), reader.i16());
    assert!((12..=13).contains(&version), "Metadata of version {version}");
    let correlation = reader.take(4).to_vec();
    let client_id_length = reader.i16();
    reader.take(client_id_length.max(0) as usize);
    reader.no_tags();
    let mut topics = Vec::new();
    for _ in 1..reader.varint() {
        let id = reader.take(16).to_vec();
        let name_length = reader.varint().saturating_sub(1);
        topics.push((id, reader.take(name_length).to_vec()));
        reader.no_tags();
    }

    topics.extend((0..FILLERS).map(|topic| (vec![0; 16], format!("nobody-{topic}").into_bytes())));

    let mut answer = correlation;
    answer.push(0); // no tags
    answer.extend(0_i32.to_be_bytes()); // not throttled
    answer.push(1); // no broker
    answer.push(0); // no name of the cluster
    answer.extend((-1_i32).to_be_bytes()); // no controller
    answer.extend(varint(topics.len() + 1));
    for (id, name) in topics {
        answer.extend(UNKNOWN_TOPIC_OR_PARTITION.to_be_bytes());
        answer.extend(varint(name.len() + 1));
        answer.extend(name);
        answer.extend(id);
        answer.extend([0, 1]); // not internal, no partition
        answer.extend(i32::MIN.to_be_bytes()); // permissions were not asked for
        answer.push(0);
    }
    if version >= 13 {
        answer.extend(0_i16.to_be_bytes());
    }
    answer.push(0);
    answer
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn varint(&mut self) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.take(1)[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }

    fn no_tags(&mut self) {
        assert_eq!(self.varint(), 0, "tags in a request");
    }
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
