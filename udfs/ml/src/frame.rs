//! The features of rows, column by column: what the learners of tables read.

use crate::error::LearnError;

/// The code of a missing category.
pub const MISSING: u32 = u32::MAX;

/// The values of one feature.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// NaN is a missing value.
    Numeric(Vec<f64>),
    /// Codes below `n_categories`; [`MISSING`] is a missing value. In training, smaller codes are more frequent.
    Categorical { codes: Vec<u32>, n_categories: u32 },
}

impl Column {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numeric(values) => values.len(),
            Self::Categorical { codes, .. } => codes.len(),
        }
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Columns of equal length.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    n_rows: usize,
    columns: Vec<Column>,
}

impl Frame {
    /// Puts columns together.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when they differ in length, a code is not below its number of categories, or a
    /// number is infinite.
    pub fn new(n_rows: usize, columns: Vec<Column>) -> Result<Self, LearnError> {
        for column in &columns {
            if column.len() != n_rows {
                return Err(LearnError::Shape { what: "columns differ in length" });
            }
            match column {
                Column::Numeric(values) if values.iter().any(|value| value.is_infinite()) => {
                    return Err(LearnError::Shape { what: "a feature is infinite" });
                }
                Column::Categorical { codes, n_categories } if codes.iter().any(|code| code >= n_categories && *code != MISSING) => {
                    return Err(LearnError::Shape { what: "a category is outside its column's" });
                }
                _ => {}
            }
        }
        Ok(Self { n_rows, columns })
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The features.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows at these places, in this order; a place may occur more than once.
    pub fn take(&self, places: &[u32]) -> Self {
        let columns = self.columns.iter().map(|column| match column {
            Column::Numeric(values) => Column::Numeric(places.iter().map(|place| values[*place as usize]).collect()),
            Column::Categorical { codes, n_categories } => {
                let codes = places.iter().map(|place| codes[*place as usize]).collect();
                Column::Categorical { codes, n_categories: *n_categories }
            }
        });
        Self { n_rows: places.len(), columns: columns.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_do_not_fit_are_refused() {
        let check = |columns: Vec<Column>, expected: &str| match Frame::new(2, columns) {
            Err(LearnError::Shape { what }) => assert_eq!(what, expected),
            other => panic!("{other:?}"),
        };
        check(vec![Column::Numeric(vec![1.0])], "columns differ in length");
        check(vec![Column::Numeric(vec![1.0, f64::INFINITY])], "a feature is infinite");
        check(vec![Column::Categorical { codes: vec![0, 2], n_categories: 2 }], "a category is outside its column's");
        assert!(Frame::new(2, vec![Column::Numeric(vec![1.0, f64::NAN])]).is_ok());
    }

    #[test]
    fn rows_are_taken_by_place() {
        let columns = vec![Column::Numeric(vec![1.0, 2.0, 3.0]), Column::Categorical { codes: vec![0, MISSING, 1], n_categories: 2 }];
        let taken = Frame::new(3, columns).unwrap().take(&[2, 1, 2]);
        assert_eq!(taken.columns()[0], Column::Numeric(vec![3.0, 2.0, 3.0]));
        assert_eq!(taken.columns()[1], Column::Categorical { codes: vec![1, MISSING, 1], n_categories: 2 });
    }
}
