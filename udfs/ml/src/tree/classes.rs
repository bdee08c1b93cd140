//! The learner of three or more classes.

use super::fixed::Scale;
use super::learner::Learner;
use super::moments::{Limits, nats};

/// A cell is the number of rows, then the weight of each class.
#[derive(Debug)]
pub(super) struct Classes {
    is_entropy: bool,
    n_classes: usize,
    labels: Vec<u32>,
    /// In fixed point; empty when all are one.
    weights: Vec<i64>,
    scale: Scale,
    min_instances: i64,
    min_gain: f64,
}

/// What one row adds.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClassRow {
    label: u32,
    count: u32,
    weight: i64,
}

impl Classes {
    /// Labels below `n_classes`; weights are positive, and one when absent.
    pub(super) fn new(is_entropy: bool, labels: Vec<u32>, n_classes: usize, weights: Option<&[f64]>, limits: Limits) -> Self {
        let heaviest = weights.map_or(0.0, |weights| weights.iter().copied().fold(0.0, f64::max));
        let scale = weights.map_or(Scale::ONE, |weights| Scale::fitting(heaviest, weights.len()));
        let weights = weights.map_or(Vec::new(), |weights| weights.iter().map(|weight| scale.fixed(*weight).max(1)).collect());
        let min_instances = limits.min_instances.max(1) as i64;
        Self { is_entropy, n_classes, labels, weights, scale, min_instances, min_gain: limits.min_gain }
    }

    /// Weight × impurity, less the weight's own part that is the same on both sides of a split.
    #[inline]
    fn spread(&self, weights: impl Iterator<Item = f64> + Clone) -> f64 {
        let weight: f64 = weights.clone().sum();
        if self.is_entropy {
            weights.map(|of_class| nats(of_class, weight)).sum::<f64>() / std::f64::consts::LN_2
        } else {
            weight - weights.map(|of_class| of_class * of_class).sum::<f64>() / weight
        }
    }

    fn reals<'a>(&self, cell: &'a [i64]) -> impl Iterator<Item = f64> + Clone + use<'a> {
        let unit = self.scale.unit();
        cell[1..].iter().map(move |weight| *weight as f64 * unit)
    }
}

impl Learner for Classes {
    type Row = ClassRow;

    fn width(&self) -> usize {
        self.n_classes + 1
    }

    fn n_values(&self) -> usize {
        self.n_classes
    }

    fn row(&self, row: u32, multiplicity: u32) -> ClassRow {
        let weight = self.weights.get(row as usize).copied().unwrap_or(1) * i64::from(multiplicity);
        ClassRow { label: self.labels[row as usize], count: multiplicity, weight }
    }

    fn accumulate(&self, cells: &mut [i64], bins: &[u8], rows: &[u32], sums: &[ClassRow]) {
        let width = self.width();
        for (row, sum) in rows.iter().zip(sums) {
            let cell = &mut cells[usize::from(bins[*row as usize]) * width..][..width];
            cell[0] += i64::from(sum.count);
            cell[sum.label as usize + 1] += sum.weight;
        }
    }

    fn total(&self, sums: &[ClassRow]) -> Vec<i64> {
        let mut total = vec![0; self.width()];
        for sum in sums {
            total[0] += i64::from(sum.count);
            total[sum.label as usize + 1] += sum.weight;
        }
        total
    }

    fn weight(&self, cell: &[i64]) -> f64 {
        self.scale.real(cell[1..].iter().sum())
    }

    fn can_split(&self, total: &[i64]) -> bool {
        total[0] >= 2 * self.min_instances
    }

    fn gain(&self, left: &[i64], total: &[i64]) -> f64 {
        if left[0] < self.min_instances || total[0] - left[0] < self.min_instances {
            return f64::NEG_INFINITY;
        }
        let unit = self.scale.unit();
        let right = left[1..].iter().zip(&total[1..]).map(|(left, total)| (total - left) as f64 * unit);
        (self.spread(self.reals(total)) - self.spread(self.reals(left)) - self.spread(right)).max(0.0)
    }

    fn suffices(&self, gain: f64, total: &[i64]) -> bool {
        gain >= self.min_gain * self.weight(total)
    }

    /// Orders categories along the first principal component of their class shares: not always exact, but cheap
    /// for any number of classes (Coppersmith, Hong, Hosking 1999, *Partitioning Nominal Attributes in Decision Trees*).
    fn order(&self, cells: &[i64], total: &[i64], bins: &mut [u8]) {
        let weight = self.weight(total);
        let means: Vec<f64> = self.reals(total).map(|of_class| of_class / weight).collect();
        // Per bin: its weight, and its class shares less the mean shares.
        let rows: Vec<(f64, Vec<f64>)> = bins
            .iter()
            .map(|bin| {
                let cell = super::learner::cell(cells, self.width(), usize::from(*bin));
                let weight = self.weight(cell);
                (weight, self.reals(cell).zip(&means).map(|(of_class, mean)| of_class / weight - mean).collect())
            })
            .collect();
        let axis = principal_axis(&rows, self.n_classes);
        let mut keyed: Vec<(f64, u8)> = rows.iter().map(|(_, shares)| dot(shares, &axis)).zip(bins.iter().copied()).collect();
        keyed.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
        bins.iter_mut().zip(keyed).for_each(|(bin, (_, sorted))| *bin = sorted);
    }

    fn is_pure(&self, rows: &[u32]) -> bool {
        let Some((first, others)) = rows.split_first() else { return true };
        others.iter().all(|row| self.labels[*row as usize] == self.labels[*first as usize])
    }

    fn leaf(&self, total: &[i64], values: &mut Vec<f64>) {
        let weight = self.weight(total);
        values.extend(self.reals(total).map(|of_class| of_class / weight));
    }

    fn impurity(&self, total: &[i64], _: &[u32], _: &[ClassRow]) -> Option<f64> {
        Some((self.spread(self.reals(total)) / self.weight(total)).max(0.0))
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

/// The direction in which weighted rows vary most, by power iteration.
fn principal_axis(rows: &[(f64, Vec<f64>)], n_classes: usize) -> Vec<f64> {
    const N_STEPS: usize = 16;
    // Starts from the class whose share varies most.
    let variance = |class: usize| rows.iter().map(|(weight, shares)| weight * shares[class] * shares[class]).sum::<f64>();
    let variances: Vec<f64> = (0..n_classes).map(variance).collect();
    let start = (0..n_classes).rev().max_by(|left, right| variances[*left].total_cmp(&variances[*right])).unwrap_or(0);
    let mut axis = vec![0.0; n_classes];
    axis[start] = 1.0;
    for _ in 0..N_STEPS {
        let mut next = vec![0.0; n_classes];
        for (weight, shares) in rows {
            let step = weight * dot(shares, &axis);
            next.iter_mut().zip(shares).for_each(|(next, share)| *next += step * share);
        }
        let length = dot(&next, &next).sqrt();
        if length == 0.0 {
            break;
        }
        next.iter_mut().for_each(|entry| *entry /= length);
        axis = next;
    }
    axis
}
