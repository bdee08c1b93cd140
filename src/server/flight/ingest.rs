//! Bulk load: a stream of batches into one table, in one commit.

use super::CATALOG_NAME;
use super::incoming::Incoming;
use super::sessions::ClientSession;
use super::statements::refuse_transaction;
use crate::engine::IngestMode;
use crate::error::{Code, Error, Result};
use arrow_flight::sql::{CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;

impl ClientSession {
    /// Writes what the client sends; batches are read from the connection as fast as they are written.
    pub async fn ingest(&self, command: CommandStatementIngest, mut incoming: Incoming) -> Result<i64> {
        refuse_transaction(command.transaction_id.as_ref())?;
        let mode = ingest_mode(command.table_definition_options.as_ref())?;
        let database = database(&command)?;
        if command.table.is_empty() {
            return Err(Error::new(Code::InvalidParameter, "the ingest names no table"));
        }
        if let Some(option) = command.options.keys().min() {
            return Err(Error::new(Code::InvalidParameter, format!("ingest has no option \"{option}\"")));
        }
        let Some(schema) = incoming.schema().await? else {
            return Err(Error::new(Code::InvalidParameter, "the ingest sends no data").hint("Send a schema, also when there are no rows."));
        };
        let batches = RecordBatchStreamAdapter::new(schema, incoming.batches().map_err(DataFusionError::from));
        let run = self.statements.tickets.run("");
        run.unless_cancelled(self.engine.ingest(&command.table, database, mode, command.temporary, Box::pin(batches))).await
    }
}

/// The database to write to; a temporary table has none.
fn database(command: &CommandStatementIngest) -> Result<Option<&str>> {
    let named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    if let Some(catalog) = command.catalog.as_deref().filter(|catalog| !catalog.is_empty() && !catalog.eq_ignore_ascii_case(CATALOG_NAME)) {
        return Err(Error::new(Code::UndefinedDatabase, format!("catalog \"{catalog}\" does not exist"))
            .hint(format!("The only catalog is \"{CATALOG_NAME}\".")));
    }
    if command.temporary && (named(&command.schema) || named(&command.catalog)) {
        return Err(Error::new(Code::InvalidParameter, "a temporary table has no database").hint("Leave catalog and schema away."));
    }
    Ok(command.schema.as_deref().filter(|schema| !schema.is_empty()))
}

fn ingest_mode(options: Option<&TableDefinitionOptions>) -> Result<IngestMode> {
    let unclear = |what: &str| {
        Error::new(Code::InvalidParameter, format!("the ingest does not say what to do when the table {what}"))
            .hint("Choose one of the modes create, append, replace, create_append.")
    };
    let options = options.ok_or_else(|| unclear("exists"))?;
    let (create_if_missing, fail_if_missing) = match options.if_not_exist() {
        TableNotExistOption::Create => (true, false),
        TableNotExistOption::Fail => (false, true),
        TableNotExistOption::Unspecified => return Err(unclear("is missing")),
    };
    let mode = IngestMode { create_if_missing, fail_if_missing, fail_if_exists: false, append: false, replace: false };
    match options.if_exists() {
        TableExistsOption::Fail => Ok(IngestMode { fail_if_exists: true, ..mode }),
        TableExistsOption::Append => Ok(IngestMode { append: true, ..mode }),
        TableExistsOption::Replace => Ok(IngestMode { replace: true, ..mode }),
        TableExistsOption::Unspecified => Err(unclear("exists")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_options_has_one_meaning_or_an_error() {
        let mode = |if_not_exist: i32, if_exists: i32| ingest_mode(Some(&TableDefinitionOptions { if_not_exist, if_exists }));
        assert!(ingest_mode(None).is_err());
        for unspecified in [mode(0, 1), mode(0, 2), mode(1, 0), mode(2, 0), mode(9, 1), mode(1, 9)] {
            assert_eq!(unspecified.unwrap_err().code, Code::InvalidParameter);
        }
        for (if_not_exist, create) in [(1, true), (2, false)] {
            for if_exists in [1, 2, 3] {
                let expected = IngestMode {
                    create_if_missing: create,
                    fail_if_missing: !create,
                    fail_if_exists: if_exists == 1,
                    append: if_exists == 2,
                    replace: if_exists == 3,
                };
                assert_eq!(mode(if_not_exist, if_exists).unwrap(), expected);
            }
        }
    }

    #[test]
    fn the_target_is_in_our_catalog_and_a_temporary_table_in_no_database() {
        let command = |catalog: &str, schema: &str, temporary| CommandStatementIngest {
            catalog: Some(catalog.to_owned()),
            schema: Some(schema.to_owned()),
            temporary,
            ..Default::default()
        };
        assert_eq!(database(&command("other", "", false)).unwrap_err().code, Code::UndefinedDatabase);
        assert!(database(&command("", "sales", true)).is_err());
        assert_eq!(database(&command("WEIR", "sales", false)).unwrap(), Some("sales"));
        assert_eq!(database(&command("", "", true)).unwrap(), None);
    }
}
