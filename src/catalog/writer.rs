//! The one thread that changes the catalog: check, write to disk, then publish.

use super::store::{Row, Store};
use super::{Change, Published, Request};
use crate::error::{Code, Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::mpsc;

/// Works off the queue until every sender is gone.
pub(super) fn run(mut store: Store, published: &Published, mut queue: mpsc::Receiver<Request>) {
    while let Some(Request { base, changes, answer }) = queue.blocking_recv() {
        // A panic rolls the transaction back and ends this change only.
        let result = catch_unwind(AssertUnwindSafe(|| change(&mut store, published, base, changes)))
            .unwrap_or_else(|_| Err(Error::internal("a catalog change panicked")));
        // Who asked may have gone away; the change stands all the same.
        let _gone = answer.send(result);
    }
}

fn change(store: &mut Store, published: &Published, base: u64, changes: Vec<Change>) -> Result<u64> {
    let current = published.snapshot();
    if base != current.version {
        return Err(Error::new(Code::Conflict, "the catalog has changed meanwhile")
            .detail(format!("The change was made for version {base}, the catalog is at {}.", current.version))
            .hint("Try again."));
    }
    if changes.is_empty() {
        return Ok(current.version);
    }
    let rows = changes.iter().map(Row::of).collect::<Result<Vec<_>>>()?;
    let mut next = (*current).clone();
    for change in changes {
        next.change(change)?;
    }
    next.version += 1;
    store.write(current.version, next.version, &rows)?;
    let version = next.version;
    published.publish(next);
    Ok(version)
}

/// The answer when the writer is no longer there.
pub(super) fn gone() -> Error {
    Error::new(Code::Unavailable, "the catalog takes no changes any more").hint("Restart the server.")
}
