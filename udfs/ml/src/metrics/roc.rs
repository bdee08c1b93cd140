//! How well scores rank the rows of two classes: the receiver operating characteristic.

/// Scores with the class they should tell apart; scores of parts can be merged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RankedScores {
    scores: Vec<(f64, bool)>,
}

/// What happens when rows from `threshold` up are called positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocPoint {
    pub threshold: f64,
    pub n_true_positive: u64,
    pub n_false_positive: u64,
    /// Recall: the share of the positive rows that are called positive.
    pub true_positive_rate: f64,
    /// The share of the negative rows that are called positive.
    pub false_positive_rate: f64,
}

impl RankedScores {
    /// The scores of rows, and which of them are positive.
    pub fn of(scores: &[f64], positives: &[bool]) -> Self {
        Self { scores: scores.iter().copied().zip(positives.iter().copied()).collect() }
    }

    /// Counts one row.
    pub fn add(&mut self, score: f64, is_positive: bool) {
        self.scores.push((score, is_positive));
    }

    /// Counts the rows of another part.
    pub fn merge(&mut self, other: &Self) {
        self.scores.extend_from_slice(&other.scores);
    }

    /// The area under the curve, exactly: the probability that a positive row has a higher score than a negative one, where
    /// equal scores count half (midranks). `None` without rows of both kinds, or when a score is not a number.
    ///
    /// # Cost
    /// Sorts the scores.
    pub fn auc(&self) -> Option<f64> {
        let groups = self.groups()?;
        let (mut n_below, mut pairs) = (0u128, 0u128);
        // Counted in halves of pairs: whole numbers lose nothing, and no order of rows matters.
        for (_, positives, negatives) in groups.iter().rev() {
            pairs += u128::from(*positives) * (2 * n_below + u128::from(*negatives));
            n_below += u128::from(*negatives);
        }
        let n_positive: u64 = groups.iter().map(|(_, positives, _)| positives).sum();
        Some(pairs as f64 / 2.0 / n_positive as f64 / n_below as f64)
    }

    /// The curve, one point per different score, highest first. `None` without rows of both kinds, or when a score is
    /// not a number.
    pub fn curve(&self) -> Option<Vec<RocPoint>> {
        let groups = self.groups()?;
        let n_positive: u64 = groups.iter().map(|(_, positives, _)| positives).sum();
        let n_negative: u64 = groups.iter().map(|(_, _, negatives)| negatives).sum();
        let (mut n_true_positive, mut n_false_positive) = (0, 0);
        let point = |(threshold, positives, negatives): &(f64, u64, u64)| {
            n_true_positive += positives;
            n_false_positive += negatives;
            RocPoint {
                threshold: *threshold,
                n_true_positive,
                n_false_positive,
                true_positive_rate: n_true_positive as f64 / n_positive as f64,
                false_positive_rate: n_false_positive as f64 / n_negative as f64,
            }
        };
        Some(groups.iter().map(point).collect())
    }

    /// Each different score, highest first, with its positive and negative rows.
    fn groups(&self) -> Option<Vec<(f64, u64, u64)>> {
        let n_positive = self.scores.iter().filter(|(_, is_positive)| *is_positive).count();
        if n_positive == 0 || n_positive == self.scores.len() || self.scores.iter().any(|(score, _)| score.is_nan()) {
            return None;
        }
        // Zeros of both signs are equal.
        let mut sorted: Vec<(f64, bool)> = self.scores.iter().map(|(score, is_positive)| (score + 0.0, *is_positive)).collect();
        sorted.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
        let group = |rows: &[(f64, bool)]| {
            let positives = rows.iter().filter(|(_, is_positive)| *is_positive).count() as u64;
            (rows[0].0, positives, rows.len() as u64 - positives)
        };
        Some(sorted.chunk_by(|one, other| one.0 == other.0).map(group).collect())
    }
}

/// The mean over classes of the area under the curve of each class against all others. `probabilities` has `n_classes` numbers
/// to a row. `None` when that is not defined for one of the classes that occur, or only one does.
pub fn roc_auc_macro(probabilities: &[f64], labels: &[u32], n_classes: u32) -> Option<f64> {
    let mut areas = Vec::with_capacity(n_classes as usize);
    for class in (0..n_classes).filter(|class| labels.contains(class)) {
        let scores = probabilities.iter().skip(class as usize).step_by(n_classes as usize).copied();
        let ranked = RankedScores { scores: scores.zip(labels.iter().map(|label| *label == class)).collect() };
        areas.push(ranked.auc()?);
    }
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::reference_tests::{close, rows};
    use crate::random::Stream;

    #[test]
    fn what_is_not_defined_is_none() {
        for ranked in [
            RankedScores::default(),
            RankedScores::of(&[1.0, 2.0], &[true, true]),
            RankedScores::of(&[1.0], &[false]),
            RankedScores::of(&[1.0, f64::NAN], &[false, true]),
        ] {
            assert_eq!((ranked.auc(), ranked.curve()), (None, None));
        }
        assert_eq!((roc_auc_macro(&[], &[], 2), roc_auc_macro(&[0.5, 0.5], &[1], 2)), (None, None));
    }

    #[test]
    fn the_area_with_ties_is_that_of_scikit_learn() {
        // b of `reference_tests`, s = np.round(y*2)/2: roc_auc_score(b, s)
        let mut ranked = RankedScores::default();
        for (i, y) in rows().y.iter().enumerate() {
            ranked.add((y * 2.0).round() / 2.0, y + (5.0 * i as f64).cos() * 2.0 > 4.5);
        }
        close(&[ranked.auc().unwrap()], &[0.875], 1e-15);
        assert_eq!(RankedScores::of(&[0.0, -0.0, 0.0], &[true, false, true]).auc(), Some(0.5));
        assert_eq!(RankedScores::of(&[1.0, 2.0, 3.0], &[false, false, true]).auc(), Some(1.0));
        // One class against the rest.
        let probabilities = [0.7, 0.2, 0.1, 0.3, 0.6, 0.1, 0.3, 0.3, 0.4, 0.5, 0.4, 0.1];
        close(&[roc_auc_macro(&probabilities, &[0, 1, 2, 1], 3).unwrap()], &[(1.0 + 1.0 + 1.0) / 3.0], 1e-15);
    }

    #[test]
    fn it_equals_counting_pairs_and_the_area_below_the_points() {
        for seed in 0..20 {
            let mut stream = Stream::new(seed, 3);
            let rows: Vec<(f64, bool)> = (0..60).map(|_| ((stream.next_u64() % 9) as f64, stream.uniform() < 0.4)).collect();
            let (scores, positives): (Vec<f64>, Vec<bool>) = rows.iter().copied().unzip();
            let (mut sum, mut n_pairs) = (0.0, 0.0);
            for (high, _) in rows.iter().filter(|row| row.1) {
                for (low, _) in rows.iter().filter(|row| !row.1) {
                    n_pairs += 1.0;
                    sum += if high > low { 1.0 } else { f64::from(u8::from(high == low)) / 2.0 };
                }
            }
            let mut ranked = RankedScores::of(&scores[..20], &positives[..20]);
            ranked.merge(&RankedScores::of(&scores[20..], &positives[20..]));
            assert!((ranked.auc().unwrap() - sum / n_pairs).abs() < 1e-14, "seed {seed}");
            let curve = ranked.curve().unwrap();
            let (mut area, mut left, mut below) = (0.0, 0.0, 0.0);
            for point in &curve {
                area += (point.false_positive_rate - left) * (point.true_positive_rate + below) / 2.0;
                (left, below) = (point.false_positive_rate, point.true_positive_rate);
            }
            assert!((area - sum / n_pairs).abs() < 1e-12 && (left, below) == (1.0, 1.0), "seed {seed}");
        }
    }
}
