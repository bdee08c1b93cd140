//! The one integration binary: real servers, real clients, real files.

mod console;
mod harness;

mod clients;
mod docs;
mod flight;
mod interop;
mod memory;
mod recommender;
mod restart;
mod server;
mod slt;
mod tidy;
mod training;
mod traps;
