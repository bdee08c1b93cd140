//! A trained model as files: written aside, synced, renamed; checked when read.
//!
//! ```text
//! <models>/<id>/<version>/
//!   model.json             the format, the kind of model, and what that kind says about itself
//!   training.json          iterations and trials of the run
//!   *.parquet              factors, trees, weights: what the kind needs
//!   SHA256SUMS             of all of them, as `sha256sum -c` reads it
//! ```

use super::report::TrainingReport;
use super::{TrainedModel, predictor, recommender};
use crate::error::{Code, Error, Result};
use crate::storage::durable::{self, AtPath};
use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MANIFEST: &str = "model.json";
const REPORT: &str = "training.json";
const SUMS: &str = "SHA256SUMS";
/// Raised when an older server could not read what we write.
const FORMAT: u32 = 3;

/// `model.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    kind: Kind,
    /// What the kind says about itself: columns, sizes, strategies.
    model: serde_json::Value,
    parameters: BTreeMap<String, String>,
}

/// Which module reads the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Recommender,
    Predictor,
}

/// What a kind of model writes: its part of `model.json`, and files by name.
#[derive(Debug)]
pub(super) struct Parts {
    pub manifest: serde_json::Value,
    pub files: Vec<(&'static str, Vec<u8>)>,
}

/// Writes a model to a directory that does not exist yet; it appears whole or not at all.
///
/// # Errors
/// `Conflict` when the directory exists, `Io` and `LimitExceeded` of the disk.
pub(super) fn write(directory: &Path, model: &TrainedModel, report: &TrainingReport, parameters: &BTreeMap<String, String>) -> Result<()> {
    let Some(parent) = directory.parent() else {
        return Err(Error::internal("a model directory lies in another directory"));
    };
    if directory.exists() {
        return Err(taken(directory));
    }
    let (kind, parts) = match model {
        TrainedModel::Recommender(model) => (Kind::Recommender, recommender::artefact::write(model)?),
        TrainedModel::Predictor(model) => (Kind::Predictor, predictor::artefact::write(model)?),
    };
    let manifest = Manifest { format: FORMAT, kind, model: parts.manifest, parameters: parameters.clone() };
    let mut files = vec![(MANIFEST, json(&manifest)?), (REPORT, json(report)?)];
    files.extend(parts.files);
    let mut sums = String::new();
    for (name, bytes) in &files {
        // Writing to a String cannot fail.
        let _ = writeln!(sums, "{}  {name}", sha256(bytes));
    }
    let staged = parent.join(durable::hidden_name());
    let mut staged_files: Vec<(String, Vec<u8>)> = files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    staged_files.push((SUMS.to_owned(), sums.into_bytes()));
    let written = write_staged(&staged, &staged_files).and_then(|()| match durable::rename(&staged, directory) {
        // Another statement was faster.
        Err(_) if directory.exists() => Err(taken(directory)),
        renamed => renamed.at("write", directory),
    });
    if written.is_err() {
        // What stays behind is removed by the sweep of the next start.
        let _ = std::fs::remove_dir_all(&staged);
    }
    written
}

fn taken(directory: &Path) -> Error {
    Error::new(Code::Conflict, format!("model version at \"{}\" exists already", directory.display()))
}

/// Writes files into a new directory, synced.
pub(super) fn write_staged(staged: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    durable::create_dir_all(staged).at("create", staged)?;
    for (name, bytes) in files {
        let path = staged.join(name);
        durable::write_file(&path, bytes).at("write", &path)?;
    }
    Ok(())
}

/// All files of a model with their names, checked, the sums among them.
pub(super) fn files(directory: &Path, name: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let files = Files::open(directory, name)?;
    let names = files.sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, file)| file.to_owned());
    let mut read = names.map(|file| Ok((file.clone(), files.checked(&file)?.to_vec()))).collect::<Result<Vec<_>>>()?;
    read.push((SUMS.to_owned(), files.sums.clone().into_bytes()));
    Ok(read)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A value as readable JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(unwritable)
}

/// A part of a model that cannot be encoded.
pub(super) fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("could not encode a model: {error}"))
}

/// Columns as a Parquet file.
pub(super) fn parquet_file(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<u8>> {
    parquet_file_of_blocks(std::iter::once(Ok(columns)))
}

/// A Parquet file of blocks of rows, each made when it is written: columns need not be copied as a whole. There is one
/// block at least, and all have the columns of the first.
pub(super) fn parquet_file_of_blocks<'a>(blocks: impl IntoIterator<Item = Result<Vec<(&'a str, ArrayRef)>>>) -> Result<Vec<u8>> {
    let mut writer = None;
    for block in blocks {
        let block = block?;
        let fields: Vec<Field> = block.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), false)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), block.into_iter().map(|(_, array)| array).collect()).map_err(unwritable)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => {
                let properties = writer_properties(&schema)?;
                writer.insert(ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(unwritable)?)
            }
        };
        writer.write(&batch).map_err(unwritable)?;
    }
    writer.ok_or_else(|| Error::internal("a file of a model has no columns"))?.into_inner().map_err(unwritable)
}

fn writer_properties(schema: &Schema) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(1).map_err(unwritable)?;
    let mut properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
    for field in schema.fields() {
        // Millions of ascending places: their steps take the bits of a dictionary's codes, and nothing is looked up.
        if let DataType::LargeList(places) = field.data_type()
            && *places.data_type() == DataType::UInt32
        {
            let path = ColumnPath::new(vec![field.name().clone(), "list".to_owned(), places.name().clone()]);
            properties =
                properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(properties.build())
}

/// The files of a model on disk.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    name: String,
    sums: String,
}

impl Files {
    fn open(directory: &Path, name: &str) -> Result<Self> {
        if !directory.is_dir() {
            let what = format!("the files of model \"{name}\" are missing at \"{}\"", directory.display());
            return Err(Error::new(Code::DataCorrupted, what).hint("Restore them from a backup, or train the model again."));
        }
        let mut files = Self { directory: directory.to_path_buf(), name: name.to_owned(), sums: String::new() };
        files.sums = String::from_utf8(files.load(SUMS)?.to_vec()).map_err(|_| files.damaged(SUMS, "It is not text."))?;
        Ok(files)
    }

    /// The model's name, as the catalog calls it now.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The error for a file that is not as it was written; `detail` is a sentence.
    pub fn damaged(&self, file: &str, detail: &str) -> Error {
        let what = format!("file \"{}\" of model \"{}\" is damaged", self.directory.join(file).display(), self.name);
        Error::new(Code::DataCorrupted, what).detail(detail).hint("Restore it from a backup, or train the model again.")
    }

    fn load(&self, file: &str) -> Result<Bytes> {
        let path = self.directory.join(file);
        std::fs::read(&path).map(Bytes::from).at("read", &path)
    }

    /// The bytes of a file, if they are those that were written.
    pub fn checked(&self, file: &str) -> Result<Bytes> {
        let bytes = self.load(file)?;
        match self.sums.lines().find_map(|line| line.split_once("  ").filter(|(_, name)| *name == file)) {
            Some((sum, _)) if sum == sha256(&bytes) => Ok(bytes),
            Some(_) => Err(self.damaged(file, &format!("Its {} bytes do not have the checksum in {SUMS}.", bytes.len()))),
            None => Err(self.damaged(SUMS, &format!("It has no checksum of {file}."))),
        }
    }

    /// A JSON file as a value.
    pub fn json<T: DeserializeOwned>(&self, file: &str) -> Result<T> {
        serde_json::from_slice(&self.checked(file)?).map_err(|error| self.damaged(file, &format!("{error}.")))
    }

    /// A Parquet file as one batch.
    pub fn parquet(&self, file: &str) -> Result<RecordBatch> {
        parquet_rows(self.checked(file)?).map_err(|detail| self.damaged(file, &detail))
    }
}

/// Reads a model that [`write`] wrote; `name` is what the catalog calls it now.
///
/// # Errors
/// `DataCorrupted` naming the file for anything that is not as it was written.
pub(super) fn read(directory: &Path, name: &str) -> Result<(TrainedModel, TrainingReport)> {
    let files = Files::open(directory, name)?;
    let version: FormatOnly = files.json(MANIFEST)?;
    if version.format > FORMAT {
        let what = format!("model \"{name}\" was written by a newer version of weir");
        return Err(Error::new(Code::NotSupported, what).detail(format!("Its format is {}, this server reads {FORMAT}.", version.format)));
    }
    if version.format < FORMAT {
        let what = format!("model \"{name}\" was written by an older version of weir");
        return Err(Error::new(Code::NotSupported, what)
            .detail(format!("Its format is {}, this server reads {FORMAT}.", version.format))
            .hint("Train the model again with CREATE OR REPLACE MODEL."));
    }
    let manifest: Manifest = files.json(MANIFEST)?;
    let report = files.json(REPORT)?;
    let unfit = || files.damaged(MANIFEST, "The files do not belong together.");
    let model = match manifest.kind {
        Kind::Recommender => TrainedModel::Recommender(Arc::new(recommender::artefact::read(manifest.model, &files)?.ok_or_else(unfit)?)),
        Kind::Predictor => TrainedModel::Predictor(Arc::new(predictor::artefact::read(manifest.model, &files)?.ok_or_else(unfit)?)),
    };
    Ok((model, report))
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
