//! A trained model as files: written aside, synced, renamed; checked when read.
//!
//! ```text
//! <models>/<id>/<version>/
//!   model.json             columns, types, strategy, evaluation, effective parameters
//!   user_factors.parquet   id, features, seen (places of items in item_factors)
//!   item_factors.parquet   id, features, popularity
//!   SHA256SUMS             of the three, as `sha256sum -c` reads it
//! ```

use super::evaluation::Evaluation;
use super::ids::Ids;
use super::options::ColdStart;
use super::recommender::{RecommenderModel, Seen};
use crate::error::{Code, Error, Result};
use crate::storage::durable::{self, AtPath};
use bytes::Bytes;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array, LargeListArray, RecordBatch, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Schema, UInt32Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use weir_ml::als::{AlsModel, Factors};

const MANIFEST: &str = "model.json";
const USERS: &str = "user_factors.parquet";
const ITEMS: &str = "item_factors.parquet";
const SUMS: &str = "SHA256SUMS";
/// Raised when an older server could not read what we write.
const FORMAT: u32 = 1;

/// `model.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    user: ManifestColumn,
    item: ManifestColumn,
    rating_column: String,
    rank: usize,
    n_users: usize,
    n_items: usize,
    cold_start_strategy: ColdStart,
    held_out: Option<Evaluation>,
    parameters: BTreeMap<String, String>,
    metrics: BTreeMap<String, f64>,
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

/// Writes a model to a directory that does not exist yet; it appears whole or not at all.
///
/// # Errors
/// `Conflict` when the directory exists, `Io` and `LimitExceeded` of the disk.
pub(super) fn write(
    directory: &Path,
    model: &RecommenderModel,
    parameters: &BTreeMap<String, String>,
    metrics: &BTreeMap<String, f64>,
) -> Result<()> {
    let Some(parent) = directory.parent() else {
        return Err(Error::internal("a model directory lies in another directory"));
    };
    if directory.exists() {
        return Err(Error::new(Code::Conflict, format!("model version at \"{}\" exists already", directory.display())));
    }
    let manifest = Manifest {
        format: FORMAT,
        user: ManifestColumn::of(&model.users),
        item: ManifestColumn::of(&model.items),
        rating_column: model.rating_column.clone(),
        rank: model.als.users.rank(),
        n_users: model.n_users(),
        n_items: model.n_items(),
        cold_start_strategy: model.cold_start,
        held_out: model.held_out,
        parameters: parameters.clone(),
        metrics: metrics.clone(),
    };
    let manifest = serde_json::to_vec_pretty(&manifest).map_err(|error| Error::internal(format!("could not describe a model: {error}")))?;
    let files = [(MANIFEST, manifest), (USERS, users_file(model)?), (ITEMS, items_file(model)?)];
    let mut sums = String::new();
    for (name, bytes) in &files {
        // Writing to a String cannot fail.
        let _ = writeln!(sums, "{}  {name}", sha256(bytes));
    }
    let staged = parent.join(durable::hidden_name());
    let written = write_staged(&staged, &files, &sums).and_then(|()| durable::rename(&staged, directory).at("write", directory));
    if written.is_err() {
        // What stays behind is removed by the sweep of the next start.
        let _ = std::fs::remove_dir_all(&staged);
    }
    written
}

fn write_staged(staged: &Path, files: &[(&str, Vec<u8>)], sums: &str) -> Result<()> {
    durable::create_dir_all(staged).at("create", staged)?;
    for (name, bytes) in files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).chain([(SUMS, sums.as_bytes())]) {
        let path = staged.join(name);
        durable::write_file(&path, bytes).at("write", &path)?;
    }
    Ok(())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("could not encode a model: {error}"))
}

fn parquet_file(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<u8>> {
    let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), false)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, array)| array).collect()).map_err(unwritable)?;
    let level = ZstdLevel::try_new(1).map_err(unwritable)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).map_err(unwritable)?;
    writer.write(&batch).map_err(unwritable)?;
    writer.close().map_err(unwritable)?;
    Ok(bytes)
}

/// Reads a model that [`write`] wrote; `name` is what the catalog calls it now.
///
/// # Errors
/// `DataCorrupted` naming the file for anything that is not as it was written.
pub(super) fn read(directory: &Path, name: &str) -> Result<RecommenderModel> {
    let damaged = |file: &str, detail: &str| {
        let what = format!("file \"{}\" of model \"{name}\" is damaged", directory.join(file).display());
        Error::new(Code::DataCorrupted, what).detail(detail).hint("Restore it from a backup, or train the model again.")
    };
    if !directory.is_dir() {
        let what = format!("the files of model \"{name}\" are missing at \"{}\"", directory.display());
        return Err(Error::new(Code::DataCorrupted, what).hint("Restore them from a backup, or train the model again."));
    }
    let load = |file: &str| -> Result<Bytes> {
        let path = directory.join(file);
        std::fs::read(&path).map(Bytes::from).at("read", &path)
    };
    let sums = load(SUMS)?;
    let sums = str::from_utf8(&sums).map_err(|_| damaged(SUMS, "It is not text."))?;
    let checked = |file: &str| -> Result<Bytes> {
        let bytes = load(file)?;
        match sums.lines().find_map(|line| line.strip_suffix(file)).map(str::trim_end) {
            Some(sum) if sum == sha256(&bytes) => Ok(bytes),
            Some(_) => Err(damaged(file, &format!("Its {} bytes do not have the checksum in {SUMS}.", bytes.len()))),
            None => Err(damaged(SUMS, &format!("It has no checksum of {file}."))),
        }
    };
    let manifest = checked(MANIFEST)?;
    let version: FormatOnly = serde_json::from_slice(&manifest).map_err(|error| damaged(MANIFEST, &format!("{error}.")))?;
    if version.format > FORMAT {
        let what = format!("model \"{name}\" was written by a newer version of weir");
        return Err(Error::new(Code::NotSupported, what).detail(format!("Its format is {}, this server reads {FORMAT}.", version.format)));
    }
    let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|error| damaged(MANIFEST, &format!("{error}.")))?;
    let users = parquet_rows(checked(USERS)?).map_err(|detail| damaged(USERS, &detail))?;
    let items = parquet_rows(checked(ITEMS)?).map_err(|detail| damaged(ITEMS, &detail))?;
    assemble(manifest, &users, &items, name).ok_or_else(|| damaged(MANIFEST, "The files do not belong together."))
}

/// What every format has.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

fn parquet_rows(bytes: Bytes) -> Result<RecordBatch, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| error.to_string())?;
    let schema = Arc::clone(builder.schema());
    let reader = builder.with_batch_size(65_536).build().map_err(|error| error.to_string())?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    concat_batches(&schema, &batches).map_err(|error| error.to_string())
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
