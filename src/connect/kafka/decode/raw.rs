//! Payloads as they are, in one column.

use crate::error::{Code, Error, Result};
use crate::tables::hive::{ColumnBuilder, RowMisfit, TimestampText, sql_type};
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::FieldRef;

/// The one column of payloads.
pub(super) struct RawRows {
    column: ColumnBuilder,
    field: FieldRef,
    misfit_is_null: bool,
    n_nulled: usize,
}

impl RawRows {
    pub(super) fn new(fields: &[FieldRef], misfit_is_null: bool) -> Result<Self> {
        let [field] = fields else {
            let what = format!("the format \"raw\" feeds one column, not {}", fields.len());
            return Err(Error::new(Code::InvalidParameter, what)
                .hint("Declare one column of type STRING or BINARY; others may be METADATA FROM the record."));
        };
        let column = ColumnBuilder::new(field, &TimestampText::Iso, "raw")?;
        Ok(Self { column, field: FieldRef::clone(field), misfit_is_null, n_nulled: 0 })
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), RowMisfit> {
        if self.column.append(payload).is_ok() {
            return Ok(());
        }
        if self.misfit_is_null && self.field.is_nullable() {
            self.n_nulled += 1;
            self.column.append_null();
            return Ok(());
        }
        let what = format!("the payload is not of type {}", sql_type(self.field.data_type()));
        Err(RowMisfit::Broken(what))
    }

    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        vec![self.column.finish()]
    }

    pub(super) fn take_nulled(&mut self) -> usize {
        std::mem::take(&mut self.n_nulled)
    }
}
