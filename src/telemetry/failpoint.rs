//! Fail points: named places where a test ends the process as a power failure would.
//!
//! They exist in builds for tests only (the feature `failpoints` of the crate `fail` is a dev-dependency's); elsewhere
//! [`reach`] is empty. The environment arms them: `FAILPOINTS='log.after=return'` ends the process where the point is
//! reached first, `3*off->return` where it is reached the fourth time, `10%return` by chance.

/// Every fail point of the server, in the order in which a commit of a stream meets them, with what is done and not
/// done there.
pub static FAIL_POINTS: &[(&str, &str)] = &[
    ("epoch.cut", "rows of an epoch are cut off, no file is written"),
    ("data.before", "some rows of a data file are not given to its writer"),
    ("data.after", "the writer of a data file has some rows, the file is not closed"),
    ("data.closed", "a data file is durable, further ones may follow"),
    ("manifest.written", "the manifest of dead letters is durable, no entry names it"),
    ("log.before", "all data files are durable, the entry of the log is not written"),
    ("log.write", "an entry is given to the store, nothing of it is written"),
    ("log.linked", "an entry is durable, the committer does not know"),
    ("log.after", "an entry is durable and read back, memory does not have it"),
    ("log.published", "the new version is visible, nobody got an answer"),
    ("checkpoint.before", "a checkpoint is due, nothing of it is written"),
    ("checkpoint.written", "a checkpoint is written, not proved"),
    ("clean.before", "a checkpoint is proved, the log behind it is whole"),
    ("clean.after", "the log behind a checkpoint is cleaned"),
    ("fence.before", "a table is loaded, older writers are not fenced"),
    ("fence.after", "older writers are fenced, their files are not swept"),
    ("compaction.before", "the merged files are durable, no entry names them"),
    ("compaction.after", "the merged files are committed, nobody got an answer"),
    ("mature.before", "a merged file of a visible table is durable, no listing shows it"),
    ("mature.published", "a listing shows a merged file, no entry names it"),
    ("garbage.before", "removed files are chosen, none of them is deleted"),
    ("garbage.after", "the chosen files are deleted"),
];

/// Arms the fail points that the environment names. Called once, when the process starts.
pub fn setup() {
    if fail::has_failpoints() {
        // Its end would disarm them; the process keeps it.
        std::mem::forget(fail::FailScenario::setup());
    }
}

/// Ends the process here when the point is armed: no destructor runs, no buffer is flushed.
pub fn reach(name: &'static str) {
    // Without the feature the macro is empty.
    let _ = name;
    fail::fail_point!(name, |_| {
        eprintln!("weir: fail point \"{name}\" reached");
        std::process::abort()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_point_is_listed_once_and_reached_somewhere() {
        let listed: BTreeSet<&str> = FAIL_POINTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed.len(), FAIL_POINTS.len(), "a name is there twice");
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let call = concat!("failpoint::reach", "(\"");
        let reached: BTreeSet<&str> =
            texts.iter().flat_map(|text| text.split(call).skip(1)).filter_map(|rest| rest.split('"').next()).collect();
        let missing: Vec<_> = listed.difference(&reached).collect();
        assert!(missing.is_empty() && reached.is_subset(&listed), "listed and never reached: {missing:?}; reached: {reached:?}");
    }
}
