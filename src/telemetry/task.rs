//! Named tasks: every task has a name for logs, and a panic in one ends that one only.

use std::future::Future;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Starts a task with a name. The caller keeps the handle: it owns the task and waits for it.
#[expect(clippy::disallowed_methods, reason = "the one place that starts tasks")]
pub fn spawn<F>(name: impl Into<String>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(named(name.into(), future))
}

/// As [`spawn`], on the threads of another runtime.
pub fn spawn_on<F>(runtime: &Handle, name: impl Into<String>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime.spawn(named(name.into(), future))
}

async fn named<F: Future>(name: String, future: F) -> F::Output {
    tracing::trace!(task = %name, "task started");
    let output = future.await;
    tracing::trace!(task = %name, "task ended");
    output
}
