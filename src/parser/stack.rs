//! Room for recursion: deeply nested statements are parsed on a thread with a large stack.
//!
//! `sqlparser` grows the stack by itself in expressions and subqueries, but a nested join takes more
//! than it leaves for one level in a debug build: 20 levels overflowed a stack of 1 MiB.

use crate::error::{Code, Error, Result};

/// Levels that fit on what a worker of the runtime has left.
const LEVELS_IN_PLACE: usize = 4;
/// Four times what the deepest statement within the limits took in a debug build; untouched pages cost nothing.
const STACK_BYTES: usize = 64 << 20;

/// Runs `work` here, or on a thread of its own when it may recurse through many levels.
pub(super) fn with_room<T: Send>(levels: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if levels <= LEVELS_IN_PLACE {
        return work();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("sql parser".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| Error::new(Code::Unavailable, format!("could not start a thread for parsing: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(Error::internal("the parser panicked")))
    })
}
