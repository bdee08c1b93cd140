//! A recommender from factors that were trained elsewhere.

use super::evaluation::RankingOptions;
use super::factor_model::FactorModel;
use super::ids::Ids;
use super::{BiasType, ColdStart, FeedbackType, FitOptions, RecommenderModel, Regularisation, Solver};
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, UInt32Array};
use datafusion::arrow::compute::{cast, sort_to_indices, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use std::sync::RwLock;
use weir_ml::als::{AlsModel, Csr, Factors};

/// How many recommendations `ML.EVALUATE` looks at, as when nothing is said in training.
const EVALUATED_MAX: usize = 10;

/// The users or the items of a model.
#[derive(Debug)]
pub(in crate::models) struct ImportedSide {
    pub column: String,
    /// Integers or strings, in any order.
    pub ids: ArrayRef,
    pub rank: usize,
    /// [`ImportedSide::rank`] numbers for each id.
    pub factors: Vec<f32>,
}

/// A model as another system keeps it.
#[derive(Debug)]
pub(in crate::models) struct ImportedFactors {
    pub users: ImportedSide,
    pub items: ImportedSide,
    pub rating_column: String,
    /// Whether it predicts a confidence in place of a rating.
    pub is_implicit: bool,
    pub cold_start: ColdStart,
}

impl RecommenderModel {
    /// A model of these factors. What the users have rated is not known: nothing is excluded as seen, and no item is
    /// popular. Neither is the regularisation; where a user is folded in it is Spark's default, 0.1.
    ///
    /// # Errors
    /// `DataCorrupted` for ids that occur twice or are NULL, and for factors that do not fit the ids.
    pub(in crate::models) fn from_factors(name: &str, imported: ImportedFactors) -> Result<Self> {
        let rank = imported.users.rank;
        let (users, user_factors) = imported.users.sorted(name)?;
        let (items, item_factors) = imported.items.sorted(name)?;
        let feedback = if imported.is_implicit { FeedbackType::Implicit } else { FeedbackType::Explicit };
        let fit = FitOptions {
            feedback,
            rank,
            regularisation: Regularisation::RegParam(0.1),
            alpha: 1.0,
            max_iterations: 10,
            nonnegative: false,
            solver: Solver::Cholesky,
            bias: BiasType::None,
            seed: 0,
            min_rel_progress: None,
        };
        let seen = Csr::new(users.len(), items.len(), &[], &[], &[])
            .map_err(|error| Error::new(Code::LimitExceeded, format!("model \"{name}\" has too many users or items: {error}")))?;
        Ok(Self {
            name: name.to_owned(),
            primary: FactorModel::new(AlsModel::new(user_factors, item_factors), fit.als_params())?,
            companion: None,
            popularity: vec![0.0; items.len()],
            ranking: RankingOptions::new(EVALUATED_MAX, None, feedback, &seen),
            users,
            items,
            rating_column: Some(imported.rating_column),
            fit,
            seen,
            cold_start: imported.cold_start,
            held_out: None,
            is_fitted_to_all: true,
            online: RwLock::default(),
        })
    }
}

impl ImportedSide {
    /// Brings the ids into their order, with their factors.
    fn sorted(self, name: &str) -> Result<(Ids, Factors)> {
        let unfit = |detail: &str| {
            Error::new(Code::DataCorrupted, format!("the factors of column \"{}\" of model \"{name}\" cannot be used", self.column))
                .detail(detail)
        };
        if self.rank == 0 || self.factors.len() != self.rank * self.ids.len() {
            return Err(unfit("They are another number than ids times rank."));
        }
        let data_type = if self.ids.data_type().is_integer() { self.ids.data_type().clone() } else { DataType::Utf8 };
        let stored = if data_type.is_integer() { DataType::Int64 } else { DataType::Utf8 };
        let place = |error: ArrowError| unfit(&format!("{error}."));
        let order: UInt32Array = sort_to_indices(&self.ids, None, None).map_err(place)?;
        let ids = take(&self.ids, &order, None).and_then(|ids| cast(&ids, &stored)).map_err(place)?;
        let ids = Ids::from_stored(self.column.clone(), data_type, &ids).ok_or_else(|| unfit("An id is NULL or occurs twice."))?;
        let row = |place: &u32| &self.factors[*place as usize * self.rank..][..self.rank];
        let factors = order.values().iter().flat_map(row).copied().collect();
        Ok((ids, Factors::from_vec(self.rank, factors)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int32Array, StringArray};
    use std::sync::Arc;
    use weir_functions::{RecommendOptions, Recommender};

    fn imported(users: Vec<i32>, items: Vec<&str>) -> ImportedFactors {
        let side = |column: &str, ids: ArrayRef, factors: Vec<f32>| ImportedSide { column: column.into(), ids, rank: 2, factors };
        ImportedFactors {
            users: side("user", Arc::new(Int32Array::from(users)), vec![1.0, 0.0, 0.0, 1.0]),
            items: side("item", Arc::new(StringArray::from(items)), vec![2.0, 3.0, 4.0, 5.0]),
            rating_column: "rating".into(),
            is_implicit: false,
            cold_start: ColdStart::Nan,
        }
    }

    #[test]
    fn ids_that_occur_twice_are_refused() {
        let error = RecommenderModel::from_factors("m", imported(vec![7, 7], vec!["a", "b"])).unwrap_err();
        assert!(error.to_string().contains("column \"user\"") && error.to_string().contains("twice"), "{error}");
        let mut short = imported(vec![7, 8], vec!["a", "b"]);
        short.items.factors.pop();
        assert_eq!(RecommenderModel::from_factors("m", short).unwrap_err().code, Code::DataCorrupted);
    }

    #[test]
    fn nothing_is_held_out_and_the_reason_is_the_import() {
        let model = RecommenderModel::from_factors("m", imported(vec![7, 8], vec!["a", "b"])).unwrap();
        let error = model.held_out().unwrap_err();
        assert_eq!(error.code, Code::InvalidStatement, "{error}");
        let text = error.to_string();
        assert!(text.contains("imported from Spark") && text.contains("ML.EVALUATE(MODEL m, (SELECT ..))"), "{text}");
        assert!(!text.contains("no_split"), "{text}");
    }

    #[test]
    fn factors_follow_their_ids_into_order() {
        let model = RecommenderModel::from_factors("m", imported(vec![9, -2], vec!["b", "a"])).unwrap();
        let score = |user: i32, item: &str| model.predict(&user.into(), &item.into()).unwrap();
        assert_eq!((score(9, "b"), score(9, "a")), (Some(2.0), Some(4.0)));
        assert_eq!((score(-2, "b"), score(-2, "a")), (Some(3.0), Some(5.0)));
        assert!(score(1, "a").unwrap().is_nan());
        let best = model.recommend(&9.into(), 5, &RecommendOptions::default()).unwrap();
        assert_eq!(best.iter().map(|item| item.score).collect::<Vec<_>>(), [4.0, 2.0]);
    }
}
