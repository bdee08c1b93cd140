//! Rows out of delimited records that come one by one: the messages of a topic.

use super::splitter::{Record, Splitter, Step};
use crate::error::Result;
use crate::tables::hive::column::{BadText, ColumnBuilder, RowMisfit, TimestampText, shorten, sql_type};
use crate::tables::hive::format::TextOptions;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::FieldRef;

/// Columns out of records, by position.
#[derive(Debug)]
pub(crate) struct TextRows {
    fields: Vec<FieldRef>,
    columns: Vec<ColumnBuilder>,
    splitter: Splitter,
    record: Record,
    null_text: Vec<u8>,
    misfit_is_null: bool,
    n_nulled: usize,
}

impl TextRows {
    /// Rows with the given columns; `options.bad_field_is_null`: a field that does not fit becomes NULL and is counted.
    pub(crate) fn new(fields: Vec<FieldRef>, options: &TextOptions) -> Result<Self> {
        let timestamps = match &options.timestamp_format {
            Some(pattern) => TimestampText::Pattern(pattern.clone()),
            None => TimestampText::Iso,
        };
        Ok(Self {
            columns: fields.iter().map(|field| ColumnBuilder::new(field, &timestamps, "CSV")).collect::<Result<_>>()?,
            fields,
            splitter: Splitter::new(options),
            record: Record::default(),
            null_text: options.null_text.clone().into_bytes(),
            misfit_is_null: options.bad_field_is_null,
            n_nulled: 0,
        })
    }

    /// Appends the one record of `text`.
    pub(crate) fn push(&mut self, text: &[u8]) -> Result<(), RowMisfit> {
        let broken = |why: &str| Err(RowMisfit::Broken(why.to_string()));
        match self.splitter.next(text, true, &mut self.record) {
            Step::Record { bytes } if bytes == text.len() => {}
            Step::Record { .. } => return broken("more text follows the record"),
            Step::Skipped { .. } | Step::End => return broken("the record is empty"),
            Step::More => return broken("the record does not end"),
            Step::Broken(why) => return broken(why),
        }
        if self.record.len() != self.columns.len() {
            return Err(RowMisfit::Broken(format!("the record has {} fields, not {}", self.record.len(), self.columns.len())));
        }
        let mut misfit = None;
        for (idx, (column, field)) in self.columns.iter_mut().zip(&self.fields).enumerate() {
            if misfit.is_some() {
                column.append_null();
                continue;
            }
            if self.record.raw(text, idx) == self.null_text {
                column.append_null();
                if !field.is_nullable() {
                    misfit = Some(format!("column \"{}\" is NOT NULL and has no value", field.name()));
                }
                continue;
            }
            let value = self.record.field(text, idx);
            let Err(bad) = column.append(value) else { continue };
            column.append_null();
            if self.misfit_is_null && field.is_nullable() {
                self.n_nulled += 1;
                continue;
            }
            let (name, value) = (field.name(), shorten(value));
            misfit = Some(match bad {
                BadText::Value => format!("column \"{name}\" is \"{value}\", not of type {}", sql_type(field.data_type())),
                BadText::Utf8 => format!("column \"{name}\" is not valid UTF-8: \"{value}\""),
            });
        }
        misfit.map_or(Ok(()), |misfit| Err(RowMisfit::Value(misfit)))
    }

    /// The columns so far, rows without meaning among them.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        Ok(self.columns.iter_mut().map(ColumnBuilder::finish).collect())
    }

    /// How many fields became NULL since the last call.
    pub(crate) fn take_nulled(&mut self) -> usize {
        std::mem::take(&mut self.n_nulled)
    }
}
