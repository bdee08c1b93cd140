//! A saved model as files: metadata and tables of its parts, read through the store.
//!
//! ```text
//! <model>/metadata/part-00000-..        one line of JSON
//! <model>/data/part-..parquet           what was learned, as rows
//! <model>/stages/<number>_<uid>/..      of a pipeline: the same again for each stage
//! ```

use super::params::Metadata;
use crate::error::{Code, Error, Result};
use crate::storage::{Access, ListedFile, Storage};
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::sync::Arc;

/// The most bytes that all files of a model may have: they are read into memory.
const BYTES_MAX: u64 = 4 << 30;

/// The files of a saved model, listed once.
#[derive(Debug)]
pub(super) struct Directory {
    storage: Arc<Storage>,
    /// As the user wrote it, without a final slash.
    text: String,
    files: Vec<ListedFile>,
}

/// A model or a stage: a place in a [`Directory`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    directory: &'a Directory,
    /// Empty, or ends with a slash.
    prefix: &'a str,
}

impl Directory {
    /// Lists the files of a location.
    ///
    /// # Errors
    /// `ForbiddenLocation` outside the roots, `Io` when it is no directory, `LimitExceeded` when its files are too large.
    pub async fn open(storage: &Arc<Storage>, text: &str) -> Result<Self> {
        let location = storage.location(text, Access::Read)?;
        if location.glob.is_some() {
            return Err(Error::new(Code::InvalidParameter, format!("model_path \"{text}\" is a pattern, it must be a directory")));
        }
        if !location.is_directory {
            let error = Error::new(Code::Io, format!("model_path \"{text}\" is a file, it must be a directory"));
            return Err(error.hint("Name the directory that Spark's save(..) wrote."));
        }
        let files = storage.list(&location).await?;
        if files.is_empty() {
            let error = Error::new(Code::Io, format!("model_path \"{text}\" has no files"));
            return Err(error.hint("Name the directory that Spark's save(..) wrote."));
        }
        let bytes: u64 = files.iter().map(|file| file.meta.size).sum();
        if bytes > BYTES_MAX {
            let error = Error::new(Code::LimitExceeded, format!("model_path \"{text}\" has too many bytes to be imported"));
            return Err(error.detail(format!("Its files have {bytes} bytes, at most {BYTES_MAX} can be read.")));
        }
        Ok(Self { storage: Arc::clone(storage), text: text.trim_end_matches('/').to_owned(), files })
    }

    /// The model itself.
    pub fn root(&self) -> Place<'_> {
        Place { directory: self, prefix: "" }
    }

    /// A part of it; `prefix` ends with a slash.
    pub fn at<'a>(&'a self, prefix: &'a str) -> Place<'a> {
        Place { directory: self, prefix }
    }

    async fn read(&self, file: &ListedFile) -> Result<Bytes> {
        let unreadable = |error: object_store::Error| Error::new(Code::Io, format!("could not read \"{}\": {error}", self.name(file)));
        self.storage.store().get(&file.meta.location).await.map_err(unreadable)?.bytes().await.map_err(unreadable)
    }

    fn name(&self, file: &ListedFile) -> String {
        format!("{}/{}", self.text, file.relative)
    }
}

/// The error for a file that is not as Spark writes it; `detail` is a sentence.
pub(super) fn damaged(file: &str, detail: &str) -> Error {
    Error::new(Code::DataCorrupted, format!("file \"{file}\" is damaged, or not of a saved Spark model"))
        .detail(detail)
        .hint("Save the model again with Spark.")
}

/// A Parquet directory in memory, with its name for messages.
#[derive(Debug)]
pub(super) struct Table {
    pub rows: RecordBatch,
    pub file: String,
}

impl<'a> Place<'a> {
    /// The path as the user would write it.
    pub fn text(&self) -> String {
        format!("{}/{}", self.directory.text, self.prefix).trim_end_matches('/').to_owned()
    }

    /// The place in the directory: empty, or with a final slash.
    pub fn prefix(&self) -> &'a str {
        self.prefix
    }

    /// The files directly in a sub-directory, sorted by name.
    fn files(&self, name: &str) -> Vec<&'a ListedFile> {
        let prefix = format!("{}{name}/", self.prefix);
        let is_in = |file: &&ListedFile| file.relative.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
        self.directory.files.iter().filter(is_in).collect()
    }

    /// The names of the sub-directories of a sub-directory (`stages`, or empty for this place), in order.
    pub fn children(&self, name: &str) -> Vec<&'a str> {
        let prefix = if name.is_empty() { self.prefix.to_owned() } else { format!("{}{name}/", self.prefix) };
        let child = |file: &'a ListedFile| Some(file.relative.strip_prefix(&prefix)?.split_once('/')?.0);
        let mut children: Vec<&str> = self.directory.files.iter().filter_map(child).collect();
        children.sort_unstable();
        children.dedup();
        children
    }

    /// Its metadata.
    ///
    /// # Errors
    /// `InvalidParameter` when there is none: no Spark model. `DataCorrupted` when it cannot be read.
    pub async fn metadata(&self) -> Result<Metadata> {
        let files = self.files("metadata");
        let Some(file) = files.iter().find(|file| file.meta.size > 0).or(files.first()) else {
            let error = Error::new(Code::InvalidParameter, format!("\"{}\" is not a saved Spark model", self.text()));
            return Err(error
                .detail("It has no directory \"metadata\" with a file part-00000.")
                .hint("Name the directory that Spark's save(..) wrote."));
        };
        let name = self.directory.name(file);
        let bytes = self.directory.read(file).await?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let mut metadata: Metadata = serde_json::from_slice(line).map_err(|error| damaged(&name, &format!("{error}.")))?;
        metadata.file = name;
        Ok(metadata)
    }

    /// The rows of a sub-directory of Parquet files, of all its files.
    ///
    /// # Errors
    /// `DataCorrupted` naming the file, or the directory when it has none.
    pub async fn table(&self, name: &str) -> Result<Table> {
        let directory = format!("{}/{name}", self.text());
        let (mut batches, mut schema) = (Vec::new(), None);
        for file in self.files(name) {
            let file_name = self.directory.name(file);
            let bytes = self.directory.read(file).await?;
            let read = |bytes: Bytes| -> Result<_, String> {
                let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| error.to_string())?;
                let schema = Arc::clone(builder.schema());
                let reader = builder.with_batch_size(65_536).build().map_err(|error| error.to_string())?;
                let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
                Ok((schema, batches))
            };
            let (of_file, read) = read(bytes).map_err(|error| damaged(&file_name, &format!("{error}.")))?;
            match &schema {
                None => schema = Some(of_file),
                Some(schema) if *schema != of_file => {
                    return Err(damaged(&file_name, "Its columns differ from those of the file before it."));
                }
                Some(_) => {}
            }
            batches.extend(read);
        }
        let Some(schema) = schema else {
            return Err(damaged(&directory, "It has no Parquet file."));
        };
        let rows = concat_batches(&schema, &batches).map_err(|error| damaged(&directory, &format!("{error}.")))?;
        Ok(Table { rows, file: directory })
    }
}
