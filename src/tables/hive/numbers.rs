//! Values of one primitive type, one appended after the other.

use datafusion::arrow::array::{ArrowPrimitiveType, NullBufferBuilder, PrimitiveArray};
use datafusion::arrow::datatypes::DataType;

/// What arrow's `PrimitiveBuilder` does. Its `append_value` is not inlined where many types meet in one `match`, and a stream
/// calls it a dozen times for each record.
#[derive(Debug)]
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
    data_type: DataType,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// No values yet. `data_type`: one that `T` stands for (its time zone, for instance).
    pub(crate) fn new(data_type: &DataType) -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0), data_type: data_type.clone() }
    }

    #[inline(always)]
    pub(crate) fn append_value(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    pub(crate) fn append_null(&mut self) {
        self.values.push(T::default_value());
        self.nulls.append_null();
    }

    #[inline(always)]
    pub(crate) fn append_option(&mut self, value: Option<T::Native>) {
        match value {
            Some(value) => self.append_value(value),
            None => self.append_null(),
        }
    }

    /// The array. What follows has room for as many: most batches are as long as the one before, and growing step by step copies
    /// all of it once more.
    pub(crate) fn finish(&mut self) -> PrimitiveArray<T> {
        let room = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, room);
        PrimitiveArray::new(values.into(), self.nulls.finish()).with_data_type(self.data_type.clone())
    }
}
