//! Logs, metrics, named tasks and ordered shutdown.

pub mod log;
pub mod metrics;
pub mod shutdown;
pub mod task;
