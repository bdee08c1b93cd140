//!
pub mod flight;
