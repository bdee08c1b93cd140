//! Models that follow their streams: one task each, started and stopped as the catalog wants it.

use crate::engine::{Engine, ModelFollower};
use crate::error::Result;
use crate::telemetry::task;
use futures::future::select_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The shortest time from one look at the streams to the next: rows that arrive meanwhile are folded in together.
const LOOK_MIN: Duration = Duration::from_millis(100);
/// The longest one, after a look that took long.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// The waits after an error.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The tasks, by model id and version.
#[derive(Debug, Default)]
pub(super) struct Followers {
    tasks: BTreeMap<(String, u64), Follower>,
}

#[derive(Debug)]
struct Follower {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Followers {
    /// Starts the tasks that are missing, and tells those to end that nobody wants. Call it again now and then: a version that
    /// is wanted once more waits until its last task has ended.
    pub fn converge(&mut self, engine: &Arc<Engine>) {
        let wanted = engine.followed_models();
        for (key, follower) in &self.tasks {
            if !wanted.contains(key) {
                follower.stop.cancel();
            }
        }
        self.tasks.retain(|_, follower| !follower.task.is_finished());
        for (id, version) in wanted {
            self.tasks.entry((id.clone(), version)).or_insert_with(|| {
                let stop = CancellationToken::new();
                let task = task::spawn(format!("follow {id}"), follow(Arc::clone(engine), id, version, stop.clone()));
                Follower { stop, task }
            });
        }
    }

    /// Tells all tasks to end.
    pub fn stop(&self) {
        for follower in self.tasks.values() {
            follower.stop.cancel();
        }
    }

    /// Waits until they have ended.
    pub async fn ended(self) {
        for (_, follower) in self.tasks {
            drop(follower.task.await);
        }
    }
}

/// Folds new rows into a version until it is stopped.
async fn follow(engine: Arc<Engine>, id: String, version: u64, stop: CancellationToken) {
    let mut follower = engine.follow_model(&id, version);
    let mut wait = RETRY_MIN;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            looked = look(&mut follower) => match looked {
                Ok(()) => {
                    wait = RETRY_MIN;
                    continue;
                }
                Err(error) => {
                    let is_full = follower.online().is_full();
                    tracing::warn!(model = %id, %error, is_full, "new rows were not folded into a model");
                    follower.online().failed(&error, is_full);
                    if is_full {
                        return stop.cancelled().await;
                    }
                }
            },
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// Folds in what is new, then waits until there may be more.
async fn look(follower: &mut ModelFollower) -> Result<()> {
    let mut arrivals = follower.arrivals().await?;
    let begun = Instant::now();
    follower.fold_in_new().await?;
    follower.online().went_well();
    // Statements have the other half of the time, however much arrives.
    tokio::time::sleep(begun.elapsed().clamp(LOOK_MIN, LOOK_MAX)).await;
    // A table that is closed says so by its end: it is opened again.
    let changes = arrivals.iter_mut().map(|arrivals| Box::pin(arrivals.changed()));
    let _ = select_all(changes).await;
    Ok(())
}
