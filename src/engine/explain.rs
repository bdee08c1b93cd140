//! EXPLAIN [ANALYZE]: the plan of a query, or of the query inside an INSERT, COPY or CREATE .. AS.

use crate::engine::dispatch::{Answer, Call};
use crate::engine::execute::{self, Runnable};
use crate::engine::{errors, show};
use crate::error::{Code, Error, Result};
use crate::parser::{Explain, QueryStatement, Statement};
use datafusion::logical_expr::LogicalPlanBuilder;

/// Runs EXPLAIN; ANALYZE runs the query and throws its rows away.
pub async fn run(call: &Call<'_>, explain: &Explain) -> Result<Answer> {
    let query = inner_query(&explain.statement, explain.analyze)?.clone();
    if query.n_parameters > 0 {
        return Err(
            Error::new(Code::NotSupported, "EXPLAIN of a statement with parameters is not supported").hint("Write the values into it.")
        );
    }
    let planning = call.planning();
    let (analyze, verbose) = (explain.analyze, explain.verbose);
    let runnable = call
        .session
        .engine()
        .planning_threads()
        .run(async move {
            let plan = planning.query(&query, None).await?;
            let plan = LogicalPlanBuilder::from(plan)
                .explain(verbose, analyze)
                .and_then(LogicalPlanBuilder::build)
                .map_err(errors::from_datafusion)?;
            Runnable::new(planning, plan).await
        })
        .await?;
    let batches = execute::collect(call.session.engine(), runnable, &call.guard, call.timeout()).await?;
    let schema = batches.first().map_or_else(show::explain_schema, |batch| batch.schema());
    Ok(Answer::Rows(batches, schema))
}

fn inner_query(statement: &Statement, analyze: bool) -> Result<&QueryStatement> {
    match statement {
        Statement::Query(query) => Ok(query),
        _ if analyze => Err(Error::new(Code::NotSupported, "EXPLAIN ANALYZE runs its statement, so it takes queries only")
            .hint("Use EXPLAIN without ANALYZE.")),
        Statement::Insert(insert) => Ok(&insert.source),
        Statement::Delete(delete) => Ok(&delete.source),
        Statement::Update(update) => Ok(&update.source),
        Statement::CopyTo(copy) => Ok(&copy.source),
        Statement::CreateTable(create) => create.query.as_ref().ok_or_else(nothing),
        Statement::CreateView { query, .. } => Ok(query),
        Statement::CreateModel(create) => create.query.as_ref().ok_or_else(nothing),
        _ => Err(nothing()),
    }
}

fn nothing() -> Error {
    Error::new(Code::NotSupported, "EXPLAIN takes a query, or a statement with a query in it")
}
