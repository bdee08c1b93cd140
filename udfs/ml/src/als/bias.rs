//! What users and items add to a rating whatever the other side is.

use super::Csr;

/// The mean of all ratings, and a number per user and item.
#[derive(Debug, Clone, PartialEq)]
pub struct Biases {
    pub mean: f32,
    pub users: Vec<f32>,
    pub items: Vec<f32>,
}

impl Biases {
    /// The mean, and zeros.
    pub fn zeros(ratings: &Csr) -> Self {
        let sum: f64 = ratings.values().iter().map(|value| f64::from(*value)).sum();
        let mean = (sum / ratings.n_ratings().max(1) as f64) as f32;
        Self { mean, users: vec![0.0; ratings.n_rows()], items: vec![0.0; ratings.n_columns()] }
    }

    /// Damped means: of the items' distances from the mean, then of what these leave for users.
    ///
    /// # Source
    /// Funk 2006, *Netflix Update: Try This at Home*; Ekstrand, Riedl, Konstan 2011, *Collaborative Filtering Recommender Systems*, §2.1.
    pub fn damped(ratings: &Csr, by_item: &Csr, damping: f64) -> Self {
        let mut biases = Self::zeros(ratings);
        for item in 0..by_item.n_rows() {
            let values = by_item.row(item).1;
            biases.items[item] = damped_mean(values.iter().map(|value| f64::from(value - biases.mean)), damping);
        }
        for user in 0..ratings.n_rows() {
            let (items, values) = ratings.row(user);
            biases.users[user] = user_bias(biases.mean, &biases.items, items, values, damping);
        }
        biases
    }
}

/// The damped mean of what the mean and the items' biases leave of a user's ratings.
pub fn user_bias(mean: f32, item_bias: &[f32], items: &[u32], values: &[f32], damping: f64) -> f32 {
    damped_mean(items.iter().zip(values).map(|(item, value)| f64::from(value - mean - item_bias[*item as usize])), damping)
}

/// As if there were `damping` more numbers, all of them 0.
fn damped_mean(numbers: impl ExactSizeIterator<Item = f64>, damping: f64) -> f32 {
    let n = numbers.len() as f64 + damping;
    if n > 0.0 { (numbers.sum::<f64>() / n) as f32 } else { 0.0 }
}
