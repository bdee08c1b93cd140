//! Flight SQL as drivers see it: messages and schemas, bit for bit.

mod doors;
mod schemas;
mod statements;
mod wire;
