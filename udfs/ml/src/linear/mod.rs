//! Models linear in their features.
