//! The house rules that a machine can hold: layers, file lengths, documented items, no paths of a machine.

use crate::harness::repository;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Modules from the lowest up, with what each may import besides itself. `ARCHITECTURE.md` has the reasons.
static LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("config", &["error"]),
    ("telemetry", &["error"]),
    ("storage", &["error", "config"]),
    ("parser", &["error"]),
    ("catalog", &["error", "telemetry"]),
    ("auth", &["error", "config", "telemetry", "catalog"]),
    ("tables", &["error", "config", "telemetry", "storage"]),
    ("connect", &["error", "config", "telemetry", "storage", "tables"]),
    ("models", &["error", "telemetry", "storage", "catalog"]),
    ("engine", &["error", "config", "telemetry", "storage", "parser", "catalog", "auth", "tables", "connect", "models"]),
    ("stream", &["error", "config", "telemetry", "storage", "catalog", "tables", "connect", "engine"]),
    ("server", &["error", "config", "telemetry", "catalog", "auth", "engine"]),
    ("console", &["error", "parser", "server"]),
    ("demo", &["error", "telemetry", "storage", "parser", "connect", "engine", "stream"]),
    ("bench", &["error", "config", "connect", "engine", "stream", "console"]),
    ("cli", &["error", "config", "telemetry", "storage", "connect", "engine", "stream", "server", "console", "demo", "bench"]),
];

const FILE_LINES_MAX: usize = 600;

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn all_rust_files() -> Vec<PathBuf> {
    ["src", "udfs", "tests/it"].iter().flat_map(|directory| rust_files(&repository().join(directory))).collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}

#[test]
fn modules_import_only_downwards() {
    let mut offences = Vec::new();
    for (module, may) in LAYERS {
        let folder = repository().join("src").join(module);
        let files = if folder.is_dir() { rust_files(&folder) } else { vec![repository().join("src").join(format!("{module}.rs"))] };
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for (line_idx, line) in text.lines().enumerate() {
                for import in line.split("crate::").skip(1) {
                    let name: String = import.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                    let is_module = LAYERS.iter().any(|(known, _)| *known == name);
                    if is_module && name != *module && !may.contains(&name.as_str()) {
                        offences.push(format!("{}:{}: {module} imports {name}", shown(&file), line_idx + 1));
                    }
                }
            }
        }
    }
    assert!(offences.is_empty(), "a module may import only from lower layers:\n{}", offences.join("\n"));
}

#[test]
fn the_map_and_the_layers_name_the_same_modules() {
    let map = std::fs::read_to_string(repository().join("src/lib.rs")).unwrap();
    let in_map: Vec<&str> = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.split(';').next()).collect();
    let in_table: Vec<&str> = LAYERS.iter().map(|(module, _)| *module).collect();
    assert_eq!(in_map, in_table, "src/lib.rs lists the modules in the order of the layers");
}

#[test]
fn the_catalog_and_auth_know_no_query_engine_and_the_algorithms_no_arrow() {
    for (folder, banned) in [
        ("src/catalog", &["datafusion", "arrow", "sqlparser", "tonic"][..]),
        ("src/auth", &["datafusion", "arrow", "sqlparser", "tonic"]),
        ("src/parser", &["std::fs", "tokio::fs", "object_store"]),
        ("udfs/ml/src", &["arrow", "datafusion", "tokio"]),
    ] {
        for file in rust_files(&repository().join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            for line in text.lines().filter(|line| line.trim_start().starts_with("use ")) {
                assert!(!banned.iter().any(|word| line.contains(word)), "{}: {line}", shown(&file));
            }
        }
    }
}

#[test]
fn files_are_short() {
    let long: Vec<String> = all_rust_files()
        .iter()
        .map(|file| (std::fs::read_to_string(file).unwrap().lines().count(), file))
        .filter(|(n_lines, _)| *n_lines > FILE_LINES_MAX)
        .map(|(n_lines, file)| format!("{n_lines} {}", shown(file)))
        .collect();
    assert!(long.is_empty(), "files over {FILE_LINES_MAX} lines, split them by noun:\n{}", long.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = all_rust_files()
        .iter()
        .filter(|file| !std::fs::read_to_string(file).unwrap().trim_start().starts_with("//!"))
        .map(|file| shown(file))
        .collect();
    assert!(silent.is_empty(), "files without a `//!` header:\n{}", silent.join("\n"));
}

#[test]
fn public_items_are_documented() {
    let mut bare = Vec::new();
    for file in ["src", "udfs"].iter().flat_map(|directory| rust_files(&repository().join(directory))) {
        // Helpers of tests explain themselves.
        if shown(&file).contains("/tests") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (idx, line) in lines.iter().enumerate() {
            let is_item = ["pub fn ", "pub async fn ", "pub struct ", "pub enum ", "pub trait ", "pub static ", "pub const ", "pub type "]
                .iter()
                .any(|start| line.trim_start().starts_with(start));
            let before =
                lines[..idx].iter().rev().find(|line| line.trim_start().starts_with("#[doc") || !line.trim_start().starts_with("#["));
            // `new` and `name` of a documented type say it with their names.
            let says_itself = ["pub fn new(", "pub fn name(&self)", "pub fn len(&self)", "pub fn is_empty(&self)"]
                .iter()
                .any(|start| line.trim_start().starts_with(start));
            let documented = before.is_some_and(|line| {
                let line = line.trim_start();
                line.starts_with("///") || line.starts_with("#[doc") || line.ends_with(")]")
            });
            if is_item && !documented && !says_itself {
                bare.push(format!("{}:{}: {}", shown(&file), idx + 1, line.trim()));
            }
        }
    }
    assert!(bare.is_empty(), "{} public items without a doc comment:\n{}", bare.len(), bare.join("\n"));
}

#[test]
fn nothing_is_left_behind() {
    // Put together here, so that this file does not find itself.
    let words: Vec<String> = [("todo", "!("), ("unimplemented", "!("), ("dbg", "!("), ("#[ig", "nore"), ("FIX", "ME"), ("XX", "X:")]
        .iter()
        .map(|(start, end)| format!("{start}{end}"))
        .collect();
    for file in all_rust_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in &words {
            assert!(!text.contains(word.as_str()), "{} has {word}", shown(&file));
        }
    }
}

#[test]
fn no_path_of_a_machine_is_in_the_repository() {
    let listed = std::process::Command::new("git").args(["ls-files"]).current_dir(repository()).output().expect("git lists the files");
    let names = String::from_utf8(listed.stdout).unwrap();
    let starts: Vec<String> = ["work", "root", "home", "farm"].iter().map(|name| format!("/{name}/")).collect();
    let mut offences = BTreeSet::new();
    for name in names.lines().filter(|name| !name.ends_with(".lock")) {
        let Ok(text) = std::fs::read_to_string(repository().join(name)) else { continue };
        for (line_idx, line) in text.lines().enumerate() {
            for start in &starts {
                let mut rest = line;
                while let Some(at) = rest.find(start.as_str()) {
                    let before = rest[..at].chars().last();
                    if !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '$' | '~' | '/' | '*')) {
                        offences.insert(format!("{name}:{}: {}", line_idx + 1, line.trim()));
                    }
                    rest = &rest[at + start.len()..];
                }
            }
        }
    }
    assert!(offences.is_empty(), "paths of a machine:\n{}", offences.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_commands_of_the_readme_are_those_that_ci_runs() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let ci = std::fs::read_to_string(repository().join(".ci/run")).unwrap();
    assert!(readme.contains("cargo run --release -- demo"), "the README starts with the demo");
    assert!(readme.contains("\ntests/run\n"), "the README's second command is tests/run");
    assert!(ci.contains("tests/run"), "CI runs the README's test command");
    assert!(ci.contains("demo --check"), "CI runs the demo");
}
