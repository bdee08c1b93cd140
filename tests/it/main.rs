//! The one integration binary: real servers, real clients, real files.

mod console;
mod harness;

mod clients;
mod components;
mod docs;
mod flight;
mod interop;
mod memory;
mod recommender;
mod restart;
mod s3;
mod server;
mod slt;
mod stream;
mod tidy;
mod training;
mod traps;
