//! Running statements: from text or handle to rows, or to a count.

use super::FlightLimits;
use super::prepared::PreparedTable;
use super::results::{FlightStream, batches_of, encode, encode_nothing, schema_bytes};
use super::sessions::ClientSession;
use super::tickets::{Redeemed, Run, StatementTicket, Tickets};
use crate::engine::{Execution, Planned, Prepared, Waiting};
use crate::error::{Code, Error, Result};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use std::sync::Arc;
use uuid::Uuid;

/// A longer text is not repeated in its ticket, which then works once.
const TICKET_SQL_BYTES_MAX: usize = 64 * 1024;

/// A statement with the parameters of its next run: rows of one batch, or none.
#[derive(Debug, Clone)]
pub struct Bound {
    pub prepared: Arc<Prepared>,
    pub parameters: Option<RecordBatch>,
    /// Made when the client asked for the columns, for the rows that it asks for next.
    pub planned: Waiting,
}

/// The statements of one session.
#[derive(Debug)]
pub struct Statements {
    pub prepared: PreparedTable,
    pub tickets: Tickets<Bound>,
}

impl Statements {
    pub fn new(limits: &FlightLimits) -> Self {
        Self {
            prepared: PreparedTable::new(limits.prepared_statements_per_session_max),
            tickets: Tickets::new(limits.tickets_per_session_max),
        }
    }
}

/// What a statement may not bring along.
pub fn refuse_transaction(transaction_id: Option<&Bytes>) -> Result<()> {
    match transaction_id {
        Some(id) if !id.is_empty() => Err(Error::new(Code::NotSupported, "transactions over several statements are not supported")
            .detail("Every statement commits by itself.")),
        _ => Ok(()),
    }
}

impl ClientSession {
    /// Plans a text; the ticket of a query runs it, an update runs now.
    pub async fn statement_info(&self, sql: &str, descriptor: FlightDescriptor) -> Result<FlightInfo> {
        let (prepared, planned) = self.engine.prepare_to_run(sql).await?;
        let schema = Arc::clone(&prepared.schema);
        let bound = Bound { prepared, parameters: None, planned: Waiting::new(planned) };
        bound.check()?;
        if bound.prepared.is_update {
            return self.update_info(&bound, descriptor).await;
        }
        let text = if sql.len() <= TICKET_SQL_BYTES_MAX { sql.to_owned() } else { String::new() };
        self.query_info(&schema, bound, text, Bytes::new(), descriptor)
    }

    /// The columns of a text's result; nothing runs.
    pub async fn statement_schema(&self, sql: &str) -> Result<SchemaRef> {
        Ok(Arc::clone(&self.engine.prepare(sql).await?.schema))
    }

    /// The same for a prepared statement with what is bound to it.
    pub async fn prepared_info(&self, handle: &Bytes, descriptor: FlightDescriptor) -> Result<FlightInfo> {
        let mut bound = self.statements.prepared.bound(handle)?;
        bound.check()?;
        if bound.prepared.is_update {
            return self.update_info(&bound, descriptor).await;
        }
        let (schema, planned) = self.bound_schema(&bound).await?;
        bound.planned = Waiting::new(planned);
        self.query_info(&schema, bound, String::new(), handle.clone(), descriptor)
    }

    /// The columns of a prepared statement's result with what is bound to it.
    pub async fn prepared_schema(&self, handle: &Bytes) -> Result<SchemaRef> {
        let bound = self.statements.prepared.bound(handle)?;
        Ok(self.bound_schema(&bound).await?.0)
    }

    async fn bound_schema(&self, bound: &Bound) -> Result<(SchemaRef, Option<Planned>)> {
        if bound.prepared.is_update {
            return Ok((SchemaRef::new(Schema::empty()), None));
        }
        if bound.parameters.is_none() {
            return Ok((Arc::clone(&bound.prepared.schema), None));
        }
        self.engine.result_schema(&bound.prepared, bound.parameters.as_ref()).await
    }

    fn query_info(&self, schema: &Schema, bound: Bound, sql: String, handle: Bytes, descriptor: FlightDescriptor) -> Result<FlightInfo> {
        let ticket = StatementTicket { id: Uuid::now_v7().to_string(), sql, handle, is_update: false };
        let info = flight_info(schema, ticket.to_ticket(), descriptor)?;
        self.statements.tickets.open(&ticket.id, bound);
        Ok(info)
    }

    /// Runs an update that came as a query (ADBC and ODBC send DDL and DML this way).
    ///
    /// It runs here and not when its ticket is redeemed: `cursor.execute("INSERT ..")` of ADBC opens the
    /// result in the background and gives it up when the next statement begins, so the update would be
    /// cancelled or not, by chance. ADBC shows the number of records as the row count of the update.
    async fn update_info(&self, bound: &Bound, descriptor: FlightDescriptor) -> Result<FlightInfo> {
        let ticket = StatementTicket { id: Uuid::now_v7().to_string(), is_update: true, ..Default::default() };
        let run = self.statements.tickets.run(&ticket.id);
        let no_more = futures::stream::empty().boxed();
        let rows_affected = self.update_rows(&run, &bound.prepared, bound.parameters.clone(), no_more).await?;
        Ok(flight_info(&Schema::empty(), ticket.to_ticket(), descriptor)?.with_total_records(rows_affected))
    }

    /// Runs the query of a ticket; that of an update has run.
    pub async fn redeem(self: &Arc<Self>, ticket: &StatementTicket) -> Result<FlightStream> {
        if ticket.is_update {
            return Ok(encode_nothing());
        }
        let bound = match self.statements.tickets.redeem(&ticket.id)? {
            Redeemed::Statement(bound) => bound,
            Redeemed::Forgotten => self.again(ticket).await?,
        };
        let run = self.statements.tickets.run(&ticket.id);
        self.rows(run, bound).await
    }

    /// Makes the query of a ticket again that was redeemed before.
    async fn again(&self, ticket: &StatementTicket) -> Result<Bound> {
        if !ticket.handle.is_empty() {
            return self.statements.prepared.bound(&ticket.handle);
        }
        if ticket.sql.is_empty() {
            return Err(Error::new(Code::UndefinedObject, "the ticket was used already, or is too old").hint("Run the statement again."));
        }
        let (prepared, planned) = self.engine.prepare_to_run(&ticket.sql).await?;
        Ok(Bound { prepared, parameters: None, planned: Waiting::new(planned) })
    }

    /// Runs a prepared statement whose handle itself is the ticket.
    pub async fn run_prepared(self: &Arc<Self>, handle: &Bytes) -> Result<FlightStream> {
        let bound = self.statements.prepared.bound(handle)?;
        let run = self.statements.tickets.run(&String::from_utf8_lossy(handle));
        self.rows(run, bound).await
    }

    /// The result as a stream. (An update gets here only by a handle used as its own ticket.)
    async fn rows(self: &Arc<Self>, run: Run<Bound>, bound: Bound) -> Result<FlightStream> {
        bound.check()?;
        if bound.prepared.is_update {
            let no_more = futures::stream::empty().boxed();
            self.update_rows(&run, &bound.prepared, bound.parameters, no_more).await?;
            return Ok(encode_nothing());
        }
        let execution =
            run.unless_cancelled(self.engine.execute_planned(&bound.prepared, bound.parameters.as_ref(), bound.planned.take())).await?;
        run.is_query(&execution.query_id);
        let Execution { schema, stream, .. } = execution;
        let batches = Box::pin(batches_of(stream));
        let watched = Watched { client: Arc::clone(self), run, batches };
        Ok(encode(&schema, watched.into_stream()))
    }

    /// Runs a text that returns a count.
    pub async fn update(self: &Arc<Self>, sql: &str) -> Result<i64> {
        let prepared = self.engine.prepare(sql).await?;
        let run = self.statements.tickets.run("");
        self.update_rows(&run, &prepared, None, futures::stream::empty().boxed()).await
    }

    /// Runs a prepared update once per row of `rows`, or once with what was bound before.
    pub async fn update_prepared(self: &Arc<Self>, handle: &Bytes, rows: BoxStream<'static, Result<RecordBatch>>) -> Result<i64> {
        let bound = self.statements.prepared.bound(handle)?;
        let run = self.statements.tickets.run(&String::from_utf8_lossy(handle));
        self.update_rows(&run, &bound.prepared, bound.parameters, rows).await
    }

    /// Runs an update for each row: of `rows` if any come, else of `bound`, else once without parameters.
    async fn update_rows(
        &self,
        run: &Run<Bound>,
        prepared: &Prepared,
        bound: Option<RecordBatch>,
        mut rows: BoxStream<'static, Result<RecordBatch>>,
    ) -> Result<i64> {
        if !prepared.is_update {
            return Err(Error::new(Code::InvalidStatement, "the statement returns rows").hint("Run it as a query, not as an update."));
        }
        let n_parameters = prepared.parameter_schema.fields().len();
        let mut counter = Counter::default();
        let mut rows_came = false;
        while let Some(batch) = run.unless_cancelled(async { rows.next().await.transpose() }).await? {
            if batch.num_columns() == 0 && n_parameters == 0 {
                continue;
            }
            check_parameters(n_parameters, &batch)?;
            rows_came = true;
            self.update_each(run, prepared, &batch, &mut counter).await?;
        }
        if rows_came {
            return Ok(counter.rows_affected());
        }
        match bound {
            Some(batch) => self.update_each(run, prepared, &batch, &mut counter).await?,
            None if n_parameters > 0 => return Err(unbound(n_parameters)),
            None => counter.add(self.update_once(run, prepared, None).await?),
        }
        Ok(counter.rows_affected())
    }

    async fn update_each(&self, run: &Run<Bound>, prepared: &Prepared, batch: &RecordBatch, counter: &mut Counter) -> Result<()> {
        for row in 0..batch.num_rows() {
            let updated = self.update_once(run, prepared, Some(&batch.slice(row, 1))).await;
            counter.add(updated.map_err(|error| counter.explain(error))?);
        }
        Ok(())
    }

    async fn update_once(&self, run: &Run<Bound>, prepared: &Prepared, row: Option<&RecordBatch>) -> Result<i64> {
        let execution = run.unless_cancelled(self.engine.execute(prepared, row)).await?;
        Ok(execution.rows_affected.unwrap_or(-1))
    }

    /// Cancels every running statement of this client; returns how many there were.
    pub fn cancel_all(&self) -> usize {
        let (queries, n_running) = self.statements.tickets.cancel_all();
        self.cancel_in_engine(&queries);
        n_running
    }

    /// Tells the engine, so that its history says "cancelled" rather than "client went away".
    pub fn cancel_in_engine(&self, queries: &[String]) {
        for query_id in queries {
            if let Err(error) = self.engine.cancel(query_id) {
                tracing::debug!(query_id, %error, "query could not be cancelled");
            }
        }
    }
}

/// What an update sent row by row has done so far.
#[derive(Debug, Default)]
struct Counter {
    runs: u64,
    rows: i64,
    unknown: bool,
}

impl Counter {
    fn add(&mut self, rows_affected: i64) {
        self.runs += 1;
        match rows_affected {
            0.. => self.rows = self.rows.saturating_add(rows_affected),
            _ => self.unknown = true,
        }
    }

    /// As Flight SQL counts: -1 is "unknown".
    fn rows_affected(&self) -> i64 {
        if self.unknown { -1 } else { self.rows }
    }

    /// Each row commits by itself: the client must know what stays.
    fn explain(&self, error: Error) -> Error {
        if self.runs == 0 {
            return error;
        }
        let done = format!("The first {} rows of parameters were applied and stay.", self.runs);
        let detail = error.detail.as_ref().map_or_else(|| done.clone(), |detail| format!("{detail} {done}"));
        error.detail(detail)
    }
}

/// A running query: ends with an error as soon as it is cancelled, and is running until it is dropped.
struct Watched {
    client: Arc<ClientSession>,
    run: Run<Bound>,
    batches: BoxStream<'static, Result<RecordBatch>>,
}

impl Watched {
    fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
        futures::stream::unfold(Some(self), |watched| async move {
            let mut watched = watched?;
            let next = watched.run.unless_cancelled(async { watched.batches.next().await.transpose() }).await;
            match next {
                Ok(Some(batch)) => Some((Ok(batch), Some(watched))),
                Ok(None) => None,
                Err(error) => {
                    // The session must outlive its query: temporary tables are still being read.
                    drop(watched.batches);
                    drop(watched.client);
                    Some((Err(error), None))
                }
            }
        })
    }
}

impl Bound {
    /// Whether what is bound fits the statement.
    pub fn check(&self) -> Result<()> {
        let n_parameters = self.prepared.parameter_schema.fields().len();
        match &self.parameters {
            None if n_parameters > 0 => Err(unbound(n_parameters)),
            None => Ok(()),
            Some(batch) => check_parameters(n_parameters, batch),
        }
    }
}

/// Whether a batch has one column per parameter.
pub fn check_parameters(n_parameters: usize, batch: &RecordBatch) -> Result<()> {
    if batch.num_columns() != n_parameters {
        return Err(Error::new(
            Code::InvalidParameter,
            format!("the statement has {}, {} given", count(n_parameters, "parameter"), were(batch.num_columns())),
        ));
    }
    Ok(())
}

fn unbound(n_parameters: usize) -> Error {
    Error::new(Code::InvalidParameter, format!("the statement has {}, none was given", count(n_parameters, "parameter")))
        .hint("Prepare the statement and bind one value for each ? or $n.")
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn were(n: usize) -> String {
    if n == 1 { "1 was".to_owned() } else { format!("{n} were") }
}

/// An answer with one ticket. No location: the client comes back on the connection that it has.
pub fn flight_info(schema: &Schema, ticket: Ticket, descriptor: FlightDescriptor) -> Result<FlightInfo> {
    let mut info = FlightInfo::new().with_endpoint(FlightEndpoint::new().with_ticket(ticket)).with_descriptor(descriptor);
    info.schema = schema_bytes(schema)?;
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Int64Array;

    #[test]
    fn a_wrong_number_of_parameters_is_said_in_words() {
        let batch = RecordBatch::try_from_iter([("1", Arc::new(Int64Array::from(vec![1])) as _)]).unwrap();
        assert_eq!(check_parameters(2, &batch).unwrap_err().message, "the statement has 2 parameters, 1 was given");
        assert_eq!(check_parameters(0, &batch).unwrap_err().message, "the statement has 0 parameters, 1 was given");
        assert!(check_parameters(1, &batch).is_ok());
        assert_eq!(unbound(1).message, "the statement has 1 parameter, none was given");
    }

    #[test]
    fn a_failure_in_the_middle_says_what_stays() {
        let mut counter = Counter::default();
        let error = || Error::new(Code::NotNull, "column \"a\" is null").detail("It is declared NOT NULL.");
        assert_eq!(counter.explain(error()), error());
        counter.add(1);
        counter.add(2);
        let explained = counter.explain(error());
        assert_eq!(explained.detail.unwrap(), "It is declared NOT NULL. The first 2 rows of parameters were applied and stay.");
        assert_eq!(counter.rows_affected(), 3);
        counter.add(-1);
        assert_eq!(counter.rows_affected(), -1);
    }

    #[test]
    fn an_answer_names_no_location_and_no_size() {
        let info = flight_info(&Schema::empty(), Ticket::new("t"), FlightDescriptor::new_cmd("c")).unwrap();
        assert!(info.endpoint[0].location.is_empty() && !info.schema.is_empty());
        assert_eq!((info.total_records, info.total_bytes), (-1, -1));
    }

    #[test]
    fn a_transaction_is_refused() {
        assert!(refuse_transaction(None).is_ok());
        assert!(refuse_transaction(Some(&Bytes::new())).is_ok());
        assert_eq!(refuse_transaction(Some(&Bytes::from_static(b"t"))).unwrap_err().code, Code::NotSupported);
    }
}
