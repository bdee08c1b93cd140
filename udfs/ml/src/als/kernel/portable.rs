//! Any machine: arrays of 16 floats, vectorised by the compiler for the target's baseline.
#![allow(unsafe_code)]

use super::kernels;
use super::vector::{Floats, Registers, Vector};

kernels!([f32; 16]);

/// Fused where every machine of the target has the instruction; elsewhere that would be a slow library call.
#[inline(always)]
fn mul_add(left: f32, right: f32, addend: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { left.mul_add(right, addend) } else { left * right + addend }
}

// SAFETY of all blocks: callers of `Vector` promise valid pointers. No special instruction is used.
impl Floats for [f32; 16] {
    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 16]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { from.cast::<Self>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|place| self[place] + other[place])
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        std::array::from_fn(|place| self[place] - other[place])
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        std::array::from_fn(|place| self[place] * other[place])
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        std::array::from_fn(|place| mul_add(self[place], factor[place], addend[place]))
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, from: Self) -> Self {
        std::array::from_fn(|place| mul_add(-self[place], factor[place], from[place]))
    }
    #[inline(always)]
    unsafe fn spread(self, place: usize) -> Self {
        [self[place]; 16]
    }
    #[inline(always)]
    unsafe fn first(self) -> f32 {
        self[0]
    }
}

// SAFETY of all blocks: as above.
impl Vector for [f32; 16] {
    const REGISTERS: Registers = Registers::Few;
    type Register = Self;

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut loaded = [0.0; 16];
        let source = unsafe { std::slice::from_raw_parts(from, count) };
        loaded[..count].copy_from_slice(source);
        loaded
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let eight: [f32; 8] = std::array::from_fn(|place| self[place] + self[place + 8]);
        let four: [f32; 4] = std::array::from_fn(|place| eight[place] + eight[place + 4]);
        (four[0] + four[2]) + (four[1] + four[3])
    }
    #[inline(always)]
    unsafe fn scalar_mul_sub_from(left: f32, right: f32, from: f32) -> f32 {
        mul_add(-left, right, from)
    }
    #[inline(always)]
    unsafe fn prefetch(_address: *const f32) {}
    #[inline(always)]
    unsafe fn prefetch_far(_address: *const f32) {}
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        for (row, column) in (0..8).flat_map(|row| (0..8).map(move |column| (row, column))) {
            unsafe { *to.add(column * to_stride + row) = *from.add(row * from_stride + column) };
        }
    }
}
