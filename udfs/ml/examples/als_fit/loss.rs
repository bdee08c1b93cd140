//! How well a model foresees the held-out ratings. `tests/bench/als_losses.py` computes the same from exported factors.

use weir_ml::als::{AlsModel, Csr, Factors, Feedback};

/// What the model is asked about.
pub struct HeldOut<'a> {
    train: &'a Csr,
    test: &'a Csr,
    /// Held-out ratings whose user and item occur in the training part.
    known: Vec<(u32, u32, f32)>,
}

impl<'a> HeldOut<'a> {
    pub fn new(train: &'a Csr, test: &'a Csr) -> Self {
        let mut is_rated = vec![false; train.n_columns()];
        for (_, item, _) in train.entries() {
            is_rated[item as usize] = true;
        }
        let is_known = |(user, item, _): &(u32, u32, f32)| train.row_len(*user as usize) > 0 && is_rated[*item as usize];
        Self { train, test, known: test.entries().filter(is_known).collect() }
    }

    /// Explicit: the root of the mean squared error on known held-out ratings.
    ///
    /// Implicit: the mean of the training loss (Hu, Koren, Volinsky 2008, equation 3, without regularisation) over all pairs
    /// outside the training part, where a held-out pair has preference 1 and confidence 1 + alpha · rating, and any other has
    /// preference 0 and confidence 1.
    pub fn loss(&self, model: &AlsModel, feedback: Feedback) -> f64 {
        match feedback {
            Feedback::Explicit => {
                let squares = self.known.iter().map(|(user, item, rating)| f64::from(model.predict(*user, *item) - rating).powi(2));
                (squares.sum::<f64>() / self.known.len().max(1) as f64).sqrt()
            }
            Feedback::Implicit { alpha } => {
                let square = |(user, item, _): (u32, u32, f32)| f64::from(model.predict(user, item)).powi(2);
                let observed: f64 = self.train.entries().chain(self.test.entries()).map(square).sum();
                let unobserved = sum_of_squares(&model.users, &model.items) - observed;
                let missed = |(user, item, rating): (u32, u32, f32)| {
                    (1.0 + alpha * f64::from(rating)) * f64::from(1.0 - model.predict(user, item)).powi(2)
                };
                let n_pairs = self.train.n_rows() as f64 * self.train.n_columns() as f64 - self.train.n_ratings() as f64;
                (unobserved + self.test.entries().map(missed).sum::<f64>()) / n_pairs
            }
        }
    }
}

/// The sum of the squared products of every row with every other: the trace of XᵀX · YᵀY.
fn sum_of_squares(left: &Factors, right: &Factors) -> f64 {
    gram(left).iter().zip(gram(right)).map(|(left, right)| left * right).sum()
}

fn gram(factors: &Factors) -> Vec<f64> {
    let rank = factors.rank();
    let mut gram = vec![0.0; rank * rank];
    for row in factors.rows() {
        for (left, line) in row.iter().zip(gram.chunks_exact_mut(rank)) {
            for (right, entry) in row.iter().zip(line) {
                *entry += f64::from(*left) * f64::from(*right);
            }
        }
    }
    gram
}
