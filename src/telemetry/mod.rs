//! Logs, metrics, named tasks and ordered shutdown.

pub mod task;
