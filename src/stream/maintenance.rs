//! Work behind the commits of a stream: small files are merged, young ones published, old rows dropped.

use crate::connect::kafka::StreamSettings;
use crate::error::Result;
use crate::tables::managed::ManagedTable;
use crate::tables::streaming::TIMESTAMP_COLUMN;
use datafusion::common::ScalarValue;
use datafusion::execution::memory_pool::MemoryPool;
use futures::future::BoxFuture;
use std::sync::Arc;

/// One round. Nothing of it is needed for the rows to be right: a failure is said and tried again after a later commit.
pub fn round(table: Arc<ManagedTable>, settings: StreamSettings, pool: Arc<dyn MemoryPool>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        if let Err(error) = work(&table, &settings, &pool).await {
            tracing::warn!(table = %table.name(), %error, "maintenance of a stream failed");
        }
    })
}

fn work<'a>(table: &'a Arc<ManagedTable>, settings: &'a StreamSettings, pool: &'a Arc<dyn MemoryPool>) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        if let Some(keep) = settings.retention_time {
            let cutoff_us = chrono::Utc::now().timestamp_micros() - i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
            table.drop_before(TIMESTAMP_COLUMN, &ScalarValue::TimestampMicrosecond(Some(cutoff_us), None)).await?;
        }
        if let Some(bytes_max) = settings.retention_bytes {
            table.drop_oldest(bytes_max).await?;
        }
        table.mature(pool, false).await?;
        table.maybe_compact(pool).await?;
        Ok(())
    })
}
