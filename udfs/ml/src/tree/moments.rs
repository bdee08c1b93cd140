//! The learner of two sums, weight and response: variance, impurities of two classes, gradients.

use super::fixed::{Scale, product};
use super::learner::Learner;

/// What a split should separate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Criterion {
    /// The response is a number.
    Variance,
    /// The response is 0 or 1.
    Gini,
    /// The response is 0 or 1.
    Entropy,
    /// The weight is a second derivative, the response a negative first derivative of a loss (Friedman 2001;
    /// Chen and Guestrin 2016, formula 7 without its factor 1/2).
    Gradient { l2: f64, learning_rate: f64, min_child_weight: f64 },
}

/// Weight, response and, when `N` is 3, the number of rows (when it is 2, that is the weight).
#[derive(Debug)]
pub(super) struct Moments<const N: usize> {
    criterion: Criterion,
    /// The sums of each row when it is once in the sample.
    rows: Vec<[i64; N]>,
    weight_scale: Scale,
    response_scale: Scale,
    /// Added to a mean response: responses are stored less this.
    centre: f64,
    min_instances: i64,
    min_gain: f64,
    /// The responses as given, to tell whether they are equal.
    responses: Vec<f64>,
}

/// The limits of a node, of any learner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) min_instances: usize,
    pub(super) min_gain: f64,
}

impl Limits {
    fn instances(self) -> i64 {
        self.min_instances.max(1) as i64
    }
}

impl Moments<2> {
    /// Rows of weight one.
    pub(super) fn unweighted(criterion: Criterion, responses: Vec<f64>, limits: Limits) -> Self {
        let (centre, response_scale) = centre_and_scale(criterion, &responses, 1.0);
        let rows = responses.iter().map(|response| [1, response_scale.fixed(response - centre)]).collect();
        let (min_instances, min_gain) = (limits.instances(), limits.min_gain);
        Self { criterion, rows, weight_scale: Scale::ONE, response_scale, centre, min_instances, min_gain, responses }
    }

    /// First and second derivatives of a loss in the predictions. `derivatives` are (first, second), both finite,
    /// the second not negative.
    pub(super) fn gradients(criterion: Criterion, derivatives: &[(f64, f64)], min_gain: f64) -> Self {
        let (mut first, mut second) = (0f64, 0f64);
        for derivative in derivatives {
            first = first.max(derivative.0.abs());
            second = second.max(derivative.1);
        }
        let (response_scale, weight_scale) = (Scale::fitting(first, derivatives.len()), Scale::fitting(second, derivatives.len()));
        // At least one: a row of a sure prediction has still to be seen.
        let row = |derivative: &(f64, f64)| [weight_scale.fixed(derivative.1).max(1), response_scale.fixed(-derivative.0)];
        let rows = derivatives.iter().map(row).collect();
        Self { criterion, rows, weight_scale, response_scale, centre: 0.0, min_instances: 0, min_gain, responses: Vec::new() }
    }
}

impl Moments<3> {
    /// Rows with positive weights.
    pub(super) fn weighted(criterion: Criterion, responses: Vec<f64>, weights: &[f64], limits: Limits) -> Self {
        let heaviest = weights.iter().copied().fold(0.0, f64::max);
        let weight_scale = Scale::fitting(heaviest, weights.len());
        let (mut centre, mut response_scale) = (0.0, weight_scale);
        if criterion == Criterion::Variance {
            // Rows heavier than one need room in the sums.
            (centre, response_scale) = centre_and_scale(criterion, &responses, heaviest.max(1.0));
        }
        let row = |(response, weight): (&f64, &f64)| {
            let weight = weight_scale.fixed(*weight).max(1);
            let sum = match criterion {
                Criterion::Variance => product(weight, weight_scale, response_scale.fixed(response - centre)),
                // The weight of class 1, so that no share leaves 0 to 1.
                _ => weight * i64::from(*response > 0.0),
            };
            [weight, sum, 1]
        };
        let rows = responses.iter().zip(weights).map(row).collect();
        let (min_instances, min_gain) = (limits.instances(), limits.min_gain);
        Self { criterion, rows, weight_scale, response_scale, centre, min_instances, min_gain, responses }
    }
}

/// What is subtracted from responses, and their scale. The centre is the middle of the range: it depends on no order.
fn centre_and_scale(criterion: Criterion, responses: &[f64], heaviest: f64) -> (f64, Scale) {
    if criterion != Criterion::Variance {
        return (0.0, Scale::ONE);
    }
    let lowest = responses.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = responses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let centre = if lowest == highest { lowest } else { lowest / 2.0 + highest / 2.0 };
    (centre, Scale::fitting((highest - centre).max(centre - lowest) * heaviest, responses.len()))
}

impl<const N: usize> Moments<N> {
    fn real(&self, cell: &[i64]) -> (f64, f64) {
        (self.weight_scale.real(cell[0]), self.response_scale.real(cell[1]))
    }

    /// A scale on which `n` predictions of this learner can be added up, and what to subtract from them first.
    pub(super) fn prediction_scale(&self, n: usize) -> (f64, Scale) {
        let farthest = self.responses.iter().map(|response| (response - self.centre).abs()).fold(0.0, f64::max);
        (self.centre, Scale::fitting(farthest, n))
    }
}

impl<const N: usize> Learner for Moments<N> {
    type Row = [i64; N];

    #[inline]
    fn width(&self) -> usize {
        N
    }

    fn n_values(&self) -> usize {
        if matches!(self.criterion, Criterion::Gini | Criterion::Entropy) { 2 } else { 1 }
    }

    fn row(&self, row: u32, multiplicity: u32) -> [i64; N] {
        self.rows[row as usize].map(|sum| sum * i64::from(multiplicity))
    }

    fn accumulate(&self, cells: &mut [i64], bins: &[u8], rows: &[u32], sums: &[[i64; N]]) {
        let cells = cells.as_chunks_mut::<N>().0;
        for (row, sum) in rows.iter().zip(sums) {
            let cell = &mut cells[bins[*row as usize] as usize];
            for place in 0..N {
                cell[place] += sum[place];
            }
        }
    }

    fn total(&self, sums: &[[i64; N]]) -> Vec<i64> {
        let mut total = vec![0; N];
        sums.iter().for_each(|sum| super::learner::add(&mut total, sum));
        total
    }

    fn weight(&self, cell: &[i64]) -> f64 {
        self.weight_scale.real(cell[0])
    }

    fn can_split(&self, total: &[i64]) -> bool {
        match self.criterion {
            Criterion::Gradient { min_child_weight, .. } => self.weight(total) >= 2.0 * min_child_weight,
            _ => total[if N == 3 { 2 } else { 0 }] >= 2 * self.min_instances,
        }
    }

    #[inline]
    fn gain(&self, left: &[i64], total: &[i64]) -> f64 {
        let (left_weight, left_sum) = self.real(left);
        let (weight, sum) = self.real(total);
        let right_weight = self.weight_scale.real(total[0] - left[0]);
        if let Criterion::Gradient { l2, min_child_weight, .. } = self.criterion {
            if left_weight < min_child_weight || right_weight < min_child_weight {
                return f64::NEG_INFINITY;
            }
            let right_sum = self.response_scale.real(total[1] - left[1]);
            return left_sum * left_sum / (left_weight + l2) + right_sum * right_sum / (right_weight + l2) - sum * sum / (weight + l2);
        }
        let instances = if N == 3 { 2 } else { 0 };
        if left[instances] < self.min_instances || total[instances] - left[instances] < self.min_instances {
            return f64::NEG_INFINITY;
        }
        if self.criterion == Criterion::Entropy {
            let entropy = |weight: f64, sum: f64| nats(weight - sum, weight) + nats(sum, weight);
            return (entropy(weight, sum) - entropy(left_weight, left_sum) - entropy(right_weight, sum - left_sum)).max(0.0)
                / std::f64::consts::LN_2;
        }
        // Weighted variance between the two means. Differences of squared sums would lose most digits.
        let between = left_sum * weight - sum * left_weight;
        let gain = between * between / (left_weight * right_weight * weight);
        // The impurity of Gini is twice the variance of 0 and 1.
        if self.criterion == Criterion::Gini { 2.0 * gain } else { gain }
    }

    fn suffices(&self, gain: f64, total: &[i64]) -> bool {
        match self.criterion {
            Criterion::Gradient { .. } => gain > self.min_gain,
            // A split that gains nothing by itself may make the next one gain: exclusive or.
            _ => gain >= self.min_gain * self.weight(total),
        }
    }

    fn order(&self, cells: &[i64], _: &[i64], bins: &mut [u8]) {
        // For two sums the best division is one of this order (Fisher 1958; Breiman et al. 1984, theorem 4.5).
        let mean = |bin: u8| {
            let (weight, sum) = self.real(&cells[usize::from(bin) * N..][..N]);
            match self.criterion {
                Criterion::Gradient { l2, .. } => sum / (weight + l2),
                _ => sum / weight,
            }
        };
        bins.sort_by(|left, right| mean(*left).total_cmp(&mean(*right)).then(left.cmp(right)));
    }

    fn is_pure(&self, rows: &[u32]) -> bool {
        let Some((first, others)) = rows.split_first() else { return true };
        match self.responses.get(*first as usize) {
            Some(response) => others.iter().all(|row| self.responses[*row as usize] == *response),
            None => false,
        }
    }

    fn leaf(&self, total: &[i64], values: &mut Vec<f64>) {
        let (weight, sum) = self.real(total);
        match self.criterion {
            Criterion::Variance => values.push(self.centre + sum / weight),
            Criterion::Gini | Criterion::Entropy => values.extend([1.0 - sum / weight, sum / weight]),
            Criterion::Gradient { l2, learning_rate, .. } => values.push(learning_rate * sum / (weight + l2)),
        }
    }

    fn impurity(&self, total: &[i64], rows: &[u32], sums: &[[i64; N]]) -> Option<f64> {
        let (weight, sum) = self.real(total);
        let share = sum / weight;
        match self.criterion {
            Criterion::Gradient { .. } => None,
            Criterion::Gini => Some(2.0 * share * (1.0 - share)),
            Criterion::Entropy => Some((nats(1.0 - share, 1.0) + nats(share, 1.0)) / std::f64::consts::LN_2),
            Criterion::Variance if self.is_pure(rows) => Some(0.0),
            Criterion::Variance => {
                let difference = |row: &u32| self.responses[*row as usize] - self.centre - share;
                let farthest = rows.iter().map(|row| difference(row).abs()).fold(0.0, f64::max);
                let heaviest = sums.iter().map(|sum| self.weight(sum)).fold(0.0, f64::max);
                // In fixed point, as all sums: the order of rows must not show.
                let scale = Scale::fitting(farthest * farthest * heaviest, rows.len());
                let squares = rows.iter().zip(sums).map(|(row, sum)| scale.fixed(difference(row).powi(2) * self.weight(sum)));
                Some(scale.real(squares.sum()) / weight)
            }
        }
    }
}

/// -part · ln(part / whole), 0 for an empty part.
pub(super) fn nats(part: f64, whole: f64) -> f64 {
    if part <= 0.0 { 0.0 } else { -part * (part / whole).ln() }
}
