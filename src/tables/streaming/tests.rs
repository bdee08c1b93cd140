//! The hot tail: what is visible, what a pin keeps, what memory it holds.

use super::hot::{HotBatch, HotTail};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
use std::sync::Arc;

fn batch(pool: &Arc<dyn MemoryPool>, epoch: i64, values: std::ops::Range<i64>) -> HotBatch {
    let column: ArrayRef = Arc::new(values.collect::<Int64Array>());
    let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let memory = MemoryConsumer::new("hot").register(pool);
    memory.try_grow(100).unwrap();
    HotBatch::new(rows, None, epoch, 100, memory)
}

#[test]
fn a_flush_takes_the_epochs_that_are_committed_and_no_pin_sees_it() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1 << 20));
    let tail = HotTail::default();
    for (epoch, values) in [(1, 0..3), (1, 3..5), (2, 5..9)] {
        tail.append(batch(&pool, epoch, values));
    }
    let pin = tail.pin();
    assert_eq!((tail.size().n_rows, tail.size().n_bytes, pool.reserved()), (9, 300, 300));
    tail.flush(1);
    assert_eq!((tail.size().n_rows, tail.size().n_bytes), (4, 100));
    assert_eq!(pin.len(), 3, "a query that began before sees what it saw");
    assert_eq!(pool.reserved(), 300, "its batches still take their memory");
    drop(pin);
    assert_eq!(pool.reserved(), 100);
    tail.append(batch(&pool, 3, 9..10));
    tail.clear();
    assert_eq!((tail.size().n_rows, pool.reserved()), (0, 0));
}

#[test]
fn a_batch_without_a_reservation_counts_too() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1));
    let tail = HotTail::default();
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..3));
    let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let memory = MemoryConsumer::new("hot").register(&pool);
    assert!(memory.try_grow(100).is_err());
    tail.append(HotBatch::new(rows, None, 1, 100, memory));
    assert_eq!((tail.size().n_rows, tail.size().n_bytes, pool.reserved()), (3, 100, 0), "else the source would never wait");
}
