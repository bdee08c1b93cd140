//! The query engine's set-up: memory, disk, settings that keep results right.

use crate::catalog::CATALOG;
use crate::error::{Code, Error, Result};
use crate::storage::Storage;
use datafusion::common::config::ConfigOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionConfig;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Limits of the query engine.
#[derive(Debug, Clone)]
pub struct EngineLimits {
    pub memory_bytes: usize,
    pub spill_directory: PathBuf,
    pub spill_bytes_max: u64,
    pub parallelism: usize,
    pub planning_timeout: Duration,
}

/// Bytes of decoded Parquet metadata that are kept.
const METADATA_CACHE_BYTES: usize = 256 * 1024 * 1024;

/// The engine's memory pool, disk manager and stores. The spill directory is wiped: it is ours alone.
pub fn runtime_env(limits: &EngineLimits, storage: &Arc<Storage>) -> Result<Arc<RuntimeEnv>> {
    let directory = &limits.spill_directory;
    let io =
        |error: std::io::Error| Error::new(Code::Io, format!("could not prepare the spill directory \"{}\": {error}", directory.display()));
    if directory.exists() {
        std::fs::remove_dir_all(directory).map_err(io)?;
    }
    std::fs::create_dir_all(directory).map_err(io)?;
    let top = NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(FairSpillPool::new(limits.memory_bytes), top)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::Directories(vec![directory.clone()]))
                .with_max_temp_directory_size(limits.spill_bytes_max),
        )
        // The list cache never forgets: new files would stay invisible.
        .with_object_list_cache_limit(0)
        .with_metadata_cache_limit(METADATA_CACHE_BYTES)
        .with_object_store_registry(storage.registry())
        .build_arc()
        .map_err(super::errors::from_datafusion)
}

/// The settings of every session. `ARCHITECTURE.md` and the tests in `tests/slt/traps` say why.
pub fn session_config(limits: &EngineLimits) -> SessionConfig {
    let mut options = ConfigOptions::new();
    options.catalog.create_default_catalog_and_schema = false;
    options.catalog.default_catalog = CATALOG.into();
    options.catalog.default_schema = "public".into();
    options.catalog.information_schema = false; // Ours is in `information_schema`.
    options.sql_parser.enable_ident_normalization = false; // `names` resolves without regard to case.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.support_varchar_with_length = true;
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.pushdown_filters = false; // Wrong rows with ORDER BY and LIMIT.
    options.execution.time_zone = Some("UTC".into());
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false; // Wrong minimum over several files.
    options.optimizer.prefer_hash_join = true;
    options.execution.target_partitions = limits.parallelism;
    SessionConfig::from(options)
}

/// The state from which every statement's state is cloned.
pub fn base_state(limits: &EngineLimits, runtime: Arc<RuntimeEnv>) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new()
        .with_config(session_config(limits))
        .with_runtime_env(runtime)
        .with_default_features()
        .with_catalog_list(Arc::new(super::statement_catalog::StatementCatalogs))
        .with_type_planner(Arc::new(super::types::WeirTypePlanner))
        .with_optimizer_rule(Arc::new(super::repeated_keys::NoRepeatedKeys))
        .with_physical_optimizer_rules(super::volatile::physical_rules())
        .with_physical_optimizer_rule(Arc::new(super::nested_loop_join::SingleNestedLoopJoin))
        .build();
    weir_functions::register_all(&mut state).map_err(super::errors::from_datafusion)?;
    for (name, function) in weir_functions::table_functions() {
        state.register_udtf(name, function);
    }
    Ok(state)
}
