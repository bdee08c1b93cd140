//! Memory for many numbers that are read in no order.
//!
//! Factors are gathered row by row from anywhere in tens of MiB, and ratings are sorted into as many places as there are
//! users. In pages of 4 KiB nearly each access first looks up where its page is, and a fetch ahead waits for that; in pages
//! of 2 MiB the processor remembers all of them: a fit of 20 million ratings took a tenth less CPU.
#![allow(unsafe_code)]

use memmap2::MmapMut;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Floats of a lane: a cache line, a register of AVX-512.
pub const LANE: usize = 16;

/// The size of a huge page on most machines.
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// From here on memory of its own is worth a call of the system.
const PAGES_BYTES_MIN: usize = 4 << 20;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Lane([f32; LANE]);

/// Plain numbers.
///
/// # Safety
/// All bits are a value, those of zero are zero, and the alignment is no larger than a lane's.
pub unsafe trait Number: Copy {}
// SAFETY: both are.
unsafe impl Number for f32 {}
// SAFETY: as above.
unsafe impl Number for u32 {}

/// A fixed number of numbers, at first zero, from a cache line on. Large ones ask the system for huge pages, and give
/// their memory back to it when dropped; where it has none, or no memory to map, they are as any other.
pub struct Buffer<T: Number> {
    memory: Memory,
    len: usize,
    kind: PhantomData<T>,
}

/// Floats from a cache line on, of [`Aligned::zeros`] whole lanes: no load of a lane touches two cache lines.
pub type Aligned = Buffer<f32>;

enum Memory {
    Heap(Vec<Lane>),
    Pages(MmapMut),
}

impl<T: Number> Buffer<T> {
    /// So many zeros.
    pub fn zeroed(len: usize) -> Self {
        // More than there is of anything is refused below, as by `Vec`.
        let bytes = len.saturating_mul(size_of::<T>());
        // Whole huge pages: of these the system gives only aligned ones, and it aligns no other maps.
        let mapped = bytes.checked_next_multiple_of(HUGE_PAGE_BYTES).filter(|_| bytes >= PAGES_BYTES_MIN);
        let memory = match mapped.and_then(|bytes| MmapMut::map_anon(bytes).ok()) {
            Some(pages) => {
                // Best effort: pages of the usual size hold the same numbers.
                #[cfg(target_os = "linux")]
                let _ = pages.advise(memmap2::Advice::HugePage);
                Memory::Pages(pages)
            }
            None => Memory::Heap(vec![Lane([0.0; LANE]); bytes.div_ceil(size_of::<Lane>())]),
        };
        Self { memory, len, kind: PhantomData }
    }

    /// A copy of these numbers.
    pub fn copy_of(numbers: &[T]) -> Self {
        let mut buffer = Self::zeroed(numbers.len());
        buffer.copy_from_slice(numbers);
        buffer
    }

    /// Leaves out what follows the first `len` numbers. Pages that were never written to were never taken.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Aligned {
    /// At least `len` zeros, in whole lanes.
    pub fn zeros(len: usize) -> Self {
        Self::zeroed(len.checked_next_multiple_of(LANE).unwrap_or(usize::MAX))
    }
}

impl<T: Number> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let start: *const T = match &self.memory {
            Memory::Heap(lanes) => lanes.as_ptr().cast(),
            Memory::Pages(pages) => pages.as_ptr().cast(),
        };
        // SAFETY: both kinds of memory have room for `len` numbers, all of them initialised, and any bits are a number; a page
        // and a `Lane` begin at a multiple of 64 bytes.
        unsafe { std::slice::from_raw_parts(start, self.len) }
    }
}

impl<T: Number> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let start: *mut T = match &mut self.memory {
            Memory::Heap(lanes) => lanes.as_mut_ptr().cast(),
            Memory::Pages(pages) => pages.as_mut_ptr().cast(),
        };
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(start, self.len) }
    }
}

impl<T: Number> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl<T: Number + PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Number + std::fmt::Debug> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(formatter)
    }
}

/// Begins to fetch the cache line of a number, which will be read or written; there need be none at the place.
#[allow(unused_variables)]
pub fn prefetch<T>(numbers: &[T], place: usize) {
    let address = numbers.as_ptr().wrapping_add(place).cast::<i8>();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless, and every x86-64 has it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths around nothing, a lane, and both kinds of memory.
    const LENGTHS: [usize; 7] = [0, 1, LANE, LANE + 1, PAGES_BYTES_MIN / 4 - 1, PAGES_BYTES_MIN / 4, PAGES_BYTES_MIN / 4 + 1];

    #[test]
    fn is_zero_at_a_cache_line_and_writable_to_the_end() {
        for len in LENGTHS {
            let mut buffer = Buffer::<u32>::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|number| *number == 0), "{len}");
            assert_eq!(buffer.as_ptr() as usize % 64, 0, "{len}");
            buffer.iter_mut().zip(1..).for_each(|(number, place)| *number = place);
            assert!(buffer.iter().zip(1..).all(|(number, place)| *number == place), "{len}");
        }
    }

    /// Whether the system then has some to give is not ours.
    #[cfg(target_os = "linux")]
    #[test]
    fn large_ones_ask_for_huge_pages_to_the_end() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            return eprintln!("this kernel has no transparent huge pages");
        }
        let buffer = Buffer::<f32>::zeroed((7 << 20) / 4 + 1);
        let Memory::Pages(pages) = &buffer.memory else { panic!("it is on the heap") };
        assert_eq!(pages.len(), 8 << 20);
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        // The map around it: neighbours may have become one with it.
        let has_it = |line: &str| {
            let (start, end) = line.split(' ').next()?.split_once('-')?;
            let [start, end] = [start, end].map(|place| usize::from_str_radix(place, 16));
            Some((start.ok()?..end.ok()?).contains(&(buffer.as_ptr() as usize)))
        };
        let flags = maps.lines().skip_while(|line| has_it(line) != Some(true)).find(|line| line.starts_with("VmFlags:")).unwrap();
        assert!(flags.split_whitespace().any(|flag| flag == "hg"), "{flags}");
    }

    #[test]
    fn copies_are_equal_and_apart() {
        for len in LENGTHS {
            let numbers: Vec<f32> = (0..len).map(|place| place as f32).collect();
            let mut buffer = Buffer::copy_of(&numbers);
            let copy = buffer.clone();
            assert_eq!(*copy, *numbers);
            if let Some(last) = buffer.last_mut() {
                *last = -1.0;
                assert!(buffer != copy, "{len}");
            }
            buffer.truncate(len / 2);
            assert_eq!(*buffer, numbers[..len / 2]);
        }
    }
}
