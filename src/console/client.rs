//! The console's Flight SQL: prepare, run, update, cancel. Errors keep the server's status, which a general
//! client would fold into text.

use super::address::Address;
use super::failure::Failure;
use super::password::Secret;
use crate::error::{Code, Error};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    IpcMessage, Ticket,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::TryStreamExt;
use prost::Message;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A dead peer is noticed while a statement runs, also when no packet says so.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// A statement that the server has planned and keeps under a handle.
#[derive(Debug, Clone)]
pub struct Prepared {
    handle: Bytes,
    /// The columns of the answer; none for an update.
    pub schema: Schema,
    /// One field for each parameter.
    pub parameter_schema: SchemaRef,
}

impl Prepared {
    /// Whether it answers a count instead of rows.
    pub fn is_update(&self) -> bool {
        self.schema.fields().is_empty()
    }

    /// What a cancel request names while the update runs.
    pub fn flight_info(&self) -> FlightInfo {
        let command = CommandPreparedStatementQuery { prepared_statement_handle: self.handle.clone() };
        FlightInfo::new().with_endpoint(FlightEndpoint::new().with_ticket(Ticket::new(command.as_any().encode_to_vec())))
    }
}

/// A session on a server; clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    flight: FlightServiceClient<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
}

/// Who logs in; without a password a name, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Login {
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: Option<String>,
}

/// Why there is no session.
#[derive(Debug)]
pub enum Refused {
    /// The server wants other credentials.
    Credentials(Error),
    /// Anything else.
    Other(Error),
}

/// Opens a channel; nobody is logged in yet.
///
/// # Errors
/// When nobody answers there, or TLS does not come about.
pub async fn open(address: &Address, tls_ca: Option<&[u8]>) -> Result<Channel, Error> {
    let unusable =
        |error: &tonic::transport::Error| Error::new(Code::InvalidParameter, format!("cannot connect to {address}: {}", innermost(error)));
    let mut endpoint: Endpoint = Channel::from_shared(address.endpoint())
        .map_err(|error| Error::new(Code::InvalidParameter, format!("cannot connect to {address}: {error}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .tcp_nodelay(true);
    if address.tls {
        // An error means that another part of the process was quicker with the same choice.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let Some(authorities) = tls_ca else {
            return Err(Error::new(Code::InvalidParameter, "a TLS connection needs --tls-ca")
                .hint("Name the PEM file with the authority that signed the server's certificate."));
        };
        let tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities)).domain_name(address.host.trim_matches(['[', ']']));
        endpoint = endpoint.tls_config(tls).map_err(|error| unusable(&error))?;
    }
    endpoint.connect().await.map_err(|error| {
        Error::new(Code::Unavailable, format!("could not connect to {address}: {}", innermost(&error)))
            .hint("Is the server running there, and with TLS if the URL says so?")
    })
}

/// The cause that says most.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl Client {
    /// Logs in on a channel.
    pub async fn login(channel: Channel, login: &Login) -> Result<Self, Refused> {
        let mut flight = FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        let mut request = Request::new(futures::stream::iter([HandshakeRequest::default()]));
        let user = login.user.as_deref().unwrap_or_default();
        let password = login.password.as_ref().map_or("", Secret::reveal);
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let mut basic: MetadataValue<Ascii> = basic.parse().map_err(|_| Refused::Other(Error::internal("base64 is not ASCII")))?;
        basic.set_sensitive(true);
        request.metadata_mut().insert("authorization", basic);
        if let Some(database) = &login.database {
            let name = database.parse().map_err(|_| {
                let error = Error::new(Code::InvalidParameter, format!("cannot begin in database \"{database}\": the name is not ASCII"));
                Refused::Other(error.hint("Connect without it, then say USE."))
            })?;
            request.metadata_mut().insert("database", name);
        }
        let response = flight.handshake(request).await.map_err(refused)?;
        let mut authorization = response.metadata().get("authorization").cloned();
        let answers: Vec<_> = response.into_inner().try_collect().await.map_err(refused)?;
        if authorization.is_none() {
            // Servers may hand the token over in the payload instead.
            let token =
                answers.first().map(|answer| String::from_utf8_lossy(&answer.payload).into_owned()).filter(|token| !token.is_empty());
            authorization = token.and_then(|token| format!("Bearer {token}").parse().ok());
        }
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        Ok(Self { flight, authorization })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }

    async fn act(&self, name: &str, body: impl Into<Bytes>) -> Result<Option<Bytes>, Status> {
        let action = self.request(Action { r#type: name.to_owned(), body: body.into() });
        let mut results = self.flight.clone().do_action(action).await?.into_inner();
        Ok(results.message().await?.map(|result| result.body))
    }

    /// Plans a statement.
    pub async fn prepare(&self, sql: &str) -> Result<Prepared, Failure> {
        let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
        let body = self.act("CreatePreparedStatement", request.as_any().encode_to_vec()).await?.unwrap_or_default();
        let result: ActionCreatePreparedStatementResult =
            Any::decode(body).ok().and_then(|any| any.unpack().ok().flatten()).ok_or_else(|| unreadable("prepared statement"))?;
        let schema = |bytes: Bytes| match bytes.is_empty() {
            true => Ok(Schema::empty()),
            false => Schema::try_from(IpcMessage(bytes)).map_err(|_| unreadable("schema")),
        };
        let parameter_schema = SchemaRef::new(schema(result.parameter_schema)?);
        Ok(Prepared { handle: result.prepared_statement_handle, schema: schema(result.dataset_schema)?, parameter_schema })
    }

    /// Binds one row of parameters for the next runs of a query.
    pub async fn bind(&self, prepared: &Prepared, row: RecordBatch) -> Result<(), Failure> {
        let command = CommandPreparedStatementQuery { prepared_statement_handle: prepared.handle.clone() };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let encoded = FlightDataEncoderBuilder::new().with_flight_descriptor(Some(descriptor)).build(futures::stream::iter([Ok(row)]));
        let messages: Vec<FlightData> = encoded.try_collect().await.map_err(|_| unreadable("parameters"))?;
        let results = self.flight.clone().do_put(self.request(futures::stream::iter(messages))).await?.into_inner();
        results.try_collect::<Vec<_>>().await?;
        Ok(())
    }

    /// What fetches the rows of a statement, and names it to a cancel request.
    pub async fn info(&self, prepared: &Prepared) -> Result<FlightInfo, Failure> {
        let command = CommandPreparedStatementQuery { prepared_statement_handle: prepared.handle.clone() };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        Ok(self.flight.clone().get_flight_info(self.request(descriptor)).await?.into_inner())
    }

    /// Runs a ticket.
    pub async fn rows(&self, ticket: Ticket) -> Result<FlightRecordBatchStream, Failure> {
        let stream = self.flight.clone().do_get(self.request(ticket)).await?.into_inner();
        Ok(FlightRecordBatchStream::new_from_flight_data(stream.map_err(|status| status.into())))
    }

    /// Runs an update; the count of rows, or -1.
    pub async fn update(&self, prepared: &Prepared) -> Result<i64, Failure> {
        let command = CommandPreparedStatementUpdate { prepared_statement_handle: prepared.handle.clone() };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let data = FlightData { flight_descriptor: Some(descriptor), ..Default::default() };
        let mut results = self.flight.clone().do_put(self.request(futures::stream::iter([data]))).await?.into_inner();
        let result = results.message().await?.unwrap_or_default();
        Ok(DoPutUpdateResult::decode(result.app_metadata).map_err(|_| unreadable("count"))?.record_count)
    }

    /// Asks the server to stop a statement.
    pub async fn cancel(&self, info: FlightInfo) -> Result<(), Failure> {
        let request = CancelFlightInfoRequest::new(info);
        let body = self.act("CancelFlightInfo", request.encode_to_vec()).await?.unwrap_or_default();
        CancelFlightInfoResult::decode(body).map_err(|_| unreadable("cancel result"))?;
        Ok(())
    }

    /// Lets a prepared statement go. That it fails changes nothing: the session's end does the same.
    pub async fn close(&self, prepared: Prepared) {
        let request = ActionClosePreparedStatementRequest { prepared_statement_handle: prepared.handle };
        let _ = self.act("ClosePreparedStatement", request.as_any().encode_to_vec()).await;
    }

    /// Ends the session. A server that is gone has ended it already.
    pub async fn close_session(&self) {
        let _ = self.act("CloseSession", Bytes::new()).await;
    }
}

fn refused(status: Status) -> Refused {
    let is_credentials = status.code() == tonic::Code::Unauthenticated;
    match Failure::from(status) {
        Failure::Statement(error) | Failure::Connection(error) | Failure::Interrupted(error) if is_credentials => {
            Refused::Credentials(error)
        }
        Failure::Statement(error) | Failure::Connection(error) | Failure::Interrupted(error) => Refused::Other(error),
        Failure::OutputClosed => Refused::Other(Error::internal("a status is not output")),
    }
}

fn unreadable(what: &str) -> Failure {
    Failure::Statement(
        Error::new(Code::Internal, format!("cannot read the server's {what}")).hint("Is it a Flight SQL server of about the same version?"),
    )
}
