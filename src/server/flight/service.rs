//! The RPCs of Flight: who calls, which command, who answers.

use super::cancel::{CANCEL_FLIGHT_INFO, CANCEL_QUERY};
use super::handshake::Caller;
use super::incoming::Incoming;
use super::results::{FlightStream, encode_one, schema_bytes};
use super::session_actions::{CLOSE_SESSION, GET_SESSION_OPTIONS, SET_SESSION_OPTIONS, closed};
use super::sessions::ClientSession;
use super::statements::{flight_info, refuse_transaction};
use super::status::{malformed, status};
use super::tickets::StatementTicket;
use super::{FlightDoor, metadata};
use crate::error::{Code, Error, Result};
use arrow_flight::flight_descriptor::DescriptorType;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, Any, Command, DoPutPreparedStatementResult,
    DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo,
    PutResult, SchemaResult, Ticket,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use prost::Message;
use std::sync::Arc;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

const CREATE_PREPARED_STATEMENT: &str = "CreatePreparedStatement";
const CLOSE_PREPARED_STATEMENT: &str = "ClosePreparedStatement";

/// The actions that we answer, as ListActions tells them.
static ACTIONS: &[(&str, &str)] = &[
    (CREATE_PREPARED_STATEMENT, "Plans a statement and keeps it under a handle"),
    (CLOSE_PREPARED_STATEMENT, "Forgets a prepared statement"),
    (CANCEL_FLIGHT_INFO, "Cancels the statement of a FlightInfo"),
    (CANCEL_QUERY, "Cancels the statement of a FlightInfo (older clients)"),
    (SET_SESSION_OPTIONS, "Sets the current catalog and schema"),
    (GET_SESSION_OPTIONS, "Tells the current catalog and schema"),
    (CLOSE_SESSION, "Ends the session and cancels what it runs"),
];

type Answer<T> = Result<Response<T>, Status>;

/// The service behind the listener.
#[derive(Debug, Clone)]
pub struct FlightSql {
    door: Arc<FlightDoor>,
}

impl FlightSql {
    pub fn new(door: Arc<FlightDoor>) -> Self {
        Self { door }
    }

    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller> {
        self.door.authenticate(request.metadata(), request.extensions()).await
    }

    async fn info(&self, request: Request<FlightDescriptor>) -> Result<FlightInfo> {
        let client = self.caller(&request).await?.client;
        let descriptor = request.into_inner();
        match command_of(&descriptor)? {
            Command::CommandStatementQuery(query) => {
                refuse_transaction(query.transaction_id.as_ref())?;
                client.statement_info(&query.query, descriptor).await
            }
            Command::CommandPreparedStatementQuery(query) => client.prepared_info(&query.prepared_statement_handle, descriptor).await,
            command => match metadata::answer_schema(&command) {
                // The command is its own ticket.
                Some(schema) => flight_info(&schema, Ticket::new(descriptor.cmd.clone()), descriptor),
                None => Err(unknown_command(&command)),
            },
        }
    }

    async fn schema(&self, request: Request<FlightDescriptor>) -> Result<SchemaResult> {
        let client = self.caller(&request).await?.client;
        let schema = match command_of(request.get_ref())? {
            Command::CommandStatementQuery(query) => client.statement_schema(&query.query).await?,
            Command::CommandPreparedStatementQuery(query) => client.prepared_schema(&query.prepared_statement_handle).await?,
            command => metadata::answer_schema(&command).ok_or_else(|| unknown_command(&command))?,
        };
        Ok(SchemaResult { schema: schema_bytes(&schema)? })
    }

    async fn get(&self, request: Request<Ticket>) -> Result<FlightStream> {
        let client = self.caller(&request).await?.client;
        match parse_command(&request.get_ref().ticket, "ticket")? {
            Command::TicketStatementQuery(query) => client.redeem(&StatementTicket::from_handle(&query.statement_handle)?).await,
            Command::CommandPreparedStatementQuery(query) => client.run_prepared(&query.prepared_statement_handle).await,
            command => match client.answer(&command).await? {
                Some(batch) => Ok(encode_one(batch)),
                None => Err(unknown_command(&command)),
            },
        }
    }

    async fn put(&self, request: Request<Streaming<FlightData>>) -> Result<Vec<u8>> {
        let client = self.caller(&request).await?.client;
        let mut messages = request.into_inner();
        let first = messages
            .message()
            .await
            .map_err(|status| Error::new(Code::InvalidParameter, format!("cannot read the client's data: {}", status.message())))?
            .ok_or_else(|| malformed("upload: it is empty"))?;
        let descriptor = first.flight_descriptor.clone().ok_or_else(|| malformed("upload: it names no command"))?;
        let command = command_of(&descriptor)?;
        let incoming = Incoming::new(futures::stream::once(std::future::ready(Ok(first))).chain(messages));
        self.put_command(&client, command, incoming).await
    }

    async fn put_command(&self, client: &Arc<ClientSession>, command: Command, incoming: Incoming) -> Result<Vec<u8>> {
        let record_count = match command {
            Command::CommandStatementUpdate(update) => {
                refuse_transaction(update.transaction_id.as_ref())?;
                client.update(&update.query).await?
            }
            Command::CommandPreparedStatementUpdate(update) => {
                client.update_prepared(&update.prepared_statement_handle, incoming.into_rows().await?).await?
            }
            Command::CommandStatementIngest(ingest) => client.ingest(ingest, incoming).await?,
            Command::CommandPreparedStatementQuery(query) => {
                let handle = client.bind_prepared(&query.prepared_statement_handle, incoming.into_rows().await?).await?;
                return Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) }.encode_to_vec());
            }
            command => return Err(unknown_command(&command)),
        };
        Ok(DoPutUpdateResult { record_count }.encode_to_vec())
    }

    /// Answers an action: the bodies of its results.
    async fn act(&self, request: Request<Action>) -> Result<Option<Vec<u8>>> {
        let caller = self.caller(&request).await;
        let action = request.get_ref();
        match (action.r#type.as_str(), caller) {
            // Both are said at the end, also of a session that has expired, and are never an error.
            (CLOSE_PREPARED_STATEMENT, caller) => {
                if let (Ok(caller), Some(close)) = (caller, unpack::<ActionClosePreparedStatementRequest>(&action.body)) {
                    caller.client.statements.prepared.close(&close.prepared_statement_handle);
                }
                Ok(None)
            }
            (CLOSE_SESSION, caller) => {
                if let Ok(caller) = caller {
                    caller.client.cancel_all();
                    caller.client.engine.close();
                    self.door.sessions.remove(&caller.key);
                }
                Ok(Some(closed()))
            }
            (_, Err(error)) => Err(error),
            (CREATE_PREPARED_STATEMENT, Ok(caller)) => {
                let create: ActionCreatePreparedStatementRequest =
                    unpack(&action.body).ok_or_else(|| malformed("CreatePreparedStatement request"))?;
                refuse_transaction(create.transaction_id.as_ref())?;
                let created = caller.client.create_prepared(&create.query).await?;
                Ok(Some(created.as_any().encode_to_vec()))
            }
            (CANCEL_FLIGHT_INFO, Ok(caller)) => caller.client.cancel_flight_info(&action.body).map(Some),
            (CANCEL_QUERY, Ok(caller)) => caller.client.cancel_query(&action.body).map(Some),
            (SET_SESSION_OPTIONS, Ok(caller)) => caller.client.set_options(&action.body).map(Some),
            (GET_SESSION_OPTIONS, Ok(caller)) => Ok(Some(caller.client.options())),
            (other, Ok(_)) => Err(Error::new(Code::NotSupported, format!("action \"{other}\" is not supported"))),
        }
    }
}

fn unpack<M: ProstMessageExt>(body: &[u8]) -> Option<M> {
    Any::decode(body).ok()?.unpack().ok()?
}

fn command_of(descriptor: &FlightDescriptor) -> Result<Command> {
    if descriptor.r#type() != DescriptorType::Cmd {
        return Err(Error::new(Code::NotSupported, "flights have no paths here").hint("Send a Flight SQL command."));
    }
    parse_command(&descriptor.cmd, "command")
}

fn parse_command(bytes: &[u8], what: &str) -> Result<Command> {
    let any = Any::decode(bytes).map_err(|_| malformed(what))?;
    Command::try_from(any).map_err(|_| malformed(what))
}

fn unknown_command(command: &Command) -> Error {
    let name = command.type_url().rsplit(['.', '/']).next().unwrap_or_default();
    Error::new(Code::NotSupported, format!("command \"{name}\" is not supported"))
}

fn one<T: Send + 'static>(value: T) -> BoxStream<'static, Result<T, Status>> {
    futures::stream::once(std::future::ready(Ok(value))).boxed()
}

impl FlightSql {
    fn answer_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> BoxFuture<'_, Answer<<Self as FlightService>::HandshakeStream>> {
        Box::pin(async move {
            let (headers, extensions, mut requests) = request.into_parts();
            let token = self.door.shake_hands(&headers, &extensions, &mut requests).await.map_err(|error| status(&error))?;
            let bearer = MetadataValue::try_from(format!("Bearer {token}"))
                .map_err(|_| status(&Error::new(Code::Unauthenticated, "the token is not ASCII")))?;
            let payload = HandshakeResponse { protocol_version: 0, payload: token.into_bytes().into() };
            let mut response = Response::new(one(payload));
            response.metadata_mut().insert("authorization", bearer);
            Ok(response)
        })
    }

    fn answer_list_flights(&self, request: Request<Criteria>) -> BoxFuture<'_, Answer<<Self as FlightService>::ListFlightsStream>> {
        Box::pin(async move {
            self.caller(&request).await.map_err(|error| status(&error))?;
            Ok(Response::new(futures::stream::empty().boxed()))
        })
    }

    fn answer_get_flight_info(&self, request: Request<FlightDescriptor>) -> BoxFuture<'_, Answer<FlightInfo>> {
        Box::pin(async move { self.info(request).await.map(Response::new).map_err(|error| status(&error)) })
    }

    fn answer_poll_flight_info(&self, request: Request<FlightDescriptor>) -> BoxFuture<'_, Answer<PollInfo>> {
        Box::pin(async move {
            // Nothing runs before DoGet, so the first answer is complete.
            let info = self.info(request).await.map_err(|error| status(&error))?;
            Ok(Response::new(PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None }))
        })
    }

    fn answer_get_schema(&self, request: Request<FlightDescriptor>) -> BoxFuture<'_, Answer<SchemaResult>> {
        Box::pin(async move { self.schema(request).await.map(Response::new).map_err(|error| status(&error)) })
    }

    fn answer_do_get(&self, request: Request<Ticket>) -> BoxFuture<'_, Answer<<Self as FlightService>::DoGetStream>> {
        Box::pin(async move { self.get(request).await.map(Response::new).map_err(|error| status(&error)) })
    }

    fn answer_do_put(&self, request: Request<Streaming<FlightData>>) -> BoxFuture<'_, Answer<<Self as FlightService>::DoPutStream>> {
        Box::pin(async move {
            let app_metadata = self.put(request).await.map_err(|error| status(&error))?.into();
            Ok(Response::new(one(PutResult { app_metadata })))
        })
    }

    fn answer_do_action(&self, request: Request<Action>) -> BoxFuture<'_, Answer<<Self as FlightService>::DoActionStream>> {
        Box::pin(async move {
            let body = self.act(request).await.map_err(|error| status(&error))?;
            let results = body.map(|body| Ok(arrow_flight::Result { body: body.into() }));
            Ok(Response::new(futures::stream::iter(results).boxed()))
        })
    }

    fn answer_list_actions(&self, request: Request<Empty>) -> BoxFuture<'_, Answer<<Self as FlightService>::ListActionsStream>> {
        Box::pin(async move {
            self.caller(&request).await.map_err(|error| status(&error))?;
            let actions =
                ACTIONS.iter().map(|(name, description)| Ok(ActionType { r#type: (*name).into(), description: (*description).into() }));
            Ok(Response::new(futures::stream::iter(actions).boxed()))
        })
    }

    fn answer_do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> BoxFuture<'_, Answer<<Self as FlightService>::DoExchangeStream>> {
        Box::pin(async move { Err(status(&Error::new(Code::NotSupported, "DoExchange is not supported"))) })
    }
}

/// RPCs without `async_trait`: its clauses keep the compiler from remembering what it proved of the service, once for each
/// (ARCHITECTURE.md).
macro_rules! rpcs {
    ($($rpc:ident => $answer:ident: $request:ty => $response:ty,)*) => {$(
        fn $rpc<'life0, 'async_trait>(&'life0 self, request: $request) -> BoxFuture<'async_trait, Answer<$response>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            self.$answer(request)
        }
    )*};
}

impl FlightService for FlightSql {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = FlightStream;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = FlightStream;

    rpcs! {
        handshake => answer_handshake: Request<Streaming<HandshakeRequest>> => Self::HandshakeStream,
        list_flights => answer_list_flights: Request<Criteria> => Self::ListFlightsStream,
        get_flight_info => answer_get_flight_info: Request<FlightDescriptor> => FlightInfo,
        poll_flight_info => answer_poll_flight_info: Request<FlightDescriptor> => PollInfo,
        get_schema => answer_get_schema: Request<FlightDescriptor> => SchemaResult,
        do_get => answer_do_get: Request<Ticket> => Self::DoGetStream,
        do_put => answer_do_put: Request<Streaming<FlightData>> => Self::DoPutStream,
        do_action => answer_do_action: Request<Action> => Self::DoActionStream,
        list_actions => answer_list_actions: Request<Empty> => Self::ListActionsStream,
        do_exchange => answer_do_exchange: Request<Streaming<FlightData>> => Self::DoExchangeStream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_flight::sql::{CommandGetCatalogs, CommandStatementSubstraitPlan};

    #[track_caller]
    fn refuses(descriptor: &FlightDescriptor, code: Code, message: &str) {
        let error = command_of(descriptor).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (code, message));
    }

    #[test]
    fn a_command_that_is_none_is_the_clients_mistake() {
        refuses(&FlightDescriptor::new_path(vec!["a".into()]), Code::NotSupported, "flights have no paths here");
        refuses(&FlightDescriptor::new_cmd(&b"\xff\xff"[..]), Code::InvalidParameter, "cannot read the client's command");
        let broken = Any { type_url: CommandGetCatalogs::type_url().to_owned(), value: vec![0xff].into() };
        refuses(&FlightDescriptor::new_cmd(broken.encode_to_vec()), Code::InvalidParameter, "cannot read the client's command");
    }

    #[test]
    fn an_unknown_command_is_named() {
        let plan = Command::CommandStatementSubstraitPlan(CommandStatementSubstraitPlan::default());
        assert_eq!(unknown_command(&plan).message, "command \"CommandStatementSubstraitPlan\" is not supported");
    }
}
