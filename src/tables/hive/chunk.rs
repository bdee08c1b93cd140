//! The bytes of one file, decompressed, piece by piece.
//!
//! Reading and decompressing run on a blocking thread, a few pieces ahead of the decoder. A local file is
//! held open from start to end: whoever replaces it meanwhile does not change what this query reads.

use crate::error::{Code, Error, Result};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt};
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Size of a piece.
const CHUNK_BYTES: usize = 1 << 20;
/// Pieces that wait for the decoder at most.
const CHUNKS_AHEAD: usize = 2;

/// A file being read.
#[derive(Debug)]
pub(super) struct Chunks {
    receiver: mpsc::Receiver<Result<Option<Vec<u8>>>>,
    /// For messages.
    file: String,
    at_end: bool,
}

impl Chunks {
    /// Opens `path`; its ending says how it is compressed. `file` names it in messages.
    pub(super) async fn open(store: &Arc<dyn ObjectStore>, path: &object_store::path::Path, file: &str) -> Result<Self> {
        let found = store.get(path).await.map_err(|error| store_error(file, &error))?;
        let raw: Box<dyn Read + Send> = match found.payload {
            GetResultPayload::File(open, _) => Box::new(open),
            GetResultPayload::Stream(stream) => {
                Box::new(StreamRead { stream, runtime: tokio::runtime::Handle::current(), current: Bytes::new() })
            }
        };
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let (file_name, ending) = (file.to_string(), path.extension().map(str::to_lowercase));
        // The thread ends by itself when the receiver is dropped.
        tokio::task::spawn_blocking(move || {
            let mut reader = match decompressed(raw, ending.as_deref()) {
                Ok(reader) => reader,
                Err(error) => {
                    let _ = sender.blocking_send(Err(read_error(&file_name, &error)));
                    return;
                }
            };
            loop {
                let chunk = read_chunk(reader.as_mut()).map_err(|error| read_error(&file_name, &error));
                let ended = !matches!(chunk, Ok(Some(_)));
                if sender.blocking_send(chunk).is_err() || ended {
                    return;
                }
            }
        });
        Ok(Self { receiver, file: file.to_string(), at_end: false })
    }

    /// The next piece; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.at_end {
            return Ok(None);
        }
        let chunk = match self.receiver.recv().await {
            Some(chunk) => chunk?,
            // Without the end mark the thread has died: the rest of the file is unknown.
            None => return Err(Error::new(Code::DataCorrupted, format!("could not read file \"{}\" to its end", self.file))),
        };
        self.at_end = chunk.is_none();
        Ok(chunk)
    }
}

fn read_chunk(reader: &mut dyn Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    reader.take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
    Ok((!chunk.is_empty()).then_some(chunk))
}

fn decompressed(raw: Box<dyn Read + Send>, ending: Option<&str>) -> std::io::Result<Box<dyn Read>> {
    Ok(match ending {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(raw)),
        Some("bz2") => Box::new(bzip2::read::MultiBzDecoder::new(raw)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(raw)?),
        _ => raw,
    })
}

/// A store's error about one file.
pub(super) fn store_error(file: &str, error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::new(Code::Io, format!("file \"{file}\" does not exist"))
            .hint("Run the query again: another program may have replaced the file."),
        object_store::Error::PermissionDenied { .. } => Error::new(Code::Io, format!("file \"{file}\" cannot be read: permission denied")),
        // The store's own texts have paths of this machine in them.
        object_store::Error::Generic { source, .. } if source.is::<Error>() => {
            let code = source.downcast_ref::<Error>().map_or(Code::Io, |ours| ours.code);
            Error::new(code, format!("could not read file \"{file}\""))
        }
        _ => Error::new(Code::Io, format!("could not read file \"{file}\"")),
    }
}

fn read_error(file: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied => Error::new(Code::Io, format!("file \"{file}\" cannot be read: permission denied")),
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof | ErrorKind::Other => {
            Error::new(Code::DataCorrupted, format!("could not decompress file \"{file}\""))
                .detail(format!("The decompressor says: {error}."))
        }
        _ => Error::new(Code::Io, format!("could not read file \"{file}\": {error}")),
    }
}

/// A remote object as a blocking reader.
struct StreamRead {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    runtime: tokio::runtime::Handle,
    current: Bytes,
}

impl Read for StreamRead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(bytes) => self.current = bytes?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
