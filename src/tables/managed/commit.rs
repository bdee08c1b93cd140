//! What a commit changes: the request to the committer.

use super::live_files::LiveFile;
use super::schema::Definition;
use datafusion::common::ScalarValue;
use object_store::path::Path;
use std::fmt;
use std::sync::Arc;

/// What a commit removes, decided at the moment of the commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Replace {
    Nothing,
    Table,
    /// Each partition that gets a file, and these.
    Partitions(Vec<Vec<ScalarValue>>),
    /// These files, whose rows the new files have changed. All of them must be live still.
    Rows(Vec<Arc<LiveFile>>),
    /// These files, whose rows the new files have unchanged. All of them must be live still.
    SameRows(Vec<Arc<LiveFile>>),
}

impl fmt::Display for Replace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(files) | Self::SameRows(files) => write!(f, "{} files", files.len()),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Who deletes the files of a commit that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// From the moment of the call the committer, if they can never become visible.
    Committer,
    /// The caller, who may ask again with the same files.
    Caller,
}

/// Finished data files and positions that shall become visible together.
#[derive(Debug)]
pub struct Commit {
    /// What the log calls it.
    pub operation: &'static str,
    /// What the files were written for; a table that changed meanwhile refuses them.
    pub definition: Arc<Definition>,
    pub files: Vec<Arc<LiveFile>>,
    pub replace: Replace,
    /// Application ids and their new versions. A log that has exactly these already took this commit before.
    pub txns: Vec<(String, i64)>,
    pub owner: Owner,
}

impl Commit {
    /// Adds files.
    pub fn append(operation: &'static str, definition: Arc<Definition>, files: Vec<LiveFile>) -> Self {
        let files = files.into_iter().map(Arc::new).collect();
        Self { operation, definition, files, replace: Replace::Nothing, txns: Vec::new(), owner: Owner::Committer }
    }

    /// False when the same rows only move to other files.
    pub fn changes_rows(&self) -> bool {
        !matches!(self.replace, Replace::SameRows(_))
    }

    /// Where its files lie.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| &file.path)
    }

    /// The files that the committer deletes when the commit fails.
    pub fn owned_paths(&self) -> Vec<Path> {
        match self.owner {
            Owner::Committer => self.paths().cloned().collect(),
            Owner::Caller => Vec::new(),
        }
    }
}
