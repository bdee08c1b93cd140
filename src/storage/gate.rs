//! Who may list and who may change the files of a directory, inside this process.
//!
//! ```text
//! scan:    pin --- list --- listed() ------ read files ------ drop
//! commit:              wait | apply: rename new files in | old files: delete, or when the last older pin is dropped
//! ```
//! A listing sees the files before a commit or after it, never in between. A scan that has listed before the
//! commit goes on reading the files it has found: their deletion waits for it, and until then newer listings
//! leave them out. Directories exclude each other when one holds the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The work that follows when the last reader of removed files has gone.
type Afterwards = Box<dyn FnOnce() + Send>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Reads the directory: no commit may be applied.
    Listing,
    /// Reads the files it has found.
    Reading,
}

struct Removed {
    id: u64,
    files: Arc<BTreeSet<PathBuf>>,
    /// Pins that may still read them.
    readers: BTreeSet<u64>,
    afterwards: Option<Afterwards>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    pins: BTreeMap<u64, (Vec<PathBuf>, Phase)>,
    applying: BTreeMap<u64, Vec<PathBuf>>,
    removed: Vec<Removed>,
}

/// True when a directory of one set holds, or is, one of the other.
fn overlap(some: &[PathBuf], others: &[PathBuf]) -> bool {
    some.iter().any(|a| others.iter().any(|b| a.starts_with(b) || b.starts_with(a)))
}

impl State {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn is_applying(&self, directories: &[PathBuf]) -> bool {
        self.applying.values().any(|other| overlap(directories, other))
    }

    fn is_listing(&self, directories: &[PathBuf]) -> bool {
        self.pins.values().any(|(other, phase)| *phase == Phase::Listing && overlap(directories, other))
    }

    /// Takes out the work that nobody delays any more. The files stay left out until it is done.
    fn due(&mut self) -> Vec<(u64, Afterwards)> {
        let free = self.removed.iter_mut().filter(|removed| removed.readers.is_empty());
        free.filter_map(|removed| Some((removed.id, removed.afterwards.take()?))).collect()
    }
}

/// See the module.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("Gate").field("pins", &state.pins.len()).field("applying", &state.applying.len()).finish_non_exhaustive()
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `attempt` succeeds; it is tried again after every change.
    async fn wait<T>(&self, mut attempt: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the attempt, so that no change is missed between them.
            changed.as_mut().enable();
            if let Some(value) = attempt(&mut self.state()) {
                return value;
            }
            changed.await;
        }
    }

    pub(super) async fn pin(self: &Arc<Self>, directories: &[PathBuf]) -> DirectoryPin {
        let (id, hidden) = self
            .wait(|state| {
                if state.is_applying(directories) {
                    return None;
                }
                let id = state.id();
                state.pins.insert(id, (directories.to_vec(), Phase::Listing));
                let hidden = state.removed.iter().map(|removed| Arc::clone(&removed.files)).collect();
                Some((id, hidden))
            })
            .await;
        DirectoryPin { gate: Arc::clone(self), id, hidden }
    }

    pub(super) async fn apply(self: &Arc<Self>, directories: &[PathBuf]) -> ApplyGuard {
        let id = self
            .wait(|state| {
                if state.is_applying(directories) {
                    return None;
                }
                let id = state.id();
                // From here on new listings wait, so that a commit is never starved by them.
                state.applying.insert(id, directories.to_vec());
                Some(id)
            })
            .await;
        let guard = ApplyGuard { gate: Arc::clone(self), id, directories: directories.to_vec() };
        self.wait(|state| (!state.is_listing(directories)).then_some(())).await;
        guard
    }
}

/// A scan's hold on a directory: while it lists no commit is applied; while it reads, its files stay.
#[derive(Debug)]
pub struct DirectoryPin {
    gate: Arc<Gate>,
    id: u64,
    /// Files that a commit has removed and older scans still read.
    hidden: Vec<Arc<BTreeSet<PathBuf>>>,
}

impl DirectoryPin {
    /// True for a file that a commit has removed already: a listing leaves it out.
    pub fn is_removed(&self, file: &Path) -> bool {
        self.hidden.iter().any(|files| files.contains(file))
    }

    /// The listing is complete: commits may be applied again. The files found stay until the pin is dropped.
    pub fn listed(&self) {
        if let Some((_, phase)) = self.gate.state().pins.get_mut(&self.id) {
            *phase = Phase::Reading;
        }
        self.gate.changed.notify_waiters();
    }
}

impl Drop for DirectoryPin {
    fn drop(&mut self) {
        let due = {
            let mut state = self.gate.state();
            state.pins.remove(&self.id);
            for removed in &mut state.removed {
                removed.readers.remove(&self.id);
            }
            state.due()
        };
        self.gate.changed.notify_waiters();
        for (id, delete) in due {
            let gate = Arc::clone(&self.gate);
            let afterwards = move || {
                delete();
                gate.state().removed.retain(|removed| removed.id != id);
            };
            // Deleting files blocks; a runtime thread must not.
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(afterwards)),
                Err(_) => afterwards(),
            }
        }
    }
}

/// The exclusive right to change the files of a directory; dropping it lets listings go on.
#[derive(Debug)]
pub struct ApplyGuard {
    gate: Arc<Gate>,
    id: u64,
    directories: Vec<PathBuf>,
}

impl ApplyGuard {
    /// Takes files out of all later listings and runs `afterwards`, which deletes them, when no older scan can
    /// read them any more: now, if there is none. A process that ends before that has its journal to finish it.
    pub fn remove_later(&self, files: BTreeSet<PathBuf>, afterwards: impl FnOnce() + Send + 'static) {
        let mut state = self.gate.state();
        let readers =
            state.pins.iter().filter(|(_, (other, _))| overlap(&self.directories, other)).map(|(id, _)| *id).collect::<BTreeSet<_>>();
        match readers.is_empty() {
            true => {
                drop(state);
                afterwards();
            }
            false => {
                let id = state.id();
                state.removed.push(Removed { id, files: Arc::new(files), readers, afterwards: Some(Box::new(afterwards)) });
            }
        }
    }
}

impl Drop for ApplyGuard {
    fn drop(&mut self) {
        self.gate.state().applying.remove(&self.id);
        self.gate.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Poll;

    #[track_caller]
    fn is_waiting<T>(future: &mut std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        matches!(future.as_mut().poll(&mut context), Poll::Pending)
    }

    #[tokio::test]
    async fn a_commit_waits_for_listings_above_and_below_and_new_listings_wait_for_it() {
        for (listed, applied) in [("/t", "/t"), ("/t", "/t/p=1"), ("/t/p=1", "/t")] {
            let gate = Arc::<Gate>::default();
            let pin = gate.pin(&[PathBuf::from(listed)]).await;
            let applied = [PathBuf::from(applied)];
            let apply = gate.apply(&applied);
            tokio::pin!(apply);
            assert!(is_waiting(&mut apply), "{applied:?} was changed while {listed} was listed");
            let listed = [PathBuf::from(listed)];
            let late = gate.pin(&listed);
            tokio::pin!(late);
            assert!(is_waiting(&mut late), "a late listing went before a waiting commit");
            pin.listed();
            let guard = apply.await;
            assert!(is_waiting(&mut late));
            drop(guard);
            late.await;
        }
    }

    #[tokio::test]
    async fn directories_side_by_side_do_not_wait() {
        let gate = Arc::<Gate>::default();
        let _pin = gate.pin(&[PathBuf::from("/t")]).await;
        let _guard = gate.apply(&[PathBuf::from("/t2")]).await;
    }

    #[tokio::test]
    async fn a_cancelled_commit_lets_go() {
        let gate = Arc::<Gate>::default();
        let pin = gate.pin(&[PathBuf::from("/t")]).await;
        {
            let directories = [PathBuf::from("/t")];
            let apply = gate.apply(&directories);
            tokio::pin!(apply);
            assert!(is_waiting(&mut apply));
        }
        gate.pin(&[PathBuf::from("/t")]).await;
        drop(pin);
    }

    #[test]
    fn files_are_deleted_when_the_last_older_reader_has_gone() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let gate = Arc::<Gate>::default();
        let (old, file) = (runtime.block_on(gate.pin(&[PathBuf::from("/t")])), PathBuf::from("/t/a"));
        old.listed();
        let deleted = Arc::new(AtomicBool::new(false));
        let guard = runtime.block_on(gate.apply(&[PathBuf::from("/t")]));
        let flag = Arc::clone(&deleted);
        guard.remove_later(BTreeSet::from([file.clone()]), move || flag.store(true, Ordering::SeqCst));
        drop(guard);
        let new = runtime.block_on(gate.pin(&[PathBuf::from("/t")]));
        assert!(new.is_removed(&file) && !old.is_removed(&file));
        assert!(!deleted.load(Ordering::SeqCst));
        drop(old);
        assert!(deleted.load(Ordering::SeqCst), "a newer reader delays nothing");
    }
}
