//! Prepared statements: every driver family prepares first, also for DDL.

use super::results::schema_bytes;
use super::sessions::ClientSession;
use super::statements::{Bound, check_parameters};
use crate::engine::{Prepared, Waiting};
use crate::error::{Code, Error, Result};
use arrow_flight::sql::ActionCreatePreparedStatementResult;
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Parameters that are kept until the statement runs. (Rows sent along with an update are not kept.)
const BOUND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The prepared statements of one session, by handle.
#[derive(Debug)]
pub struct PreparedTable {
    statements: Mutex<HashMap<Bytes, Bound>>,
    statements_max: usize,
}

impl PreparedTable {
    pub fn new(statements_max: usize) -> Self {
        Self { statements: Mutex::default(), statements_max }
    }

    /// Keeps a statement; returns its handle.
    fn open(&self, prepared: Arc<Prepared>) -> Result<Bytes> {
        let mut statements = self.lock();
        if statements.len() >= self.statements_max {
            return Err(Error::new(Code::LimitExceeded, "too many prepared statements are open")
                .detail(format!("A session holds {} at most.", self.statements_max))
                .hint("Close the cursors that are no longer needed, or connect again."));
        }
        let handle = Bytes::from(Uuid::new_v4().to_string());
        statements.insert(handle.clone(), Bound { prepared, parameters: None, planned: Waiting::default() });
        Ok(handle)
    }

    /// The statement with what is bound to it now.
    pub fn bound(&self, handle: &Bytes) -> Result<Bound> {
        self.lock().get(handle).cloned().ok_or_else(unknown)
    }

    /// Binds parameters for the next runs, in place of earlier ones.
    fn bind(&self, handle: &Bytes, parameters: Option<RecordBatch>) -> Result<()> {
        self.lock().get_mut(handle).ok_or_else(unknown)?.parameters = parameters;
        Ok(())
    }

    /// Forgets a statement; also an unknown one is closed, or ODBC drivers take their process down.
    pub fn close(&self, handle: &Bytes) {
        let closed = self.lock().remove(handle);
        drop(closed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bytes, Bound>> {
        // No step under this lock can panic halfway.
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown() -> Error {
    Error::new(Code::UndefinedObject, "the prepared statement does not exist")
        .hint("It was closed, or belongs to another session: prepare it again.")
}

impl ClientSession {
    /// Plans a text and keeps the plan under a handle.
    pub async fn create_prepared(&self, sql: &str) -> Result<ActionCreatePreparedStatementResult> {
        let prepared = self.engine.prepare(sql).await?;
        // Never empty: a schema without fields says "update" to JDBC, no schema at all crashes ODBC.
        let dataset_schema = schema_bytes(&prepared.schema)?;
        let parameter_schema = schema_bytes(&prepared.parameter_schema)?;
        let prepared_statement_handle = self.statements.prepared.open(prepared)?;
        Ok(ActionCreatePreparedStatementResult { prepared_statement_handle, dataset_schema, parameter_schema })
    }

    /// Binds the rows that a client sends; returns the handle to go on with.
    pub async fn bind_prepared(&self, handle: &Bytes, mut rows: BoxStream<'static, Result<RecordBatch>>) -> Result<Bytes> {
        let statement = self.statements.prepared.bound(handle)?.prepared;
        let n_parameters = statement.parameter_schema.fields().len();
        let mut batches = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = rows.try_next().await? {
            if batch.num_columns() == 0 && n_parameters == 0 {
                continue;
            }
            check_parameters(n_parameters, &batch)?;
            bytes += batch.get_array_memory_size();
            if bytes > BOUND_BYTES_MAX {
                return Err(Error::new(Code::LimitExceeded, "the parameters are too large")
                    .detail(format!("A prepared statement keeps {BOUND_BYTES_MAX} bytes of parameters at most."))
                    .hint("Load large amounts of rows by ingest."));
            }
            batches.push(batch);
        }
        self.statements.prepared.bind(handle, one_batch(&batches, statement.is_update)?)?;
        Ok(handle.clone())
    }
}

/// The rows as one batch; a query takes one row at most.
fn one_batch(batches: &[RecordBatch], is_update: bool) -> Result<Option<RecordBatch>> {
    let n_rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if n_rows > 1 && !is_update {
        return Err(Error::new(Code::InvalidParameter, format!("a query takes one row of parameters, {n_rows} were given"))
            .hint("Run the query once for each row, or put the values into a table and join it."));
    }
    let Some(first) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    concat_batches(first.schema_ref(), batches)
        .map(Some)
        .map_err(|error| Error::new(Code::InvalidParameter, format!("cannot read the parameters: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Int64Array;

    fn rows(values: &[i64]) -> RecordBatch {
        RecordBatch::try_from_iter([("1", Arc::new(Int64Array::from(values.to_vec())) as _)]).unwrap()
    }

    #[test]
    fn a_query_takes_one_row_an_update_many() {
        let two = [rows(&[1]), rows(&[2])];
        let error = one_batch(&two, false).unwrap_err();
        assert_eq!(error.message, "a query takes one row of parameters, 2 were given");
        assert_eq!(one_batch(&two, true).unwrap().unwrap(), rows(&[1, 2]));
        assert_eq!(one_batch(&[rows(&[]), rows(&[7])], false).unwrap().unwrap(), rows(&[7]));
        assert_eq!(one_batch(&[rows(&[])], false).unwrap(), None);
        assert_eq!(one_batch(&[], true).unwrap(), None);
    }

    #[test]
    fn unknown_handles_are_named_and_closing_them_is_no_error() {
        let table = PreparedTable::new(1);
        let handle = Bytes::from_static(b"nothing");
        assert_eq!(table.bound(&handle).unwrap_err().code, Code::UndefinedObject);
        assert_eq!(table.bind(&handle, None).unwrap_err().code, Code::UndefinedObject);
        table.close(&handle);
    }
}
