//! Logs, metrics, named tasks, ordered shutdown, and points where tests end the process.

pub mod failpoint;
pub mod log;
pub mod metrics;
pub mod shutdown;
pub mod task;
