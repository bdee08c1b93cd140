//! The design of a linear model: how the features of a [`Frame`] become columns of numbers.
//!
//! A [`DesignSpec`] is learned from the training part only and kept with the model. Numeric features come
//! first, one column each; then every categorical feature has a block of 0/1 columns, of which at most one
//! is 1 in a row. A [`Design`] uses that: it holds a row as its numbers and, per block, the place of its 1,
//! so that sums over rows cost what the frame has in features and not what the design has in columns.

use crate::control::Control;
use crate::error::LearnError;
use crate::frame::{Column, Frame, MISSING};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The most columns of a design: the Gram matrix of 4,096 columns takes 128 MiB.
pub const COLUMNS_MAX: usize = 4_096;

/// Rows that are encoded together.
const ROWS_PER_TILE: usize = 512;

/// Which categories get a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Levels {
    /// Each one that training saw: for regularised models, where no category should be special.
    All,
    /// Each but the most frequent one (ties: the smaller code): without regularisation, the columns of a
    /// block and the intercept would determine each other. The coefficients compare with that category.
    DropMostFrequent,
}

/// How a design is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DesignOptions {
    pub levels: Levels,
    /// Whether numeric columns are shifted to mean 0 and scaled to standard deviation 1 (that of the whole, not
    /// of a sample). The 0/1 columns stay as they are.
    pub standardise: bool,
}

/// How the features of a frame become the columns of a design.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesignSpec {
    features: Vec<Encoding>,
    n_numeric: usize,
    n_columns: usize,
    standardised: bool,
}

/// How one feature is encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Encoding {
    /// The feature has one value (or none) in all rows of training, so that nothing can be learned from it.
    Dropped { is_numeric: bool, n_missing: u64 },
    /// One column; a missing value becomes `mean`.
    Numeric { column: u32, mean: f64, scale: f64, n_missing: u64 },
    /// A block of 0/1 columns: the column of each code, [`NO_COLUMN`] for those without (dropped or not
    /// seen in training), and the column of missing values, when training had some.
    OneHot { columns: Vec<u32>, missing: u32, n_missing: u64 },
}

/// The place of a category without a column.
pub const NO_COLUMN: u32 = u32::MAX;

/// What a column of a design stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// The number of the feature in the frame.
    pub feature: u32,
    pub category: Category,
}

/// The part of a feature that a column stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Category {
    /// A numeric feature as it is.
    Number,
    /// 1 where the feature has this code.
    Code(u32),
    /// 1 where the feature is missing.
    Missing,
}

impl DesignSpec {
    /// Learns how to encode the features of `frame`.
    ///
    /// # Errors
    /// [`LearnError::Empty`] without rows, [`LearnError::NoFeature`] when all features are constant,
    /// [`LearnError::Parameter`] for more than [`COLUMNS_MAX`] columns, [`LearnError::Diverged`] for numbers so
    /// large that their variance overflows, [`LearnError::Cancelled`].
    pub fn learn(frame: &Frame, options: DesignOptions, control: &Control) -> Result<Self, LearnError> {
        if frame.n_rows() == 0 {
            return Err(LearnError::Empty);
        }
        let mut features = Vec::with_capacity(frame.columns().len());
        let mut n_columns = 0u32;
        for column in frame.columns() {
            check_cancel(control)?;
            features.push(match column {
                Column::Numeric(values) => learn_numeric(values, &mut n_columns)?,
                // Numbered below, behind all numeric columns.
                Column::Categorical { .. } => Encoding::Dropped { is_numeric: false, n_missing: 0 },
            });
        }
        let n_numeric = n_columns as usize;
        for (encoding, column) in features.iter_mut().zip(frame.columns()) {
            if let Column::Categorical { codes, n_categories } = column {
                check_cancel(control)?;
                *encoding = learn_one_hot(codes, *n_categories, options.levels, &mut n_columns);
            }
        }
        let n_columns = n_columns as usize;
        if n_columns == 0 {
            return Err(LearnError::NoFeature);
        }
        if n_columns > COLUMNS_MAX {
            let value = n_columns.to_string();
            return Err(LearnError::Parameter { name: "the number of design columns (categories)", value, range: "at most 4096" });
        }
        Ok(Self { features, n_numeric, n_columns, standardised: options.standardise })
    }

    /// The design of numeric features as they are, for a model trained elsewhere; `fills` replace missing values.
    pub fn numeric(fills: &[f64]) -> Self {
        let encode = |(column, mean): (usize, &f64)| Encoding::Numeric { column: column as u32, mean: *mean, scale: 1.0, n_missing: 0 };
        let features: Vec<Encoding> = fills.iter().enumerate().map(encode).collect();
        Self { n_numeric: features.len(), n_columns: features.len(), features, standardised: false }
    }

    /// The encodings, one per feature of the frame.
    pub fn features(&self) -> &[Encoding] {
        &self.features
    }

    /// The number of columns of the design.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// The number of columns of numeric features, which come first.
    pub fn n_numeric(&self) -> usize {
        self.n_numeric
    }

    /// Whether numeric columns are shifted and scaled.
    pub fn is_standardised(&self) -> bool {
        self.standardised
    }

    /// The same columns, shifted and scaled or not.
    pub fn with_standardised(self, standardised: bool) -> Self {
        Self { standardised, ..self }
    }

    /// What each column stands for.
    pub fn terms(&self) -> Vec<Term> {
        let mut terms = vec![Term { feature: 0, category: Category::Number }; self.n_columns];
        let mut name = |column: u32, feature: usize, category| {
            if column != NO_COLUMN {
                terms[column as usize] = Term { feature: feature as u32, category };
            }
        };
        for (feature, encoding) in self.features.iter().enumerate() {
            match encoding {
                Encoding::Dropped { .. } => {}
                Encoding::Numeric { column, .. } => name(*column, feature, Category::Number),
                Encoding::OneHot { columns, missing, .. } => {
                    columns.iter().enumerate().for_each(|(code, column)| name(*column, feature, Category::Code(code as u32)));
                    name(*missing, feature, Category::Missing);
                }
            }
        }
        terms
    }

    /// The mean and standard deviation of the numeric columns, in column order.
    pub fn moments(&self) -> Vec<(f64, f64)> {
        let moments = self.features.iter().filter_map(|encoding| match encoding {
            Encoding::Numeric { mean, scale, .. } => Some((*mean, *scale)),
            _ => None,
        });
        moments.collect()
    }

    /// The rows of `frame` in their compact form.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training.
    pub fn compact(&self, frame: &Frame) -> Result<Design, LearnError> {
        self.compact_unless(frame, &|| false)
    }

    /// The rows of `frame` in their compact form, for a training.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training, [`LearnError::Cancelled`].
    pub fn compact_for_training(&self, frame: &Frame, control: &Control) -> Result<Design, LearnError> {
        self.compact_unless(frame, &|| control.is_cancelled())
    }

    fn compact_unless(&self, frame: &Frame, is_cancelled: &dyn Fn() -> bool) -> Result<Design, LearnError> {
        self.check(frame)?;
        let n_blocks = self.features.iter().filter(|encoding| matches!(encoding, Encoding::OneHot { .. })).count();
        let (n_rows, n_numeric) = (frame.n_rows(), self.n_numeric);
        let mut numbers = vec![0.0; n_rows * n_numeric];
        let mut levels = vec![0; n_rows * n_blocks];
        // Tiles of rows stay in the cache while features are written beside each other.
        for first in (0..n_rows).step_by(ROWS_PER_TILE) {
            if is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            let tile = first..n_rows.min(first + ROWS_PER_TILE);
            let numbers = &mut numbers[tile.start * n_numeric..tile.end * n_numeric];
            let levels = &mut levels[tile.start * n_blocks..tile.end * n_blocks];
            self.compact_tile(frame, tile, numbers, levels, n_blocks);
        }
        Ok(Design { n_rows, n_numeric, n_blocks, n_columns: self.n_columns, numbers, levels })
    }

    fn compact_tile(&self, frame: &Frame, tile: Range<usize>, numbers: &mut [f64], levels: &mut [u32], n_blocks: usize) {
        let mut block = 0;
        for (encoding, column) in self.features.iter().zip(frame.columns()) {
            match (encoding, column) {
                (Encoding::Numeric { column, .. }, Column::Numeric(values)) => {
                    let places = numbers.iter_mut().skip(*column as usize).step_by(self.n_numeric);
                    places.zip(&values[tile.clone()]).for_each(|(place, value)| *place = self.number(encoding, *value));
                }
                (Encoding::OneHot { columns, missing, .. }, Column::Categorical { codes, .. }) => {
                    let places = levels.iter_mut().skip(block).step_by(n_blocks);
                    for (place, code) in places.zip(&codes[tile.clone()]) {
                        // Rows without a 1 point behind the last column, where sums may write and nobody reads.
                        *place = level(columns, *missing, *code).unwrap_or(self.n_columns as u32);
                    }
                    block += 1;
                }
                _ => {}
            }
        }
    }

    /// The rows of `frame` as a dense matrix.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training.
    ///
    /// # Cost
    /// `n_rows * n_columns` numbers: prefer [`DesignSpec::compact`].
    pub fn transform(&self, frame: &Frame) -> Result<Matrix, LearnError> {
        let design = self.compact(frame)?;
        let mut values = vec![0.0; design.n_rows * self.n_columns];
        for (row, values) in values.chunks_exact_mut(self.n_columns.max(1)).enumerate() {
            let (numbers, levels) = design.row(row);
            values[..self.n_numeric].copy_from_slice(numbers);
            levels.iter().filter(|level| **level < self.n_columns as u32).for_each(|level| values[*level as usize] = 1.0);
        }
        Ok(Matrix { n_rows: design.n_rows, n_columns: self.n_columns, values })
    }

    /// Adds `x·coefficients` of every row of `frame` to `scores`, feature by feature: a row's bits do not depend on
    /// the rows around it.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training.
    pub fn add_scores(&self, frame: &Frame, coefficients: &[f64], scores: &mut [f64]) -> Result<(), LearnError> {
        self.check(frame)?;
        if coefficients.len() != self.n_columns || scores.len() != frame.n_rows() {
            return Err(LearnError::Shape { what: "coefficients or scores do not fit the design" });
        }
        for (encoding, column) in self.features.iter().zip(frame.columns()) {
            match (encoding, column) {
                (Encoding::Numeric { column, .. }, Column::Numeric(values)) => {
                    let coefficient = coefficients[*column as usize];
                    scores.iter_mut().zip(values).for_each(|(score, value)| *score += coefficient * self.number(encoding, *value));
                }
                (Encoding::OneHot { columns, missing, .. }, Column::Categorical { codes, .. }) => {
                    for (score, code) in scores.iter_mut().zip(codes) {
                        if let Some(level) = level(columns, *missing, *code) {
                            *score += coefficients[level as usize];
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks that `frame` has the features of training.
    fn check(&self, frame: &Frame) -> Result<(), LearnError> {
        if frame.columns().len() != self.features.len() {
            return Err(LearnError::Shape { what: "the number of features is not that of training" });
        }
        let fits = self.features.iter().zip(frame.columns()).all(|(encoding, column)| match encoding {
            Encoding::Dropped { is_numeric, .. } => *is_numeric == matches!(column, Column::Numeric(_)),
            Encoding::Numeric { .. } => matches!(column, Column::Numeric(_)),
            Encoding::OneHot { .. } => matches!(column, Column::Categorical { .. }),
        });
        if fits { Ok(()) } else { Err(LearnError::Shape { what: "a feature is numeric where training had categories, or the reverse" }) }
    }

    /// A value of a numeric feature as the design has it.
    fn number(&self, encoding: &Encoding, value: f64) -> f64 {
        let Encoding::Numeric { mean, scale, .. } = encoding else { return 0.0 };
        let value = if value.is_nan() { *mean } else { value };
        if self.standardised { (value - mean) / scale } else { value }
    }
}

/// The column of a code, if it has one.
fn level(columns: &[u32], missing: u32, code: u32) -> Option<u32> {
    let column = if code == MISSING { missing } else { columns.get(code as usize).copied().unwrap_or(NO_COLUMN) };
    (column != NO_COLUMN).then_some(column)
}

fn check_cancel(control: &Control) -> Result<(), LearnError> {
    if control.is_cancelled() { Err(LearnError::Cancelled) } else { Ok(()) }
}

fn learn_numeric(values: &[f64], n_columns: &mut u32) -> Result<Encoding, LearnError> {
    let known = || values.iter().copied().filter(|value| !value.is_nan());
    let n_missing = values.len() as u64 - known().count() as u64;
    let Some(first) = known().next() else { return Ok(Encoding::Dropped { is_numeric: true, n_missing }) };
    let n_known = known().count() as f64;
    // Around the first value, so that years or timestamps lose no digits.
    let mean = first + known().map(|value| value - first).sum::<f64>() / n_known;
    let scale = (known().map(|value| (value - mean).powi(2)).sum::<f64>() / n_known).sqrt();
    if !mean.is_finite() || !scale.is_finite() {
        return Err(LearnError::Diverged { what: "the spread of a feature is too large for a double" });
    }
    // A spread below the precision of the mean is rounding, not information.
    if known().all(|value| value == first) || !scale.is_normal() || scale <= mean.abs() * 1e-14 {
        return Ok(Encoding::Dropped { is_numeric: true, n_missing });
    }
    *n_columns += 1;
    Ok(Encoding::Numeric { column: *n_columns - 1, mean, scale, n_missing })
}

fn learn_one_hot(codes: &[u32], n_categories: u32, levels: Levels, n_columns: &mut u32) -> Encoding {
    let mut counts = vec![0u64; n_categories as usize];
    codes.iter().filter(|code| **code != MISSING).for_each(|code| counts[*code as usize] += 1);
    let n_missing = codes.iter().filter(|code| **code == MISSING).count() as u64;
    let n_seen = counts.iter().filter(|count| **count > 0).count();
    if n_seen + usize::from(n_missing > 0) < 2 {
        return Encoding::Dropped { is_numeric: false, n_missing };
    }
    let most_frequent = (0..counts.len()).rev().max_by_key(|code| counts[*code]);
    let base = most_frequent.filter(|_| levels == Levels::DropMostFrequent);
    let mut number = |is_column: bool| {
        if !is_column {
            return NO_COLUMN;
        }
        // Saturates far above `COLUMNS_MAX`, where `learn` refuses it.
        *n_columns = n_columns.saturating_add(1);
        *n_columns - 1
    };
    let columns = counts.iter().enumerate().map(|(code, count)| number(*count > 0 && Some(code) != base)).collect();
    Encoding::OneHot { columns, missing: number(n_missing > 0), n_missing }
}

/// The rows of a design in compact form: the numbers of numeric columns, and per block the column of the 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    n_rows: usize,
    n_numeric: usize,
    n_blocks: usize,
    n_columns: usize,
    numbers: Vec<f64>,
    levels: Vec<u32>,
}

impl Design {
    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The number of columns that the rows stand for.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// The number of numeric columns, which come first.
    pub fn n_numeric(&self) -> usize {
        self.n_numeric
    }

    /// The number of blocks of 0/1 columns.
    pub fn n_blocks(&self) -> usize {
        self.n_blocks
    }

    /// Adds `by` to a numeric column.
    pub(crate) fn shift(&mut self, column: usize, by: f64) {
        self.numbers.iter_mut().skip(column).step_by(self.n_numeric.max(1)).for_each(|number| *number += by);
    }

    /// A row: its numbers, and for each block the column of its 1, or `n_columns` when the block is all zeros.
    pub fn row(&self, row: usize) -> (&[f64], &[u32]) {
        let numbers = &self.numbers[row * self.n_numeric..(row + 1) * self.n_numeric];
        (numbers, &self.levels[row * self.n_blocks..(row + 1) * self.n_blocks])
    }

    /// The dot product of a row with `coefficients`, which have one more number than the design has columns: a 0
    /// for blocks that are all zeros.
    pub fn dot(&self, row: usize, coefficients: &[f64]) -> f64 {
        debug_assert_eq!(coefficients.len(), self.n_columns + 1);
        let (numbers, levels) = self.row(row);
        let sum: f64 = numbers.iter().zip(coefficients).map(|(number, coefficient)| number * coefficient).sum();
        sum + levels.iter().map(|level| coefficients[*level as usize]).sum::<f64>()
    }
}

/// A dense matrix, row by row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    n_rows: usize,
    n_columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Wraps `n_rows * n_columns` values.
    ///
    /// # Errors
    /// [`LearnError::Shape`] for another number of values.
    pub fn new(n_rows: usize, n_columns: usize, values: Vec<f64>) -> Result<Self, LearnError> {
        if n_rows.checked_mul(n_columns) != Some(values.len()) {
            return Err(LearnError::Shape { what: "a matrix has not rows times columns values" });
        }
        Ok(Self { n_rows, n_columns, values })
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The number of columns.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// A row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.n_columns..(row + 1) * self.n_columns]
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::tests::{cancelled, control};

    const OPTIONS: DesignOptions = DesignOptions { levels: Levels::All, standardise: false };

    fn categorical(codes: &[u32], n_categories: u32) -> Column {
        Column::Categorical { codes: codes.to_vec(), n_categories }
    }

    fn frame(columns: Vec<Column>) -> Frame {
        Frame::new(columns[0].len(), columns).unwrap()
    }

    #[test]
    fn there_is_no_design_without_rows_or_information() {
        let learn = |columns| DesignSpec::learn(&frame(columns), OPTIONS, &control(1));
        assert_eq!(learn(vec![Column::Numeric(vec![])]), Err(LearnError::Empty));
        let numbers = frame(vec![Column::Numeric(vec![1.0, 2.0])]);
        assert_eq!(DesignSpec::learn(&numbers, OPTIONS, &cancelled()), Err(LearnError::Cancelled));
        let constants = vec![
            Column::Numeric(vec![3.0, f64::NAN]),
            Column::Numeric(vec![f64::NAN; 2]),
            categorical(&[4, 4], 5),
            categorical(&[MISSING; 2], 0),
        ];
        assert_eq!(learn(constants), Err(LearnError::NoFeature));
        assert!(matches!(learn(vec![Column::Numeric(vec![1e300, -1e300])]), Err(LearnError::Diverged { .. })));
        assert!(matches!(learn(vec![categorical(&(0..9000).collect::<Vec<_>>(), 9000)]), Err(LearnError::Parameter { .. })));
        let spec = learn(vec![Column::Numeric(vec![1.0, 2.0])]).unwrap();
        assert!(matches!(spec.transform(&frame(vec![categorical(&[0], 1)])), Err(LearnError::Shape { .. })));
        assert!(matches!(spec.transform(&Frame::new(0, vec![]).unwrap()), Err(LearnError::Shape { .. })));
    }

    #[test]
    fn numbers_are_imputed_and_standardised() {
        let spec = DesignSpec::learn(&frame(vec![Column::Numeric(vec![1.0, f64::NAN, 5.0, 3.0])]), OPTIONS, &control(1)).unwrap();
        assert_eq!(spec.features()[0], Encoding::Numeric { column: 0, mean: 3.0, scale: (8.0f64 / 3.0).sqrt(), n_missing: 1 });
        let rows = frame(vec![Column::Numeric(vec![f64::NAN, 7.0])]);
        assert_eq!(spec.transform(&rows).unwrap().values(), [3.0, 7.0]);
        let standardised = spec.with_standardised(true).transform(&rows).unwrap();
        assert_eq!(standardised.values(), [0.0, 4.0 / (8.0f64 / 3.0).sqrt()]);
    }

    #[test]
    fn categories_become_blocks_behind_the_numbers() {
        let columns =
            vec![categorical(&[1, 0, 1, MISSING, 3], 5), Column::Numeric(vec![1.0, 2.0, 3.0, 4.0, 5.0]), categorical(&[0, 1, 0, 1, 0], 2)];
        let all = DesignSpec::learn(&frame(columns.clone()), OPTIONS, &control(1)).unwrap();
        let categories: Vec<(u32, Category)> = all.terms().iter().map(|term| (term.feature, term.category)).collect();
        let code = Category::Code;
        let expected =
            [(1, Category::Number), (0, code(0)), (0, code(1)), (0, code(3)), (0, Category::Missing), (2, code(0)), (2, code(1))];
        assert_eq!(categories, expected);
        // Unseen codes (2, and 7 of a larger dictionary) are all zeros.
        let rows = frame(vec![categorical(&[2, 7, MISSING], 8), Column::Numeric(vec![0.5; 3]), categorical(&[1, MISSING, 0], 2)]);
        let matrix = all.transform(&rows).unwrap();
        assert_eq!(matrix.row(0), [0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(matrix.row(1), [0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(matrix.row(2), [0.5, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        let options = DesignOptions { levels: Levels::DropMostFrequent, ..OPTIONS };
        let base = DesignSpec::learn(&frame(columns), options, &control(1)).unwrap();
        let categories: Vec<(u32, Category)> = base.terms().iter().map(|term| (term.feature, term.category)).collect();
        assert_eq!(categories, [(1, Category::Number), (0, code(0)), (0, code(3)), (0, Category::Missing), (2, code(1))]);
    }

    #[test]
    fn all_forms_of_a_row_give_the_same_score() {
        let columns = vec![categorical(&[1, 0, 2, MISSING], 4), Column::Numeric(vec![1.0, f64::NAN, 3.0, 4.0])];
        let frame = frame(columns);
        let spec = DesignSpec::learn(&frame, DesignOptions { standardise: true, ..OPTIONS }, &control(1)).unwrap();
        let coefficients = [0.25, 1.0, 2.0, 4.0, 8.0, 0.0];
        let (design, matrix) = (spec.compact(&frame).unwrap(), spec.transform(&frame).unwrap());
        let mut scores = vec![0.0; 4];
        spec.add_scores(&frame, &coefficients[..5], &mut scores).unwrap();
        for (row, score) in scores.iter().enumerate() {
            let dense: f64 = matrix.row(row).iter().zip(coefficients).map(|(value, coefficient)| value * coefficient).sum();
            assert_eq!((design.dot(row, &coefficients), dense), (*score, *score), "row {row}");
        }
    }
}
