//! Places that are kept for tables that are being made: no second table is made in one, in it or around it meanwhile.
//!
//! ```text
//! reserve --> nobody in the catalog has it? nothing is there? --> version 0 of the log --> catalog --> dropped
//! ```
//! Between servers version 0 decides: of two that create it one is refused.

use crate::storage::Place;
use std::sync::{Arc, Mutex, PoisonError};

/// The places that are kept now.
#[derive(Debug, Default)]
pub struct Reservations(Arc<Mutex<Vec<Arc<Place>>>>);

/// A place that is kept as long as this lives.
#[derive(Debug)]
#[must_use]
pub struct Reserved {
    place: Arc<Place>,
    kept: Arc<Mutex<Vec<Arc<Place>>>>,
}

impl Reservations {
    /// Keeps a place; `None` when one that overlaps is kept already.
    pub fn reserve(&self, place: &Place) -> Option<Reserved> {
        // Each change is one call of the list: a panic of another holder leaves it whole.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().any(|other| other.overlaps(place)) {
            return None;
        }
        let place = Arc::new(place.clone());
        kept.push(Arc::clone(&place));
        Some(Reserved { place, kept: Arc::clone(&self.0) })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|place| !Arc::ptr_eq(place, &self.place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_place_is_kept_with_all_below_and_above_until_it_is_dropped() {
        let reservations = Reservations::default();
        let place = |path: &str| Place::from(Path::new(path));
        let kept = reservations.reserve(&place("/a/b")).unwrap();
        for taken in ["/a/b", "/a/b/c", "/a", "/"] {
            assert!(reservations.reserve(&place(taken)).is_none(), "{taken}");
        }
        let other = reservations.reserve(&place("/a/bc")).unwrap();
        drop(kept);
        assert!(reservations.reserve(&place("/a/b/c")).is_some());
        assert!(reservations.reserve(&place("/a/bc")).is_none());
        drop(other);
        assert!(reservations.reserve(&place("/")).is_some());
    }
}
