//! Groups of rows that are near each other.

mod kmeans;

pub use kmeans::{Assignment, Kmeans, KmeansModel};
