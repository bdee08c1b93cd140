//! What a streaming table's log says about its source: offsets, epoch, watermark, carried-out SEEKs.

use crate::tables::managed::ManagedTable;
use crate::tables::streaming::status::StreamPartition;
use std::collections::BTreeMap;

/// The transaction with the number of the newest commit.
pub const EPOCH_TXN: &str = "epoch";
/// The transaction with the watermark, microseconds since 1970.
pub const WATERMARK_TXN: &str = "watermark";
/// The transaction with the number of the newest SEEK that was carried out.
pub const SEEK_TXN: &str = "seek";

/// Says that the offsets may be about any topic of the name.
pub const NO_TOPIC_ID: i64 = 0;
/// Says that nothing is known about a partition: a log cannot forget.
pub const NO_OFFSET: i64 = -1;

/// Where a table's source goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The newest commit; 0 before the first.
    pub epoch: i64,
    /// The next offset of each partition; empty before the first commit.
    pub offsets: BTreeMap<i32, i64>,
    pub watermark_us: Option<i64>,
    pub seek: i64,
    /// Identifies the topic of that name that the offsets are about.
    pub topic_id: Option<i64>,
}

impl Progress {
    /// Reads the newest version's transactions.
    pub fn of(table: &ManagedTable, topic: &str) -> Self {
        let pin = table.pin();
        let prefix = offset_txn(table, topic, "");
        let offsets = pin.txns().filter(|(_, offset)| *offset != NO_OFFSET);
        let offsets = offsets.filter_map(|(id, offset)| Some((id.strip_prefix(&prefix)?.parse().ok()?, offset))).collect();
        let txn = |what: &str| pin.txn(&table.txn_id(what));
        Self {
            epoch: txn(EPOCH_TXN).unwrap_or(0),
            offsets,
            watermark_us: txn(WATERMARK_TXN),
            seek: txn(SEEK_TXN).unwrap_or(0),
            topic_id: txn(&topic_id_txn(topic)).filter(|id| *id != NO_TOPIC_ID),
        }
    }

    /// The partitions as far as the log knows them.
    pub fn partitions(&self) -> BTreeMap<i32, StreamPartition> {
        let partition = |offset: i64| StreamPartition { position: offset, committed: Some(offset), ..StreamPartition::default() };
        self.offsets.iter().map(|(number, offset)| (*number, partition(*offset))).collect()
    }
}

/// Every offset as a transaction: the next one to read, for each partition.
pub fn offset_txns(table: &ManagedTable, topic: &str, offsets: &BTreeMap<i32, i64>) -> Vec<(String, i64)> {
    offsets.iter().map(|(partition, offset)| (offset_txn(table, topic, &partition.to_string()), *offset)).collect()
}

fn offset_txn(table: &ManagedTable, topic: &str, partition: &str) -> String {
    table.txn_id(&format!("offset:{topic}:{partition}"))
}

/// The transaction that says which topic of a name is meant.
pub fn topic_id_txn(topic: &str) -> String {
    format!("topic:{topic}")
}
