//! A client of plain Flight messages: the test writes what a driver would, and sees the status that a driver would.

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    CommandPreparedStatementQuery, CommandStatementQuery, ProstMessageExt,
};
use arrow_flight::{Action, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, IpcMessage, SchemaResult, Ticket};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// One connection and the headers of its calls.
#[derive(Clone)]
pub struct Wire {
    inner: FlightServiceClient<Channel>,
    headers: MetadataMap,
}

/// What CreatePreparedStatement answered.
pub struct Prepared {
    pub handle: bytes::Bytes,
    pub dataset: Schema,
    pub parameters: Schema,
}

/// The rows of a stream, with the schema that it announced.
pub struct Rows {
    pub schema: Schema,
    pub batches: Vec<RecordBatch>,
}

impl Wire {
    /// A connection of its own, with these headers on every call.
    pub async fn connect(address: &str, headers: &[(&'static str, &str)]) -> Self {
        let channel = Channel::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("the server listens");
        let mut wire = Self { inner: FlightServiceClient::new(channel), headers: MetadataMap::new() };
        for (name, value) in headers {
            wire.set_header(name, value);
        }
        wire
    }

    pub fn set_header(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, value.parse().expect("a header value"));
    }

    /// The messages as Flight itself has them.
    pub fn inner(&mut self) -> &mut FlightServiceClient<Channel> {
        &mut self.inner
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request
    }

    /// Shakes hands; returns the token of the header and of the payload.
    pub async fn handshake(&mut self, messages: Vec<HandshakeRequest>) -> Result<(String, String), Status> {
        let response = self.inner.clone().handshake(self.request(futures::stream::iter(messages))).await?;
        let header = response.metadata().get("authorization").expect("a token in the header").to_str().expect("ASCII").to_owned();
        let answers: Vec<_> = response.into_inner().try_collect().await?;
        assert_eq!(answers.len(), 1, "one answer to a handshake");
        Ok((header, String::from_utf8(answers[0].payload.to_vec()).expect("a token is text")))
    }

    pub async fn info(&self, command: Vec<u8>) -> Result<FlightInfo, Status> {
        let descriptor = FlightDescriptor::new_cmd(command);
        Ok(self.inner.clone().get_flight_info(self.request(descriptor)).await?.into_inner())
    }

    pub async fn schema(&self, command: Vec<u8>) -> Result<Schema, Status> {
        let answer: SchemaResult = self.inner.clone().get_schema(self.request(FlightDescriptor::new_cmd(command))).await?.into_inner();
        Ok(Schema::try_from(IpcMessage(answer.schema)).expect("an encapsulated schema"))
    }

    pub async fn stream(&self, ticket: Ticket) -> Result<FlightRecordBatchStream, Status> {
        let stream = self.inner.clone().do_get(self.request(ticket)).await?.into_inner();
        Ok(FlightRecordBatchStream::new_from_flight_data(stream.map_err(FlightError::from)))
    }

    /// Everything behind an answer.
    pub async fn rows_of(&self, info: &FlightInfo) -> Result<Rows, Status> {
        assert_eq!(info.endpoint.len(), 1, "one endpoint");
        assert!(info.endpoint[0].location.is_empty(), "drivers connect to a location if there is one");
        let mut stream = self.stream(info.endpoint[0].ticket.clone().expect("a ticket")).await?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            batches.push(batch.map_err(status_of)?);
        }
        Ok(Rows { schema: stream.schema().expect("a stream has a schema").as_ref().clone(), batches })
    }

    /// Runs a text without preparing it.
    pub async fn query(&self, sql: &str) -> Result<Rows, Status> {
        let info = self.info(statement(sql)).await?;
        self.rows_of(&info).await
    }

    /// The bodies of the results of an action.
    pub async fn act(&self, name: &str, body: Vec<u8>) -> Result<Vec<bytes::Bytes>, Status> {
        let results = self.inner.clone().do_action(self.request(Action::new(name, body))).await?.into_inner();
        results.map_ok(|result| result.body).try_collect().await
    }

    pub async fn prepare(&self, sql: &str) -> Result<Prepared, Status> {
        let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
        let bodies = self.act("CreatePreparedStatement", request.as_any().encode_to_vec()).await?;
        let any = Any::decode(&*bodies[0]).expect("an Any");
        let answer: ActionCreatePreparedStatementResult = any.unpack().expect("a message").expect("of this type");
        assert!(!answer.dataset_schema.is_empty(), "ODBC crashes on a schema of no bytes");
        let schema = |bytes| Schema::try_from(IpcMessage(bytes)).expect("an encapsulated schema");
        Ok(Prepared {
            handle: answer.prepared_statement_handle,
            dataset: schema(answer.dataset_schema),
            parameters: schema(answer.parameter_schema),
        })
    }

    pub async fn close(&self, handle: bytes::Bytes) -> Result<(), Status> {
        let request = ActionClosePreparedStatementRequest { prepared_statement_handle: handle };
        self.act("ClosePreparedStatement", request.as_any().encode_to_vec()).await.map(|_| ())
    }

    /// Binds one batch to a prepared statement.
    pub async fn bind(&self, handle: &bytes::Bytes, batch: RecordBatch) -> Result<(), Status> {
        let descriptor = FlightDescriptor::new_cmd(prepared_query(handle));
        let encoder = arrow_flight::encode::FlightDataEncoderBuilder::new().with_flight_descriptor(Some(descriptor));
        let stream = encoder.build(futures::stream::iter([Ok(batch)]));
        let messages: Vec<FlightData> = stream.try_collect().await.expect("a batch can be encoded");
        let answers = self.inner.clone().do_put(self.request(futures::stream::iter(messages))).await?.into_inner();
        answers.try_collect::<Vec<_>>().await.map(|_| ())
    }
}

/// CommandStatementQuery, packed.
pub fn statement(sql: &str) -> Vec<u8> {
    CommandStatementQuery { query: sql.to_owned(), transaction_id: None }.as_any().encode_to_vec()
}

/// CommandPreparedStatementQuery, packed.
pub fn prepared_query(handle: &bytes::Bytes) -> Vec<u8> {
    CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() }.as_any().encode_to_vec()
}

/// The status in an error of the stream decoder.
pub fn status_of(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::new(Code::Unknown, other.to_string()),
    }
}
