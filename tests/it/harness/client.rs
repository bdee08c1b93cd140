//! A Flight SQL client in Rust: prepares first, as every driver does.

use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use tonic::transport::Channel;

/// A connection to a server.
pub struct Client {
    inner: FlightSqlServiceClient<Channel>,
}

/// What a statement answered.
pub enum Answer {
    Rows(Vec<RecordBatch>),
    Count(i64),
}

impl Client {
    /// Connects; with a user and password it logs in.
    pub async fn connect(address: &str, login: Option<(&str, &str)>) -> Result<Self, String> {
        let channel = Channel::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
        let channel = channel.connect().await.map_err(|error| error.to_string())?;
        let mut inner = FlightSqlServiceClient::new(channel);
        let (user, password) = login.unwrap_or(("", ""));
        // The token is set by the client itself.
        if login.is_some() {
            inner.handshake(user, password).await.map_err(message)?;
        } else {
            inner.handshake("admin", "").await.map_err(message)?;
        }
        Ok(Self { inner })
    }

    /// The Flight SQL client itself.
    pub fn inner(&mut self) -> &mut FlightSqlServiceClient<Channel> {
        &mut self.inner
    }

    /// Runs a statement.
    pub async fn run(&mut self, sql: &str) -> Result<Answer, String> {
        let mut prepared = self.inner.prepare(sql.to_owned(), None).await.map_err(message)?;
        let is_update = prepared.dataset_schema().map_err(message)?.fields().is_empty();
        if is_update {
            let count = prepared.execute_update().await.map_err(message)?;
            let _ = prepared.close().await;
            return Ok(Answer::Count(count));
        }
        let info = prepared.execute().await.map_err(message)?;
        let mut batches = Vec::new();
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.ok_or("an endpoint without a ticket")?;
            let stream = self.inner.do_get(ticket).await.map_err(message)?;
            batches.extend(stream.try_collect::<Vec<_>>().await.map_err(message)?);
        }
        let _ = prepared.close().await;
        Ok(Answer::Rows(batches))
    }

    /// Runs a statement and returns its rows as text, columns joined by tabs; a count is one row.
    pub async fn rows(&mut self, sql: &str) -> Result<Vec<String>, String> {
        Ok(match self.run(sql).await? {
            Answer::Count(count) => vec![count.to_string()],
            Answer::Rows(batches) => cells(&batches).into_iter().map(|row| row.join("\t")).collect(),
        })
    }

    /// The same after other statements of the session, such as SET.
    pub async fn rows_with(&mut self, before: &[&str], sql: &str) -> Result<Vec<String>, String> {
        for statement in before {
            self.rows(statement).await?;
        }
        self.rows(sql).await
    }
}

/// Every cell as text.
pub fn cells(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let formatters: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).expect("a printable type")).collect();
        for row_idx in 0..batch.num_rows() {
            rows.push(formatters.iter().map(|formatter| formatter.value(row_idx).to_string()).collect());
        }
    }
    rows
}

/// The server's own message.
fn message(error: FlightError) -> String {
    match error {
        FlightError::Tonic(status) => status.message().to_owned(),
        other => other.to_string(),
    }
}
