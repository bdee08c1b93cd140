//! Models that follow their streams: one task each, started and stopped as the catalog wants it.

use crate::engine::{Engine, ModelFollower};
use crate::error::{Code, Result};
use crate::telemetry::task;
use futures::future::select_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The shortest time from one look at the streams to the next: rows that arrive meanwhile are folded in together.
const LOOK_MIN: Duration = Duration::from_millis(100);
/// The waits after an error.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The tasks, by model id and version.
#[derive(Debug, Default)]
pub(super) struct Followers(BTreeMap<(String, u64), Follower>);

#[derive(Debug)]
struct Follower {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Followers {
    /// Starts the tasks that are missing, and ends those that nobody wants.
    pub fn converge(&mut self, engine: &Arc<Engine>) {
        let wanted = engine.followed_models();
        self.0.retain(|key, follower| {
            let is_wanted = wanted.contains(key);
            if !is_wanted {
                follower.stop.cancel();
            }
            is_wanted && !follower.task.is_finished()
        });
        for (id, version) in wanted {
            self.0.entry((id.clone(), version)).or_insert_with(|| {
                let stop = CancellationToken::new();
                let task = task::spawn(format!("follow {id}"), follow(Arc::clone(engine), id, version, stop.clone()));
                Follower { stop, task }
            });
        }
    }

    /// Ends all tasks.
    pub async fn stop(self) {
        for follower in self.0.values() {
            follower.stop.cancel();
        }
        for (_, follower) in self.0 {
            drop(follower.task.await);
        }
    }
}

/// Folds new rows into a version until it is stopped.
async fn follow(engine: Arc<Engine>, id: String, version: u64, stop: CancellationToken) {
    let begin = tokio::task::spawn_blocking(move || engine.follow_model(&id, version)).await;
    let mut follower = match begin {
        Ok(Ok(follower)) => follower,
        Ok(Err(error)) => return tracing::error!(%error, "a model does not follow its streams"),
        Err(_) => return,
    };
    let mut wait = RETRY_MIN;
    loop {
        let pause = tokio::select! {
            () = stop.cancelled() => break,
            looked = look(&mut follower) => match looked {
                Ok(()) => {
                    wait = RETRY_MIN;
                    continue;
                }
                Err(error) => {
                    let is_final = error.code == Code::LimitExceeded;
                    tracing::warn!(%error, is_final, "new rows were not folded into a model");
                    follower.online().failed(&error, is_final);
                    if is_final {
                        stop.cancelled().await;
                        break;
                    }
                    let pause = wait;
                    wait = (wait * 2).min(RETRY_MAX);
                    pause
                }
            },
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Folds in what is new, then waits until there may be more.
async fn look(follower: &mut ModelFollower) -> Result<()> {
    let mut arrivals = follower.arrivals().await?;
    let begun = Instant::now();
    follower.fold_in_new().await?;
    follower.online().went_well();
    // Not more than half of a thread, however much arrives.
    tokio::time::sleep(LOOK_MIN.max(begun.elapsed())).await;
    // A table that is closed says so by its end: it is opened again.
    let changes = arrivals.iter_mut().map(|arrivals| Box::pin(arrivals.changed()));
    let _ = select_all(changes).await;
    Ok(())
}
