//! The engine's state of one statement: every function by name, the session's settings, the statement's begin.
//!
//! A copy holds some 500 names; to make and to drop one cost more than anything else that a short query does before it
//! runs. So the state of a statement that has ended is used by the next one of the same user, database and settings, as
//! long as no definition changes.

use crate::catalog::Snapshot;
use crate::models::CatalogLookup;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// States kept at most: about as many as statements run at once. One takes some 100 KiB.
const IDLE_MAX: usize = 16;

/// What a state was made for.
#[derive(Debug, Clone)]
pub struct Purpose {
    pub snapshot: Arc<Snapshot>,
    pub user: String,
    pub database: String,
    pub timezone: String,
}

impl PartialEq for Purpose {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.snapshot, &other.snapshot)
            && self.user == other.user
            && self.database == other.database
            && self.timezone == other.timezone
    }
}

/// The states that no statement uses.
#[derive(Debug, Default)]
pub struct IdleStates(Mutex<Vec<(Purpose, Arc<SessionState>)>>);

impl IdleStates {
    /// A state for a statement that begins now: an idle one, or a copy of `base` with the functions of this purpose.
    pub fn state(self: &Arc<Self>, purpose: Purpose, base: &SessionState, lookup: impl FnOnce() -> CatalogLookup) -> StatementState {
        let mut state = self.take(&purpose).unwrap_or_else(|| Arc::new(make(&purpose, base, lookup())));
        // now() is one instant for the whole statement.
        Arc::make_mut(&mut state).mark_start_execution();
        StatementState { state, purpose, home: Arc::clone(self) }
    }

    fn take(&self, purpose: &Purpose) -> Option<Arc<SessionState>> {
        let mut idle = self.idle();
        // The last statement may hold its state for a moment more: a state that is shared would be copied.
        let place = idle.iter_mut().position(|(made_for, state)| made_for == purpose && Arc::get_mut(state).is_some())?;
        // In order: the first one has waited longest.
        Some(idle.remove(place).1)
    }

    fn put(&self, purpose: Purpose, state: Arc<SessionState>) {
        let mut idle = self.idle();
        // Those of older definitions are never asked for again.
        let newest = idle.iter().map(|(made_for, _)| made_for.snapshot.version).max().unwrap_or(0);
        if purpose.snapshot.version < newest {
            return;
        }
        if purpose.snapshot.version > newest {
            idle.clear();
        }
        if idle.len() == IDLE_MAX {
            // The one that has waited longest, as nobody asks for it.
            idle.remove(0);
        }
        idle.push((purpose, state));
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Purpose, Arc<SessionState>)>> {
        // No step under this lock can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(purpose: &Purpose, base: &SessionState, lookup: CatalogLookup) -> SessionState {
    let mut state = base.clone();
    let options = state.config_mut().options_mut();
    options.catalog.default_schema.clone_from(&purpose.database);
    options.execution.time_zone = Some(purpose.timezone.clone());
    let (scalars, table_functions) = weir_functions::model_functions(Arc::new(lookup));
    for function in scalars.into_iter().chain(weir_functions::session_functions(&purpose.database, &purpose.user)) {
        let _ = state.register_udf(Arc::new(function)); // Replaces the function of the same name.
    }
    for (name, function) in table_functions {
        state.register_udtf(name, function);
    }
    state
}

/// The state of a statement; the next statement may have it when this one is dropped.
#[derive(Debug)]
pub struct StatementState {
    state: Arc<SessionState>,
    purpose: Purpose,
    home: Arc<IdleStates>,
}

impl StatementState {
    /// The state, to be changed in a copy only.
    pub fn shared(&self) -> Arc<SessionState> {
        Arc::clone(&self.state)
    }

    /// The definitions that it was made for.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.purpose.snapshot
    }

    /// The user whose statement it is.
    pub fn user(&self) -> &str {
        &self.purpose.user
    }
}

impl Drop for StatementState {
    fn drop(&mut self) {
        self.home.put(self.purpose.clone(), Arc::clone(&self.state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Models;
    use std::cell::Cell;

    /// A base, and how many states were made of it.
    struct World {
        idle: Arc<IdleStates>,
        base: SessionState,
        models: Arc<Models>,
        n_made: Cell<usize>,
        _directory: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let models = Models::open(&directory.path().join("models")).unwrap();
            let base = datafusion::execution::SessionStateBuilder::new().with_default_features().build();
            Self { idle: Arc::default(), base, models, n_made: Cell::new(0), _directory: directory }
        }

        fn state(&self, purpose: &Purpose) -> StatementState {
            self.idle.state(purpose.clone(), &self.base, || {
                self.n_made.set(self.n_made.get() + 1);
                CatalogLookup {
                    models: Arc::clone(&self.models),
                    snapshot: Arc::clone(&purpose.snapshot),
                    current_database: purpose.database.clone(),
                }
            })
        }
    }

    fn purpose(version: u64) -> Purpose {
        let snapshot = Arc::new(Snapshot { version, ..Snapshot::default() });
        Purpose { snapshot, user: "ann".into(), database: "public".into(), timezone: "UTC".into() }
    }

    #[test]
    fn a_state_is_used_again_by_statements_of_its_purpose_only() {
        let world = World::new();
        let first = purpose(1);
        for _ in 0..3 {
            drop(world.state(&first));
        }
        assert_eq!(world.n_made.get(), 1);
        let at_once = [world.state(&first), world.state(&first)];
        assert_eq!(world.n_made.get(), 2);
        drop(at_once);
        let others = [
            Purpose { user: "bob".into(), ..first.clone() },
            Purpose { database: "shop".into(), ..first.clone() },
            Purpose { timezone: "Europe/Zurich".into(), ..first },
            // The same number, other definitions: of another server's catalog, say.
            purpose(1),
        ];
        for (place, other) in others.iter().enumerate() {
            let state = world.state(other);
            assert_eq!(world.n_made.get(), 3 + place, "{other:?}");
            let options = state.state.config_options();
            assert_eq!(options.catalog.default_schema, other.database);
            assert_eq!(options.execution.time_zone.as_deref(), Some(other.timezone.as_str()));
        }
    }

    #[test]
    fn states_of_older_definitions_go() {
        let world = World::new();
        let (old, new) = (purpose(1), purpose(2));
        let running = world.state(&old);
        drop(world.state(&old));
        drop(world.state(&new));
        // It ends after the change.
        drop(running);
        assert_eq!(world.idle.idle().iter().map(|(made_for, _)| made_for.snapshot.version).collect::<Vec<_>>(), [2]);
        let many: Vec<_> = (0..2 * IDLE_MAX).map(|_| world.state(&new)).collect();
        drop(many);
        assert_eq!(world.idle.idle().len(), IDLE_MAX);
    }

    #[test]
    fn a_statement_begins_anew_and_sees_no_change_of_another() {
        let world = World::new();
        let purpose = purpose(1);
        let state = world.state(&purpose);
        let begun = state.state.execution_props().query_execution_start_time;
        let mut changed = state.shared();
        Arc::make_mut(&mut changed).config_mut().options_mut().optimizer.prefer_hash_join = false;
        drop((state, changed));
        let next = world.state(&purpose);
        assert_eq!(world.n_made.get(), 1);
        assert!(next.state.config_options().optimizer.prefer_hash_join);
        assert!(begun.is_some() && next.state.execution_props().query_execution_start_time > begun);
    }
}
