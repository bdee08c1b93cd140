//! A saved ALS model as a recommender.
//!
//! ```text
//! <model>/userFactors, itemFactors    Parquet: id INT, features ARRAY<FLOAT>
//! ```
//! Spark knows integer ids only. A pipeline that numbers words by StringIndexer first becomes a recommender of words.

use super::cells;
use super::directory::{Place, Table};
use super::params::Metadata;
use super::read::{Part, StepSpec};
use super::stage::Op;
use crate::error::Result;
use crate::models::recommender::{ColdStart, ImportedFactors, ImportedSide, RecommenderModel};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type};
use std::sync::Arc;

/// Reads the factors; `before` are the stages before ALS.
///
/// # Errors
/// `DataCorrupted` naming the file.
pub(super) async fn recommender(name: &str, place: Place<'_>, params: &Metadata, before: &[Part]) -> Result<RecommenderModel> {
    let (users, items) = (place.table("userFactors").await?, place.table("itemFactors").await?);
    let rating = params.text("ratingCol")?.filter(|name| !name.is_empty()).unwrap_or("rating");
    let cold_start = match params.text("coldStartStrategy")?.unwrap_or("nan").to_lowercase().as_str() {
        "nan" => ColdStart::Nan,
        "drop" => ColdStart::Drop,
        _ => return Err(params.wrong("coldStartStrategy", "nan or drop")),
    };
    let users_side = side(&users, params.text("userCol")?.unwrap_or("user"), before)?;
    let items_side = side(&items, params.text("itemCol")?.unwrap_or("item"), before)?;
    if users_side.rank != items_side.rank {
        return Err(items.wrong(&format!("Items have {} factors, users {}.", items_side.rank, users_side.rank)));
    }
    let factors = ImportedFactors {
        users: users_side,
        items: items_side,
        rating_column: rating.to_owned(),
        is_implicit: params.flag("implicitPrefs", false)?,
        cold_start,
    };
    RecommenderModel::from_factors(name, factors)
}

/// The ids and factors of one side.
fn side(table: &Table, column: &str, before: &[Part]) -> Result<ImportedSide> {
    let ids = table.integers("id")?;
    let features = table.column("features")?;
    let rank = if ids.is_empty() { 0 } else { cells::list(features, 0).map_or(0, |list| list.len()) };
    if rank == 0 {
        return Err(table.wrong("It has no factors."));
    }
    let mut factors = Vec::with_capacity(rank * ids.len());
    for row in 0..ids.len() {
        let of_row =
            cells::list(features, row).filter(|list| list.len() == rank && list.null_count() == 0 && list.data_type().is_floating());
        let of_row = of_row.and_then(|list| cast(&list, &DataType::Float32).ok());
        let of_row = of_row.ok_or_else(|| table.wrong(&format!("Id {} does not have {rank} factors.", ids.value(row))))?;
        factors.extend_from_slice(of_row.as_primitive::<Float32Type>().values());
    }
    if factors.iter().any(|factor| !factor.is_finite()) {
        return Err(table.wrong("A factor is NaN or infinite."));
    }
    let folded = column.to_lowercase();
    let is_indexer = |step: &&StepSpec| step.output.to_lowercase() == folded && matches!(step.op, Op::Index { .. });
    let mut steps = before.iter().flat_map(|part| if let Part::Steps(steps) = part { steps.as_slice() } else { &[] });
    let (column, ids) = match steps.rfind(is_indexer) {
        Some(StepSpec { op: Op::Index { labels, .. }, inputs, .. }) => {
            (inputs.first().map_or(column, String::as_str), words(&ids, labels.names()).ok_or_else(|| table.wrong("An id is no label."))?)
        }
        _ => (column, Arc::new(ids) as ArrayRef),
    };
    Ok(ImportedSide { column: column.to_owned(), ids, rank, factors })
}

/// The words that a StringIndexer numbered.
fn words(ids: &Int32Array, labels: &[String]) -> Option<ArrayRef> {
    let word = |id: &i32| labels.get(usize::try_from(*id).ok()?);
    let words: Option<Vec<&String>> = ids.values().iter().map(word).collect();
    Some(Arc::new(StringArray::from_iter_values(words?)))
}
