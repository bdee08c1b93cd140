//! Tickets: what GetFlightInfo hands out and DoGet takes back, and the statements that run on them.
//!
//! ```text
//! GetFlightInfo ── open ──► waiting ── DoGet ──► running ── end of stream ──► gone
//!                              └────── CancelFlightInfo ──────┘
//! ```
//! The ticket also carries the text of its query, so that it still works when it is redeemed twice, or
//! after so many others that it was forgotten. An update runs before its ticket is made; redeeming that
//! yields nothing, as often as a client or a proxy tries: nothing is ever written twice.

use crate::error::{Code, Error, Result};
use arrow_flight::Ticket;
use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use bytes::Bytes;
use prost::Message;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The content of a ticket. Clients pass it back as they got it.
#[derive(Clone, PartialEq, Message)]
pub struct StatementTicket {
    #[prost(string, tag = "1")]
    pub id: String,
    /// The text of a plain statement; empty for a prepared one.
    #[prost(string, tag = "2")]
    pub sql: String,
    /// The handle of a prepared statement.
    #[prost(bytes = "bytes", tag = "3")]
    pub handle: Bytes,
    /// The statement was DDL or DML, and has run.
    #[prost(bool, tag = "4")]
    pub is_update: bool,
}

impl StatementTicket {
    /// As Flight SQL wants it: a `TicketStatementQuery` inside an `Any`.
    pub fn to_ticket(&self) -> Ticket {
        let query = TicketStatementQuery { statement_handle: self.encode_to_vec().into() };
        Ticket::new(query.as_any().encode_to_vec())
    }

    /// Reads the handle of a `TicketStatementQuery`.
    pub fn from_handle(handle: &[u8]) -> Result<Self> {
        Self::decode(handle).map_err(|_| super::status::malformed("ticket"))
    }
}

/// The tickets of one session; `B` is a statement with its parameters.
#[derive(Debug)]
pub struct Tickets<B> {
    state: Arc<Mutex<State<B>>>,
    waiting_max: usize,
}

#[derive(Debug)]
struct State<B> {
    /// Oldest first.
    waiting: VecDeque<Waiting<B>>,
    running: Vec<Running>,
    next_run: u64,
}

#[derive(Debug)]
struct Waiting<B> {
    id: String,
    /// `None`: cancelled before it ran.
    bound: Option<B>,
}

#[derive(Debug)]
struct Running {
    run: u64,
    id: String,
    cancelled: CancellationToken,
    query_id: Option<String>,
}

/// What redeeming a ticket finds.
#[derive(Debug)]
pub enum Redeemed<B> {
    Statement(B),
    /// Used before, or too many came after it.
    Forgotten,
}

impl<B> Tickets<B> {
    pub fn new(waiting_max: usize) -> Self {
        let state = State { waiting: VecDeque::new(), running: Vec::new(), next_run: 0 };
        Self { state: Arc::new(Mutex::new(state)), waiting_max }
    }

    /// Keeps a statement until its ticket is redeemed.
    pub fn open(&self, id: &str, bound: B) {
        let mut state = lock(&self.state);
        if state.waiting.len() >= self.waiting_max {
            state.waiting.pop_front();
        }
        state.waiting.push_back(Waiting { id: id.to_owned(), bound: Some(bound) });
    }

    /// Takes the statement of a ticket out.
    pub fn redeem(&self, id: &str) -> Result<Redeemed<B>> {
        let mut state = lock(&self.state);
        let Some(position) = state.waiting.iter().position(|waiting| waiting.id == id) else { return Ok(Redeemed::Forgotten) };
        match state.waiting.remove(position).and_then(|waiting| waiting.bound) {
            Some(bound) => Ok(Redeemed::Statement(bound)),
            None => Err(cancelled()),
        }
    }

    /// Registers a statement that starts to run; it counts as running until the returned value is dropped.
    pub fn run(&self, id: &str) -> Run<B> {
        let mut state = lock(&self.state);
        let run = state.next_run;
        state.next_run += 1;
        let token = CancellationToken::new();
        state.running.push(Running { run, id: id.to_owned(), cancelled: token.clone(), query_id: None });
        Run { state: Arc::clone(&self.state), run, cancelled: token }
    }

    /// Cancels what waits or runs under a ticket. Returns the query ids to cancel in the engine, `None` when
    /// the ticket is not known.
    pub fn cancel(&self, id: &str) -> Option<Vec<String>> {
        let mut state = lock(&self.state);
        let mut known = false;
        if let Some(waiting) = state.waiting.iter_mut().find(|waiting| waiting.id == id) {
            waiting.bound = None;
            known = true;
        }
        let mut queries = Vec::new();
        for running in state.running.iter().filter(|running| running.id == id) {
            running.cancelled.cancel();
            queries.extend(running.query_id.clone());
            known = true;
        }
        known.then_some(queries)
    }

    /// Cancels everything that runs; returns the query ids, and how many statements there were.
    pub fn cancel_all(&self) -> (Vec<String>, usize) {
        let state = lock(&self.state);
        for running in &state.running {
            running.cancelled.cancel();
        }
        (state.running.iter().filter_map(|running| running.query_id.clone()).collect(), state.running.len())
    }
}

/// The error of whatever was cancelled.
pub fn cancelled() -> Error {
    Error::new(Code::Cancelled, "the statement was cancelled")
}

/// A statement while it runs.
#[derive(Debug)]
pub struct Run<B> {
    state: Arc<Mutex<State<B>>>,
    run: u64,
    cancelled: CancellationToken,
}

impl<B> Run<B> {
    /// Awaits work unless the statement is cancelled first; the work is then dropped.
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(cancelled()),
            result = work => result,
        }
    }

    /// Tells under which id the engine knows the statement.
    pub fn is_query(&self, query_id: &str) {
        let mut state = lock(&self.state);
        if let Some(running) = state.running.iter_mut().find(|running| running.run == self.run) {
            running.query_id = Some(query_id.to_owned());
        }
    }
}

impl<B> Drop for Run<B> {
    fn drop(&mut self) {
        lock(&self.state).running.retain(|running| running.run != self.run);
    }
}

fn lock<B>(state: &Mutex<State<B>>) -> MutexGuard<'_, State<B>> {
    // No step under this lock can panic halfway.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cancelled_ticket_does_not_run() {
        let tickets = Tickets::new(4);
        tickets.open("a", "statement");
        assert_eq!(tickets.cancel("a"), Some(vec![]));
        assert_eq!(tickets.redeem("a").unwrap_err().code, Code::Cancelled);
        assert_eq!(tickets.cancel("unknown"), None);
    }

    #[tokio::test]
    async fn a_running_statement_is_cancelled_and_named() {
        let tickets = Tickets::<()>::new(4);
        let run = tickets.run("a");
        run.is_query("q1");
        assert_eq!(run.unless_cancelled(async { Ok(1) }).await, Ok(1));
        assert_eq!(tickets.cancel("a"), Some(vec!["q1".to_owned()]));
        assert_eq!(run.unless_cancelled(std::future::pending::<Result<()>>()).await.unwrap_err().code, Code::Cancelled);
        drop(run);
        assert_eq!(tickets.cancel("a"), None, "it has ended");
    }

    #[test]
    fn a_ticket_is_redeemed_once_and_the_oldest_is_forgotten() {
        let tickets = Tickets::new(2);
        for id in ["a", "b", "c"] {
            tickets.open(id, "statement");
        }
        assert!(matches!(tickets.redeem("a"), Ok(Redeemed::Forgotten)));
        assert!(matches!(tickets.redeem("c"), Ok(Redeemed::Statement(_))));
        assert!(matches!(tickets.redeem("c"), Ok(Redeemed::Forgotten)));
    }

    #[test]
    fn a_ticket_survives_its_journey() {
        let ticket = StatementTicket { id: "a".into(), sql: "SELECT 1".into(), handle: Bytes::from_static(b"h"), is_update: false };
        let any = arrow_flight::sql::Any::decode(&*ticket.to_ticket().ticket).unwrap();
        let query: TicketStatementQuery = any.unpack().unwrap().unwrap();
        assert_eq!(StatementTicket::from_handle(&query.statement_handle).unwrap(), ticket);
        assert!(StatementTicket::from_handle(b"\xff\xff").is_err());
    }
}
