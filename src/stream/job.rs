//! One streaming table's job: runs, one after the other, until it is stopped or nothing helps any more.

use super::run::{End, Run};
use crate::catalog::Table;
use crate::engine::Engine;
use crate::error::Error;
use crate::tables::streaming::status::StreamState;
use crate::telemetry::metrics;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The waits before a job that failed is started again.
const RESTART_MIN: Duration = Duration::from_millis(500);
const RESTART_MAX: Duration = Duration::from_secs(30);

/// Runs a table's job until it is stopped, or until it has failed for good.
pub fn run<'a>(engine: &'a Arc<Engine>, table: &'a Arc<Table>, stop: &'a CancellationToken) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let status = engine.streams().board().of(&table.id);
        let mut wait = RESTART_MIN;
        while !stop.is_cancelled() {
            {
                let mut numbers = status.lock();
                // Another try is no news: what is wrong stays to be seen.
                if numbers.state != StreamState::Retrying {
                    numbers.state = StreamState::Starting;
                }
            }
            let begun = Instant::now();
            let end = match Run::start(engine, table, stop).await {
                Ok(run) => Box::pin(run.until_its_end(stop)).await,
                Err(end) => end,
            };
            if engine.catalog().snapshot().table_by_id(&table.id).is_none() {
                // Dropped meanwhile: nothing is wrong, and nothing is to be done.
                return;
            }
            if begun.elapsed() > RESTART_MAX {
                wait = RESTART_MIN;
            }
            match end {
                End::Stopped => return,
                End::Failed(error) => {
                    tracing::error!(table = %table.name, %error, "stream failed");
                    let mut numbers = status.lock();
                    numbers.state = StreamState::Failed;
                    numbers.last_error = Some(whole(&error));
                    return;
                }
                End::Again(error) => {
                    tracing::warn!(table = %table.name, %error, retry_in_ms = wait.as_millis(), "stream is started again");
                    let mut numbers = status.lock();
                    numbers.state = StreamState::Retrying;
                    numbers.last_error = Some(whole(&error));
                    numbers.restarts += 1;
                    metrics::STREAM_RESTARTS_TOTAL.increment();
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(RESTART_MAX);
        }
    })
}

/// Message, detail and hint in one line.
fn whole(error: &Error) -> String {
    format!("{}.", error.one_line())
}
