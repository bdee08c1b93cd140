//! Values in the tables that Spark writes: numbers, lists, and its vectors and matrices as structs.

use super::directory::{Table, damaged};
use crate::error::{Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, MapArray, StructArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int32Type};

/// A feature, and the index of each of its values.
pub(super) type CategoryMap = (usize, Vec<(f64, f64)>);

/// A matrix of Spark, row by row here.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dense {
    pub n_rows: usize,
    pub n_columns: usize,
    pub values: Vec<f64>,
}

impl Table {
    /// The error for something in it that is not as Spark writes it.
    pub fn wrong(&self, detail: &str) -> Error {
        damaged(&self.file, detail)
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Result<&ArrayRef> {
        self.rows.column_by_name(name).ok_or_else(|| {
            let names: Vec<&str> = self.rows.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
            self.wrong(&format!("It has no column \"{name}\"; its columns are {}.", names.join(", ")))
        })
    }

    /// Whether there is a column of this name.
    pub fn has(&self, name: &str) -> bool {
        self.rows.column_by_name(name).is_some()
    }

    /// Fails unless there is one row.
    pub fn one_row(&self) -> Result<()> {
        if self.rows.num_rows() == 1 { Ok(()) } else { Err(self.wrong(&format!("It has {} rows instead of one.", self.rows.num_rows()))) }
    }

    fn not(&self, name: &str, expected: &str) -> Error {
        self.wrong(&format!("Its column \"{name}\" is not {expected}."))
    }

    /// A column of numbers of any kind, without NULL.
    pub fn numbers(&self, name: &str) -> Result<Float64Array> {
        numbers(self.column(name)?).ok_or_else(|| self.not(name, "of numbers"))
    }

    /// A column of integers, without NULL.
    pub fn integers(&self, name: &str) -> Result<Int32Array> {
        integers(self.column(name)?).ok_or_else(|| self.not(name, "of integers"))
    }

    /// The number in the only row.
    pub fn number(&self, name: &str) -> Result<f64> {
        self.one_row()?;
        Ok(self.numbers(name)?.value(0))
    }

    /// The flag in the only row.
    pub fn flag(&self, name: &str) -> Result<bool> {
        self.one_row()?;
        let flags: Option<&BooleanArray> = self.column(name)?.as_boolean_opt();
        flags.filter(|flags| flags.null_count() == 0).map(|flags| flags.value(0)).ok_or_else(|| self.not(name, "TRUE or FALSE"))
    }

    /// The vectors of a column, NULL refused; also lists of numbers.
    pub fn vectors(&self, name: &str) -> Result<Vec<Vec<f64>>> {
        let column = self.column(name)?;
        (0..column.len()).map(|row| vector(column, row).ok_or_else(|| self.not(name, "of vectors"))).collect()
    }

    /// The vector in the only row.
    pub fn vector(&self, name: &str) -> Result<Vec<f64>> {
        self.one_row()?;
        self.vectors(name)?.pop().ok_or_else(|| self.not(name, "a vector"))
    }

    /// The matrix in the only row.
    pub fn matrix(&self, name: &str) -> Result<Dense> {
        self.one_row()?;
        self.column(name)?.as_struct_opt().and_then(|matrices| matrix(matrices, 0)).ok_or_else(|| self.not(name, "a matrix"))
    }

    /// The texts in the only row.
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        self.one_row()?;
        list(self.column(name)?, 0).and_then(|list| texts(&list)).ok_or_else(|| self.not(name, "a list of texts"))
    }

    /// The lists of texts in the only row.
    pub fn text_lists(&self, name: &str) -> Result<Vec<Vec<String>>> {
        self.one_row()?;
        let lists = list(self.column(name)?, 0).ok_or_else(|| self.not(name, "a list of lists of texts"))?;
        let of = |place: usize| list(&lists, place).and_then(|list| texts(&list));
        (0..lists.len()).map(|place| of(place).ok_or_else(|| self.not(name, "a list of lists of texts"))).collect()
    }

    /// The categories of features, by feature, in the only row: a map from the feature to a map from values to indices.
    pub fn category_maps(&self, name: &str) -> Result<Vec<CategoryMap>> {
        self.one_row()?;
        category_maps(self.column(name)?).ok_or_else(|| self.not(name, "a map of maps of numbers"))
    }
}

/// A field of a struct column.
pub(super) fn field<'a>(column: &'a ArrayRef, name: &str) -> Option<&'a ArrayRef> {
    column.as_struct_opt()?.column_by_name(name)
}

/// Numbers of any kind, without NULL.
pub(super) fn numbers(column: &ArrayRef) -> Option<Float64Array> {
    let is_numeric = column.data_type().is_numeric() && column.null_count() == 0;
    is_numeric.then(|| cast(column, &DataType::Float64).ok()).flatten().map(|column| column.as_primitive::<Float64Type>().clone())
}

/// Integers, without NULL.
pub(super) fn integers(column: &ArrayRef) -> Option<Int32Array> {
    let column = column.data_type().is_integer().then(|| cast(column, &DataType::Int32).ok()).flatten()?;
    (column.null_count() == 0).then(|| column.as_primitive::<Int32Type>().clone())
}

/// The values of a list in one row; `None` for NULL and other types.
pub(super) fn list(column: &ArrayRef, row: usize) -> Option<ArrayRef> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::List(_) => Some(column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => Some(column.as_fixed_size_list().value(row)),
        _ => None,
    }
}

/// The numbers of a list in one row.
pub(super) fn number_list(column: &ArrayRef, row: usize) -> Option<Vec<f64>> {
    Some(numbers(&list(column, row)?)?.values().to_vec())
}

fn texts(column: &ArrayRef) -> Option<Vec<String>> {
    let column = matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        .then(|| cast(column, &DataType::Utf8).ok())
        .flatten()?;
    column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

/// One row as a vector: a list of numbers, or Spark's struct (type 0 sparse: size, indices, values; 1 dense).
pub(super) fn vector(column: &ArrayRef, row: usize) -> Option<Vec<f64>> {
    let Some(parts) = column.as_struct_opt() else { return number_list(column, row) };
    if parts.is_null(row) {
        return None;
    }
    let kind = integers(&parts.column_by_name("type")?.slice(row, 1))?.value(0);
    let values = number_list(parts.column_by_name("values")?, row)?;
    if kind == 1 {
        return Some(values);
    }
    let size = usize::try_from(integers(&parts.column_by_name("size")?.slice(row, 1))?.value(0)).ok()?;
    let indices = integers(&list(parts.column_by_name("indices")?, row)?)?;
    if size > super::FEATURES_MAX || indices.len() != values.len() {
        return None;
    }
    let mut dense = vec![0.0; size];
    for (index, value) in indices.values().iter().zip(values) {
        *dense.get_mut(usize::try_from(*index).ok()?)? = value;
    }
    Some(dense)
}

/// Spark's struct of a matrix: type 0 sparse (compressed columns, or rows when transposed), 1 dense (by columns, or
/// by rows when transposed).
fn matrix(parts: &StructArray, row: usize) -> Option<Dense> {
    let part = |name: &str| parts.column_by_name(name);
    let integer = |name: &str| usize::try_from(integers(&part(name)?.slice(row, 1))?.value(0)).ok();
    let (kind, n_rows, n_columns) = (integer("type")?, integer("numRows")?, integer("numCols")?);
    let values = number_list(part("values")?, row)?;
    let is_transposed = part("isTransposed")?.as_boolean_opt()?.value(row);
    let n_values = n_rows.checked_mul(n_columns).filter(|n| *n <= super::FEATURES_MAX)?;
    let mut dense = vec![0.0; n_values];
    // The long side of the storage, and the place of an entry of it.
    let n_major = if is_transposed { n_rows } else { n_columns };
    let n_minor = if is_transposed { n_columns } else { n_rows };
    let place = |major: usize, minor: usize| if is_transposed { major * n_columns + minor } else { minor * n_columns + major };
    if kind == 1 {
        if values.len() != n_values {
            return None;
        }
        for (at, value) in values.into_iter().enumerate() {
            dense[place(at / n_minor, at % n_minor)] = value;
        }
    } else {
        let pointers = integers(&list(part("colPtrs")?, row)?)?;
        let indices = integers(&list(part("rowIndices")?, row)?)?;
        if pointers.len() != n_major + 1 || indices.len() != values.len() {
            return None;
        }
        for major in 0..n_major {
            let range = usize::try_from(pointers.value(major)).ok()?..usize::try_from(pointers.value(major + 1)).ok()?;
            for at in range {
                let minor = usize::try_from(*indices.values().get(at)?).ok().filter(|minor| *minor < n_minor)?;
                dense[place(major, minor)] = values[at];
            }
        }
    }
    Some(Dense { n_rows, n_columns, values: dense })
}

fn category_maps(column: &ArrayRef) -> Option<Vec<CategoryMap>> {
    let features: &MapArray = column.as_map_opt()?;
    if features.is_null(0) {
        return None;
    }
    let entries = features.value(0);
    let keys = integers(entries.column(0))?;
    let maps: &MapArray = entries.column(1).as_map_opt()?;
    let of = |place: usize| {
        let entries = maps.value(place);
        let (values, indices) = (numbers(entries.column(0))?, numbers(entries.column(1))?);
        let feature = usize::try_from(keys.value(place)).ok()?;
        Some((feature, values.values().iter().copied().zip(indices.values().iter().copied()).collect()))
    };
    (maps.null_count() == 0).then(|| (0..keys.len()).map(of).collect()).flatten()
}
