//! How many bytes the rows of a batch need, and cutting batches to a size, without copying.

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::DataType;

/// Cuts a batch into the longest runs of rows of at most `bytes_max` each; a run has at least one row.
pub(super) fn slices(batch: &RecordBatch, bytes_max: usize) -> Vec<RecordBatch> {
    let mut slices = Vec::new();
    let mut offset = 0;
    while offset < batch.num_rows() {
        let length = longest_run(batch, offset, bytes_max);
        slices.push(batch.slice(offset, length));
        offset += length;
    }
    slices
}

/// The most rows from `offset` that fit, by bisection: the bytes grow with the rows.
fn longest_run(batch: &RecordBatch, offset: usize, bytes_max: usize) -> usize {
    let fits = |length: usize| batch.columns().iter().map(|array| bytes(array.as_ref(), offset, length)).sum::<usize>() <= bytes_max;
    let rest = batch.num_rows() - offset;
    if fits(rest) {
        return rest;
    }
    let (mut fitting, mut too_long) = (1, rest);
    while too_long - fitting > 1 {
        let middle = fitting + (too_long - fitting) / 2;
        if fits(middle) {
            fitting = middle;
        } else {
            too_long = middle;
        }
    }
    fitting
}

/// The bytes of `length` rows from `offset`, as they will be written: shared buffers count only the part in use.
fn bytes(array: &dyn Array, offset: usize, length: usize) -> usize {
    let validity = if array.nulls().is_some() { length.div_ceil(8) } else { 0 };
    let values = match array.data_type() {
        DataType::Boolean => length.div_ceil(8),
        DataType::Utf8 => range(array.as_string::<i32>().value_offsets(), offset, length).1 + 4 * length,
        DataType::Binary => range(array.as_binary::<i32>().value_offsets(), offset, length).1 + 4 * length,
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (start, count) = range(list.value_offsets(), offset, length);
            bytes(list.values().as_ref(), start, count) + 4 * length
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let (start, count) = range(list.value_offsets(), offset, length);
            bytes(list.values().as_ref(), start, count) + 8 * length
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let (start, count) = range(map.value_offsets(), offset, length);
            bytes(map.entries(), start, count) + 4 * length
        }
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            bytes(array.as_fixed_size_list().values().as_ref(), offset * size, length * size)
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| bytes(column.as_ref(), offset, length)).sum(),
        // The edge has no other variable types; 16 bytes is the widest fixed one.
        other => other.primitive_width().unwrap_or(16) * length,
    };
    validity + values
}

/// Start and count of the child rows behind `length` rows from `offset`.
fn range<O: Copy + TryInto<usize>>(offsets: &[O], offset: usize, length: usize) -> (usize, usize) {
    let at = |index: usize| offsets.get(index).and_then(|value| (*value).try_into().ok()).unwrap_or(0);
    let start = at(offset);
    (start, at(offset + length).saturating_sub(start))
}
