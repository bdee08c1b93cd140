//! Cancelling: CancelFlightInfo, and CancelQuery of older clients. The ticket says what to cancel.

use super::sessions::ClientSession;
use super::status::malformed;
use super::tickets::StatementTicket;
use crate::error::{Code, Error, Result};
use arrow_flight::sql::{ActionCancelQueryRequest, ActionCancelQueryResult, Any, Command, ProstMessageExt};
use arrow_flight::{CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo};
use prost::Message;

/// The action that names a FlightInfo.
pub const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
/// The older action, which names a query.
pub const CANCEL_QUERY: &str = "CancelQuery";

impl ClientSession {
    /// Answers CancelFlightInfo.
    pub fn cancel_flight_info(&self, body: &[u8]) -> Result<Vec<u8>> {
        let request = CancelFlightInfoRequest::decode(body).map_err(|_| malformed("cancel request"))?;
        let status = self.cancel(&request.info.unwrap_or_default())?;
        Ok(CancelFlightInfoResult { status: status as i32 }.encode_to_vec())
    }

    /// Answers CancelQuery.
    pub fn cancel_query(&self, body: &[u8]) -> Result<Vec<u8>> {
        let request = Any::decode(body)
            .ok()
            .and_then(|any| any.unpack::<ActionCancelQueryRequest>().ok().flatten())
            .and_then(|request| FlightInfo::decode(request.info).ok())
            .ok_or_else(|| malformed("cancel request"))?;
        // The enumeration of the older message is not exported; its numbers are those of `CancelStatus`.
        let result = self.cancel(&request)? as i32;
        Ok(ActionCancelQueryResult { result }.as_any().encode_to_vec())
    }

    fn cancel(&self, info: &FlightInfo) -> Result<CancelStatus> {
        let mut status = CancelStatus::NotCancellable;
        for id in statement_ids(info)? {
            let queries = self.statements.tickets.cancel(&id).ok_or_else(|| {
                Error::new(Code::UndefinedObject, "the statement is not running").hint("It has ended, or belongs to another session.")
            })?;
            self.cancel_in_engine(&queries);
            status = CancelStatus::Cancelled;
        }
        Ok(status)
    }
}

/// The statements behind an answer; metadata answers have none.
fn statement_ids(info: &FlightInfo) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
        let command = Any::decode(&*ticket.ticket).ok().and_then(|any| Command::try_from(any).ok());
        match command {
            Some(Command::TicketStatementQuery(query)) => ids.push(StatementTicket::from_handle(&query.statement_handle)?.id),
            Some(Command::CommandPreparedStatementQuery(query)) => {
                ids.push(String::from_utf8_lossy(&query.prepared_statement_handle).into_owned());
            }
            Some(_) => {}
            None => return Err(malformed("ticket")),
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_flight::sql::CommandGetTableTypes;
    use arrow_flight::{FlightEndpoint, Ticket};

    fn info(ticket: impl Into<bytes::Bytes>) -> FlightInfo {
        FlightInfo::new().with_endpoint(FlightEndpoint::new().with_ticket(Ticket::new(ticket)))
    }

    #[test]
    fn the_ticket_says_which_statement() {
        assert!(statement_ids(&info(&b"\xff\xff"[..])).is_err());
        assert_eq!(statement_ids(&info(CommandGetTableTypes {}.as_any().encode_to_vec())).unwrap(), Vec::<String>::new());
        let ticket = StatementTicket { id: "a".into(), ..Default::default() };
        assert_eq!(statement_ids(&info(ticket.to_ticket().ticket)).unwrap(), ["a"]);
    }
}
