//! What forests and boosted trees must both hold.
