//! What an instruction set must offer: arithmetic on 16 floats.
#![allow(unsafe_code)]

/// Which tiles of sums stay in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registers {
    /// 32 of 16 floats: tiles of 8 rows and up to 3 registers, or of 16 rows and 1.
    Many,
    /// 16 of 8 floats: tiles of 4 or 6 rows and 2 registers, or of 8 rows and 1.
    Some,
    /// 16 of 4 floats, perhaps: tiles of 2 rows and 16 floats.
    Few,
}

/// 8 or 16 floats: what the tiles of a sum are made of.
///
/// # Safety
/// Every method may be called only where the machine has the instructions of the implementation, and pointers
/// must be valid for `WIDTH` floats. Methods are inlined into a function compiled for them.
pub trait Floats: Copy {
    /// 8 or 16.
    const WIDTH: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self · factor + addend`.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `from − self · factor`.
    unsafe fn mul_sub_from(self, factor: Self, from: Self) -> Self;
    /// The float at `place` in all places.
    unsafe fn spread(self, place: usize) -> Self;
    /// The float at place 0.
    unsafe fn first(self) -> f32;
}

/// 16 floats.
///
/// # Safety
/// As [`Floats`]; pointers must be valid for 16 floats (or the `count` given).
pub trait Vector: Floats {
    const REGISTERS: Registers;
    /// One register: where 16 floats take two, tiles of single ones waste less on a triangle.
    type Register: Floats;

    /// The first `count` floats (at most 16), then zeros; reads no further.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// The sum; halves are added until one float is left.
    unsafe fn sum(self) -> f32;
    /// `from − left · right` of single floats.
    unsafe fn scalar_mul_sub_from(left: f32, right: f32, from: f32) -> f32;
    /// Copies a block of 8 × 8 floats, transposed; rows are so many floats apart on each side.
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize);
    /// Asks for the cache line at an address, which need not be valid.
    unsafe fn prefetch(address: *const f32);
    /// The same, into the second-level cache only: the first has no room for what is needed later.
    unsafe fn prefetch_far(address: *const f32);
}
