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
}

impl LiveFiles {
    /// The live files, in the order of their commits.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<LiveFile>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
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
        Arc::make_mut(&mut chunks[index]).push(file);
    }

    /// Removes a file; false when it was not there.
    pub fn remove(&mut self, path: &Path) -> bool {
        let Some(index) = self.chunk_of.remove(path) else { return false };
        let chunks = Arc::make_mut(&mut self.files.chunks);
        Arc::make_mut(&mut chunks[index]).retain(|file| file.path != *path);
        if self.chunk_of.is_empty() {
            chunks.clear();
        } else if chunks.iter().filter(|chunk| chunk.is_empty()).count() > chunks.len() / 2 {
            self.compact();
        }
        true
    }

    /// Rebuilds the chunks when most of them are empty: rare, and paid by the removals that made it so.
    fn compact(&mut self) {
        let files: Vec<_> = self.files.iter().cloned().collect();
        let chunks: Vec<_> = files.chunks(CHUNK_FILES).map(|chunk| Arc::new(chunk.to_vec())).collect();
        self.chunk_of.clear();
        for (index, chunk) in chunks.iter().enumerate() {
            self.chunk_of.extend(chunk.iter().map(|file| (file.path.clone(), index)));
        }
        self.files = LiveFiles { chunks: Arc::new(chunks) };
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
                    assert_eq!(editor.remove(&Path::from(path.as_str())), model.remove(&path));
                }
            }
            assert_eq!(paths(editor.files()), model);
            assert_eq!(editor.files().len(), model.len(), "no path is there twice");
            assert_eq!(paths(&pin), pinned);
        }
    }
}
