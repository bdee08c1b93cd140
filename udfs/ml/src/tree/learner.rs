//! What a histogram adds up and what a split gains: the part of a tree that depends on the task.

/// A task that trees can be grown for. A *cell* is the sums of some rows, [`Learner::width`] integers of which
/// the first is positive exactly when there is a row.
pub(super) trait Learner: Sync {
    /// What one row adds to a cell.
    type Row: Copy + Send + Sync;

    /// The integers of a cell.
    fn width(&self) -> usize;

    /// The numbers a leaf predicts.
    fn n_values(&self) -> usize;

    /// What a row adds when it is `multiplicity` times in the sample.
    fn row(&self, row: u32, multiplicity: u32) -> Self::Row;

    /// Adds rows to the cells of their bins. `rows` are the places in `bins`, `sums` stand beside `rows`.
    fn accumulate(&self, cells: &mut [i64], bins: &[u8], rows: &[u32], sums: &[Self::Row]);

    /// The sum of rows.
    fn total(&self, sums: &[Self::Row]) -> Vec<i64>;

    /// The weight of a cell's rows.
    fn weight(&self, cell: &[i64]) -> f64;

    /// Whether the rows of a cell are enough to be split.
    fn can_split(&self, total: &[i64]) -> bool;

    /// What a split into `left` and the rest of `total` gains, in units of weight × impurity; minus infinity
    /// when a side is too small.
    fn gain(&self, left: &[i64], total: &[i64]) -> f64;

    /// Whether a gain is worth a split.
    fn suffices(&self, gain: f64, total: &[i64]) -> bool;

    /// Sorts bins so that the best division in two is, or is near to, a division of this order.
    fn order(&self, cells: &[i64], total: &[i64], bins: &mut [u8]);

    /// Whether all rows want the same prediction.
    fn is_pure(&self, rows: &[u32]) -> bool;

    /// Appends what a leaf predicts.
    fn leaf(&self, total: &[i64], values: &mut Vec<f64>);

    /// The impurity of a leaf; `None` for a task without impurities.
    fn impurity(&self, total: &[i64], rows: &[u32], sums: &[Self::Row]) -> Option<f64>;
}

/// The cell of a bin.
#[inline]
pub(super) fn cell(cells: &[i64], width: usize, bin: usize) -> &[i64] {
    &cells[bin * width..][..width]
}

/// `left` += `right`.
#[inline]
pub(super) fn add(left: &mut [i64], right: &[i64]) {
    left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
}
