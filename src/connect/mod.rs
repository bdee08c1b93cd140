//! Sources and sinks outside of weir, as batches of rows.
//!
//! ```text
//! kafka::Source (a thread of its own) --Fetched--> bounded queue --> stream (hot tail, commit)
//! ```
//! A source decodes, counts what it cannot decode and reports positions; it does not keep them (the table's own
//! commits do, together with the rows) and it knows no SQL.

pub mod kafka;
mod source;

pub use source::{
    DeadLetter, Failure, FailureKind, Fetched, MetadataKind, Origin, PartitionStatus, Position, SourceColumn, SourceColumns, SourceEvent,
    SourceState, SourceStatus, Start,
};
