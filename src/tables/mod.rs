//! Tables as the query engine sees them: Hive directories and managed Parquet + Delta log.

pub mod hive;
pub mod managed;
pub mod options;
pub mod streaming;

/// What an INSERT replaces.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteMode {
    /// INSERT INTO.
    Append,
    /// INSERT OVERWRITE without PARTITION on an unpartitioned table, or of the whole table.
    OverwriteTable,
    /// INSERT OVERWRITE .. PARTITION: replaces each partition that gets rows, and always the partition
    /// that is given entirely by static values (column, value; `None` = NULL).
    OverwritePartitions { fixed: Vec<(String, Option<String>)> },
}
