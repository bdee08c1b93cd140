//! The data files of one version of a table, in memory: cheap to pin, cheap to change.

use super::stats::FileStats;
use datafusion::common::ScalarValue;
use object_store::path::Path;
use std::collections::HashMap;
use std::sync::Arc;

/// A change copies at most one chunk, a pin copies one pointer per chunk.
const CHUNK_FILES: usize = 256;

/// One data file of a table.
#[derive(Debug, PartialEq)]
pub struct LiveFile {
    /// Below the directory of the table, decoded.
    pub path: Path,
    pub size_bytes: u64,
    pub modified_ms: i64,
    /// Values of the partition columns, in partition order.
    pub partition: Vec<ScalarValue>,
    /// The same as the log has them.
    pub partition_texts: Vec<Option<String>>,
    pub stats: Option<FileStats>,
}

/// The live files of one version. A clone is a pin: it never changes.
#[derive(Debug, Clone, Default)]
pub struct LiveFiles {
    chunks: Arc<Vec<Arc<Vec<Arc<LiveFile>>>>>,
    n_files: usize,
    n_bytes: u64,
}

impl LiveFiles {
    /// The live files, in the order of their commits.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<LiveFile>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    pub fn len(&self) -> usize {
        self.n_files
    }

    /// Bytes of all files.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }
}

/// The live files as the committer changes them: with an index by path.
#[derive(Debug, Default)]
pub struct LiveFilesEditor {
    files: LiveFiles,
    /// Path to the chunk that holds the file. Chunks keep their place; empty ones are filled again at the end only.
    chunk_of: HashMap<Path, usize>,
}

impl LiveFilesEditor {
    /// A pin of the files as they are now.
    pub fn pin(&self) -> LiveFiles {
        self.files.clone()
    }

    /// The live files now.
    pub fn files(&self) -> &LiveFiles {
        &self.files
    }

    /// Adds a file; an add of a path that is there replaces it (that is what the protocol says).
    pub fn add(&mut self, file: Arc<LiveFile>) {
        self.remove(&file.path);
        let chunks = Arc::make_mut(&mut self.files.chunks);
        if chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK_FILES) {
            chunks.push(Arc::new(Vec::with_capacity(CHUNK_FILES)));
        }
        let index = chunks.len() - 1;
        self.chunk_of.insert(file.path.clone(), index);
        self.files.n_files += 1;
        self.files.n_bytes += file.size_bytes;
        Arc::make_mut(&mut chunks[index]).push(file);
    }

    /// True when a file is live.
    pub fn contains(&self, path: &Path) -> bool {
        self.chunk_of.contains_key(path)
    }

    /// Removes a file; `None` when it was not there.
    pub fn remove(&mut self, path: &Path) -> Option<Arc<LiveFile>> {
        let index = self.chunk_of.remove(path)?;
        let chunks = Arc::make_mut(&mut self.files.chunks);
        let chunk = Arc::make_mut(&mut chunks[index]);
        let removed = chunk.iter().position(|file| file.path == *path).map(|position| chunk.remove(position));
        self.files.n_files -= 1;
        self.files.n_bytes -= removed.as_ref().map_or(0, |file| file.size_bytes);
        if self.chunk_of.is_empty() {
            chunks.clear();
        } else if chunks.iter().filter(|chunk| chunk.is_empty()).count() > chunks.len() / 2 {
            self.compact();
        }
        removed
    }

    /// Rebuilds the chunks when most of them are empty: rare, and paid by the removals that made it so.
    fn compact(&mut self) {
        let files: Vec<_> = self.files.iter().cloned().collect();
        let chunks: Vec<_> = files.chunks(CHUNK_FILES).map(|chunk| Arc::new(chunk.to_vec())).collect();
        self.chunk_of.clear();
        for (index, chunk) in chunks.iter().enumerate() {
            self.chunk_of.extend(chunk.iter().map(|file| (file.path.clone(), index)));
        }
        self.files.chunks = Arc::new(chunks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::collections::BTreeSet;

    fn file(number: u32) -> Arc<LiveFile> {
        Arc::new(LiveFile {
            path: Path::from(format!("part-{number}")),
            size_bytes: 1,
            modified_ms: 0,
            partition: Vec::new(),
            partition_texts: Vec::new(),
            stats: None,
        })
    }

    fn paths(files: &LiveFiles) -> BTreeSet<String> {
        files.iter().map(|file| file.path.to_string()).collect()
    }

    #[test]
    fn random_changes_equal_a_set_and_never_reach_a_pin() {
        let seed = 7;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let (mut editor, mut model) = (LiveFilesEditor::default(), BTreeSet::new());
        for round in 0..40 {
            let pin = editor.pin();
            let pinned = paths(&pin);
            // Phases of growth and of decay, so that chunks run empty.
            let adds = if round % 8 < 4 { 0.9 } else { 0.05 };
            for _ in 0..400 {
                let number = random.random_range(0..3_000);
                if random.random_bool(adds) {
                    editor.add(file(number));
                    model.insert(format!("part-{number}"));
                } else {
                    let path = format!("part-{number}");
                    assert_eq!(editor.remove(&Path::from(path.as_str())).is_some(), model.remove(&path));
                }
            }
            assert_eq!(paths(editor.files()), model);
            assert_eq!(editor.files().iter().count(), model.len(), "no path is there twice");
            assert_eq!((editor.files().len(), editor.files().n_bytes()), (model.len(), model.len() as u64));
            assert_eq!(paths(&pin), pinned);
        }
    }
}
