//! Measurements of a release build, on the machine at hand: `weir bench ..`.

mod cpu;
pub mod kafka;
mod latency;
pub mod query;
