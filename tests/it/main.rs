//! The one integration binary: real servers, real clients, real files.

mod console;
mod harness;

mod clients;
mod docs;
mod interop;
mod recommender;
mod slt;
mod tidy;
