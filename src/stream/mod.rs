//! Keeps streaming tables fed: one job a table, started and stopped as the catalog wants it.
//!
//! ```text
//! catalog changes --> Supervisor --wanted definition--> keeper --> job: source -> hot tail -> epoch -> commit
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `supervisor` | from definitions to running jobs |
//! | `job` | runs until it is stopped: what is tried again, and when |
//! | `run` | one run of a job: recovery, the loop, the end |
//! | `progress` | what the table's log says about its source |
//! | `seek` | other positions, when somebody wants them |
//! | `epoch` | the rows of the next commit; files, dead letters and offsets in one log entry |
//! | `watermark` | event time over partitions |
//! | `follow` | models that follow their streams |
//! | `maintenance` | compaction, publishing, retention behind the commits |
//!
//! It knows no door and no SQL text; what is wanted comes from the catalog, what is seen goes to the status board.

mod epoch;
mod follow;
mod job;
mod maintenance;
mod progress;
mod run;
mod seek;
mod supervisor;
mod watermark;

pub use supervisor::Supervisor;
