use std::sync::Arc;
use crate::error::Result;
use datafusion::physical_plan::ExecutionPlan;
pub fn copy_plan(_s: &Arc<crate::storage::Storage>, _l: &crate::storage::Location, _f: &super::Format, _p: &[String], _i: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> { todo!() }
pub fn recover_directory(_d: &std::path::Path) -> Result<()> { Ok(()) }
pub fn partition_segment(_c: &str, _v: Option<&str>) -> String { todo!() }
