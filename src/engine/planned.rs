//! A query planned when its columns were asked for, for the run that follows at once.
//!
//! Clients of Flight SQL ask for the columns of a result (GetFlightInfo) and fetch its rows in the next call (DoGet). A
//! short query costs less to run than to plan, so the plan is kept for a moment.

use crate::engine::planning::Planning;
use crate::engine::session::Session;
use crate::engine::{edge, errors};
use crate::error::Result;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use std::time::{Duration, Instant};

/// Longer than a client needs from one call to the next; `now()` is no older than this.
const KEPT_MAX: Duration = Duration::from_secs(1);

/// A query without open parameters, analysed: names and types are final.
#[derive(Debug, Clone)]
pub struct Planned {
    pub planning: Planning,
    pub plan: LogicalPlan,
    /// The columns that clients see.
    pub schema: SchemaRef,
    made_at: Instant,
}

impl Planned {
    /// Analyses a plan whose parameters are bound: type coercion may change the types of its columns.
    pub fn new(planning: Planning, plan: LogicalPlan) -> Result<Self> {
        let state = planning.state();
        let analysed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).map_err(errors::from_datafusion)?;
        let schema = edge::edge_schema(analysed.schema().as_arrow());
        Ok(Self { planning, plan: analysed, schema, made_at: Instant::now() })
    }

    /// Whether a run may begin with it: it would be planned the same way again. A plan that reads tables never is, for a
    /// statement sees its tables as they are when it runs.
    pub fn is_current(&self, session: &Session) -> bool {
        self.made_at.elapsed() <= KEPT_MAX && !self.planning.reads_tables() && self.planning.is_as_of(session)
    }
}
