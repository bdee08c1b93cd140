//! Batches to the bytes of a file: Parquet, text, JSON lines; compressed as asked.

mod json;
mod text;

use crate::error::{Code, Error, Result};
use crate::storage::durable::{self, AtPath};
use crate::tables::hive::{Compression, Format, ParquetOptions};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::file::properties::WriterProperties;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A row group is closed when it is about this large in memory, or has this many rows.
const ROW_GROUP_BYTES: usize = 64 << 20;
const ROW_GROUP_ROWS: usize = 1 << 20;
const BUFFER_BYTES: usize = 1 << 18;

/// Refuses types that the format cannot hold, before anything is written.
pub(super) fn check_schema(format: &Format, schema: &Schema) -> Result<()> {
    if schema.fields().is_empty() {
        return Err(Error::new(Code::InvalidStatement, "there is no column to write")
            .detail("Partition columns are directories; a file needs at least one other column."));
    }
    for field in schema.fields() {
        let (name, problem) = match format {
            Format::Parquet(_) => {
                let one = Schema::new(vec![Arc::clone(field)]);
                ("Parquet", ArrowSchemaConverter::new().convert(&one).is_err() || parquet_lacks(field.data_type()))
            }
            Format::Text(_) => ("text", !text::can_hold(field.data_type())),
            Format::Json(_) => ("JSON", !json::can_hold(field.data_type())),
        };
        if problem {
            let hint = match format {
                Format::Text(_) => "Take it apart into columns, or write JSON or Parquet.",
                _ => "Convert it to another type with CAST.",
            };
            return Err(Error::new(Code::NotSupported, format!("{name} files cannot hold column \"{}\"", field.name()))
                .detail(format!("Its type is {}.", field.data_type()))
                .hint(hint));
        }
    }
    Ok(())
}

fn parquet_lacks(data_type: &DataType) -> bool {
    use datafusion::arrow::datatypes::IntervalUnit;
    match data_type {
        DataType::Interval(IntervalUnit::MonthDayNano) | DataType::Union(..) | DataType::RunEndEncoded(..) => true,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) | DataType::Map(field, _) => {
            parquet_lacks(field.data_type())
        }
        DataType::Struct(fields) => fields.is_empty() || fields.iter().any(|field| parquet_lacks(field.data_type())),
        _ => false,
    }
}

/// The ending of a file: `parquet`, `csv.gz`.
pub(super) fn ending(format: &Format) -> String {
    let (ending, compression) = match format {
        Format::Parquet(_) => return "parquet".into(),
        Format::Text(options) if options.delimiter == "," => ("csv", options.compression),
        Format::Text(_) => ("txt", options_compression(format)),
        Format::Json(options) => ("json", options.compression),
    };
    match compression {
        Compression::None => ending.into(),
        Compression::Gzip => format!("{ending}.gz"),
        Compression::Zstd => format!("{ending}.zst"),
        Compression::Bzip2 => format!("{ending}.bz2"),
    }
}

fn options_compression(format: &Format) -> Compression {
    match format {
        Format::Parquet(_) => Compression::None,
        Format::Text(options) => options.compression,
        Format::Json(options) => options.compression,
    }
}

/// A file being written.
pub(super) struct FileWriter {
    path: PathBuf,
    encoder: Encoder,
}

enum Encoder {
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
    Text(text::TextEncoder, Compressed),
    Json(json::JsonEncoder, Compressed),
}

impl FileWriter {
    /// Creates the file; it must not exist.
    pub(super) fn create(path: &Path, format: &Format, schema: &SchemaRef) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path).at("create", path)?;
        Self::over(file, path, format, schema)
    }

    /// Writes into an open, empty file.
    pub(super) fn over(file: File, path: &Path, format: &Format, schema: &SchemaRef) -> Result<Self> {
        let encoder = match format {
            Format::Parquet(options) => {
                let properties = properties(options)?;
                let buffered = BufWriter::with_capacity(BUFFER_BYTES, file);
                let writer = ArrowWriter::try_new(buffered, Arc::clone(schema), Some(properties)).map_err(|error| failed(path, &error))?;
                Encoder::Parquet(Box::new(writer))
            }
            Format::Text(options) => {
                let mut out = Compressed::new(file, options.compression).at("write", path)?;
                let encoder = text::TextEncoder::new(options.clone(), schema);
                out.write_all(&encoder.header()?).at("write", path)?;
                Encoder::Text(encoder, out)
            }
            Format::Json(options) => Encoder::Json(
                json::JsonEncoder::new(options.timestamp_format),
                Compressed::new(file, options.compression).at("write", path)?,
            ),
        };
        Ok(Self { path: path.to_path_buf(), encoder })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let path = &self.path;
        match &mut self.encoder {
            Encoder::Parquet(writer) => {
                writer.write(batch).map_err(|error| failed(path, &error))?;
                if writer.in_progress_size().max(writer.memory_size()) >= ROW_GROUP_BYTES {
                    writer.flush().map_err(|error| failed(path, &error))?;
                }
                Ok(())
            }
            Encoder::Text(encoder, out) => out.write_all(encoder.encode(batch)?).at("write", path),
            Encoder::Json(encoder, out) => out.write_all(&encoder.encode(batch)?).at("write", path),
        }
    }

    /// Bytes of memory held for rows that are not in the file yet.
    pub(super) fn memory_bytes(&self) -> usize {
        match &self.encoder {
            Encoder::Parquet(writer) => writer.memory_size() + BUFFER_BYTES,
            Encoder::Text(..) | Encoder::Json(..) => BUFFER_BYTES,
        }
    }

    /// Gives memory back by closing the current row group.
    pub(super) fn relieve(&mut self) -> Result<()> {
        match &mut self.encoder {
            Encoder::Parquet(writer) => writer.flush().map_err(|error| failed(&self.path, &error)),
            Encoder::Text(..) | Encoder::Json(..) => Ok(()),
        }
    }

    /// About how large the file is.
    pub(super) fn size_bytes(&self) -> u64 {
        match &self.encoder {
            Encoder::Parquet(writer) => (writer.bytes_written() + writer.in_progress_size()) as u64,
            Encoder::Text(_, out) | Encoder::Json(_, out) => out.bytes_in,
        }
    }

    /// Ends the file and hands it over, not yet synced.
    pub(super) fn finish(self) -> Result<File> {
        let path = self.path;
        match self.encoder {
            Encoder::Parquet(writer) => {
                let buffered = writer.into_inner().map_err(|error| failed(&path, &error))?;
                buffered.into_inner().map_err(std::io::IntoInnerError::into_error).at("write", &path)
            }
            Encoder::Text(_, out) | Encoder::Json(_, out) => out.finish().at("write", &path),
        }
    }

    /// Ends the file and syncs it.
    pub(super) fn finish_durably(self) -> Result<()> {
        let path = self.path.clone();
        let file = self.finish()?;
        durable::sync_file(&file, &path);
        Ok(())
    }
}

fn properties(options: &ParquetOptions) -> Result<WriterProperties> {
    let compression = options.compression.parse().map_err(|_| {
        Error::new(Code::InvalidParameter, format!("Parquet compression \"{}\" is not known", options.compression))
            .hint("Use one of: zstd(1), snappy, gzip(6), lz4_raw, uncompressed.")
    })?;
    Ok(WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by(concat!("weir ", env!("CARGO_PKG_VERSION")).into())
        .build())
}

fn failed(path: &Path, error: &parquet::errors::ParquetError) -> Error {
    match error {
        parquet::errors::ParquetError::External(source) => match source.downcast_ref::<std::io::Error>() {
            Some(io) => durable::io_error("write", path, io),
            None => Error::new(Code::Io, format!("could not write \"{}\": {source}", path.display())),
        },
        other => Error::new(Code::Io, format!("could not write \"{}\": {other}", path.display())),
    }
}

/// A file behind a compressor.
struct Compressed {
    codec: Codec,
    bytes_in: u64,
}

enum Codec {
    None(BufWriter<File>),
    Gzip(flate2::write::GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
    Bzip2(bzip2::write::BzEncoder<BufWriter<File>>),
}

impl Compressed {
    fn new(file: File, compression: Compression) -> std::io::Result<Self> {
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let codec = match compression {
            Compression::None => Codec::None(out),
            Compression::Gzip => Codec::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default())),
            Compression::Zstd => Codec::Zstd(zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?),
            Compression::Bzip2 => Codec::Bzip2(bzip2::write::BzEncoder::new(out, bzip2::Compression::default())),
        };
        Ok(Self { codec, bytes_in: 0 })
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes_in += bytes.len() as u64;
        match &mut self.codec {
            Codec::None(out) => out.write_all(bytes),
            Codec::Gzip(out) => out.write_all(bytes),
            Codec::Zstd(out) => out.write_all(bytes),
            Codec::Bzip2(out) => out.write_all(bytes),
        }
    }

    fn finish(self) -> std::io::Result<File> {
        let out = match self.codec {
            Codec::None(out) => out,
            Codec::Gzip(out) => out.finish()?,
            Codec::Zstd(out) => out.finish()?,
            Codec::Bzip2(out) => out.finish()?,
        };
        out.into_inner().map_err(std::io::IntoInnerError::into_error)
    }
}
