//! From the catalog's streaming tables to running jobs: reads the change feed and converges.

use super::follow::Followers;
use super::job;
use crate::catalog::{Table, TableKind};
use crate::engine::Engine;
use crate::tables::streaming::status::{StreamNumbers, StreamState};
use crate::telemetry::{metrics, task};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long the open commits of all tables may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);

/// How often the gauges over all streams are brought up to date.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// All jobs of the server.
#[derive(Debug)]
pub struct Supervisor {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A table's keeper, and how it is told what is wanted: `None` ends it.
struct Kept {
    wanted: watch::Sender<Option<Arc<Table>>>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the jobs of all streaming tables, now and as they come.
    pub fn start(engine: Arc<Engine>) -> Self {
        let stop = CancellationToken::new();
        let task = task::spawn("streams", supervise(engine, stop.clone()));
        Self { stop, task }
    }

    /// Ends all jobs: what has arrived is committed first, within a time.
    pub fn stop(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.stop.cancel();
            if tokio::time::timeout(STOP_TIMEOUT, self.task).await.is_err() {
                tracing::warn!(
                    seconds = STOP_TIMEOUT.as_secs(),
                    "streams did not end in time; rows that were not committed are read again"
                );
            }
        })
    }
}

async fn supervise(engine: Arc<Engine>, stop: CancellationToken) {
    let mut changes = engine.catalog().changes();
    let mut kept: BTreeMap<String, Kept> = BTreeMap::new();
    let mut followers = Followers::default();
    let mut tick = tokio::time::interval(METRICS_INTERVAL);
    loop {
        changes.borrow_and_update();
        converge(&engine, &mut kept);
        followers.converge(&engine);
        tokio::select! {
            () = stop.cancelled() => break,
            changed = changes.changed() => if changed.is_err() { break },
            _ = tick.tick() => sum_up(&engine),
        }
    }
    followers.stop();
    for entry in kept.values() {
        entry.wanted.send_replace(None);
    }
    followers.ended().await;
    for (_, entry) in kept {
        drop(entry.task.await);
    }
}

/// The gauges over all streams.
fn sum_up(engine: &Engine) {
    let all: Vec<_> = engine.streams().board().all().into_iter().map(|(_, status)| status.snapshot()).collect();
    let running = all.iter().filter(|numbers| matches!(numbers.state, StreamState::Running | StreamState::CatchingUp)).count();
    let sum = |value: fn(&StreamNumbers) -> i64| all.iter().map(value).sum();
    metrics::STREAMS_RUNNING.set(running as i64);
    metrics::STREAM_LAG_MESSAGES.set(sum(|numbers| numbers.lag_messages().unwrap_or(0)));
    metrics::STREAM_HOT_ROWS.set(sum(|numbers| numbers.hot_rows as i64));
    metrics::STREAM_HOT_BYTES.set(sum(|numbers| numbers.hot_bytes as i64));
}

/// Tells every keeper what is wanted; starts those that are missing.
fn converge(engine: &Arc<Engine>, kept: &mut BTreeMap<String, Kept>) {
    let snapshot = engine.catalog().snapshot();
    let wanted: BTreeMap<&str, &Arc<Table>> =
        snapshot.tables.values().filter(|table| table.kind == TableKind::Streaming).map(|table| (table.id.as_str(), table)).collect();
    kept.retain(|id, entry| {
        let (is_wanted, has_ended) = (wanted.contains_key(id.as_str()), entry.task.is_finished());
        if !is_wanted {
            entry.wanted.send_replace(None);
        } else if has_ended {
            // Only by a panic: its rows that were not committed are read again.
            tracing::error!(table = %id, "the job of a stream broke down and is started again");
        }
        is_wanted && !has_ended
    });
    for (id, table) in wanted {
        match kept.get(id) {
            Some(entry) => {
                entry.wanted.send_if_modified(|known| {
                    let is_new = known.as_ref() != Some(table);
                    if is_new {
                        *known = Some(Arc::clone(table));
                    }
                    is_new
                });
            }
            None => {
                let (sender, receiver) = watch::channel(Some(Arc::clone(table)));
                let name = format!("stream {}.{}", table.database, table.name);
                let keeper = task::spawn(name, keep(Arc::clone(engine), id.to_owned(), receiver));
                kept.insert(id.to_owned(), Kept { wanted: sender, task: keeper });
            }
        }
    }
}

fn show_paused(engine: &Engine, id: &str) {
    let status = engine.streams().board().of(id);
    let mut numbers = status.lock();
    numbers.state = StreamState::Paused;
    numbers.last_error = None;
    numbers.commit_error = None;
}

/// Runs a table's job with the newest definition until none is wanted.
async fn keep(engine: Arc<Engine>, id: String, mut wanted: watch::Receiver<Option<Arc<Table>>>) {
    loop {
        let table = wanted.borrow_and_update().clone();
        let Some(table) = table else { break };
        let stop = CancellationToken::new();
        if table.stream.as_ref().is_some_and(|stream| stream.paused) {
            show_paused(&engine, &id);
            if wanted.changed().await.is_err() {
                break;
            }
            continue;
        }
        let run = job::run(&engine, &table, &stop);
        tokio::pin!(run);
        let is_gone = tokio::select! {
            () = &mut run => wanted.changed().await.is_err(),
            changed = wanted.changed() => {
                stop.cancel();
                run.await;
                changed.is_err()
            }
        };
        if is_gone {
            break;
        }
    }
    engine.streams().board().of(&id).lock().state = StreamState::Stopped;
    if !engine.catalog().snapshot().tables.values().any(|table| table.id == id) {
        // Dropped: its files go with its definition.
        engine.streams().close(&id);
        engine.streams().board().remove(&id);
    }
}
