//! Ratings as a sparse matrix, row after row.

use super::AlsError;
use crate::memory::Buffer;

/// A sparse matrix in compressed rows; inside a row the entries are in the order (column, value).
///
/// Equal (row, column) pairs may occur: two ratings of the same item are two observations.
#[derive(Debug, Clone, PartialEq)]
pub struct Csr {
    n_columns: usize,
    /// Row `r` holds the entries `offsets[r]..offsets[r + 1]`.
    offsets: Vec<usize>,
    columns: Buffer<u32>,
    values: Buffer<f32>,
}

impl Csr {
    /// Builds the matrix from ratings in any order; two permutations of the same ratings build equal matrices.
    ///
    /// # Errors
    /// [`AlsError::NotFinite`] for a NaN or infinite rating, [`AlsError::Shape`] when the slices differ in
    /// length or an index is outside the matrix.
    ///
    /// # Cost
    /// Two counting sorts: O(ratings + rows + columns).
    pub fn new(n_rows: usize, n_columns: usize, rows: &[u32], columns: &[u32], values: &[f32]) -> Result<Self, AlsError> {
        if rows.len() != columns.len() || rows.len() != values.len() {
            return Err(AlsError::Shape { what: "rows, columns and ratings differ in number" });
        }
        // A u32 must be able to number rows, columns.
        if n_rows > u32::MAX as usize || n_columns > u32::MAX as usize {
            return Err(AlsError::Shape { what: "more than 4,294,967,295 users or items" });
        }
        for (place, ((row, column), value)) in rows.iter().zip(columns).zip(values).enumerate() {
            if !value.is_finite() {
                return Err(AlsError::NotFinite { place, row: *row, column: *column });
            }
            if *row as usize >= n_rows || *column as usize >= n_columns {
                return Err(AlsError::Shape { what: "a user or item number is outside the matrix" });
            }
        }
        // Sorted by column first; the transposition sorts by row and keeps that order inside a row.
        let entries = || rows.iter().zip(columns).zip(values).map(|((row, column), value)| (*row, *column, *value));
        let by_column = Self::group(n_columns, n_rows, columns, entries().map(|(row, column, value)| (column, row, value)));
        let mut matrix = by_column.transpose();
        matrix.order_duplicates();
        Ok(matrix)
    }

    /// Groups entries (key, column, value) by their keys, which are also given apart, in stable order.
    fn group(n_keys: usize, n_columns: usize, keys: &[u32], entries: impl Iterator<Item = (u32, u32, f32)>) -> Self {
        let mut offsets = vec![0usize; n_keys + 1];
        for key in keys {
            offsets[*key as usize + 1] += 1;
        }
        for key in 0..n_keys {
            offsets[key + 1] += offsets[key];
        }
        let mut next = offsets.clone();
        let (mut grouped_columns, mut grouped_values) = (Buffer::<u32>::zeroed(keys.len()), Buffer::<f32>::zeroed(keys.len()));
        for (key, column, value) in entries {
            let place = &mut next[key as usize];
            grouped_columns[*place] = column;
            grouped_values[*place] = value;
            *place += 1;
        }
        Self { n_columns, offsets, columns: grouped_columns, values: grouped_values }
    }

    /// Sorts the values of equal (row, column) pairs: otherwise they would keep the order of arrival.
    fn order_duplicates(&mut self) {
        let (columns, values) = (&*self.columns, &mut *self.values);
        for bounds in self.offsets.windows(2) {
            let (mut first, end) = (bounds[0], bounds[1]);
            while first < end {
                let mut last = first + 1;
                while last < end && columns[last] == columns[first] {
                    last += 1;
                }
                values[first..last].sort_by(f32::total_cmp);
                first = last;
            }
        }
    }

    /// Rows become columns. Entries inside a new row are in the order of the old rows.
    pub fn transpose(&self) -> Self {
        let entries = self.entries().map(|(row, column, value)| (column, row, value));
        Self::group(self.n_columns, self.n_rows(), &self.columns, entries)
    }

    /// The same ratings under other numbers: row `r` is the old row `rows[r]`, and the old column `c` is `columns[c]`.
    /// Entries inside a row keep their order.
    pub(super) fn renumbered(&self, rows: &[u32], columns: &[u32]) -> Self {
        let mut offsets = Vec::with_capacity(rows.len() + 1);
        offsets.push(0);
        let (mut new_columns, mut values) = (Buffer::<u32>::zeroed(self.n_ratings()), Buffer::<f32>::zeroed(self.n_ratings()));
        let mut end = 0;
        for row in rows {
            let (old_columns, old_values) = self.row(*row as usize);
            let place = end..end + old_values.len();
            end = place.end;
            new_columns[place.clone()].iter_mut().zip(old_columns).for_each(|(new, old)| *new = columns[*old as usize]);
            values[place].copy_from_slice(old_values);
            offsets.push(end);
        }
        Self { n_columns: self.n_columns, offsets, columns: new_columns, values }
    }

    /// Keeps the entries whose place (row after row, from 0) is wanted. The shape stays.
    pub fn filter(&self, mut is_wanted: impl FnMut(usize) -> bool) -> Self {
        let mut offsets = vec![0];
        offsets.reserve(self.n_rows());
        let (mut columns, mut values) = (Buffer::zeroed(self.n_ratings()), Buffer::zeroed(self.n_ratings()));
        let mut n_kept = 0;
        for row in 0..self.n_rows() {
            for place in self.offsets[row]..self.offsets[row + 1] {
                if is_wanted(place) {
                    columns[n_kept] = self.columns[place];
                    values[n_kept] = self.values[place];
                    n_kept += 1;
                }
            }
            offsets.push(n_kept);
        }
        columns.truncate(n_kept);
        values.truncate(n_kept);
        Self { n_columns: self.n_columns, offsets, columns, values }
    }

    /// The number of rows, also the empty ones.
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of columns, also the empty ones.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// The number of ratings.
    pub fn n_ratings(&self) -> usize {
        self.columns.len()
    }

    /// The columns and values of a row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// The number of ratings in a row.
    pub fn row_len(&self, row: usize) -> usize {
        self.offsets[row + 1] - self.offsets[row]
    }

    /// The columns of all entries, row after row.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All entries as (row, column, value), row after row.
    pub fn entries(&self) -> impl Iterator<Item = (u32, u32, f32)> + '_ {
        (0..self.n_rows()).flat_map(move |row| {
            let (columns, values) = self.row(row);
            columns.iter().zip(values).map(move |(column, value)| (row as u32, *column, *value))
        })
    }
}
