//! Batches to Flight messages, one at a time.
//!
//! Nothing is collected and nothing runs ahead: the response is polled by the HTTP/2 layer only while
//! the client takes data, each poll makes one message, and dropping the response drops the query.
//!
//! The encoder of arrow-flight is not used: it replaces LargeList by List in the schema alone, measures
//! slices by the buffers they share, and encodes all parts of a batch at once.

use super::status::{query_error, status};
use crate::error::{Error, Result};
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::Status;

/// A stream of Flight messages, as tonic takes it.
pub type FlightStream = BoxStream<'static, Result<FlightData, Status>>;

/// A schema in the encapsulated form of the IPC format; never empty, also without fields.
pub fn schema_bytes(schema: &Schema) -> Result<Bytes> {
    let options = IpcWriteOptions::default();
    let message: IpcMessage =
        SchemaAsIpc::new(schema, &options).try_into().map_err(|error| Error::internal(format!("could not encode a schema: {error}")))?;
    Ok(message.0)
}

/// The schema message, then one message per batch.
pub fn encode<S>(schema: &SchemaRef, batches: S) -> FlightStream
where
    S: Stream<Item = Result<RecordBatch>> + Send + 'static,
{
    let mut encoder = BatchEncoder::new();
    let first: FlightData = SchemaAsIpc::new(schema, &encoder.options).into();
    let rest = batches.map(move |batch| encoder.message(&batch?)).map_err(|error| status(&error));
    futures::stream::once(std::future::ready(Ok(first))).chain(rest).boxed()
}

/// One batch that is at hand (metadata answers).
pub fn encode_one(batch: RecordBatch) -> FlightStream {
    encode(&batch.schema(), futures::stream::once(std::future::ready(Ok(batch))))
}

/// The answer of a statement without rows: a schema without fields, no batch.
pub fn encode_nothing() -> FlightStream {
    encode(&SchemaRef::new(Schema::empty()), futures::stream::empty())
}

/// The batches of a query with its errors in our terms.
pub fn batches_of(stream: datafusion::physical_plan::SendableRecordBatchStream) -> impl Stream<Item = Result<RecordBatch>> + Send {
    stream.map_err(|error| query_error(&error))
}

struct BatchEncoder {
    options: IpcWriteOptions,
    generator: IpcDataGenerator,
    /// Edge batches have no dictionaries; the generator wants to see for itself.
    dictionaries: DictionaryTracker,
    context: IpcWriteContext,
}

impl BatchEncoder {
    fn new() -> Self {
        Self {
            options: IpcWriteOptions::default(),
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(true),
            context: IpcWriteContext::default(),
        }
    }

    fn message(&mut self, batch: &RecordBatch) -> Result<FlightData> {
        let (dictionaries, encoded) = self
            .generator
            .encode(batch, &mut self.dictionaries, &self.options, &mut self.context)
            .map_err(|error| Error::internal(format!("could not encode a batch: {error}")))?;
        if !dictionaries.is_empty() {
            return Err(Error::internal("a dictionary reached the edge"));
        }
        Ok(encoded.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_flight::decode::FlightRecordBatchStream;
    use arrow_flight::error::FlightError;
    use datafusion::arrow::array::{ArrayRef, Int64Array, LargeListArray, StringArray};
    use datafusion::arrow::datatypes::Int32Type;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn batch(start: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(start..start + 10));
        let names: ArrayRef = Arc::new(StringArray::from_iter((0..10).map(|i| (i % 3 != 0).then(|| format!("n{i}")))));
        let lists: ArrayRef =
            Arc::new(LargeListArray::from_iter_primitive::<Int32Type, _, _>((0..10).map(|i| (i % 4 != 0).then(|| vec![Some(i), None]))));
        RecordBatch::try_from_iter_with_nullable([("a", numbers, true), ("b", names, true), ("c", lists, true)]).unwrap()
    }

    #[test]
    fn the_schema_of_nothing_is_not_empty_bytes() {
        let bytes = schema_bytes(&Schema::empty()).unwrap();
        assert!(bytes.starts_with(&[0xff, 0xff, 0xff, 0xff]), "encapsulated: {bytes:?}");
        assert_eq!(Schema::try_from(IpcMessage(bytes)).unwrap(), Schema::empty());
        let schema = batch(0).schema();
        assert_eq!(Schema::try_from(IpcMessage(schema_bytes(&schema).unwrap())).unwrap(), *schema);
    }

    #[tokio::test]
    async fn batches_come_back_equal_slices_too() {
        let sent = [batch(0), batch(10).slice(3, 4), batch(20).slice(9, 1)];
        let stream = encode(&sent[0].schema(), futures::stream::iter(sent.clone().map(Ok)));
        let received: Vec<_> =
            FlightRecordBatchStream::new_from_flight_data(stream.map_err(FlightError::from)).try_collect().await.unwrap();
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn one_message_is_made_at_a_time() {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let batches = futures::stream::iter(0..1_000).map(|i| {
            MADE.fetch_add(1, Ordering::Relaxed);
            Ok(batch(i))
        });
        let mut stream = encode(&batch(0).schema(), batches);
        for expected in [0, 1, 2] {
            stream.next().await.unwrap().unwrap();
            assert_eq!(MADE.load(Ordering::Relaxed), expected);
        }
    }

    #[tokio::test]
    async fn no_rows_still_have_a_schema() {
        let messages: Vec<_> = encode_nothing().try_collect().await.unwrap();
        assert_eq!(messages.len(), 1);
        assert!(!messages[0].data_header.is_empty());
    }
}
