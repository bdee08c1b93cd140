//! The one integration binary: real servers, real clients, real files.

mod harness;

mod docs;
mod slt;
mod tidy;
