//! A set of items as bits.

/// A set of dense item numbers below `n_items`: an include list, or the items for which a predicate holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    n_items: usize,
    /// Item `i` is bit `i % 64` of word `i / 64`; the bits from `n_items` on are 0.
    words: Vec<u64>,
}

impl Bitmap {
    /// No item.
    pub fn empty(n_items: usize) -> Self {
        Self { n_items, words: vec![0; n_items.div_ceil(64)] }
    }

    /// Every item.
    pub fn full(n_items: usize) -> Self {
        let mut words = vec![u64::MAX; n_items.div_ceil(64)];
        if let Some(last) = words.last_mut()
            && !n_items.is_multiple_of(64)
        {
            *last = (1 << (n_items % 64)) - 1;
        }
        Self { n_items, words }
    }

    /// The given items, in any order; those that are not below `n_items` are unknown and left out.
    pub fn of_items(n_items: usize, items: impl IntoIterator<Item = u32>) -> Self {
        let mut bitmap = Self::empty(n_items);
        for item in items {
            bitmap.insert(item);
        }
        bitmap
    }

    /// Adds an item; returns whether it is new. One that is not below `n_items` is left out.
    pub fn insert(&mut self, item: u32) -> bool {
        let item = item as usize;
        if item >= self.n_items {
            return false;
        }
        let (word, bit) = (&mut self.words[item / 64], 1 << (item % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Takes an item out.
    pub fn remove(&mut self, item: u32) {
        if (item as usize) < self.n_items {
            self.words[item as usize / 64] &= !(1 << (item % 64));
        }
    }

    /// Whether the item is in the set.
    pub fn contains(&self, item: u32) -> bool {
        (item as usize) < self.n_items && self.words[item as usize / 64] >> (item % 64) & 1 == 1
    }

    /// Adds the items of another set of the same size.
    pub fn union(&mut self, other: &Self) {
        debug_assert_eq!(self.n_items, other.n_items);
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Keeps the items that are also in another set of the same size.
    pub fn intersect(&mut self, other: &Self) {
        debug_assert_eq!(self.n_items, other.n_items);
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// The number of items in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The number of items that there are, in the set or not.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// The bits: item `i` is bit `i % 64` of word `i / 64`.
    pub(super) fn into_words(self) -> Vec<u64> {
        self.words
    }

    /// The items, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().zip(0u32..).flat_map(|(word, place)| ones(*word).map(move |bit| place * 64 + bit))
    }

    /// The items that are not in the set, ascending.
    pub fn iter_absent(&self) -> impl Iterator<Item = u32> + '_ {
        let n_items = self.n_items;
        let absent = self.words.iter().zip(0u32..).flat_map(|(word, place)| ones(!*word).map(move |bit| place * 64 + bit));
        absent.take_while(move |item| (*item as usize) < n_items)
    }
}

/// The places of the bits that are 1, ascending.
pub(super) fn ones(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_outside_are_left_out_and_bits_behind_the_end_stay_0() {
        for n_items in [0usize, 1, 63, 64, 65, 130] {
            let (mut bitmap, full) = (Bitmap::empty(n_items), Bitmap::full(n_items));
            assert!(!bitmap.insert(n_items as u32) && !bitmap.contains(n_items as u32) && !full.contains(n_items as u32));
            assert_eq!((bitmap.count(), full.count()), (0, n_items));
            assert_eq!(bitmap.iter_absent().collect::<Vec<_>>(), full.iter().collect::<Vec<_>>());
            assert_eq!(full.iter_absent().next(), None);
        }
    }

    #[test]
    fn it_is_a_set() {
        let mut bitmap = Bitmap::of_items(200, [199, 3, 64, 3, 500]);
        assert_eq!(bitmap.iter().collect::<Vec<_>>(), [3, 64, 199]);
        assert!(!bitmap.insert(3) && bitmap.insert(4));
        bitmap.remove(64);
        bitmap.union(&Bitmap::of_items(200, [0, 4]));
        assert_eq!(bitmap.iter().collect::<Vec<_>>(), [0, 3, 4, 199]);
        bitmap.intersect(&Bitmap::of_items(200, [0, 199, 7]));
        assert_eq!(bitmap.iter().collect::<Vec<_>>(), [0, 199]);
        assert_eq!(bitmap.iter_absent().count(), 198);
    }
}
