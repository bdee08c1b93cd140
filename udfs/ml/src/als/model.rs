//! A trained model.

use super::{Factors, dot};

/// A factor model. Rows without ratings are zero.
#[derive(Debug, Clone, PartialEq)]
pub struct AlsModel {
    pub users: Factors,
    pub items: Factors,
    /// The mean of all ratings; 0 in a model without biases.
    pub mean: f32,
    /// What each user adds to the mean; empty in a model without biases.
    pub user_bias: Vec<f32>,
    /// What each item adds to the mean; empty in a model without biases.
    pub item_bias: Vec<f32>,
}

impl AlsModel {
    /// A model without biases.
    pub fn new(users: Factors, items: Factors) -> Self {
        Self { users, items, mean: 0.0, user_bias: Vec::new(), item_bias: Vec::new() }
    }

    /// The predicted rating (explicit feedback) or preference (implicit feedback).
    pub fn predict(&self, user: u32, item: u32) -> f32 {
        let product = dot(self.users.row(user as usize), self.items.row(item as usize));
        if self.has_bias() { product + self.mean + self.user_bias[user as usize] + self.item_bias[item as usize] } else { product }
    }

    /// Whether ratings are more than products of factors.
    pub fn has_bias(&self) -> bool {
        !self.item_bias.is_empty()
    }
}
