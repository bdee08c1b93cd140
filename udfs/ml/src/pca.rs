//! Principal components: the directions in which rows differ most.
//!
//! They are the eigenvectors of the covariances of the design, exactly: the Gram matrix over one-hot blocks is summed from
//! codes, so that wide designs cost their number of columns cubed and next to nothing per row.
//!
//! linfa-reduction 0.8 was tried: it returns what its LOBPCG has when that fails (one category column, all components but
//! one: 7,478 of 7,800 wrong by over 1e-3) and cannot be cancelled (99,187 cars, 10 components: 2.0 s, here 14 ms). Nor does
//! linfa-linalg's `eigh` fit over our covariances: wrong by over 1e-6 in 726 of 39,000 one-hot ones (counts 5, 1, 3, 1, 2,
//! 2: by 16 %), and 1,000 columns take 2.3 s without a look at the cancel flag.

use crate::control::{Control, Progress};
use crate::design::{DesignOptions, DesignSpec, Levels, Matrix};
use crate::error::LearnError;
use crate::frame::Frame;
use crate::linear::{Gram, RowTerms, eigen};
use serde::{Deserialize, Serialize};

/// How many components to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Components {
    /// This many, or as many as there are.
    Count(usize),
    /// As many as explain this share of the variance, between 0 and 1.
    ExplainedShare(f64),
}

/// The parameters of a principal component analysis.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    pub components: Components,
    /// Whether numeric features are scaled to the same variance first. Categories are 0/1 columns.
    pub standardise: bool,
}

/// Fitted components, those of the largest variance first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PcaModel {
    pub design: DesignSpec,
    /// The means of the design columns.
    pub means: Vec<f64>,
    /// One row per component, of length 1 in design columns. The sign makes its largest number positive.
    pub components: Matrix,
    /// The variance of the training rows along each component (with `n - 1`).
    pub explained_variances: Vec<f64>,
    /// The same as shares of the variance of all columns.
    pub explained_shares: Vec<f64>,
}

impl Pca {
    /// Fits the model.
    ///
    /// # Errors
    /// [`LearnError::Empty`], [`LearnError::NoFeature`] (one row has no variance), [`LearnError::Parameter`] for no components,
    /// [`LearnError::Cancelled`].
    pub fn fit(&self, frame: &Frame, control: &Control) -> Result<PcaModel, LearnError> {
        match self.components {
            Components::Count(0) => {
                return Err(LearnError::Parameter { name: "num_principal_components", value: "0".to_owned(), range: "at least 1" });
            }
            Components::ExplainedShare(share) if !(share > 0.0 && share <= 1.0) => {
                let range = "above 0 and at most 1";
                return Err(LearnError::Parameter { name: "pca_explained_variance_ratio", value: share.to_string(), range });
            }
            _ => {}
        }
        let spec = DesignSpec::learn(frame, DesignOptions { levels: Levels::All, standardise: true }, control)?;
        let design = spec.compact_for_training(frame, control)?;
        let n = spec.n_columns();
        let terms = |_| RowTerms { curvature: 1.0, response: 0.0, loss: 0.0 };
        let equations = Gram::of(&design, terms, control)?.normal_equations(true);
        // Summed on standardised columns, which loses no digits, then put on the scale that is wanted.
        let moments = spec.moments();
        let scale = |column: usize| moments.get(column).filter(|_| !self.standardise).map_or(1.0, |(_, scale)| *scale);
        let freedom = (frame.n_rows() - 1).max(1) as f64;
        let mut covariances = vec![0.0; n * n];
        for row in 0..n {
            for column in 0..=row {
                let covariance = equations.matrix[row * n + column] * scale(row) * scale(column) / freedom;
                covariances[row * n + column] = covariance;
                covariances[column * n + row] = covariance;
            }
        }
        let total: f64 = (0..n).map(|column| covariances[column * n + column]).sum();
        let mut pairs = eigen::symmetric(n, &covariances, control)?;
        // A variance below zero is rounding.
        pairs.iter_mut().for_each(|(variance, _)| *variance = variance.max(0.0));
        let n_kept = match self.components {
            Components::Count(count) => count.min(n).min(frame.n_rows()),
            Components::ExplainedShare(share) => {
                let mut explained = 0.0;
                let enough = pairs.iter().position(|(variance, _)| {
                    explained += variance / total;
                    explained >= share * (1.0 - 1e-12)
                });
                enough.map_or(n, |last| last + 1)
            }
        };
        pairs.truncate(n_kept);
        pairs.iter_mut().for_each(|(_, component)| orient(component));
        (control.progress)(Progress { iteration: 1, max_iterations: 1, loss: None });
        let means = equations.means.iter().enumerate().map(|(column, mean)| {
            let centre = moments.get(column).filter(|_| !self.standardise).map_or(0.0, |(mean, _)| *mean);
            centre + mean * scale(column)
        });
        Ok(PcaModel {
            means: means.collect(),
            components: Matrix::new(n_kept, n, pairs.iter().flat_map(|(_, component)| component.iter().copied()).collect())?,
            explained_variances: pairs.iter().map(|(variance, _)| *variance).collect(),
            explained_shares: pairs.iter().map(|(variance, _)| variance / total).collect(),
            design: spec.with_standardised(self.standardise),
        })
    }
}

impl PcaModel {
    /// The coordinates of every row along the components, one row of the matrix per row.
    ///
    /// # Errors
    /// [`LearnError::Shape`] when the features differ in number or kind from those of training.
    pub fn transform(&self, frame: &Frame) -> Result<Matrix, LearnError> {
        let n_components = self.components.n_rows();
        let mut coordinates = vec![0.0; frame.n_rows() * n_components];
        let mut scores = vec![0.0; frame.n_rows()];
        for component in 0..n_components {
            let direction = self.components.row(component);
            scores.fill(-direction.iter().zip(&self.means).map(|(value, mean)| value * mean).sum::<f64>());
            self.design.add_scores(frame, direction, &mut scores)?;
            coordinates.iter_mut().skip(component).step_by(n_components).zip(&scores).for_each(|(place, score)| *place = *score);
        }
        Matrix::new(frame.n_rows(), n_components, coordinates)
    }
}

/// Turns a direction so that its largest number (the first of equals) is positive.
fn orient(direction: &mut [f64]) {
    let largest =
        direction.iter().copied().fold(0.0f64, |largest, value| if value.abs() > largest.abs() * (1.0 + 1e-9) { value } else { largest });
    if largest < 0.0 {
        direction.iter_mut().for_each(|value| *value = -*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Column;
    use crate::linear::reference_tests::{close, rows};
    use crate::linear::tests::{cancelled, control};

    const ALL: Pca = Pca { components: Components::Count(99), standardise: false };

    #[test]
    fn bad_input_is_refused() {
        let frame = rows().frame;
        assert_eq!(ALL.fit(&frame.take(&[]), &control(1)), Err(LearnError::Empty));
        assert_eq!(ALL.fit(&frame.take(&[1]), &control(1)), Err(LearnError::NoFeature));
        assert_eq!(ALL.fit(&frame, &cancelled()), Err(LearnError::Cancelled));
        for components in [Components::Count(0), Components::ExplainedShare(0.0), Components::ExplainedShare(f64::NAN)] {
            assert!(matches!(Pca { components, standardise: true }.fit(&frame, &control(1)), Err(LearnError::Parameter { .. })));
        }
    }

    #[test]
    fn components_are_those_of_scikit_learn() {
        // PCA().fit(X) on the rows of `reference_tests`; transform(X)[5]
        let frame = rows().frame;
        let model = ALL.fit(&frame, &control(1)).unwrap();
        close(&model.explained_variances, &[5_089.578_041_091_174, 18.737_191_650_076_71, 2.649_367_589_265_793], 1e-10);
        close(&model.explained_shares, &[0.995_815_553_244_497_1, 0.003_666_077_368_030_490_4, 0.000_518_369_387_472_271_5], 1e-9);
        let expected = [
            0.000_326_288_863_577_297_66,
            -0.005_723_365_044_780_326,
            0.999_983_568_179_068_5,
            -0.014_313_388_029_824_448,
            0.999_881_154_561_919_1,
            0.005_727_449_260_488_959,
            0.999_897_504_976_727_7,
            0.014_315_021_637_705_823,
            -0.000_244_329_340_912_071_7,
        ];
        close(model.components.values(), &expected, 1e-8);
        let coordinates = model.transform(&frame).unwrap();
        close(coordinates.row(5), &[-98.809_246_313_687_45, 5.605_367_225_266_077, -1.412_672_639_078_502_6], 1e-9);
        let single = model.transform(&frame.take(&[5])).unwrap();
        assert_eq!(single.row(0), coordinates.row(5));
    }

    #[test]
    fn a_share_keeps_as_many_components_as_it_needs() {
        let frame = rows().frame;
        let count = |share| {
            let model = Pca { components: Components::ExplainedShare(share), standardise: false }.fit(&frame, &control(1)).unwrap();
            model.components.n_rows()
        };
        assert_eq!([count(0.5), count(0.997), count(0.9999), count(1.0)], [1, 2, 3, 3]);
    }

    #[test]
    fn threads_change_no_bit_and_dependent_columns_have_no_variance() {
        let n = 9_000u32;
        let x: Vec<f64> = (0..n).map(|row| f64::from(row % 101)).collect();
        let codes: Vec<u32> = (0..n).map(|row| row % 3).collect();
        let columns = vec![Column::Numeric(x.clone()), Column::Numeric(x), Column::Categorical { codes, n_categories: 3 }];
        let frame = Frame::new(n as usize, columns).unwrap();
        let pca = Pca { components: Components::Count(99), standardise: true };
        let model = pca.fit(&frame, &control(1)).unwrap();
        assert_eq!(model, pca.fit(&frame, &control(4)).unwrap());
        assert!((model.explained_shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(model.explained_variances[3..].iter().all(|variance| *variance < 1e-12), "{:?}", model.explained_variances);
    }
}
