//! SEEK: other positions for a table's source, in its log before anything is read from there.

use super::progress::{NO_OFFSET, NO_TOPIC_ID, Progress, SEEK_TXN, offset_txns, topic_id_txn};
use crate::catalog::{Seek, SeekTo};
use crate::connect::Start;
use crate::connect::kafka::{self, KafkaOptions};
use crate::error::{Error, Result};
use crate::tables::managed::ManagedTable;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the brokers may take to say which offsets a SEEK means; after that it is tried again.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Carries a SEEK out: afterwards the log has its positions and its number. May be repeated, and may be dropped: what was
/// committed then is found by the next start.
///
/// # Errors
/// `Unavailable` or `UndefinedObject` when the brokers do not say which offsets are meant; else those of a commit.
pub fn carry_out<'a>(
    managed: &'a ManagedTable,
    options: &'a KafkaOptions,
    seek: &'a Seek,
    progress: &'a Progress,
) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let topic = options.topic.as_str();
        let offsets = offsets(options, &seek.to, &progress.offsets).await?;
        let mut txns = offset_txns(managed, topic, &offsets);
        txns.push((managed.txn_id(SEEK_TXN), seek.number));
        // The new offsets may be about another topic of the same name.
        txns.push((managed.txn_id(&topic_id_txn(topic)), NO_TOPIC_ID));
        managed.commit_txns(txns).await?;
        Ok(())
    })
}

/// The offsets that a SEEK means.
fn offsets<'a>(options: &'a KafkaOptions, to: &'a SeekTo, committed: &'a BTreeMap<i32, i64>) -> BoxFuture<'a, Result<BTreeMap<i32, i64>>> {
    Box::pin(async move {
        let start = match to {
            SeekTo::Offsets(offsets) => {
                let mut all = committed.clone();
                all.extend(offsets.iter().map(|(partition, offset)| (*partition, *offset)));
                return Ok(all);
            }
            SeekTo::Earliest => Start::Earliest,
            SeekTo::Latest => Start::Latest,
            SeekTo::TimestampMs(ms) => Start::TimestampMs(*ms),
        };
        let options = options.clone();
        let resolved = tokio::task::spawn_blocking(move || kafka::resolve(&options, start, TIMEOUT)).await;
        let resolved = resolved.map_err(|error| Error::internal(format!("SEEK: {error}")))??;
        // A topic that was made anew may have fewer partitions: should they come back, they are new.
        Ok(committed.keys().map(|partition| (*partition, NO_OFFSET)).chain(resolved).collect())
    })
}
