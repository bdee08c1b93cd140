//! Users and items numbered by how many ratings they have, the most first.
//!
//! Half steps read factors in the order of the ratings, anywhere in memory. Under the caller's numbers the few rows that
//! most ratings need are spread over all pages; under these they lie side by side, in caches and in the processor's
//! table of pages. Threads also find the longest rows first, so none starts one when the others are done.

use super::{AlsError, AlsModel, Csr, Factors, Side};

/// Ratings under numbers by popularity, and the way back.
#[derive(Debug)]
pub struct ByPopularity {
    /// The caller's number of each user.
    users: Vec<u32>,
    /// The caller's number of each item.
    items: Vec<u32>,
    /// Users × items. Inside a row the items are in the caller's order.
    pub ratings: Csr,
}

impl ByPopularity {
    /// Numbers equally popular rows as the caller does: the same ratings are always in the same order.
    ///
    /// # Cost
    /// A copy of the ratings, and sorting users and items.
    pub fn new(ratings: &Csr) -> Self {
        let mut n_ratings = vec![0usize; ratings.n_columns()];
        for item in ratings.columns() {
            n_ratings[*item as usize] += 1;
        }
        let users = most_first(ratings.n_rows(), |user| ratings.row_len(user));
        let items = most_first(ratings.n_columns(), |item| n_ratings[item]);
        let mut place_of_item = vec![0u32; items.len()];
        for (place, item) in (0u32..).zip(&items) {
            place_of_item[*item as usize] = place;
        }
        let ratings = ratings.renumbered(&users, &place_of_item);
        Self { users, items, ratings }
    }

    /// A model of the caller under these numbers.
    pub fn inward(&self, model: &AlsModel) -> AlsModel {
        AlsModel {
            users: self.inward_users(&model.users),
            items: gather(&model.items, &self.items),
            mean: model.mean,
            user_bias: gather_biases(&model.user_bias, &self.users),
            item_bias: gather_biases(&model.item_bias, &self.items),
        }
    }

    /// Factors of users under these numbers.
    pub fn inward_users(&self, users: &Factors) -> Factors {
        gather(users, &self.users)
    }

    /// A model under the caller's numbers.
    pub fn outward(&self, model: &AlsModel) -> AlsModel {
        AlsModel {
            users: scatter(&model.users, &self.users),
            items: scatter(&model.items, &self.items),
            mean: model.mean,
            user_bias: scatter_biases(&model.user_bias, &self.users),
            item_bias: scatter_biases(&model.item_bias, &self.items),
        }
    }

    /// An error that names the caller's row.
    pub fn outward_error(&self, error: AlsError) -> AlsError {
        match error {
            AlsError::Unsolvable { side: Side::User, row } => AlsError::Unsolvable { side: Side::User, row: self.users[row as usize] },
            AlsError::Unsolvable { side: Side::Item, row } => AlsError::Unsolvable { side: Side::Item, row: self.items[row as usize] },
            other => other,
        }
    }
}

fn most_first(n: usize, n_ratings: impl Fn(usize) -> usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.sort_by_key(|place| std::cmp::Reverse(n_ratings(*place as usize)));
    order
}

fn gather(factors: &Factors, order: &[u32]) -> Factors {
    let mut gathered = Factors::zeros(factors.n_rows(), factors.rank());
    gathered.rows_mut().zip(order).for_each(|(row, place)| row.copy_from_slice(factors.row(*place as usize)));
    gathered
}

fn scatter(factors: &Factors, order: &[u32]) -> Factors {
    let mut scattered = Factors::zeros(factors.n_rows(), factors.rank());
    factors.rows().zip(order).for_each(|(row, place)| scattered.row_mut(*place as usize).copy_from_slice(row));
    scattered
}

/// Empty without biases.
fn gather_biases(biases: &[f32], order: &[u32]) -> Vec<f32> {
    if biases.is_empty() { Vec::new() } else { order.iter().map(|place| biases[*place as usize]).collect() }
}

fn scatter_biases(biases: &[f32], order: &[u32]) -> Vec<f32> {
    let mut scattered = vec![0.0; biases.len()];
    biases.iter().zip(order).for_each(|(bias, place)| scattered[*place as usize] = *bias);
    scattered
}

#[cfg(test)]
mod tests {
    use super::*;

    /// User 2 has three ratings, 0 two, 1 none; item 1 has three, 0 and 2 one each.
    fn ratings() -> Csr {
        Csr::new(3, 3, &[0, 0, 2, 2, 2], &[1, 2, 0, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap()
    }

    #[test]
    fn the_most_popular_come_first_and_equals_as_they_were() {
        let popular = ByPopularity::new(&ratings());
        assert_eq!((&popular.users[..], &popular.items[..]), (&[2, 0, 1][..], &[1, 0, 2][..]));
        let expected = [(0, 1, 3.0), (0, 0, 4.0), (0, 0, 5.0), (1, 0, 1.0), (1, 2, 2.0)];
        assert_eq!(popular.ratings.entries().collect::<Vec<_>>(), expected);
        assert_eq!((popular.ratings.n_rows(), popular.ratings.n_columns()), (3, 3));
    }

    #[test]
    fn a_model_and_an_error_come_back_as_they_were() {
        let popular = ByPopularity::new(&ratings());
        let model = AlsModel {
            user_bias: vec![0.1, 0.2, 0.3],
            item_bias: vec![0.4, 0.5, 0.6],
            mean: 3.0,
            ..AlsModel::new(
                Factors::from_vec(2, (0u8..6).map(f32::from).collect()),
                Factors::from_vec(2, (6u8..12).map(f32::from).collect()),
            )
        };
        let inside = popular.inward(&model);
        assert_eq!((inside.users.row(0), inside.items.row(0)), (model.users.row(2), model.items.row(1)));
        assert_eq!((inside.user_bias[0], inside.item_bias[0]), (0.3, 0.5));
        assert_eq!(popular.outward(&inside), model);
        let plain = AlsModel::new(model.users, model.items);
        assert_eq!(popular.outward(&popular.inward(&plain)), plain);
        for (side, row) in [(Side::User, 2), (Side::Item, 1)] {
            assert_eq!(popular.outward_error(AlsError::Unsolvable { side, row: 0 }), AlsError::Unsolvable { side, row });
        }
        assert_eq!(popular.outward_error(AlsError::Cancelled), AlsError::Cancelled);
    }
}
