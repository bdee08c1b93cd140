//! A recommender as files: factors, ids, and what each user has seen.
//!
//! ```text
//! user_factors.parquet   id, features, seen (places of items in item_factors)
//! item_factors.parquet   id, features, popularity
//! ```

use super::ids::Ids;
use super::options::ColdStart;
use super::{RecommenderModel, Seen};
use crate::error::Result;
use crate::models::artefact::{Files, Parts, parquet_file, unwritable};
use crate::models::evaluation::Evaluation;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array, LargeListArray, RecordBatch, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, UInt32Type};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use weir_ml::als::{AlsModel, Factors};

const USERS: &str = "user_factors.parquet";
const ITEMS: &str = "item_factors.parquet";

/// The recommender's part of `model.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    user: ManifestColumn,
    item: ManifestColumn,
    rating_column: String,
    rank: usize,
    n_users: usize,
    n_items: usize,
    cold_start_strategy: ColdStart,
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
    let manifest = Manifest {
        user: ManifestColumn::of(&model.users),
        item: ManifestColumn::of(&model.items),
        rating_column: model.rating_column.clone(),
        rank: model.als.users.rank(),
        n_users: model.n_users(),
        n_items: model.n_items(),
        cold_start_strategy: model.cold_start,
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
    let seen_items: ArrayRef = Arc::new(UInt32Array::from(model.seen.items.clone()));
    let lengths = model.seen.offsets.windows(2).map(|pair| pair[1] - pair[0]);
    let seen = lists(lengths, &seen_items)?;
    parquet_file(vec![("id", model.users.stored()), ("features", features(&model.als.users)?), ("seen", seen)])
}

fn items_file(model: &RecommenderModel) -> Result<Vec<u8>> {
    let popularity: ArrayRef = Arc::new(Float32Array::from(model.popularity.clone()));
    parquet_file(vec![("id", model.items.stored()), ("features", features(&model.als.items)?), ("popularity", popularity)])
}

fn features(factors: &Factors) -> Result<ArrayRef> {
    let values: ArrayRef = Arc::new(Float32Array::from(factors.as_slice().to_vec()));
    lists(std::iter::repeat_n(factors.rank(), factors.n_rows()), &values)
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
    let factors = |rows: &RecordBatch| {
        let lists = rows.column_by_name("features")?.as_list_opt::<i64>()?;
        let values = flat(lists)?.as_primitive_opt::<Float32Type>()?.values().to_vec();
        let whole = lists.offsets().lengths().all(|length| length == manifest.rank) && values.iter().all(|value| value.is_finite());
        (whole && manifest.rank > 0).then(|| Factors::from_vec(manifest.rank, values))
    };
    let lists = users.column_by_name("seen")?.as_list_opt::<i64>()?;
    let seen_items = flat(lists)?.as_primitive_opt::<UInt32Type>()?.values().to_vec();
    if seen_items.iter().any(|item| *item as usize >= manifest.n_items) {
        return None;
    }
    let mut seen = Seen { offsets: vec![0], items: Vec::with_capacity(seen_items.len()) };
    let mut rest = seen_items.as_slice();
    for length in lists.offsets().lengths() {
        let (items, left) = rest.split_at_checked(length)?;
        if !items.is_sorted() {
            return None;
        }
        seen.push(items);
        rest = left;
    }
    let popularity = items.column_by_name("popularity")?.as_primitive_opt::<Float32Type>()?.values().to_vec();
    Some(RecommenderModel {
        name: name.to_owned(),
        als: AlsModel { users: factors(users)?, items: factors(items)? },
        users: ids(manifest.user, users, manifest.n_users)?,
        items: ids(manifest.item, items, manifest.n_items)?,
        rating_column: manifest.rating_column,
        seen,
        popularity,
        cold_start: manifest.cold_start_strategy,
        held_out: manifest.held_out,
    })
}

/// The values of all lists; the first list begins with the first value.
fn flat(lists: &LargeListArray) -> Option<&ArrayRef> {
    let offsets = lists.offsets();
    let whole = offsets.first() == Some(&0) && offsets.last().is_some_and(|last| *last == lists.values().len() as i64);
    (whole && lists.null_count() == 0 && lists.values().null_count() == 0).then(|| lists.values())
}
