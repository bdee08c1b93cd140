//! The local files as an object store: every path checked against the roots, every write durable.
//!
//! `object_store`'s own `LocalFileSystem` (0.13) never syncs and knows no roots, so only its traits and
//! types are used here. Paths are absolute paths of the machine without the first separator, literally:
//! no percent signs are added or taken away.

use super::durable::{self, Publish, StagedFile};
use super::location::store_path;
use super::roots::Roots;
use super::{Access, durable::blocking};
use crate::error::Error as WeirError;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path as StorePath;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result, UploadPart,
};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const STORE: &str = "weir";
/// Directory entries read at once while listing.
const LIST_CHUNK: usize = 1_024;
/// Deletions at once.
const DELETES_AT_ONCE: usize = 8;

/// See the module.
#[derive(Debug, Clone)]
pub struct DurableLocal {
    roots: Arc<Roots>,
}

impl std::fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DurableLocal")
    }
}

fn refused(error: WeirError) -> Error {
    Error::Generic { store: STORE, source: Box::new(error) }
}

fn failed(path: &Path, source: io::Error) -> Error {
    let name = path.display().to_string();
    match source.kind() {
        ErrorKind::NotFound => Error::NotFound { path: name, source: Box::new(source) },
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: name, source: Box::new(source) },
        _ => refused(durable::io_error("access", path, &source)),
    }
}

/// What the store says about a file. The tag changes whenever the content may have changed.
pub fn object_meta(location: StorePath, metadata: &Metadata) -> ObjectMeta {
    let last_modified = metadata.modified().unwrap_or(std::time::SystemTime::UNIX_EPOCH).into();
    ObjectMeta { location, last_modified, size: metadata.len(), e_tag: Some(tag(metadata)), version: None }
}

fn tag(metadata: &Metadata) -> String {
    format!("{:x}-{:x}.{:x}-{:x}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}

impl DurableLocal {
    pub(super) fn new(roots: Arc<Roots>) -> Self {
        Self { roots }
    }

    fn local(location: &StorePath) -> PathBuf {
        Path::new("/").join(location.as_ref())
    }

    /// A file to read, followed through its links.
    fn readable(&self, location: &StorePath) -> Result<PathBuf> {
        let path = Self::local(location);
        self.roots.check(&path, Access::Read, &path.display().to_string()).map_err(refused)
    }

    /// A name to create, replace or remove; a link in its last place is not followed.
    fn writable(&self, location: &StorePath) -> Result<PathBuf> {
        let path = Self::local(location);
        let path = self.roots.check_entry(&path, &path.display().to_string()).map_err(refused)?;
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Err(failed(&path, io::Error::from_raw_os_error(libc::EISDIR))),
            _ => Ok(path),
        }
    }

    /// Opens a regular file. The check comes first: to open a FIFO would wait for its writer forever.
    fn open(&self, location: &StorePath) -> Result<(File, Metadata, PathBuf)> {
        let path = self.readable(location)?;
        let before = path.metadata().map_err(|error| failed(&path, error))?;
        if before.is_dir() {
            return Err(failed(&path, io::Error::new(ErrorKind::NotFound, "is a directory")));
        }
        if !before.is_file() {
            return Err(refused(self.roots.refuse(&path.display().to_string()).detail("It is not a regular file.")));
        }
        let file = File::open(&path).map_err(|error| failed(&path, error))?;
        let metadata = file.metadata().map_err(|error| failed(&path, error))?;
        Ok((file, metadata, path))
    }

    fn put(&self, location: &StorePath, payload: &PutPayload, mode: &PutMode) -> Result<PutResult> {
        let publish = match mode {
            PutMode::Create => Publish::Create,
            PutMode::Overwrite => Publish::Replace,
            PutMode::Update(_) => return Err(not_implemented("put with PutMode::Update")),
        };
        let path = self.writable(location)?;
        let at_path = |error| failed(&path, error);
        let staged = StagedFile::create(&path).map_err(at_path)?;
        let mut file = staged.file();
        payload.iter().try_for_each(|part| file.write_all(part)).map_err(at_path)?;
        let metadata = staged.publish(publish).map_err(at_path)?;
        Ok(PutResult { e_tag: Some(tag(&metadata)), version: None })
    }

    /// Links or renames `from` to a staged name, then publishes it. The source may have been written by somebody
    /// who did not sync it, so it is synced here.
    fn publish_existing(&self, from: &StorePath, to: &StorePath, publish: Publish, remove_source: bool) -> Result<()> {
        let source = self.readable(from)?;
        // The source of a rename disappears, that is a write.
        let source = if remove_source { self.writable(from)? } else { source };
        let target = self.writable(to)?;
        let (file, ..) = self.open(from)?;
        durable::sync_file(&file, &source);
        let at_target = |error| failed(&target, error);
        if let Some(parent) = target.parent() {
            durable::create_dir_all(parent).map_err(at_target)?;
        }
        match (publish, remove_source) {
            (Publish::Create, true) => durable::rename_new(&source, &target).map_err(at_target)?,
            (Publish::Replace, true) => std::fs::rename(&source, &target).map_err(at_target)?,
            // Bytes are copied, not linked: a later append to one must not show in the other.
            (publish, false) => {
                let staged = StagedFile::create(&target).map_err(at_target)?;
                io::copy(&mut &file, &mut staged.file()).map_err(at_target)?;
                return staged.publish(publish).map(drop).map_err(at_target);
            }
        }
        durable::sync_parent(&target).map_err(at_target)?;
        durable::sync_parent(&source).map_err(at_target)
    }

    fn remove(&self, location: &StorePath) -> Result<()> {
        let path = self.writable(location)?;
        std::fs::remove_file(&path).map_err(|error| failed(&path, error))
    }

    /// The files and directories directly in a directory; names that no path can say are left out.
    fn children(&self, directory: &Path) -> Result<(Vec<PathBuf>, Vec<ObjectMeta>)> {
        let (mut directories, mut files) = (Vec::new(), Vec::new());
        let entries = match std::fs::read_dir(directory) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok((directories, files)),
            entries => entries.map_err(|error| failed(directory, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| failed(directory, error))?;
            let path = entry.path();
            let is_staged = entry.file_name().to_str().is_some_and(|name| name.starts_with(".weir-") && name.ends_with(".tmp"));
            let (Ok(metadata), Ok(location), false) = (path.metadata(), store_path(&path), is_staged) else { continue };
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if is_link && self.roots.check(&path, Access::Read, "link").is_err() {
                continue;
            }
            // A link to a directory could run in a circle: `Storage::list` follows them, the store does not.
            if metadata.is_dir() && !is_link {
                directories.push(path);
            } else if metadata.is_file() {
                files.push(object_meta(location, &metadata));
            }
        }
        directories.sort();
        files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok((directories, files))
    }

    /// The directory to list; as given, because what is found must start with it.
    fn prefix(&self, prefix: Option<&StorePath>) -> Result<PathBuf> {
        let prefix = prefix.cloned().unwrap_or_default();
        self.readable(&prefix).map(|_| Self::local(&prefix))
    }
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.into(), implementer: STORE.into() }
}

#[async_trait::async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &StorePath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (store, location) = (self.clone(), location.clone());
        blocking(move || store.put(&location, &payload, &options.mode)).await
    }

    async fn put_multipart_opts(&self, location: &StorePath, _options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let (store, location) = (self.clone(), location.clone());
        blocking(move || {
            let path = store.writable(&location)?;
            let staged = StagedFile::create(&path).map_err(|error| failed(&path, error))?;
            Ok(Box::new(Upload { staged: Some(Arc::new(staged)), offset: 0, written: Arc::default() }) as Box<dyn MultipartUpload>)
        })
        .await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> Result<GetResult> {
        let (store, location) = (self.clone(), location.clone());
        blocking(move || {
            let (file, metadata, path) = store.open(&location)?;
            let meta = object_meta(location, &metadata);
            options.check_preconditions(&meta)?;
            let range = match &options.range {
                None => 0..meta.size,
                Some(range) => range.as_range(meta.size).map_err(|error| Error::Generic { store: STORE, source: Box::new(error) })?,
            };
            Ok(GetResult { payload: GetResultPayload::File(file, path), meta, range, attributes: object_store::Attributes::default() })
        })
        .await
    }

    async fn get_ranges(&self, location: &StorePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (store, location, ranges) = (self.clone(), location.clone(), ranges.to_vec());
        blocking(move || {
            let (file, metadata, path) = store.open(&location)?;
            ranges.into_iter().map(|range| read_range(&file, &metadata, &path, range)).collect()
        })
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<StorePath>>) -> BoxStream<'static, Result<StorePath>> {
        let store = self.clone();
        locations
            .map(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    blocking(move || store.remove(&location).map(|()| location)).await
                }
            })
            .buffered(DELETES_AT_ONCE)
            .boxed()
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        let start = self.prefix(prefix).map(|directory| vec![directory]);
        stream::once(async move { start })
            .map_ok(move |directories| {
                stream::try_unfold((store.clone(), directories), |(store, mut directories)| async move {
                    blocking(move || {
                        let mut found = Vec::new();
                        while let Some(directory) = directories.pop() {
                            let (below, files) = store.children(&directory)?;
                            directories.extend(below.into_iter().rev());
                            found.extend(files.into_iter().map(Ok::<_, Error>));
                            if found.len() >= LIST_CHUNK {
                                break;
                            }
                        }
                        let done = found.is_empty() && directories.is_empty();
                        Ok::<_, Error>((!done).then(|| (stream::iter(found), (store, directories))))
                    })
                    .await
                })
                .try_flatten()
            })
            .try_flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> Result<ListResult> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        blocking(move || {
            let (directories, objects) = store.children(&store.prefix(prefix.as_ref())?)?;
            let common_prefixes = directories.iter().filter_map(|path| store_path(path).ok()).collect();
            Ok(ListResult { common_prefixes, objects })
        })
        .await
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> Result<()> {
        let (store, from, to) = (self.clone(), from.clone(), to.clone());
        let publish = match options.mode {
            CopyMode::Create => Publish::Create,
            CopyMode::Overwrite => Publish::Replace,
        };
        blocking(move || store.publish_existing(&from, &to, publish, false)).await
    }

    async fn rename_opts(&self, from: &StorePath, to: &StorePath, options: RenameOptions) -> Result<()> {
        let (store, from, to) = (self.clone(), from.clone(), to.clone());
        let publish = match options.target_mode {
            RenameTargetMode::Create => Publish::Create,
            RenameTargetMode::Overwrite => Publish::Replace,
        };
        blocking(move || store.publish_existing(&from, &to, publish, true)).await
    }
}

/// Reads a range; a file that ends before it is an error, never a short answer.
fn read_range(file: &File, metadata: &Metadata, path: &Path, range: Range<u64>) -> Result<Bytes> {
    let short = || {
        refused(WeirError::new(crate::error::Code::DataCorrupted, format!("file \"{}\" ends before byte {}", path.display(), range.end)))
    };
    // Checked before memory is taken for it: a footer may say anything.
    if range.start > range.end || range.end > metadata.len() {
        return Err(short());
    }
    let length = usize::try_from(range.end - range.start).map_err(|_| short())?;
    let mut buffer = vec![0; length];
    match file.read_exact_at(&mut buffer, range.start) {
        Ok(()) => Ok(buffer.into()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(short()),
        Err(error) => Err(failed(path, error)),
    }
}

/// Parts written at their offsets into a staged file.
#[derive(Debug)]
struct Upload {
    staged: Option<Arc<StagedFile>>,
    offset: u64,
    /// Bytes that reached the file: a part that failed or was dropped leaves a hole, which is never published.
    written: Arc<AtomicU64>,
}

#[async_trait::async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let start = self.offset;
        self.offset += payload.content_length() as u64;
        let (staged, written) = (self.staged.clone(), Arc::clone(&self.written));
        Box::pin(blocking(move || {
            let staged = staged.ok_or_else(ended)?;
            let mut at = start;
            for bytes in &payload {
                staged.file().write_all_at(bytes, at).map_err(|error| failed(staged.target(), error))?;
                at += bytes.len() as u64;
            }
            written.fetch_add(at - start, Ordering::AcqRel);
            Ok(())
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take().and_then(Arc::into_inner).ok_or_else(ended)?;
        if self.written.load(Ordering::Acquire) != self.offset {
            return Err(ended());
        }
        blocking(move || {
            let target = staged.target().to_path_buf();
            let metadata = staged.publish(Publish::Replace).map_err(|error| failed(&target, error))?;
            Ok(PutResult { e_tag: Some(tag(&metadata)), version: None })
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = self.staged.take();
        blocking(move || drop(staged)).await;
        Ok(())
    }
}

fn ended() -> Error {
    Error::Generic { store: STORE, source: "the upload was ended, or one of its parts failed".into() }
}
