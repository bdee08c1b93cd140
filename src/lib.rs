//! weir: a SQL-first analytics server.
//!
//! The modules in reading order; each imports only from the ones above it in this list
//! (`ARCHITECTURE.md` has the table of layers, a test holds it).

pub mod error; //     what can go wrong, and how each door says it
pub mod config; //    one struct of settings: defaults, file, environment, flags
pub mod telemetry; // logs, metrics, named tasks, ordered shutdown, fail points
pub mod storage; //   locations, allowed roots, durable local files
pub mod parser; //    SQL text to statements; no IO
pub mod catalog; //   databases, tables, views, models, users, secrets: durable definitions
pub mod auth; //      passwords, tokens, and who may do what
pub mod tables; //    table providers: Hive directories, managed Parquet + Delta log, streaming tables
pub mod connect; //   sources and sinks outside of weir: Kafka
pub mod models; //    model registry: versions, training runs, factors in memory
pub mod engine; //    sessions and the one dispatcher: parse, plan, authorise, limit, execute
pub mod stream; //    keeps streaming tables fed
pub mod server; //    the doors: Flight SQL
pub mod console; //   the psql-style client, over Flight SQL
pub mod demo; //      the main job on sample data, in one command
pub mod bench; //     measurements of a release build
pub mod cli; //       the command line
