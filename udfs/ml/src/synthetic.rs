//! Made-up ratings in the shape of MovieLens, for benchmarks and tests: skewed, without duplicates, with a pattern to find.
//!
//! ```text
//! log-normal weights ──► ratings per user ──┐
//! Zipf weights ────────► popularity ────────┼─► distinct items of each user ──► pattern + noise ──► ratings
//! planted pattern ─────► taste ─────────────┘
//! ```

use crate::error::LearnError;
use crate::random::Stream;

/// Ratings in coordinate form, user after user; no (user, item) pair occurs twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratings {
    pub users: Vec<u32>,
    pub items: Vec<u32>,
    /// From 0.5 to 5.0 in half steps.
    pub values: Vec<f32>,
}

/// The standard deviation of the logarithm of a user's activity. MovieLens-20M, whose mean user has 144 ratings
/// and whose median user has 68, would be 1.2; MovieLens-1M (165 and 96) 1.04.
pub const USER_ACTIVITY_SIGMA: f64 = 1.1;

/// The rank of the planted pattern.
pub const PLANTED_RANK: usize = 8;

/// Keep the streams for the parts of the generator apart.
const ACTIVITY: u64 = 0xAC71_0000_0000_0001;
const POPULARITY: u64 = 0xAC71_0000_0000_0002;
const PLANTED_USERS: u64 = 0xAC71_0000_0000_0003;
const PLANTED_ITEMS: u64 = 0xAC71_0000_0000_0004;
const DRAWS: u64 = 0xAC71_0000_0000_0005;
const NOISE: u64 = 0xAC71_0000_0000_0006;

/// Of a rating, before selection: users rate what they like, so the mean of the ratings is some 0.3 above it.
const MEAN: f32 = 3.3;
/// How strongly taste decides what is rated: the slope of the logistic function of the planted product.
const TASTE_SLOPE: f32 = 4.0;
const USER_BIAS_SIGMA: f32 = 0.40;
const ITEM_BIAS_SIGMA: f32 = 0.45;
/// Of one planted factor: eight products of two have a variance of 0.3.
const FACTOR_SIGMA: f32 = 0.44;
/// What no model can learn; rounding to half steps adds a little.
const NOISE_SIGMA: f32 = 0.80;

/// Draws per wanted item after which drawing one by one gives way to sorting keys.
const DRAWS_MAX_PER_ITEM: usize = 32;

/// Makes exactly `n_ratings` ratings with Zipf-distributed items.
///
/// The `r`-th most popular item is drawn with a weight of `r^-exponent` (0 makes all equal, 1 is Zipf's law) times the
/// user's taste for it (below), from the items that the user has not rated yet. Since nobody rates an item twice, the head is flatter than the weights: in the shape
/// of MovieLens-1M with exponent 1.2 the most popular tenth of the items has 52 % of the ratings. Ratings per
/// user follow a log-normal distribution ([`USER_ACTIVITY_SIGMA`]), cut at `n_items`; each user has at least one where the
/// number allows it. Numbers of users and items do not follow their activity and popularity.
///
/// A rating is 3.3, plus a user's and an item's bias, plus the product of planted factors ([`PLANTED_RANK`]), plus noise of
/// standard deviation 0.8, rounded to a half step: the best possible error on held-out ratings is about 0.8. Taste is the
/// logistic function of four times that product: which items a user has rated tells as much as the ratings.
///
/// The result depends on the arguments only.
///
/// # Errors
/// [`LearnError::Parameter`] when there are more ratings than pairs, more users or items than a `u32` can number, or
/// when the exponent is not between 0 and 10.
///
/// # Cost
/// O(ratings + users + items) expected time, 12 bytes per rating. A user with more than an eighth of all items costs
/// O(items).
pub fn zipf_ratings(n_users: usize, n_items: usize, n_ratings: usize, exponent: f64, seed: u64) -> Result<Ratings, LearnError> {
    check(n_users, n_items, n_ratings, exponent)?;
    let counts = ratings_per_user(n_users, n_items, n_ratings, seed);
    let mut sampler = ItemSampler::new(n_items, exponent, seed);
    let pattern = Pattern::new(n_users, n_items, seed);
    let mut ratings =
        Ratings { users: Vec::with_capacity(n_ratings), items: Vec::with_capacity(n_ratings), values: Vec::with_capacity(n_ratings) };
    for (user, count) in counts.into_iter().enumerate() {
        let first = ratings.items.len();
        let taste = |item: u32| pattern.taste(user, item as usize);
        sampler.draw(user as u32, count as usize, seed, taste, &mut ratings.items);
        ratings.users.resize(ratings.items.len(), user as u32);
        let mut noise = Normal::new(Stream::new(seed ^ NOISE, user as u64));
        ratings.values.extend(ratings.items[first..].iter().map(|item| pattern.rating(user, *item as usize, &mut noise)));
    }
    Ok(ratings)
}

fn check(n_users: usize, n_items: usize, n_ratings: usize, exponent: f64) -> Result<(), LearnError> {
    let wrong = |name, value: String, range| Err(LearnError::Parameter { name, value, range });
    if n_users > u32::MAX as usize {
        return wrong("n_users", n_users.to_string(), "at most 4294967295");
    }
    if n_items > u32::MAX as usize {
        return wrong("n_items", n_items.to_string(), "at most 4294967295");
    }
    if n_ratings as u128 > n_users as u128 * n_items as u128 {
        return wrong("n_ratings", n_ratings.to_string(), "at most the number of users times the number of items");
    }
    if !(0.0..=10.0).contains(&exponent) {
        return wrong("exponent", exponent.to_string(), "from 0 to 10");
    }
    Ok(())
}

/// How many items each user rates: in proportion to log-normal weights, at most all items, exactly `n_ratings` together.
fn ratings_per_user(n_users: usize, n_items: usize, n_ratings: usize, seed: u64) -> Vec<u32> {
    if n_ratings == 0 {
        return vec![0; n_users];
    }
    let base = usize::from(n_ratings >= n_users);
    let cap = (n_items - base) as f64;
    let target = n_ratings - base * n_users;
    let weights: Vec<f64> =
        (0..n_users).map(|user| (USER_ACTIVITY_SIGMA * Stream::new(seed ^ ACTIVITY, user as u64).gaussian()).exp()).collect();
    let share = |scale: f64, weight: f64| (scale * weight).min(cap);
    let total = |scale: f64| weights.iter().map(|weight| share(scale, *weight).floor() as usize).sum::<usize>();
    // Bisection for the largest scale that does not give out too many. Every user is at the cap before `high` is infinite.
    let (mut low, mut high) = (0.0, 1.0);
    while total(high) < target {
        low = high;
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if total(middle) <= target { low = middle } else { high = middle }
    }
    let mut counts: Vec<u32> = weights.iter().map(|weight| (base + share(low, *weight).floor() as usize) as u32).collect();
    // What rounding down left over goes to those who lost most by it.
    let mut by_loss: Vec<u32> = (0..n_users as u32).collect();
    let loss = |user: &u32| share(low, weights[*user as usize]).fract();
    by_loss.sort_by(|left, right| loss(right).total_cmp(&loss(left)).then(left.cmp(right)));
    let mut left_over = n_ratings - counts.iter().map(|count| *count as usize).sum::<usize>();
    while left_over > 0 {
        for user in &by_loss {
            let count = &mut counts[*user as usize];
            if left_over > 0 && (*count as usize) < n_items {
                *count += 1;
                left_over -= 1;
            }
        }
    }
    counts
}

/// Draws distinct items by weight times taste: successive draws without replacement.
struct ItemSampler {
    /// By item.
    weights: Vec<f64>,
    /// Vose's alias table: a cell keeps its item when the low half of a random number is below the threshold.
    thresholds: Vec<u32>,
    aliases: Vec<u32>,
    /// Who drew an item last, as user + 1.
    drawn_by: Vec<u64>,
}

impl ItemSampler {
    fn new(n_items: usize, exponent: f64, seed: u64) -> Self {
        // Popularity in an order of its own: in real data the number of an item says little about it.
        let mut by_popularity: Vec<(u64, u32)> =
            (0..n_items as u32).map(|item| (Stream::new(seed ^ POPULARITY, u64::from(item)).next_u64(), item)).collect();
        by_popularity.sort_unstable();
        let mut weights = vec![0.0; n_items];
        for (place, (_, item)) in by_popularity.into_iter().enumerate() {
            weights[item as usize] = (place as f64 + 1.0).powf(-exponent);
        }
        let (thresholds, aliases) = alias_table(&weights);
        Self { weights, thresholds, aliases, drawn_by: vec![0; n_items] }
    }

    /// Appends `count` distinct items of `user`, whose taste is above 0 and at most 1.
    fn draw(&mut self, user: u32, count: usize, seed: u64, taste: impl Fn(u32) -> f64, items: &mut Vec<u32>) {
        let mut stream = Stream::new(seed ^ DRAWS, u64::from(user));
        let mark = u64::from(user) + 1;
        let mut missing = count;
        // Most draws of a user with nearly all items would be repetitions.
        if count * 8 <= self.weights.len() {
            let mut draws_left = count * DRAWS_MAX_PER_ITEM;
            while missing > 0 && draws_left > 0 {
                draws_left -= 1;
                let item = self.draw_one(&mut stream);
                if self.drawn_by[item as usize] != mark && stream.uniform() < taste(item) {
                    self.drawn_by[item as usize] = mark;
                    items.push(item);
                    missing -= 1;
                }
            }
        }
        if missing > 0 {
            self.draw_by_keys(mark, missing, &mut stream, taste, items);
        }
    }

    fn draw_one(&self, stream: &mut Stream) -> u32 {
        let bits = stream.next_u64();
        let cell = (((bits >> 32) * self.weights.len() as u64) >> 32) as usize;
        if bits as u32 <= self.thresholds[cell] { cell as u32 } else { self.aliases[cell] }
    }

    /// The same distribution in one pass over the items not drawn yet: the `missing` smallest of exponential keys with
    /// the weights as rates (Efraimidis, Spirakis 2006).
    fn draw_by_keys(&self, mark: u64, missing: usize, stream: &mut Stream, taste: impl Fn(u32) -> f64, items: &mut Vec<u32>) {
        let key = |draw: f64, weight: f64, item: u32| (-(1.0 - draw).ln() / (weight * taste(item)), item);
        let free = self.drawn_by.iter().zip(&self.weights).enumerate().filter(|(_, (drawn_by, _))| **drawn_by != mark);
        let mut keys: Vec<(f64, u32)> = free.map(|(item, (_, weight))| key(stream.uniform(), *weight, item as u32)).collect();
        if missing < keys.len() {
            keys.select_nth_unstable_by(missing, |left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
            keys.truncate(missing);
        }
        let first = items.len();
        items.extend(keys.into_iter().map(|(_, item)| item));
        // The order that the selection leaves is no promise of the standard library.
        items[first..].sort_unstable();
    }
}

/// Vose's alias table for positive weights (1991): thresholds in units of 2^-32, and where a draw above them goes.
fn alias_table(weights: &[f64]) -> (Vec<u32>, Vec<u32>) {
    let n = weights.len();
    let scale = n as f64 / weights.iter().sum::<f64>();
    let mut parts: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
    let mut thresholds = vec![u32::MAX; n];
    let mut aliases: Vec<u32> = (0..n as u32).collect();
    let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..n as u32).partition(|cell| parts[*cell as usize] < 1.0);
    while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
        thresholds[poor as usize] = (parts[poor as usize] * 4_294_967_296.0) as u32;
        aliases[poor as usize] = rich;
        parts[rich as usize] -= 1.0 - parts[poor as usize];
        if parts[rich as usize] < 1.0 {
            large.pop();
            small.push(rich);
        }
    }
    (thresholds, aliases)
}

/// What there is to learn.
struct Pattern {
    users: Vec<[f32; PLANTED_RANK + 1]>,
    items: Vec<[f32; PLANTED_RANK + 1]>,
}

impl Pattern {
    fn new(n_users: usize, n_items: usize, seed: u64) -> Self {
        Self {
            users: planted(n_users, seed ^ PLANTED_USERS, USER_BIAS_SIGMA),
            items: planted(n_items, seed ^ PLANTED_ITEMS, ITEM_BIAS_SIGMA),
        }
    }

    fn product(&self, user: usize, item: usize) -> f32 {
        self.users[user][..PLANTED_RANK].iter().zip(&self.items[item]).map(|(left, right)| left * right).sum()
    }

    /// Between 0 and 1, both excluded; 0.5 on average.
    fn taste(&self, user: usize, item: usize) -> f64 {
        // Far from the ends of f32: the product would have to exceed 20, forty standard deviations.
        f64::from(1.0 / (1.0 + (-TASTE_SLOPE * self.product(user, item)).clamp(-80.0, 80.0).exp()))
    }

    /// The rating without noise, not rounded.
    fn exact(&self, user: usize, item: usize) -> f32 {
        MEAN + self.users[user][PLANTED_RANK] + self.items[item][PLANTED_RANK] + self.product(user, item)
    }

    fn rating(&self, user: usize, item: usize, noise: &mut Normal) -> f32 {
        let value = self.exact(user, item) + NOISE_SIGMA * noise.next();
        (value * 2.0).round().clamp(1.0, 10.0) / 2.0
    }
}

/// Factors, and the bias behind them.
fn planted(n_rows: usize, seed: u64, bias_sigma: f32) -> Vec<[f32; PLANTED_RANK + 1]> {
    let row = |place: usize| {
        let mut normal = Normal::new(Stream::new(seed, place as u64));
        let mut row = [0.0; PLANTED_RANK + 1].map(|_: f32| FACTOR_SIGMA * normal.next());
        row[PLANTED_RANK] *= bias_sigma / FACTOR_SIGMA;
        row
    };
    (0..n_rows).map(row).collect()
}

/// Normal numbers in pairs: both of what one Box-Muller transformation gives, at half the price.
struct Normal {
    stream: Stream,
    spare: Option<f32>,
}

impl Normal {
    fn new(stream: Stream) -> Self {
        Self { stream, spare: None }
    }

    fn next(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let bits = self.stream.next_u64();
        // 24 bits each; the first is never 0, so that the logarithm is finite.
        let radius = (((bits >> 40) + 1) as f32 / (1u32 << 24) as f32).ln() * -2.0;
        let angle = std::f32::consts::TAU * ((bits >> 16) & 0xFF_FFFF) as f32 / (1u32 << 24) as f32;
        let (sine, cosine) = angle.sin_cos();
        self.spare = Some(radius.sqrt() * sine);
        radius.sqrt() * cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(ratings: &Ratings) -> Vec<(u32, u32)> {
        let mut pairs: Vec<(u32, u32)> = ratings.users.iter().copied().zip(ratings.items.iter().copied()).collect();
        pairs.sort_unstable();
        pairs
    }

    fn check_contract(ratings: &Ratings, n_users: usize, n_items: usize, n_ratings: usize) {
        let shape = format!("{n_users} x {n_items}, {n_ratings}");
        assert_eq!((ratings.users.len(), ratings.items.len(), ratings.values.len()), (n_ratings, n_ratings, n_ratings), "{shape}");
        assert!(ratings.users.iter().all(|user| (*user as usize) < n_users), "{shape}");
        assert!(ratings.items.iter().all(|item| (*item as usize) < n_items), "{shape}");
        assert!(pairs(ratings).windows(2).all(|pair| pair[0] != pair[1]), "{shape}: a pair occurs twice");
        let is_half_step = |value: &f32| (0.5..=5.0).contains(value) && (value * 2.0).fract() == 0.0;
        assert!(ratings.values.iter().all(is_half_step), "{shape}");
    }

    fn counts(numbers: &[u32], n: usize) -> Vec<usize> {
        let mut counts = vec![0; n];
        for number in numbers {
            counts[*number as usize] += 1;
        }
        counts
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for (n_users, n_items, n_ratings, exponent, name) in [
            (3, 4, 13, 1.0, "n_ratings"),
            (0, 4, 1, 1.0, "n_ratings"),
            (3, 0, 1, 1.0, "n_ratings"),
            (3, 4, 5, -0.1, "exponent"),
            (3, 4, 5, 10.5, "exponent"),
            (3, 4, 5, f64::NAN, "exponent"),
            (usize::MAX, 4, 5, 1.0, "n_users"),
            (3, usize::MAX, 5, 1.0, "n_items"),
        ] {
            match zipf_ratings(n_users, n_items, n_ratings, exponent, 1) {
                Err(LearnError::Parameter { name: found, .. }) => assert_eq!(found, name),
                other => panic!("{n_users} x {n_items}, {n_ratings}, {exponent}: {other:?}"),
            }
        }
    }

    #[test]
    fn every_possible_shape_is_made_exactly() {
        for n_users in [1usize, 2, 3, 17] {
            for n_items in [1usize, 2, 5, 40] {
                let all = n_users * n_items;
                for n_ratings in [0, 1, n_users - 1, n_users, all / 2, all - 1, all] {
                    let n_ratings = n_ratings.min(all);
                    for exponent in [0.0, 1.0, 10.0] {
                        let ratings = zipf_ratings(n_users, n_items, n_ratings, exponent, 9).unwrap();
                        check_contract(&ratings, n_users, n_items, n_ratings);
                    }
                }
            }
        }
        for (n_users, n_items) in [(0, 0), (0, 5), (5, 0)] {
            check_contract(&zipf_ratings(n_users, n_items, 0, 1.0, 9).unwrap(), n_users, n_items, 0);
        }
        // Wide rows: drawing one by one first, and a weight that nearly always repeats itself.
        for exponent in [0.0, 1.0, 4.0] {
            check_contract(&zipf_ratings(50, 4_000, 20_000, exponent, 9).unwrap(), 50, 4_000, 20_000);
        }
    }

    #[test]
    fn the_result_depends_on_the_arguments_only() {
        let make = |exponent, seed| zipf_ratings(200, 300, 5_000, exponent, seed).unwrap();
        assert_eq!(make(1.0, 1), make(1.0, 1));
        assert_ne!(make(1.0, 1), make(1.0, 2));
        assert_ne!(pairs(&make(1.0, 1)), pairs(&make(0.5, 1)));
    }

    #[test]
    fn few_items_and_few_users_hold_most_ratings() {
        let (n_users, n_items, n_ratings) = (6_040, 3_706, 1_000_000); // MovieLens-1M
        let ratings = zipf_ratings(n_users, n_items, n_ratings, 1.2, 42).unwrap();
        check_contract(&ratings, n_users, n_items, n_ratings);
        let head = |mut counts: Vec<usize>| {
            counts.sort_unstable_by(|left, right| right.cmp(left));
            counts[..counts.len() / 10].iter().sum::<usize>() as f64 / n_ratings as f64
        };
        let (item_head, user_head) = (head(counts(&ratings.items, n_items)), head(counts(&ratings.users, n_users)));
        assert!(item_head > 0.5, "top tenth of the items: {item_head}");
        // A log-normal distribution of sigma 1.1 has 43 % above its 90th percentile.
        assert!((0.38..0.48).contains(&user_head), "top tenth of the users: {user_head}");
        assert!(counts(&ratings.users, n_users).iter().all(|count| *count > 0), "a user without ratings");
        let uniform = zipf_ratings(n_users, n_items, n_ratings, 0.0, 42).unwrap();
        let uniform_head = head(counts(&uniform.items, n_items));
        assert!(uniform_head < 0.15, "exponent 0 is uniform: {uniform_head}");
        // Popularity does not follow the number.
        let early = ratings.items.iter().filter(|item| (**item as usize) < n_items / 2).count() as f64 / n_ratings as f64;
        assert!((0.3..0.7).contains(&early), "the first half of the items has {early}");
    }

    #[test]
    fn items_are_drawn_in_proportion_to_their_weights() {
        // One item per user, and no taste: nothing is excluded, so the counts are those of Zipf's law.
        let (n_users, n_items) = (100_000, 10);
        let mut sampler = ItemSampler::new(n_items, 1.0, 3);
        let mut items = Vec::new();
        for user in 0..n_users {
            sampler.draw(user, 1, 3, |_| 1.0, &mut items);
        }
        let mut found = counts(&items, n_items);
        found.sort_unstable_by(|left, right| right.cmp(left));
        let harmonic: f64 = (1..=n_items).map(|rank| 1.0 / rank as f64).sum();
        for (place, count) in found.into_iter().enumerate() {
            let expected = f64::from(n_users) / (harmonic * (place as f64 + 1.0));
            assert!((count as f64 - expected).abs() < 5.0 * expected.sqrt(), "rank {}: {count}, expected {expected}", place + 1);
        }
    }

    #[test]
    fn both_ways_of_drawing_have_the_same_distribution() {
        // 5 of 40 items are drawn one by one; as 5 of 39 they would be drawn by keys. Compare over many users.
        let (n_items, n_users, count) = (40, 20_000u32, 5);
        let mut sampler = ItemSampler::new(n_items, 1.0, 7);
        let taste = |item: u32| if item.is_multiple_of(2) { 0.9 } else { 0.2 };
        let (mut one_by_one, mut by_keys) = (Vec::new(), Vec::new());
        for user in 0..n_users {
            sampler.draw(user, count, 7, taste, &mut one_by_one);
            sampler.draw_by_keys(u64::MAX, count, &mut Stream::new(8, u64::from(user)), taste, &mut by_keys);
        }
        for (item, (left, right)) in counts(&one_by_one, n_items).into_iter().zip(counts(&by_keys, n_items)).enumerate() {
            let (left, right) = (left as f64, right as f64);
            assert!((left - right).abs() < 5.0 * (left + right).sqrt(), "item {item}: {left} and {right}");
        }
    }

    #[test]
    fn ratings_hold_a_pattern_and_noise() {
        let ratings = zipf_ratings(500, 400, 50_000, 1.0, 11).unwrap();
        let n = ratings.values.len() as f64;
        let mean = ratings.values.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
        let variance = ratings.values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / n;
        assert!((mean - 3.5).abs() < 0.2, "mean {mean}");
        assert!((0.9..1.4).contains(&variance.sqrt()), "deviation {}", variance.sqrt());
        let pattern = Pattern::new(500, 400, 11);
        let rated = || ratings.users.iter().zip(&ratings.items).map(|(user, item)| (*user as usize, *item as usize));
        let errors = rated().zip(&ratings.values).map(|((user, item), value)| f64::from(pattern.exact(user, item) - value).powi(2));
        let floor = (errors.sum::<f64>() / n).sqrt();
        assert!((0.75..0.85).contains(&floor), "error of the planted pattern {floor}");
        // Users rate what they like: the average over all pairs is 0.5.
        let taste = rated().map(|(user, item)| pattern.taste(user, item)).sum::<f64>() / n;
        assert!(taste > 0.6, "taste for what is rated {taste}");
    }
}
