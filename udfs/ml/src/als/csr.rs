//! Ratings as a sparse matrix, row after row.

use super::AlsError;
use crate::memory::{Buffer, prefetch};
use std::ops::Range;

/// Entries ahead of the one that is placed whose places are fetched.
const AHEAD: usize = 16;
/// The sign of a number among its bits.
const SIGN: u32 = 1 << 31;

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
    /// A counting sort by row, and sorting inside the rows: O(rows + ratings·log(ratings of a row)). Two counting sorts, by column
    /// and by row, take longer: each writes to as many places at once as there are columns and rows, and the first is a copy more.
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
        let entries = rows.iter().zip(columns).zip(values).map(|((row, column), value)| (*row, *column, *value));
        let mut matrix = Self::group(n_rows, n_columns, rows, entries);
        matrix.sort_rows();
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
        for (at, (key, column, value)) in entries.enumerate() {
            // Each entry goes anywhere: its cache lines are on their way before it comes.
            if let Some(key) = keys.get(at + 2 * AHEAD) {
                prefetch(&next, *key as usize);
            }
            if let Some(key) = keys.get(at + AHEAD) {
                let place = next[*key as usize];
                prefetch(&grouped_columns, place);
                prefetch(&grouped_values, place);
            }
            let place = &mut next[key as usize];
            grouped_columns[*place] = column;
            grouped_values[*place] = value;
            *place += 1;
        }
        Self { n_columns, offsets, columns: grouped_columns, values: grouped_values }
    }

    /// Sorts each row by column, and equal columns by value: otherwise they would keep the order of arrival.
    fn sort_rows(&mut self) {
        let mut keys: Vec<u64> = Vec::new();
        for bounds in self.offsets.windows(2) {
            let (columns, values) = (&mut self.columns[bounds[0]..bounds[1]], &mut self.values[bounds[0]..bounds[1]]);
            keys.clear();
            keys.extend(columns.iter().zip(&*values).map(|(column, value)| u64::from(*column) << 32 | u64::from(ordered_bits(*value))));
            keys.sort_unstable();
            for (key, (column, value)) in keys.iter().zip(columns.iter_mut().zip(values)) {
                (*column, *value) = ((key >> 32) as u32, of_ordered_bits(*key as u32));
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

    /// The places of the ratings of some rows among [`Self::columns`] and [`Self::values`].
    pub fn places(&self, rows: Range<usize>) -> Range<usize> {
        self.offsets[rows.start]..self.offsets[rows.end]
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

/// The bits of a number such that their order is that of [`f32::total_cmp`].
fn ordered_bits(value: f32) -> u32 {
    let bits = value.to_bits();
    if value.is_sign_negative() { !bits } else { bits ^ SIGN }
}

/// The number of such bits.
fn of_ordered_bits(bits: u32) -> f32 {
    f32::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_ordered_as_their_numbers_and_lead_back_to_them() {
        let numbers = [f32::MIN, -2.5, -1.0, -f32::MIN_POSITIVE, -1e-45, -0.0, 0.0, 1e-45, 0.5, 1.0, f32::MAX];
        assert!(numbers.map(ordered_bits).is_sorted_by(|left, right| left < right));
        assert_eq!(numbers.map(|number| of_ordered_bits(ordered_bits(number)).to_bits()), numbers.map(f32::to_bits));
    }

    #[test]
    fn rows_are_sorted_by_column_and_then_value() {
        let (rows, columns) = ([1, 0, 1, 1, 1, 2, 1], [7, 3, 7, 0, 7, 7, 2]);
        let values = [0.0, 1.0, -0.0, 5.0, -3.0, 2.0, -1.0];
        let matrix = Csr::new(4, 8, &rows, &columns, &values).unwrap();
        let entries: Vec<(u32, u32, u32)> = matrix.entries().map(|(row, column, value)| (row, column, f32::to_bits(value))).collect();
        let expected = [(0, 3, 1.0), (1, 0, 5.0), (1, 2, -1.0), (1, 7, -3.0), (1, 7, -0.0), (1, 7, 0.0), (2, 7, 2.0)];
        assert_eq!(entries, expected.map(|(row, column, value)| (row, column, f32::to_bits(value))));
    }
}
