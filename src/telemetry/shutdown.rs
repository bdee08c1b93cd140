//! Ordered shutdown: the last part that started is the first that stops, each within what is left of the grace.
//!
//! ```text
//!   SIGTERM, Ctrl-C ─► stopping ─► phase "doors" stops ─► phase "queries" ─► phase "engine" ─► exit 0
//!   second signal   ─► now: every task that still runs is aborted
//! ```

use super::metrics::TASKS_RUNNING;
use super::task;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an aborted task may take to notice. One that never yields does not, and is left behind.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Running,
    /// No new work; what runs may finish within the grace.
    Graceful,
    /// Nothing is waited for.
    Immediate,
}

/// The shutdown of the whole server.
#[derive(Debug)]
pub struct Shutdown {
    stage: watch::Sender<Stage>,
    /// In the order in which they were started.
    phases: Mutex<Vec<Arc<Phase>>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { stage: watch::Sender::new(Stage::Running), phases: Mutex::default() }
    }
}

impl Shutdown {
    /// Running, without phases.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A part of the server with tasks of its own. Phases stop in the reverse order of these calls.
    pub fn phase(&self, name: &'static str) -> Arc<Phase> {
        let phase = Arc::new(Phase::new(name));
        lock(&self.phases).push(Arc::clone(&phase));
        phase
    }

    /// Asks for the end; asked again, it means at once. Returns the stage that was reached.
    pub fn request(&self) -> Stage {
        let next = match *self.stage.borrow() {
            Stage::Running => Stage::Graceful,
            Stage::Graceful | Stage::Immediate => Stage::Immediate,
        };
        self.reach(next);
        next
    }

    fn reach(&self, stage: Stage) {
        self.stage.send_if_modified(|current| {
            let is_later = stage > *current;
            *current = (*current).max(stage);
            is_later
        });
    }

    /// The stage now.
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Returns when this stage is reached.
    pub async fn reached(&self, stage: Stage) {
        // The sender is `self`: it cannot go away while we wait.
        let _still_here = self.stage.subscribe().wait_for(|current| *current >= stage).await.is_ok();
    }

    /// Requests the end at each SIGTERM and SIGINT, in a task of its own.
    pub fn listen_for_signals(self: &Arc<Self>) -> std::io::Result<()> {
        let mut signals = Signals::new()?;
        let shutdown = Arc::clone(self);
        // It runs until the process ends; nobody needs to wait for it.
        drop(task::spawn("signals", async move {
            loop {
                let signal = signals.next().await;
                match shutdown.request() {
                    Stage::Immediate => tracing::warn!(signal, "second signal, stopping at once"),
                    _ => tracing::info!(signal, "stopping"),
                }
            }
        }));
        Ok(())
    }

    /// Waits until the end is requested, then stops phase after phase; returns the names of tasks that had
    /// to be aborted.
    pub async fn run(&self, grace: Duration) -> Vec<String> {
        self.reached(Stage::Graceful).await;
        let deadline = Instant::now() + grace;
        let mut aborted = Vec::new();
        loop {
            // One after the other, and also those that were added meanwhile.
            let Some(phase) = lock(&self.phases).pop() else { break };
            phase.stop.cancel();
            let finished = tokio::select! {
                () = phase.finished() => true,
                () = tokio::time::sleep_until(deadline) => false,
                () = self.reached(Stage::Immediate) => false,
            };
            if !finished {
                aborted.extend(phase.abort().await);
            }
            tracing::debug!(phase = phase.name, "phase stopped");
        }
        if !aborted.is_empty() {
            tracing::warn!(n_tasks = aborted.len(), tasks = %aborted.join(", "), "tasks did not finish in time and were aborted");
        }
        aborted
    }
}

/// A part of the server: its tasks, and the token that tells them to end.
#[derive(Debug)]
pub struct Phase {
    name: &'static str,
    stop: CancellationToken,
    tasks: Mutex<Tasks>,
    /// Told when a task ends.
    ended: Notify,
    /// Too late to start anything.
    is_aborting: AtomicBool,
}

#[derive(Debug, Default)]
struct Tasks {
    next_id: u64,
    /// The handle is there once the task was started.
    running: BTreeMap<u64, (String, Option<AbortHandle>)>,
}

impl Phase {
    fn new(name: &'static str) -> Self {
        Self { name, stop: CancellationToken::new(), tasks: Mutex::default(), ended: Notify::new(), is_aborting: AtomicBool::new(false) }
    }

    /// Cancelled when this phase shall end: stop taking work, finish what there is.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task that the shutdown waits for.
    pub fn spawn<F>(self: &Arc<Self>, name: impl Into<String>, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let name = name.into();
        let id = {
            let mut tasks = lock(&self.tasks);
            tasks.next_id += 1;
            let id = tasks.next_id;
            tasks.running.insert(id, (name.clone(), None));
            id
        };
        // Made outside of the task: it also goes when the task is aborted before its first step.
        let entry = Entry { phase: Arc::clone(self), id };
        let handle = task::spawn(name, async move {
            let _entry = entry;
            let _counted = TASKS_RUNNING.enter();
            future.await
        });
        if let Some((_, abort)) = lock(&self.tasks).running.get_mut(&id) {
            *abort = Some(handle.abort_handle());
        }
        // `abort` sets it before it looks for handles: one of the two finds the other.
        if self.is_aborting.load(Ordering::SeqCst) {
            handle.abort();
        }
        handle
    }

    /// The names of the tasks that run.
    pub fn running(&self) -> Vec<String> {
        lock(&self.tasks).running.values().map(|(name, _)| name.clone()).collect()
    }

    /// Returns when no task runs.
    async fn finished(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // Registered before the look, or the last end could be missed.
            ended.as_mut().enable();
            if lock(&self.tasks).running.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Aborts what runs, and says what that was.
    async fn abort(&self) -> Vec<String> {
        let names = self.running().into_iter().map(|name| format!("{}/{name}", self.name)).collect();
        self.is_aborting.store(true, Ordering::SeqCst);
        for (_, abort) in lock(&self.tasks).running.values() {
            if let Some(abort) = abort {
                abort.abort();
            }
        }
        if tokio::time::timeout(ABORT_TIMEOUT, self.finished()).await.is_err() {
            tracing::warn!(phase = self.name, tasks = %self.running().join(", "), "tasks do not react, left behind");
        }
        names
    }
}

/// A task in its phase, until it ends in whatever way.
struct Entry {
    phase: Arc<Phase>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.phase.tasks).running.remove(&self.id);
        self.phase.ended.notify_waiters();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The signals that mean the end.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            // Without a handler there is nothing to wait for.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    /// Never waited for where everything ends by itself.
    const GRACE: Duration = Duration::from_secs(3_600);
    /// Waited for.
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn phases_stop_one_after_the_other_last_started_first() {
        let shutdown = Shutdown::new();
        let (events, mut seen) = mpsc::unbounded_channel();
        for name in ["engine", "queries", "doors"] {
            let phase = shutdown.phase(name);
            let (stop, events) = (phase.stopping(), events.clone());
            phase.spawn(format!("{name} task"), async move {
                stop.cancelled().await;
                // Time enough for a later phase to overtake, if it could.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                events.send(name).unwrap();
            });
        }
        assert_eq!(shutdown.stage(), Stage::Running);
        shutdown.request();
        assert_eq!(shutdown.run(GRACE).await, Vec::<String>::new());
        let order: Vec<_> = std::iter::from_fn(|| seen.try_recv().ok()).collect();
        assert_eq!(order, ["doors", "queries", "engine"]);
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_aborted_after_the_grace_and_named() {
        let shutdown = Shutdown::new();
        let phase = shutdown.phase("queries");
        let stuck = phase.spawn("query 7", std::future::pending::<()>());
        let quick = phase.spawn("query 8", async { 8 });
        shutdown.request();
        let start = Instant::now();
        assert_eq!(shutdown.run(SHORT).await, ["queries/query 7"]);
        assert!(start.elapsed() >= SHORT);
        assert!(stuck.await.unwrap_err().is_cancelled());
        assert_eq!(quick.await.unwrap(), 8);
        assert!(phase.running().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_task_that_never_yields_or_starts_too_late_does_not_hold_the_end() {
        let shutdown = Shutdown::new();
        let phase = shutdown.phase("queries");
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (started, is_running) = tokio::sync::oneshot::channel();
        phase.spawn("busy", async move {
            started.send(()).unwrap();
            held.recv()
        });
        is_running.await.unwrap();
        shutdown.request();
        shutdown.request();
        assert_eq!(shutdown.run(GRACE).await, ["queries/busy"]);
        assert_eq!(phase.running(), ["busy"]);
        assert!(phase.spawn("late", std::future::pending::<()>()).await.unwrap_err().is_cancelled());
        release.send(()).unwrap();
    }

    #[tokio::test]
    async fn a_second_request_does_not_wait() {
        let shutdown = Shutdown::new();
        shutdown.phase("queries").spawn("query 7", std::future::pending::<()>());
        assert_eq!([shutdown.request(), shutdown.request(), shutdown.request()], [Stage::Graceful, Stage::Immediate, Stage::Immediate]);
        let start = Instant::now();
        assert_eq!(shutdown.run(GRACE).await.len(), 1);
        assert!(start.elapsed() < GRACE);
    }

    #[tokio::test]
    async fn a_task_that_panics_has_ended() {
        let shutdown = Shutdown::new();
        let phase = shutdown.phase("queries");
        let task = phase.spawn("query 9", async { std::panic::resume_unwind(Box::new("on purpose")) });
        shutdown.request();
        assert!(shutdown.run(GRACE).await.is_empty());
        let error: tokio::task::JoinError = match task.await {
            Ok(never) => never,
            Err(error) => error,
        };
        assert!(error.is_panic());
    }
}
