//! From the order in which ratings arrived to their places in a matrix.

use crate::als::AlsError;

/// The arrival of the rating at each place of the [`Csr`](crate::als::Csr) built of the same ratings.
///
/// A `Csr` forgets the order of arrival; what else the caller has in that order (times, marks of its own split) is
/// brought to places with [`Self::at_places`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals {
    /// `arrivals[place]` is the number of the rating as it arrived.
    arrivals: Vec<u32>,
}

impl Arrivals {
    /// Takes what [`Csr::new`](crate::als::Csr::new) takes, in the same order.
    ///
    /// Ratings that are equal in user, item and value stand in the order of arrival.
    ///
    /// # Errors
    /// [`AlsError::Shape`] when the slices differ in length, a number is outside the matrix, or there are more ratings
    /// than a `u32` can number.
    ///
    /// # Cost
    /// Two counting sorts: O(ratings + rows + columns), and 8 bytes per rating while it works.
    pub fn new(n_rows: usize, n_columns: usize, rows: &[u32], columns: &[u32], values: &[f32]) -> Result<Self, AlsError> {
        if rows.len() != columns.len() || rows.len() != values.len() {
            return Err(AlsError::Shape { what: "rows, columns and ratings differ in number" });
        }
        if rows.len() > u32::MAX as usize {
            return Err(AlsError::Shape { what: "more than 4,294,967,295 ratings" });
        }
        if rows.iter().any(|row| *row as usize >= n_rows) || columns.iter().any(|column| *column as usize >= n_columns) {
            return Err(AlsError::Shape { what: "a user or item number is outside the matrix" });
        }
        let as_arrived: Vec<u32> = (0..rows.len()).map(|arrival| arrival as u32).collect();
        let by_column = counting_sort(n_columns, columns, &as_arrived);
        let mut arrivals = counting_sort(n_rows, rows, &by_column);
        drop(by_column);
        let pair = |arrival: &u32| (rows[*arrival as usize], columns[*arrival as usize]);
        for duplicates in arrivals.chunk_by_mut(|left, right| pair(left) == pair(right)) {
            duplicates.sort_by(|left, right| values[*left as usize].total_cmp(&values[*right as usize]));
        }
        Ok(Self { arrivals })
    }

    /// What arrived with the ratings, by place.
    ///
    /// # Errors
    /// [`AlsError::Shape`] when there are not as many as ratings.
    pub fn at_places<T: Copy>(&self, arrived: &[T]) -> Result<Vec<T>, AlsError> {
        if arrived.len() != self.arrivals.len() {
            return Err(AlsError::Shape { what: "what arrived with the ratings differs from them in number" });
        }
        Ok(self.arrivals.iter().map(|arrival| arrived[*arrival as usize]).collect())
    }

    /// The arrival of each place.
    pub fn as_slice(&self) -> &[u32] {
        &self.arrivals
    }
}

/// Sorts arrivals by their key, in stable order.
fn counting_sort(n_keys: usize, keys: &[u32], arrivals: &[u32]) -> Vec<u32> {
    let mut next = vec![0usize; n_keys + 1];
    for key in keys {
        next[*key as usize + 1] += 1;
    }
    for key in 0..n_keys {
        next[key + 1] += next[key];
    }
    let mut sorted = vec![0; arrivals.len()];
    for arrival in arrivals {
        let next = &mut next[keys[*arrival as usize] as usize];
        sorted[*next] = *arrival;
        *next += 1;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::als::Csr;
    use crate::random::Stream;

    #[test]
    fn what_does_not_fit_is_an_error() {
        for (rows, columns, values) in [(&[0][..], &[0, 1][..], &[1.0][..]), (&[0], &[0], &[]), (&[2], &[0], &[1.0]), (&[0], &[2], &[1.0])]
        {
            assert!(matches!(Arrivals::new(2, 2, rows, columns, values), Err(AlsError::Shape { .. })));
        }
        let arrivals = Arrivals::new(2, 2, &[0], &[0], &[1.0]).unwrap();
        assert!(matches!(arrivals.at_places(&[1, 2]), Err(AlsError::Shape { .. })));
        assert_eq!(Arrivals::new(0, 0, &[], &[], &[]).unwrap().as_slice(), []);
    }

    #[test]
    fn places_are_those_of_the_matrix() {
        let mut stream = Stream::new(1, 1);
        let mut draw = |n: u64, below: u64| -> Vec<u32> { (0..n).map(|_| (stream.next_u64() % below) as u32).collect() };
        // Many pairs more than once, with the same or another value.
        let (rows, columns) = (draw(2000, 30), draw(2000, 20));
        let values: Vec<f32> = draw(2000, 4).into_iter().map(|value| value as f32 - 1.0).collect();
        let ratings = Csr::new(30, 20, &rows, &columns, &values).unwrap();
        let arrivals = Arrivals::new(30, 20, &rows, &columns, &values).unwrap();
        let (rows, columns) = (arrivals.at_places(&rows).unwrap(), arrivals.at_places(&columns).unwrap());
        let values = arrivals.at_places(&values).unwrap();
        let expected: Vec<(u32, u32, f32)> = ratings.entries().collect();
        assert_eq!(
            rows.iter().zip(&columns).zip(&values).map(|((row, column), value)| (*row, *column, *value)).collect::<Vec<_>>(),
            expected
        );
        let mut sorted = arrivals.as_slice().to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..2000).collect::<Vec<_>>());
    }
}
