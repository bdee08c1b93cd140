//! Which points of a space of hyper-parameters to try, and when to stop an iteration: without knowing any learner.

use crate::error::LearnError;
use crate::random::Stream;
use std::collections::BTreeSet;

/// The values that a hyper-parameter may have.
#[derive(Debug, Clone, PartialEq)]
pub enum Candidates {
    /// These numbers.
    List(Vec<f64>),
    /// All numbers from `min` to `max`, both included; `log`: each factor is as likely as any other, not each
    /// difference; `integer`: whole numbers only.
    Range { min: f64, max: f64, log: bool, integer: bool },
    /// One of `n` things, by number from 0.
    Choice(usize),
}

/// A hyper-parameter to search.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    pub candidates: Candidates,
    /// The learner's own value; a point of defaults is tried first.
    pub default: Option<f64>,
}

/// How points are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// All combinations. A range has as many values, evenly spaced (their logarithms, with `log`) with both ends, as fit:
    /// every range the same number, the largest with which the grid has at most `num_trials` points, from 2 to 1,000. A
    /// grid that is larger nevertheless is thinned to a random sample of its points, in the order of the grid.
    Grid,
    /// Every value is drawn at random. A space of few points is drawn without repetition until it is exhausted.
    Random,
}

/// Above so many points a space is drawn from, not enumerated.
const POINTS_ENUMERATED_MAX: usize = 1 << 20;

/// Values of a range on a grid, at most.
const VALUES_PER_RANGE_MAX: usize = 1000;

/// Draws for a new point before the search ends with fewer trials: what is left of the space is tiny.
const DRAWS_PER_TRIAL_MAX: usize = 1000;

/// Returns the points to try in order, each with a value per dimension; at most `num_trials`, none twice.
///
/// The point of the defaults is the first when every dimension has one and it lies in the space; it counts as a trial. The
/// points depend on the arguments only. Without dimensions there is one point, the empty one.
///
/// # Errors
/// [`LearnError::Parameter`] for no trial, no candidate, a candidate or an end of a range that is not finite, a range that
/// is empty (also of whole numbers), and `log` with an end that is not above 0.
pub fn trials(dimensions: &[Dimension], algorithm: Algorithm, num_trials: usize, seed: u64) -> Result<Vec<Vec<f64>>, LearnError> {
    if num_trials == 0 {
        return wrong("num_trials", 0.0, "at least 1");
    }
    for dimension in dimensions {
        check(&dimension.candidates)?;
    }
    let mut points = Points::default();
    let default: Option<Vec<f64>> = dimensions.iter().map(Dimension::default_within).collect();
    if let Some(default) = default {
        points.push(default);
    }
    let axes: Option<Vec<Vec<f64>>> = match algorithm {
        Algorithm::Grid => Some(grid(dimensions, num_trials)),
        Algorithm::Random => dimensions.iter().map(|dimension| dimension.candidates.values()).collect(),
    };
    match axes {
        Some(axes) if n_points(&axes).is_some_and(|n| n <= POINTS_ENUMERATED_MAX) => {
            points.push_axes(&axes, algorithm, num_trials, seed);
        }
        // A grid of that many points is a list to draw from, too.
        Some(axes) => points.draw(num_trials, seed, |stream| axes.iter().map(|values| values[below(stream, values.len())]).collect()),
        None => points.draw(num_trials, seed, |stream| dimensions.iter().map(|dimension| dimension.candidates.draw(stream)).collect()),
    }
    Ok(points.in_order)
}

impl Dimension {
    fn default_within(&self) -> Option<f64> {
        self.default.filter(|default| match &self.candidates {
            Candidates::List(values) => values.contains(default),
            Candidates::Range { min, max, integer, .. } => (min..=max).contains(&default) && (!integer || default.fract() == 0.0),
            Candidates::Choice(n) => default.fract() == 0.0 && *default >= 0.0 && *default < *n as f64,
        })
    }
}

impl Candidates {
    /// All values once, where they can be listed.
    fn values(&self) -> Option<Vec<f64>> {
        match self {
            Self::List(values) => Some(unique(values.clone())),
            Self::Choice(n) => Some((0..*n).map(|choice| choice as f64).collect()),
            // Whole numbers with `log` are not equally likely: they are drawn.
            Self::Range { min, max, log: false, integer: true } if max - min < POINTS_ENUMERATED_MAX as f64 => {
                Some((0..=(max.floor() - min.ceil()) as usize).map(|step| min.ceil() + step as f64).collect())
            }
            Self::Range { min, max, .. } if min == max => Some(vec![*min]),
            Self::Range { .. } => None,
        }
    }

    /// `n` values of a range, evenly spaced, with both ends; all values of a list.
    fn spaced(&self, n: usize) -> Vec<f64> {
        match self {
            Self::Range { .. } => {
                let mut values: Vec<f64> = (0..n).map(|step| self.at(step as f64 / (n - 1).max(1) as f64)).collect();
                values.dedup(); // Whole numbers, or ends that are equal.
                values
            }
            Self::List(_) | Self::Choice(_) => self.values().unwrap_or_default(),
        }
    }

    /// A random value of a range, or one of a list.
    fn draw(&self, stream: &mut Stream) -> f64 {
        match self {
            Self::List(values) => values[below(stream, values.len())],
            Self::Choice(n) => below(stream, *n) as f64,
            // Every whole number has an interval of length 1 around it, also the first and the last.
            Self::Range { min, max, log, integer: true } => {
                let (min, max) = (min.ceil(), max.floor());
                let wider = Self::Range { min: min - 0.5, max: max + 0.5, log: *log, integer: false };
                wider.at(stream.uniform()).round().clamp(min, max)
            }
            Self::Range { .. } => self.at(stream.uniform()),
        }
    }

    /// The value at a share of a range, from 0 to 1.
    fn at(&self, share: f64) -> f64 {
        let Self::Range { min, max, log, integer } = self else { return f64::NAN };
        let value = match share {
            // The ends exactly.
            0.0 => *min,
            1.0 => *max,
            _ if *log => (min.ln() + share * (max.ln() - min.ln())).exp(),
            _ => min + share * (max - min),
        };
        if *integer { value.round().clamp(min.ceil(), max.floor()) } else { value.clamp(*min, *max) }
    }
}

/// Points in the order of trial, each once.
#[derive(Default)]
struct Points {
    in_order: Vec<Vec<f64>>,
    seen: BTreeSet<Vec<u64>>,
}

impl Points {
    fn push(&mut self, point: Vec<f64>) -> bool {
        // Adding zero makes -0 and 0 the same.
        let is_new = self.seen.insert(point.iter().map(|value| (value + 0.0).to_bits()).collect());
        if is_new {
            self.in_order.push(point);
        }
        is_new
    }

    /// Adds combinations until there are `num_trials`: those of a grid in its order, others in random order.
    fn push_axes(&mut self, axes: &[Vec<f64>], algorithm: Algorithm, num_trials: usize, seed: u64) {
        let first = self.in_order.first().cloned();
        let Some(n) = n_points(axes) else { return };
        // The point of the defaults needs no second place in the sample.
        let mut order: Vec<usize> = (0..n).filter(|number| first.as_ref() != Some(&combination(axes, *number))).collect();
        let n_wanted = num_trials.saturating_sub(self.in_order.len()).min(order.len());
        if algorithm == Algorithm::Random || n_wanted < order.len() {
            let mut stream = Stream::new(seed ^ PURPOSE, 0);
            for place in 0..n_wanted {
                let other = place + below(&mut stream, order.len() - place);
                order.swap(place, other);
            }
            order.truncate(n_wanted);
            if algorithm == Algorithm::Grid {
                order.sort_unstable();
            }
        }
        for number in order {
            self.push(combination(axes, number));
        }
    }

    /// Adds drawn points until there are `num_trials`. Trial `t` has a stream of its own: more trials begin with the same.
    fn draw(&mut self, num_trials: usize, seed: u64, draw: impl Fn(&mut Stream) -> Vec<f64>) {
        while self.in_order.len() < num_trials {
            let mut stream = Stream::new(seed ^ PURPOSE, self.in_order.len() as u64);
            if !(0..DRAWS_PER_TRIAL_MAX).any(|_| self.push(draw(&mut stream))) {
                return;
            }
        }
    }
}

/// Keeps the streams of a search apart from those of the learners it tries.
const PURPOSE: u64 = 0x5EED_5EA2_C4A1_1111;

/// The values of each dimension on the grid.
fn grid(dimensions: &[Dimension], num_trials: usize) -> Vec<Vec<f64>> {
    let axes = |n: usize| -> Vec<Vec<f64>> { dimensions.iter().map(|dimension| dimension.candidates.spaced(n)).collect() };
    let has_range = dimensions.iter().any(|dimension| matches!(dimension.candidates, Candidates::Range { .. }));
    let mut n_per_range = 2;
    // Ranges of whole numbers may be exhausted: then a larger number changes nothing.
    while has_range
        && n_per_range < num_trials.min(VALUES_PER_RANGE_MAX)
        && n_points(&axes(n_per_range + 1)).is_some_and(|n| n <= num_trials)
    {
        n_per_range += 1;
    }
    axes(n_per_range)
}

/// The number of combinations; `None` beyond what can be counted.
fn n_points(axes: &[Vec<f64>]) -> Option<usize> {
    axes.iter().try_fold(1usize, |n, values| n.checked_mul(values.len()))
}

/// A combination by number: the last dimension changes fastest.
fn combination(axes: &[Vec<f64>], mut number: usize) -> Vec<f64> {
    let mut point: Vec<f64> = axes
        .iter()
        .rev()
        .map(|values| {
            let value = values[number % values.len()];
            number /= values.len();
            value
        })
        .collect();
    point.reverse();
    point
}

/// Without repetitions, in the order given.
fn unique(values: Vec<f64>) -> Vec<f64> {
    let mut kept: Vec<f64> = Vec::with_capacity(values.len());
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

/// A random number below `n`.
fn below(stream: &mut Stream, n: usize) -> usize {
    ((u128::from(stream.next_u64()) * n as u128) >> 64) as usize
}

fn check(candidates: &Candidates) -> Result<(), LearnError> {
    match candidates {
        Candidates::List(values) => match values.iter().find(|value| !value.is_finite()) {
            Some(value) => wrong("candidate", *value, "a finite number"),
            None if values.is_empty() => wrong("number of candidates", 0.0, "at least 1"),
            None => Ok(()),
        },
        Candidates::Choice(0) => wrong("number of candidates", 0.0, "at least 1"),
        Candidates::Choice(_) => Ok(()),
        Candidates::Range { min, max, log, integer } => {
            if !min.is_finite() || !max.is_finite() {
                return wrong("end of the range", if min.is_finite() { *max } else { *min }, "a finite number");
            }
            let is_empty = if *integer { min.ceil() > max.floor() } else { min > max };
            if is_empty {
                return wrong(
                    "end of the range",
                    *max,
                    if *integer { "at or above a whole number of the range" } else { "at or above its start" },
                );
            }
            if *log && *min <= 0.0 {
                return wrong("start of the range", *min, "above 0 for a logarithmic scale");
            }
            Ok(())
        }
    }
}

fn wrong<T>(name: &'static str, value: f64, range: &'static str) -> Result<T, LearnError> {
    Err(LearnError::Parameter { name, value: value.to_string(), range })
}

/// Says when iterations do not pay any more, as BigQuery's `EARLY_STOP` and `MIN_REL_PROGRESS`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStop {
    min_rel_progress: f64,
    last: Option<f64>,
}

impl EarlyStop {
    /// Stops after the first iteration whose loss is not smaller than the one before by at least this share of it.
    ///
    /// # Errors
    /// [`LearnError::Parameter`] when the share is not from 0 to 1.
    pub fn new(min_rel_progress: f64) -> Result<Self, LearnError> {
        if !(0.0..=1.0).contains(&min_rel_progress) {
            return wrong("min_rel_progress", min_rel_progress, "from 0 to 1");
        }
        Ok(Self { min_rel_progress, last: None })
    }

    /// Takes the loss after an iteration; returns whether to stop. The first loss never stops, one that is not finite does.
    pub fn is_over(&mut self, loss: f64) -> bool {
        let last = self.last.replace(loss);
        // Written so that NaN stops.
        !(loss.is_finite() && last.is_none_or(|last| last - loss >= self.min_rel_progress * last.abs() && loss != last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(values: &[f64], default: Option<f64>) -> Dimension {
        Dimension { candidates: Candidates::List(values.to_vec()), default }
    }

    fn range(min: f64, max: f64, log: bool, integer: bool) -> Dimension {
        Dimension { candidates: Candidates::Range { min, max, log, integer }, default: None }
    }

    #[track_caller]
    fn check_grid(dimensions: &[Dimension], num_trials: usize, expected: &[&[f64]]) {
        assert_eq!(trials(dimensions, Algorithm::Grid, num_trials, 1).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_errors() {
        let wrong = [
            list(&[], None),
            list(&[1.0, f64::NAN], None),
            range(2.0, 1.0, false, false),
            range(0.0, f64::INFINITY, false, false),
            range(f64::NAN, 1.0, false, false),
            range(0.0, 1.0, true, false),
            range(1.2, 1.8, false, true),
            Dimension { candidates: Candidates::Choice(0), default: None },
        ];
        for dimension in wrong {
            let result = trials(std::slice::from_ref(&dimension), Algorithm::Random, 3, 1);
            assert!(matches!(result, Err(LearnError::Parameter { .. })), "{dimension:?}");
        }
        assert!(trials(&[list(&[1.0], None)], Algorithm::Grid, 0, 1).is_err());
        for share in [-0.1, 1.1, f64::NAN] {
            assert!(EarlyStop::new(share).is_err());
        }
    }

    #[test]
    fn a_grid_has_all_combinations_with_the_defaults_first() {
        let rank = list(&[10.0, 20.0, 10.0], Some(20.0));
        let lambda = list(&[0.1, 1.0], Some(0.1));
        check_grid(&[rank.clone(), lambda], 10, &[&[20.0, 0.1], &[10.0, 0.1], &[10.0, 1.0], &[20.0, 1.0]]);
        // A default outside the space is no trial; nor is half a default.
        check_grid(&[rank.clone(), list(&[0.5], Some(0.1))], 10, &[&[10.0, 0.5], &[20.0, 0.5]]);
        check_grid(&[rank, list(&[0.5], None)], 10, &[&[10.0, 0.5], &[20.0, 0.5]]);
        check_grid(&[], 10, &[&[]]);
    }

    #[test]
    fn a_grid_over_ranges_uses_the_trials_there_are() {
        check_grid(&[range(0.0, 1.0, false, false)], 5, &[&[0.0], &[0.25], &[0.5], &[0.75], &[1.0]]);
        check_grid(&[range(1.0, 3.4, false, true)], 100, &[&[1.0], &[2.0], &[3.0]]);
        check_grid(&[range(2.0, 2.0, false, false)], 3, &[&[2.0]]);
        let points = trials(&[range(0.01, 1.0, true, false), list(&[1.0, 2.0], None)], Algorithm::Grid, 7, 1).unwrap();
        assert_eq!(points.len(), 6);
        assert!((points[2][0] - 0.1).abs() < 1e-12 && points[0][0] == 0.01 && points[5][0] == 1.0, "{points:?}");
    }

    #[test]
    fn a_grid_that_is_too_large_is_a_sample_of_all_its_sides() {
        let dimensions = [list(&[1.0, 2.0, 3.0, 4.0], Some(4.0)), list(&[1.0, 2.0, 3.0, 4.0], Some(4.0)), range(0.0, 1.0, false, false)];
        let points = trials(&dimensions, Algorithm::Grid, 12, 3).unwrap();
        assert_eq!(points.len(), 12);
        assert!(points.is_sorted_by(|left, right| left.partial_cmp(right).is_some_and(|order| order.is_lt())));
        for side in 0..2 {
            let distinct: BTreeSet<u64> = points.iter().map(|point| point[side].to_bits()).collect();
            assert!(distinct.len() >= 3, "{points:?}");
        }
        assert_eq!(points, trials(&dimensions, Algorithm::Grid, 12, 3).unwrap());
        assert_ne!(points, trials(&dimensions, Algorithm::Grid, 12, 4).unwrap());
        // Sixty sides of two values: nobody lists these points.
        let many = trials(&vec![list(&[0.0, 1.0], Some(0.0)); 60], Algorithm::Grid, 20, 1).unwrap();
        assert_eq!((many.len(), &many[0]), (20, &vec![0.0; 60]));
    }

    #[test]
    fn random_points_lie_in_the_space_and_never_repeat() {
        let mut lambda = range(0.001, 10.0, true, false);
        lambda.default = Some(0.1);
        let mut rank = range(4.0, 64.0, true, true);
        rank.default = Some(10.0);
        let choice = Dimension { candidates: Candidates::Choice(3), default: Some(0.0) };
        let dimensions = [lambda, rank, choice];
        let points = trials(&dimensions, Algorithm::Random, 300, 9).unwrap();
        assert_eq!((points.len(), &points[0]), (300, &vec![0.1, 10.0, 0.0]));
        for point in &points {
            assert!((0.001..=10.0).contains(&point[0]) && (4.0..=64.0).contains(&point[1]) && point[1].fract() == 0.0, "{point:?}");
            assert!([0.0, 1.0, 2.0].contains(&point[2]), "{point:?}");
        }
        // Half of them below the geometric mean.
        for (side, middle) in [(0, 0.1), (1, 16.0)] {
            let below = points.iter().filter(|point| point[side] <= middle).count();
            assert!((115..=185).contains(&below), "side {side}: {below}");
        }
        assert_eq!(points, trials(&dimensions, Algorithm::Random, 300, 9).unwrap());
        assert_eq!(points[..20], trials(&dimensions, Algorithm::Random, 20, 9).unwrap());
        assert_ne!(points, trials(&dimensions, Algorithm::Random, 300, 8).unwrap());
    }

    #[test]
    fn a_space_of_few_points_is_exhausted_and_no_more() {
        let dimensions = [range(1.0, 3.0, false, true), list(&[0.1, 0.2], None)];
        let mut points = trials(&dimensions, Algorithm::Random, 50, 9).unwrap();
        assert_eq!(trials(&dimensions, Algorithm::Random, 4, 9).unwrap(), points[..4]);
        points.sort_by(|left, right| left.partial_cmp(right).unwrap());
        assert_eq!(points, trials(&dimensions, Algorithm::Grid, 6, 9).unwrap());
        // Drawn, as it is on a logarithmic scale, it ends too.
        assert_eq!(trials(&[range(1.0, 3.0, true, true)], Algorithm::Random, 50, 9).unwrap().len(), 3);
    }

    #[test]
    fn iterations_end_when_they_do_not_pay() {
        let mut stop = EarlyStop::new(0.01).unwrap();
        assert_eq!([100.0, 90.0, 89.0, 88.5, 88.5].map(|loss| stop.is_over(loss)), [false, false, false, true, true]);
        let mut worse = EarlyStop::new(0.0).unwrap();
        assert_eq!([1.0, 0.999_999, 0.999_999, 2.0, f64::NAN].map(|loss| worse.is_over(loss)), [false, false, true, true, true]);
        // A loss may be negative: a likelihood.
        let mut negative = EarlyStop::new(0.1).unwrap();
        assert_eq!([-10.0, -12.0, -12.5].map(|loss| negative.is_over(loss)), [false, false, true]);
        assert!(EarlyStop::new(0.0).unwrap().is_over(f64::NAN));
    }
}
