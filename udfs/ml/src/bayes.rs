//! Naive Bayes: the class whose features, taken one by one, are the most likely.
//!
//! Numeric features are normal within a class, categorical ones have the (smoothed) shares of their categories; both kinds
//! may be mixed. A missing number says nothing and is left out, a missing category is a category of its own when training
//! had some. Categories that training never saw say nothing either.
//!
//! linfa-bayes 0.8 was tried for the numeric part: `GaussianNb` hides its means and variances, so that no model of ours can
//! be made from one, knows neither row weights nor missing values, and its probabilities underflow (2,000 x 600 rows of 8
//! classes: none of the 16,000 is finite). It is no faster (100,000 x 50: fit 50 ms, here 33; probabilities 399 ms, here 151).

use crate::control::{Control, Progress};
use crate::error::LearnError;
use crate::frame::{Column, Frame, MISSING};
use crate::linear::{check_labels, check_weights, most_probable};
use serde::{Deserialize, Serialize};

/// The parameters of naive Bayes.
#[derive(Debug, Clone, PartialEq)]
pub struct NaiveBayes {
    /// Added to the weight of every category in every class (Laplace): no category is impossible.
    pub smoothing: f64,
    /// Added to all variances, as a share of the largest variance of a feature.
    pub variance_smoothing: f64,
}

impl Default for NaiveBayes {
    fn default() -> Self {
        Self { smoothing: 1.0, variance_smoothing: 1e-9 }
    }
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NaiveBayesModel {
    pub n_classes: u32,
    /// The classes that training saw, ascending; the others have probability 0.
    pub classes: Vec<u32>,
    /// The logarithms of their shares.
    pub log_shares: Vec<f64>,
    pub features: Vec<Likelihood>,
}

/// How likely the values of a feature are in each seen class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Likelihood {
    /// The same in all rows of training.
    Constant {
        is_numeric: bool,
    },
    Normal {
        means: Vec<f64>,
        variances: Vec<f64>,
    },
    /// Logarithms of shares, one row of `n_categories + 1` per class: the last one is that of missing values, and 0 in
    /// all classes when training had none. Codes that training did not see are 0 in all classes, too.
    Shares {
        n_categories: u32,
        log_shares: Vec<f64>,
    },
}

impl NaiveBayes {
    /// Fits the model to labels below `n_classes`.
    ///
    /// # Errors
    /// [`LearnError::OneClass`], [`LearnError::Empty`], [`LearnError::NoFeature`], [`LearnError::Value`] for a label or weight
    /// out of range, [`LearnError::Parameter`], [`LearnError::Cancelled`].
    ///
    /// # Cost
    /// Two passes over the features.
    pub fn fit(
        &self,
        frame: &Frame,
        labels: &[u32],
        n_classes: u32,
        weights: Option<&[f64]>,
        control: &Control,
    ) -> Result<NaiveBayesModel, LearnError> {
        for (name, value) in [("smoothing", self.smoothing), ("variance_smoothing", self.variance_smoothing)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(LearnError::Parameter { name, value: value.to_string(), range: "a finite number of at least 0" });
            }
        }
        if labels.len() != frame.n_rows() {
            return Err(LearnError::Shape { what: "features and labels differ in rows" });
        }
        let (_, total_weight) = check_weights(frame.n_rows(), weights)?;
        check_labels(labels, n_classes)?;
        let mut totals = vec![0.0; n_classes as usize];
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        labels.iter().enumerate().for_each(|(row, label)| totals[*label as usize] += weight(row));
        let classes: Vec<u32> = (0..n_classes).filter(|class| totals[*class as usize] > 0.0).collect();
        if classes.len() < 2 {
            return Err(LearnError::OneClass);
        }
        let place = |label: &u32| classes.binary_search(label).ok();
        let rows = LabelledRows { places: labels.iter().map(place).collect(), n_classes: classes.len(), weights };
        let n_columns = frame.columns().len();
        let mut features = Vec::with_capacity(n_columns);
        let mut largest_variance = 0.0f64;
        for (feature, column) in frame.columns().iter().enumerate() {
            if control.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            features.push(match column {
                Column::Numeric(values) => rows.normal(values, &mut largest_variance)?,
                Column::Categorical { codes, n_categories } => rows.shares(codes, *n_categories, self.smoothing),
            });
            (control.progress)(Progress { iteration: feature + 1, max_iterations: n_columns, loss: None });
        }
        if features.iter().all(|feature| matches!(feature, Likelihood::Constant { .. })) {
            return Err(LearnError::NoFeature);
        }
        for feature in &mut features {
            if let Likelihood::Normal { variances, .. } = feature {
                // Without any smoothing, a class whose values are all equal would divide by zero.
                let least = (self.variance_smoothing * largest_variance).max(f64::MIN_POSITIVE * 1e16);
                variances.iter_mut().for_each(|variance| *variance += least);
            }
        }
        let log_shares = classes.iter().map(|class| (totals[*class as usize] / total_weight).ln()).collect();
        Ok(NaiveBayesModel { n_classes, classes, log_shares, features })
    }
}

/// The seen class of each row (`None` for rows without weight of classes without any), and their weights.
struct LabelledRows<'a> {
    places: Vec<Option<usize>>,
    n_classes: usize,
    weights: Option<&'a [f64]>,
}

impl LabelledRows<'_> {
    /// Rows with a class and a positive weight.
    fn each(&self) -> impl Iterator<Item = (usize, usize, f64)> {
        let row = |(row, place): (usize, &Option<usize>)| place.map(|class| (row, class, self.weights.map_or(1.0, |weights| weights[row])));
        self.places.iter().enumerate().filter_map(row).filter(|(_, _, weight)| *weight > 0.0)
    }

    fn normal(&self, values: &[f64], largest_variance: &mut f64) -> Result<Likelihood, LearnError> {
        let known = || self.each().filter(|(row, _, _)| !values[*row].is_nan());
        let Some(first) = known().next().map(|(row, _, _)| values[row]) else { return Ok(Likelihood::Constant { is_numeric: true }) };
        if known().all(|(row, _, _)| values[row] == first) {
            return Ok(Likelihood::Constant { is_numeric: true });
        }
        // The last place is that of all classes together.
        let n = self.n_classes;
        let (mut sums, mut sizes, mut variances) = (vec![0.0; n + 1], vec![0.0; n + 1], vec![0.0; n + 1]);
        for (row, class, weight) in known() {
            for place in [class, n] {
                sums[place] += weight * (values[row] - first);
                sizes[place] += weight;
            }
        }
        let mean = |(sum, size): (&f64, &f64)| if *size > 0.0 { first + sum / size } else { f64::NAN };
        let mut means: Vec<f64> = sums.iter().zip(&sizes).map(mean).collect();
        for (row, class, weight) in known() {
            [class, n].iter().for_each(|place| variances[*place] += weight * (values[row] - means[*place]).powi(2) / sizes[*place]);
        }
        if !variances.iter().chain(means[n..].iter()).all(|number| number.is_finite()) {
            return Err(LearnError::Diverged { what: "the spread of a feature is too large for a double" });
        }
        // A class without a value of this feature: nothing sets it apart from all rows.
        for class in (0..n).filter(|class| sizes[*class] == 0.0) {
            (means[class], variances[class]) = (means[n], variances[n]);
        }
        *largest_variance = largest_variance.max(variances[n]);
        means.truncate(n);
        variances.truncate(n);
        Ok(Likelihood::Normal { means, variances })
    }

    fn shares(&self, codes: &[u32], n_categories: u32, smoothing: f64) -> Likelihood {
        let stride = n_categories as usize + 1;
        let mut counts = vec![0.0; self.n_classes * stride];
        for (row, class, weight) in self.each() {
            counts[class * stride + category(codes[row], n_categories)] += weight;
        }
        let is_seen: Vec<bool> =
            (0..stride).map(|category| counts.iter().skip(category).step_by(stride).any(|count| *count > 0.0)).collect();
        let n_seen = is_seen.iter().filter(|is_seen| **is_seen).count();
        if n_seen < 2 {
            return Likelihood::Constant { is_numeric: false };
        }
        for counts in counts.chunks_exact_mut(stride) {
            let total = counts.iter().sum::<f64>() + smoothing * n_seen as f64;
            for (count, is_seen) in counts.iter_mut().zip(&is_seen) {
                // Without smoothing, a category may be next to impossible in a class, never more: two classes that rule
                // each other out would leave no probability to anybody.
                *count = if *is_seen { ((*count + smoothing) / total).max(1e-300).ln() } else { 0.0 };
            }
        }
        Likelihood::Shares { n_categories, log_shares: counts }
    }
}

/// The place of a code in a row of shares; codes beyond training share the place of unseen ones by having none.
fn category(code: u32, n_categories: u32) -> usize {
    if code == MISSING { n_categories as usize } else { code as usize }
}

impl NaiveBayesModel {
    /// The probabilities of the classes, `n_classes` to a row.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training.
    pub fn probabilities(&self, frame: &Frame) -> Result<Vec<f64>, LearnError> {
        if frame.columns().len() != self.features.len() {
            return Err(LearnError::Shape { what: "the number of features is not that of training" });
        }
        let n_seen = self.classes.len();
        let mut scores: Vec<f64> = (0..frame.n_rows()).flat_map(|_| self.log_shares.iter().copied()).collect();
        for (feature, column) in self.features.iter().zip(frame.columns()) {
            let rows = scores.chunks_exact_mut(n_seen);
            match (feature, column) {
                (Likelihood::Constant { is_numeric: true }, Column::Numeric(_)) => {}
                (Likelihood::Constant { is_numeric: false }, Column::Categorical { .. }) => {}
                (Likelihood::Normal { means, variances }, Column::Numeric(values)) => {
                    for (row, value) in rows.zip(values).filter(|(_, value)| !value.is_nan()) {
                        for ((score, mean), variance) in row.iter_mut().zip(means).zip(variances) {
                            *score -= 0.5 * ((value - mean).powi(2) / variance + variance.ln());
                        }
                    }
                }
                (Likelihood::Shares { n_categories, log_shares }, Column::Categorical { codes, .. }) => {
                    let stride = *n_categories as usize + 1;
                    for (row, code) in rows.zip(codes).filter(|(_, code)| **code < *n_categories || **code == MISSING) {
                        let shares = log_shares.iter().skip(category(*code, *n_categories)).step_by(stride);
                        row.iter_mut().zip(shares).for_each(|(score, share)| *score += share);
                    }
                }
                _ => return Err(LearnError::Shape { what: "a feature is numeric where training had categories, or the reverse" }),
            }
        }
        let mut probabilities = vec![0.0; frame.n_rows() * self.n_classes as usize];
        for (row, scores) in probabilities.chunks_exact_mut(self.n_classes as usize).zip(scores.chunks_exact(n_seen)) {
            // A value so far from all classes that every score overflowed says nothing.
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let scores = if top.is_finite() { scores } else { &self.log_shares };
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - top).exp()).sum();
            self.classes.iter().zip(scores).for_each(|(class, score)| row[*class as usize] = (score - top).exp() / sum);
        }
        Ok(probabilities)
    }

    /// The most probable class of every row; ties go to the smaller class.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training.
    pub fn predict(&self, frame: &Frame) -> Result<Vec<u32>, LearnError> {
        Ok(self.probabilities(frame)?.chunks_exact((self.n_classes as usize).max(1)).map(most_probable).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::reference_tests::{close, rows};
    use crate::linear::tests::{cancelled, control};

    fn fit(frame: &Frame, labels: &[u32]) -> Result<NaiveBayesModel, LearnError> {
        NaiveBayes::default().fit(frame, labels, 3, None, &control(1))
    }

    fn pick(model: &NaiveBayesModel, frame: &Frame) -> Vec<f64> {
        model.probabilities(&frame.take(&[0, 3, 17])).unwrap()
    }

    #[test]
    fn bad_input_is_refused() {
        let rows = rows();
        assert_eq!(fit(&rows.frame.take(&[]), &[]), Err(LearnError::Empty));
        assert_eq!(fit(&rows.frame, &[2; 40]), Err(LearnError::OneClass));
        assert_eq!(fit(&rows.frame.take(&[0; 4]), &[0, 1, 2, 0]), Err(LearnError::NoFeature));
        assert!(matches!(fit(&rows.frame, &[3; 40]), Err(LearnError::Value { what: "label", row: 0, .. })));
        assert!(matches!(fit(&rows.frame, &[0; 3]), Err(LearnError::Shape { .. })));
        let learner = NaiveBayes { smoothing: -1.0, ..Default::default() };
        assert!(matches!(learner.fit(&rows.frame, &rows.classes, 3, None, &control(1)), Err(LearnError::Parameter { .. })));
        let cancelled = NaiveBayes::default().fit(&rows.frame, &rows.classes, 3, None, &cancelled());
        assert_eq!(cancelled, Err(LearnError::Cancelled));
        let model = fit(&rows.frame, &rows.classes).unwrap();
        let other = Frame::new(1, vec![Column::Categorical { codes: vec![0], n_categories: 1 }; 3]).unwrap();
        assert!(matches!(model.probabilities(&other), Err(LearnError::Shape { .. })));
    }

    #[test]
    fn numbers_are_those_of_gaussian_nb() {
        // GaussianNB().fit(X, k, w).predict_proba(X)[[0, 3, 17]] on the rows of `reference_tests`
        let rows = rows();
        let model = NaiveBayes::default().fit(&rows.frame, &rows.classes, 3, Some(&rows.w), &control(1)).unwrap();
        let expected = [
            0.092_144_994_585_390_87,
            0.065_770_072_610_012_23,
            0.842_084_932_804_597_2,
            0.000_268_853_270_927_097_6,
            0.999_729_333_530_765_1,
            1.813_198_308_665_098_4e-6,
            0.000_230_848_068_797_384_89,
            0.376_702_446_859_721_93,
            0.623_066_705_071_481,
        ];
        // scikit-learn smooths by the variance of the rows without their weights.
        close(&pick(&model, &rows.frame), &expected, 1e-5);
    }

    #[test]
    fn categories_are_those_of_categorical_nb() {
        // c = np.c_[i%3, (i*5%7)%4]; CategoricalNB(alpha=1.0).fit(c, k).predict_proba(c)[[0, 3, 17]]
        let column = |code: fn(u32) -> u32, n_categories| Column::Categorical { codes: (0..40).map(code).collect(), n_categories };
        let frame = Frame::new(40, vec![column(|i| i % 3, 3), column(|i| (i * 5 % 7) % 4, 4)]).unwrap();
        let model = fit(&frame, &rows().classes).unwrap();
        let expected = [
            0.187_927_706_615_195_67,
            0.439_492_308_592_150_7,
            0.372_579_984_792_653_64,
            0.124_861_718_140_766_52,
            0.545_075_352_278_703_6,
            0.330_062_929_580_529_8,
            0.233_309_160_900_298_9,
            0.458_322_884_968_587_03,
            0.308_367_954_111_313_9,
        ];
        close(&pick(&model, &frame), &expected, 1e-9);
    }

    #[test]
    fn what_is_missing_or_unknown_says_nothing() {
        let rows = rows();
        let codes = rows.classes.iter().map(|class| class % 2).collect();
        let columns = vec![rows.frame.columns()[0].clone(), Column::Categorical { codes, n_categories: 2 }];
        let frame = Frame::new(40, columns).unwrap();
        let model = fit(&frame, &rows.classes).unwrap();
        let probe = |number: f64, code: u32| {
            let columns = vec![Column::Numeric(vec![number]), Column::Categorical { codes: vec![code], n_categories: 9 }];
            model.probabilities(&Frame::new(1, columns).unwrap()).unwrap()
        };
        let shares: Vec<f64> = (0..3).map(|class| rows.classes.iter().filter(|label| **label == class).count() as f64 / 40.0).collect();
        close(&probe(f64::NAN, MISSING), &shares, 1e-12);
        close(&probe(f64::NAN, 7), &shares, 1e-12);
        assert!(probe(2.0, 0)[1] < shares[1] && probe(1e300, 0).iter().all(|probability| probability.is_finite()));
        let (batch, single) = (model.probabilities(&frame).unwrap(), model.probabilities(&frame.take(&[17])).unwrap());
        assert_eq!(batch[17 * 3..18 * 3], single);
    }
}
