//! Rows of text and numbers, by column name: a table sets what it knows, the rest is NULL.

use datafusion::arrow::array::{ArrayRef, Int32Builder, RecordBatch, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use std::sync::Arc;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
}

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    Number(i32),
    Null,
}

impl From<Option<i32>> for Cell<'_> {
    fn from(number: Option<i32>) -> Self {
        number.map_or(Cell::Null, Cell::Number)
    }
}

enum Column {
    Text(StringBuilder),
    Number(Int32Builder),
}

/// The rows of one table while they are made.
pub(super) struct Rows {
    schema: Schema,
    columns: Vec<Column>,
}

impl Rows {
    pub(super) fn new(columns: &[(&'static str, Kind)]) -> Self {
        let field = |(name, kind): &(&'static str, Kind)| {
            let data_type = match kind {
                Kind::Text => DataType::Utf8,
                Kind::Number => DataType::Int32,
            };
            Field::new(*name, data_type, true)
        };
        let builder = |(_, kind): &(&'static str, Kind)| match kind {
            Kind::Text => Column::Text(StringBuilder::new()),
            Kind::Number => Column::Number(Int32Builder::new()),
        };
        Self { schema: Schema::new(columns.iter().map(field).collect::<Vec<_>>()), columns: columns.iter().map(builder).collect() }
    }

    /// Adds a row; a column that `cells` does not name is NULL.
    pub(super) fn push(&mut self, cells: &[(&str, Cell)]) {
        debug_assert!(cells.iter().all(|(name, _)| self.schema.index_of(name).is_ok()), "{cells:?} names an unknown column");
        for (field, column) in self.schema.fields().iter().zip(&mut self.columns) {
            let cell = cells.iter().find(|(name, _)| name == field.name()).map_or(Cell::Null, |(_, cell)| *cell);
            match (column, cell) {
                (Column::Text(texts), Cell::Text(text)) => texts.append_value(text),
                (Column::Text(texts), Cell::Number(number)) => texts.append_value(number.to_string()),
                (Column::Text(texts), Cell::Null) => texts.append_null(),
                (Column::Number(numbers), Cell::Number(number)) => numbers.append_value(number),
                (Column::Number(numbers), Cell::Text(_) | Cell::Null) => numbers.append_null(),
            }
        }
    }

    pub(super) fn finish(self) -> Result<Arc<dyn TableProvider>> {
        let schema = Arc::new(self.schema);
        let arrays = self
            .columns
            .into_iter()
            .map(|column| -> ArrayRef {
                match column {
                    Column::Text(mut texts) => Arc::new(texts.finish()),
                    Column::Number(mut numbers) => Arc::new(numbers.finish()),
                }
            })
            .collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
    }
}
