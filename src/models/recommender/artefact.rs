//! A recommender as files: factors, ids, and what each user has rated.
//!
//! ```text
//! user_factors.parquet   id, features, seen (places of items in item_factors), ratings (of those)
//! item_factors.parquet   id, features, popularity
//! ```
//! Both have `bias` when the model has biases, and `ranking_features` when it has an implicit companion.

use super::RecommenderModel;
use super::evaluation::RankingOptions;
use super::factor_model::FactorModel;
use super::ids::Ids;
use super::options::{ColdStart, FitOptions};
use crate::error::Result;
use crate::models::artefact::{Files, Parts, parquet_file_of_blocks, unwritable};
use crate::models::evaluation::Evaluation;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array, LargeListArray, RecordBatch, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, UInt32Type};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::{Arc, RwLock};
use weir_ml::als::{AlsModel, Csr, Factors};

const USERS: &str = "user_factors.parquet";
const ITEMS: &str = "item_factors.parquet";
const FEATURES: &str = "features";
const RANKING_FEATURES: &str = "ranking_features";
const BIAS: &str = "bias";
/// Rows that are copied and written at a time: with their ratings some MiB.
const ROWS_PER_BLOCK: usize = 4096;

/// The recommender's part of `model.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    user: ManifestColumn,
    item: ManifestColumn,
    rating_column: Option<String>,
    fit: FitOptions,
    /// The mean of all ratings, of a model with biases.
    mean: Option<f32>,
    has_companion: bool,
    is_fitted_to_all: bool,
    n_users: usize,
    n_items: usize,
    cold_start_strategy: ColdStart,
    ranking: RankingOptions,
    held_out: Option<Evaluation>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ManifestColumn {
    name: String,
    /// The Arrow type, as Arrow prints it.
    data_type: String,
}

impl ManifestColumn {
    fn of(ids: &Ids) -> Self {
        Self { name: ids.column.clone(), data_type: ids.data_type.to_string() }
    }
}

/// What is written of a model.
pub(in crate::models) fn write(model: &RecommenderModel) -> Result<Parts> {
    let als = &model.primary.als;
    let manifest = Manifest {
        user: ManifestColumn::of(&model.users),
        item: ManifestColumn::of(&model.items),
        rating_column: model.rating_column.clone(),
        fit: model.fit.clone(),
        mean: als.has_bias().then_some(als.mean),
        has_companion: model.companion.is_some(),
        is_fitted_to_all: model.is_fitted_to_all,
        n_users: model.n_users(),
        n_items: model.n_items(),
        cold_start_strategy: model.cold_start,
        ranking: model.ranking,
        held_out: model.held_out.clone(),
    };
    let manifest = serde_json::to_value(&manifest).map_err(unwritable)?;
    Ok(Parts { manifest, files: vec![(USERS, users_file(model)?), (ITEMS, items_file(model)?)] })
}

/// Reads what [`write`] wrote; `None` when the parts do not fit together.
pub(in crate::models) fn read(manifest: serde_json::Value, files: &Files) -> Result<Option<RecommenderModel>> {
    let Ok(manifest) = serde_json::from_value::<Manifest>(manifest) else { return Ok(None) };
    Ok(assemble(manifest, &files.parquet(USERS)?, &files.parquet(ITEMS)?, files.name()))
}

fn users_file(model: &RecommenderModel) -> Result<Vec<u8>> {
    let seen = &model.seen;
    parquet_file_of_blocks(blocks(model.n_users()).map(|users| {
        let mut columns = factor_columns(model, &model.users, users.clone(), |als| (&als.users, &als.user_bias))?;
        let places = seen.places(users.clone());
        let items: ArrayRef = Arc::new(UInt32Array::from(seen.columns()[places.clone()].to_vec()));
        let ratings: ArrayRef = Arc::new(Float32Array::from(seen.values()[places].to_vec()));
        let lengths = || users.clone().map(|user| seen.row_len(user));
        columns.extend([("seen", lists(lengths(), &items)?), ("ratings", lists(lengths(), &ratings)?)]);
        Ok(columns)
    }))
}

fn items_file(model: &RecommenderModel) -> Result<Vec<u8>> {
    parquet_file_of_blocks(blocks(model.n_items()).map(|items| {
        let mut columns = factor_columns(model, &model.items, items.clone(), |als| (&als.items, &als.item_bias))?;
        columns.push(("popularity", Arc::new(Float32Array::from(model.popularity[items].to_vec()))));
        Ok(columns)
    }))
}

/// Rows in blocks; one that is empty when there are none.
fn blocks(n_rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n_rows.max(1)).step_by(ROWS_PER_BLOCK).map(move |start| start..(start + ROWS_PER_BLOCK).min(n_rows))
}

/// The columns that users and items have in common, of some rows.
fn factor_columns(
    model: &RecommenderModel,
    ids: &Ids,
    rows: Range<usize>,
    side: impl Fn(&AlsModel) -> (&Factors, &Vec<f32>),
) -> Result<Vec<(&'static str, ArrayRef)>> {
    let (factors, biases) = side(&model.primary.als);
    let mut columns = vec![("id", ids.stored().slice(rows.start, rows.len())), (FEATURES, features(factors, rows.clone())?)];
    if !biases.is_empty() {
        columns.push((BIAS, Arc::new(Float32Array::from(biases[rows.clone()].to_vec()))));
    }
    if let Some(companion) = &model.companion {
        columns.push((RANKING_FEATURES, features(side(&companion.als).0, rows)?));
    }
    Ok(columns)
}

fn features(factors: &Factors, rows: Range<usize>) -> Result<ArrayRef> {
    let rank = factors.rank();
    let values: ArrayRef = Arc::new(Float32Array::from(factors.as_slice()[rows.start * rank..rows.end * rank].to_vec()));
    lists(std::iter::repeat_n(rank, rows.len()), &values)
}

fn lists(lengths: impl IntoIterator<Item = usize>, values: &ArrayRef) -> Result<ArrayRef> {
    let field = Arc::new(Field::new("element", values.data_type().clone(), false));
    let lists = LargeListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::clone(values), None);
    lists.map(|lists| Arc::new(lists) as ArrayRef).map_err(unwritable)
}

/// The model; `None` when the parts do not fit together.
fn assemble(manifest: Manifest, users: &RecordBatch, items: &RecordBatch, name: &str) -> Option<RecommenderModel> {
    let ids = |column: ManifestColumn, rows: &RecordBatch, n: usize| {
        let data_type: DataType = column.data_type.parse().ok()?;
        Ids::from_stored(column.name, data_type, rows.column_by_name("id")?).filter(|ids| ids.len() == n)
    };
    let rank = manifest.fit.rank;
    let biases = |rows: &RecordBatch| match manifest.mean {
        None => Some(Vec::new()),
        Some(_) => finite(rows.column_by_name(BIAS)?),
    };
    let als = AlsModel {
        mean: manifest.mean.unwrap_or(0.0),
        user_bias: biases(users)?,
        item_bias: biases(items)?,
        users: factors(users, FEATURES, rank)?,
        items: factors(items, FEATURES, rank)?,
    };
    let companion = if manifest.has_companion {
        let als = AlsModel::new(factors(users, RANKING_FEATURES, rank)?, factors(items, RANKING_FEATURES, rank)?);
        Some(FactorModel::new(als, manifest.fit.companion().als_params()).ok()?)
    } else {
        None
    };
    Some(RecommenderModel {
        name: name.to_owned(),
        primary: FactorModel::new(als, manifest.fit.als_params()).ok()?,
        companion,
        users: ids(manifest.user, users, manifest.n_users)?,
        items: ids(manifest.item, items, manifest.n_items)?,
        rating_column: manifest.rating_column,
        fit: manifest.fit,
        seen: seen(users, manifest.n_users, manifest.n_items)?,
        popularity: finite(items.column_by_name("popularity")?)?,
        is_fitted_to_all: manifest.is_fitted_to_all,
        cold_start: manifest.cold_start_strategy,
        ranking: manifest.ranking,
        held_out: manifest.held_out,
        online: RwLock::default(),
    })
}

/// Factors of the rank, all finite.
fn factors(rows: &RecordBatch, column: &str, rank: usize) -> Option<Factors> {
    let lists = rows.column_by_name(column)?.as_list_opt::<i64>()?;
    let values = finite(flat(lists)?)?;
    (rank > 0 && lists.offsets().lengths().all(|length| length == rank)).then(|| Factors::from_vec(rank, values))
}

/// The ratings of all users.
fn seen(users: &RecordBatch, n_users: usize, n_items: usize) -> Option<Csr> {
    let [items, ratings] = ["seen", "ratings"].map(|column| users.column_by_name(column)?.as_list_opt::<i64>());
    let (items, ratings) = (items?, ratings?);
    if items.offsets() != ratings.offsets() || items.len() != n_users {
        return None;
    }
    let owners: Vec<u32> = (0u32..).zip(items.offsets().lengths()).flat_map(|(user, length)| std::iter::repeat_n(user, length)).collect();
    let items = flat(items)?.as_primitive_opt::<UInt32Type>()?;
    Csr::new(n_users, n_items, &owners, items.values(), &finite(flat(ratings)?)?).ok()
}

/// The numbers of a column, all finite.
fn finite(column: &ArrayRef) -> Option<Vec<f32>> {
    let values = column.as_primitive_opt::<Float32Type>()?;
    (values.null_count() == 0 && values.values().iter().all(|value| value.is_finite())).then(|| values.values().to_vec())
}

/// The values of all lists; the first list begins with the first value.
fn flat(lists: &LargeListArray) -> Option<&ArrayRef> {
    let offsets = lists.offsets();
    let whole = offsets.first() == Some(&0) && offsets.last().is_some_and(|last| *last == lists.values().len() as i64);
    (whole && lists.null_count() == 0 && lists.values().null_count() == 0).then(|| lists.values())
}
