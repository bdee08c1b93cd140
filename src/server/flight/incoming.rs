//! Arrow data from clients: checked before it is decoded, decoded so that a panic ends one call only.
//!
//! The IPC reader trusts the lengths that a message declares: a few bytes can ask for gigabytes, and some
//! malformed messages make it panic. What cannot be true is refused first; the rest runs under a guard.

use crate::error::{Code, Error, Result};
use arrow_flight::FlightData;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::{self, MessageHeader};
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use std::panic::AssertUnwindSafe;

/// A batch may grow to this size when it is decompressed.
const DECODED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Columns of NULL cost nothing to send and a lot to convert.
const BATCH_ROWS_MAX: i64 = 16 * 1024 * 1024;

const COLUMNS_MAX: usize = 10_000;

/// Batches as a client sends them.
pub struct Incoming {
    decoder: FlightDataDecoder,
    broken: bool,
}

impl Incoming {
    /// Decodes messages; those with nothing but a descriptor are passed over.
    pub fn new<S>(messages: S) -> Self
    where
        S: Stream<Item = Result<FlightData, tonic::Status>> + Send + 'static,
    {
        let checked = messages.filter_map(|message| {
            std::future::ready(match message {
                Ok(message) if message.data_header.is_empty() => None,
                Ok(message) => Some(inspect(&message).map(|()| message).map_err(external)),
                Err(status) => Some(Err(FlightError::from(status))),
            })
        });
        Self { decoder: FlightDataDecoder::new(checked), broken: false }
    }

    /// The schema, which comes first; `None` when the client sends no data at all.
    pub async fn schema(&mut self) -> Result<Option<SchemaRef>> {
        match self.next_payload().await? {
            None => Ok(None),
            Some(DecodedPayload::Schema(schema)) if schema.fields().len() > COLUMNS_MAX => {
                Err(Error::new(Code::LimitExceeded, format!("the data has {} columns", schema.fields().len()))
                    .detail(format!("The server takes {COLUMNS_MAX} columns at most.")))
            }
            Some(DecodedPayload::Schema(schema)) => Ok(Some(schema)),
            Some(_) => Err(invalid("the schema is missing")),
        }
    }

    /// The batches after the schema.
    pub fn batches(self) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::unfold(Some(self), |incoming| async move {
            let mut incoming = incoming?;
            match incoming.next_payload().await {
                Ok(None) => None,
                Ok(Some(DecodedPayload::RecordBatch(batch))) => Some((Ok(batch), Some(incoming))),
                Ok(Some(_)) => Some((Err(invalid("a second schema follows")), None)),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    /// Schema and batches of parameters; no schema means no parameters.
    pub async fn into_rows(mut self) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        match self.schema().await? {
            Some(_) => Ok(self.batches()),
            None => Ok(futures::stream::empty().boxed()),
        }
    }

    async fn next_payload(&mut self) -> Result<Option<DecodedPayload>> {
        loop {
            if self.broken {
                return Ok(None);
            }
            let decoded = AssertUnwindSafe(self.decoder.next()).catch_unwind().await;
            let decoded = match decoded {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(decoded))) => decoded.payload,
                Ok(Some(Err(error))) => {
                    self.broken = true;
                    return Err(decode_error(error));
                }
                Err(_panic) => {
                    // The decoder may be in any state: it is not asked again.
                    self.broken = true;
                    return Err(invalid("it contradicts itself"));
                }
            };
            match decoded {
                DecodedPayload::None => {}
                payload => return Ok(Some(payload)),
            }
        }
    }
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidValue, "cannot read the Arrow data of the client").detail(format!("In particular, {why}."))
}

fn external(error: Error) -> FlightError {
    FlightError::ExternalError(Box::new(error))
}

fn decode_error(error: FlightError) -> Error {
    match error {
        FlightError::ExternalError(error) => match error.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => invalid(other),
        },
        // The client went away, or a message was over the limit: tonic says which.
        FlightError::Tonic(status) if status.code() == tonic::Code::OutOfRange || status.code() == tonic::Code::ResourceExhausted => {
            Error::new(Code::LimitExceeded, "a message of the client is too large").detail(format!("In particular, {}.", status.message()))
        }
        FlightError::Tonic(status) => {
            Error::new(Code::Cancelled, "the client stopped sending").detail(format!("It said: {}.", status.message()))
        }
        FlightError::Arrow(error) => invalid(error),
        FlightError::DecodeError(why) | FlightError::ProtocolError(why) | FlightError::NotYetImplemented(why) => invalid(why),
    }
}

/// Refuses a message whose declared sizes cannot be true, or are too large.
fn inspect(message: &FlightData) -> Result<()> {
    let header = ipc::root_as_message(&message.data_header).map_err(|error| invalid(format!("the message header is broken ({error})")))?;
    let batch = match header.header_type() {
        MessageHeader::RecordBatch => header.header_as_record_batch(),
        MessageHeader::DictionaryBatch => header.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()),
        _ => return Ok(()),
    };
    let Some(batch) = batch else { return Err(invalid("the batch header is missing")) };
    if !(0..=BATCH_ROWS_MAX).contains(&batch.length()) {
        return Err(Error::new(Code::LimitExceeded, format!("a batch has {} rows", batch.length()))
            .detail(format!("The server takes {BATCH_ROWS_MAX} rows in one batch at most."))
            .hint("Send smaller batches."));
    }
    for node in batch.nodes().into_iter().flatten() {
        if node.length() < 0 || node.null_count() < 0 || node.null_count() > node.length() {
            return Err(invalid("a column has a negative length"));
        }
    }
    let compressed = batch.compression().is_some();
    let mut decoded_bytes: u64 = 0;
    for buffer in batch.buffers().into_iter().flatten() {
        let body = &message.data_body;
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let Some(bytes) = range.and_then(|(offset, length)| body.get(offset..offset.checked_add(length)?)) else {
            return Err(invalid("a buffer lies outside the message"));
        };
        decoded_bytes = decoded_bytes.saturating_add(decoded_length(bytes, compressed)?);
    }
    if decoded_bytes > DECODED_BYTES_MAX {
        return Err(Error::new(Code::LimitExceeded, format!("a batch has {decoded_bytes} bytes of data"))
            .detail(format!("The server takes {DECODED_BYTES_MAX} bytes in one batch at most."))
            .hint("Send smaller batches."));
    }
    Ok(())
}

/// How long a buffer will be once decompressed: its first eight bytes say so, -1 means "as it is".
fn decoded_length(buffer: &[u8], compressed: bool) -> Result<u64> {
    if !compressed || buffer.is_empty() {
        return Ok(buffer.len() as u64);
    }
    let Some((prefix, _)) = buffer.split_first_chunk::<8>() else { return Err(invalid("a compressed buffer has no length")) };
    match i64::from_le_bytes(*prefix) {
        -1 => Ok(buffer.len() as u64),
        length => u64::try_from(length).map_err(|_| invalid("a compressed buffer has a negative length")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::flight::results::encode;
    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
    use futures::TryStreamExt;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(|i| format!("name {i}"))));
        RecordBatch::try_from_iter([("a", numbers), ("b", names)]).unwrap()
    }

    async fn messages() -> Vec<FlightData> {
        encode(&batch().schema(), futures::stream::iter([Ok(batch())])).try_collect().await.unwrap()
    }

    async fn read(messages: Vec<FlightData>) -> Result<Vec<RecordBatch>> {
        Incoming::new(futures::stream::iter(messages.into_iter().map(Ok))).into_rows().await?.try_collect().await
    }

    #[tokio::test]
    async fn a_cut_body_and_a_missing_schema_are_refused() {
        let mut cut = messages().await;
        cut[1].data_body = cut[1].data_body.slice(..16);
        let error = read(cut).await.unwrap_err();
        assert!(error.one_line().contains("outside the message"), "{error}");

        let error = read(messages().await.split_off(1)).await.unwrap_err();
        assert_eq!(error.code, Code::InvalidValue, "{error}");
    }

    #[test]
    fn a_small_buffer_that_claims_to_be_large_is_measured_by_its_claim() {
        let mut buffer = (1i64 << 40).to_le_bytes().to_vec();
        buffer.push(0);
        assert_eq!(decoded_length(&buffer, true).unwrap(), 1 << 40);
        assert_eq!(decoded_length(&buffer, false).unwrap(), 9);
        assert!(decoded_length(&(-5i64).to_le_bytes(), true).is_err());
        assert!(decoded_length(&[1, 2], true).is_err());
    }

    /// No byte that a client may change brings the server down, and what is accepted is a batch of that schema.
    #[tokio::test]
    async fn damaged_messages_never_panic() {
        const SEED: u64 = 20_261_120;
        println!("seed {SEED}");
        let mut random = StdRng::seed_from_u64(SEED);
        let whole = messages().await;
        for _ in 0..2_000 {
            let mut damaged = whole.clone();
            let at = random.random_range(0..damaged.len());
            let mut header = damaged[at].data_header.to_vec();
            for _ in 0..random.random_range(1..4) {
                let position = random.random_range(0..header.len());
                header[position] = random.random();
            }
            damaged[at].data_header = header.into();
            if let Ok(batches) = read(damaged).await {
                assert!(batches.len() <= 1);
            }
        }
    }

    #[tokio::test]
    async fn a_descriptor_alone_is_no_data() {
        let descriptor_only = vec![FlightData::default()];
        assert_eq!(read(descriptor_only).await.unwrap(), vec![]);
        let mut with_descriptor = vec![FlightData::default()];
        with_descriptor.extend(messages().await);
        assert_eq!(read(with_descriptor).await.unwrap(), vec![batch()]);
    }
}
