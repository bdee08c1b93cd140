//! What the tests share: a server process, a Flight SQL client, the test data, and the real components around a server.

pub mod avro;
pub mod certificates;
pub mod client;
pub mod events;
pub mod kafka;
pub mod port;
pub mod proxy;
pub mod python;
pub mod registry;
pub mod row_hash;
pub mod s3;
pub mod server;
pub mod truth;

pub use client::Client;
pub use kafka::Kafka;
pub use registry::Registry;
pub use s3::S3;
pub use server::Server;
pub use truth::Truth;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the real data sets lie, or would lie.
pub fn test_data_root() -> PathBuf {
    std::env::var_os("WEIR_TEST_DATA").map_or_else(|| repository().join("../shared/data"), PathBuf::from)
}

/// The directory of one real data set: `WEIR_TEST_DATA`, by default `../shared/data`.
///
/// # Panics
/// When a data set is missing: a test never passes without what it needs.
pub fn test_data(data_set: &str) -> PathBuf {
    let directory = test_data_root().join(data_set);
    assert!(
        directory.is_dir(),
        "the test data set \"{data_set}\" is not at {}: set WEIR_TEST_DATA to the directory that holds it",
        directory.display()
    );
    directory.canonicalize().expect("the directory was just seen")
}
