//! The nearest rows by cosine: similar items, similar users.

use super::index::length;
use super::{Filter, ItemIndex, Scored};
use crate::als::Factors;
use crate::error::LearnError;

/// Rows of factors scaled to length 1, ready to be searched for the greatest cosine.
///
/// A row of zeros (an item or user without ratings) has no direction: it has no neighbours and is nobody's.
///
/// # Cost
/// As an [`ItemIndex`] of the same rows.
#[derive(Debug, Clone)]
pub struct CosineIndex {
    index: ItemIndex,
    has_direction: Vec<bool>,
}

impl CosineIndex {
    /// Builds the index.
    ///
    /// # Errors
    /// [`LearnError::Value`] for a factor that is not finite.
    pub fn new(rows: &Factors) -> Result<Self, LearnError> {
        let scales: Vec<f64> = rows.rows().map(length).collect();
        let scaled = |row: usize| -> Vec<f32> {
            let scale = if scales[row] == 0.0 { 1.0 } else { scales[row] };
            rows.row(row).iter().map(|factor| (f64::from(*factor) / scale) as f32).collect()
        };
        let mut index = ItemIndex::build(rows.rank(), rows.n_rows(), scaled, None)?;
        let has_direction: Vec<bool> = scales.iter().map(|scale| *scale > 0.0).collect();
        index.retire((0u32..).zip(&has_direction).filter_map(|(row, has_direction)| (!has_direction).then_some(row)));
        Ok(Self { index, has_direction })
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.index.n_items()
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.index.bytes() + self.has_direction.len()
    }

    /// Returns the `k` rows with the greatest cosine to a row, which is itself left out; the score is the cosine. Best
    /// first, ties by the smaller row; nothing for a row of zeros or an unknown one.
    ///
    /// # Cost
    /// O(rows·rank).
    pub fn similar(&self, row: u32, k: usize, filter: &Filter<'_>) -> Vec<Scored> {
        if !self.has_direction.get(row as usize).is_some_and(|has_direction| *has_direction) {
            return Vec::new();
        }
        let excluded: Vec<u32> = filter.excluded.iter().copied().chain([row]).collect();
        self.nearest(&self.index.factors(row), k, &Filter { excluded: &excluded, allowed: filter.allowed })
    }

    /// Returns the `k` rows with the greatest cosine to a vector of any length, as [`Self::similar`] does.
    ///
    /// # Errors
    /// [`LearnError::Shape`] for a vector of another rank, [`LearnError::Value`] when a number is not finite.
    pub fn similar_to(&self, vector: &[f32], k: usize, filter: &Filter<'_>) -> Result<Vec<Scored>, LearnError> {
        self.index.check_user(0, vector)?;
        let scale = length(vector);
        if scale == 0.0 {
            return Ok(Vec::new());
        }
        let scaled: Vec<f32> = vector.iter().map(|factor| (f64::from(*factor) / scale) as f32).collect();
        Ok(self.nearest(&scaled, k, filter))
    }

    /// The vector has length 1 and the rank of the index.
    fn nearest(&self, vector: &[f32], k: usize, filter: &Filter<'_>) -> Vec<Scored> {
        let mut nearest = self.index.top(vector, k, filter).unwrap_or_default();
        for scored in &mut nearest {
            // Rounding may lead a bit beyond.
            scored.score = scored.score.clamp(-1.0, 1.0);
        }
        // What was 1 and a bit more is a tie now.
        nearest.sort_unstable_by(|left, right| right.cmp(left));
        nearest
    }
}
