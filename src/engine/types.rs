//! SQL type names and Arrow types.
