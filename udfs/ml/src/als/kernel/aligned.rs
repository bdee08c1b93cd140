//! Floats that begin at a cache line.
#![allow(unsafe_code)]

/// Floats of a lane: a cache line, a register of AVX-512.
pub const LANE: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
struct Lane([f32; LANE]);

/// A buffer of whole lanes, 64 bytes aligned: no load of a lane touches two cache lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Aligned(Vec<Lane>);

impl Aligned {
    /// At least `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self(vec![Lane([0.0; LANE]); len.div_ceil(LANE)])
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a `Lane` is 16 floats without padding (64 bytes, aligned to 64), and lanes are contiguous.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * LANE) }
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * LANE) }
    }
}
