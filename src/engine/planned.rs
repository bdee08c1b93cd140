//! A query planned when its columns were asked for, for the run that follows at once.
//!
//! Clients of Flight SQL ask for the columns of a result (GetFlightInfo) and fetch its rows in the next call (DoGet). A
//! short query costs less to run than to plan, so the plan is kept for a moment.

use crate::engine::edge;
use crate::engine::planning::Planning;
use crate::engine::session::Session;
use crate::error::Result;
use crate::telemetry::task;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longer than a client needs from one call to the next. `now()` is no older than this when the run begins.
const KEPT_MAX: Duration = Duration::from_secs(1);

/// A plan that waits for its run: it is taken once, or goes when it is too old. What it holds (a model, functions) it must
/// not hold for as long as a client may keep a ticket.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Option<Arc<Mutex<Option<Planned>>>>);

impl Waiting {
    /// Call it where tokio runs.
    pub fn new(planned: Option<Planned>) -> Self {
        let Some(planned) = planned else { return Self::default() };
        let kept = Arc::new(Mutex::new(Some(planned)));
        let weak = Arc::downgrade(&kept);
        // It ends by itself.
        drop(task::spawn("plan that waits", async move {
            tokio::time::sleep(KEPT_MAX).await;
            drop(weak.upgrade().and_then(|kept| lock(&kept).take()));
        }));
        Self(Some(kept))
    }

    /// The plan, if it is still there.
    pub fn take(&self) -> Option<Planned> {
        self.0.as_ref().and_then(|kept| lock(kept).take())
    }
}

fn lock(kept: &Mutex<Option<Planned>>) -> MutexGuard<'_, Option<Planned>> {
    // No step under this lock can panic halfway.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A query without open parameters, analysed: names and types are final.
#[derive(Debug, Clone)]
pub struct Planned {
    pub planning: Planning,
    pub plan: LogicalPlan,
    /// The columns that clients see.
    pub schema: SchemaRef,
}

impl Planned {
    /// Analyses a plan whose parameters are bound: type coercion may change the types of its columns.
    pub fn new(planning: Planning, plan: LogicalPlan) -> Result<Self> {
        let analysed = planning.analysed(plan)?;
        let schema = edge::edge_schema(analysed.schema().as_arrow());
        Ok(Self { planning, plan: analysed, schema })
    }

    /// Whether a run may begin with it: it would be planned the same way again. A plan that reads tables never is, for a
    /// statement sees its tables as they are when it runs.
    pub fn is_current(&self, session: &Session) -> bool {
        self.planning.begun_at().elapsed() <= KEPT_MAX && !self.planning.reads_tables() && self.planning.is_as_of(session)
    }
}
