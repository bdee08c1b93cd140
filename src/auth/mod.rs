//! Passwords, tokens, and who may do what.
//!
//! | part | what |
//! | --- | --- |
//! | [`password`] | verifiers (argon2id, SCRAM-SHA-256), checked in constant time, one at a time |
//! | [`backoff`] | a wait after failed logins, per user and per address |
//! | [`tokens`] | bearer tokens with two expiries |
//! | [`access`] | what an administrator and a reader may do |
//! | [`users`] | the first administrator, and new passwords |
//!
//! This module knows no protocol and no query engine.

pub mod access;
pub mod backoff;
pub mod password;
pub mod tokens;
pub mod users;

pub use access::{Action, check};
pub use password::{Passwords, Verifiers};
pub use tokens::{TokenLimits, Tokens};
pub use users::{ensure_admin, set_password};
