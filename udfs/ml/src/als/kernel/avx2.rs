//! AVX2 with fused multiply-add: 16 floats in two registers.
#![allow(unsafe_code)]

use super::kernels;
use super::vector::{Floats, Registers, Vector};
use std::arch::x86_64::*;

kernels!(Pair, "avx2,fma");

/// The first and the last eight floats.
#[derive(Clone, Copy)]
pub struct Pair(__m256, __m256);

// SAFETY of all blocks: callers of `Vector` promise AVX2, FMA and valid pointers.
impl Floats for Pair {
    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, addend.0), _mm256_fmadd_ps(self.1, factor.1, addend.1)) }
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, from: Self) -> Self {
        unsafe { Self(_mm256_fnmadd_ps(self.0, factor.0, from.0), _mm256_fnmadd_ps(self.1, factor.1, from.1)) }
    }
    #[inline(always)]
    unsafe fn spread(self, place: usize) -> Self {
        unsafe {
            let half = if place < 8 { self.0 } else { self.1 };
            let all = _mm256_permutevar8x32_ps(half, _mm256_set1_epi32((place % 8) as i32));
            Self(all, all)
        }
    }
    #[inline(always)]
    unsafe fn first(self) -> f32 {
        unsafe { _mm256_cvtss_f32(self.0) }
    }
}

// SAFETY of all blocks: as above.
impl Vector for Pair {
    const REGISTERS: Registers = Registers::Some;
    type Register = __m256;

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        unsafe {
            let places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let low = _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), places);
            let high = _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32 - 8), places);
            // A masked load reads nothing where the mask is 0, so the address may be past the end.
            Self(_mm256_maskload_ps(from, low), _mm256_maskload_ps(from.wrapping_add(8), high))
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe {
            let eight = _mm256_add_ps(self.0, self.1);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn scalar_mul_sub_from(left: f32, right: f32, from: f32) -> f32 {
        unsafe { _mm_cvtss_f32(_mm_fnmadd_ss(_mm_set_ss(left), _mm_set_ss(right), _mm_set_ss(from))) }
    }
    #[inline(always)]
    unsafe fn prefetch(address: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[inline(always)]
    unsafe fn prefetch_far(address: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        unsafe { transpose(from, from_stride, to, to_stride) }
    }
}

/// [`Vector::transpose`] in registers.
///
/// # Safety
/// The machine has AVX2; blocks of 8 × 8 floats at both pointers.
#[inline(always)]
pub unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    unsafe {
        let row = |place: usize| _mm256_loadu_ps(from.add(place * from_stride));
        // Rows are paired, then pairs, then the halves of registers.
        let pair = |first, second| (_mm256_unpacklo_ps(first, second), _mm256_unpackhi_ps(first, second));
        let four = |low: (__m256, __m256), high: (__m256, __m256)| {
            [
                _mm256_shuffle_ps::<0b01_00_01_00>(low.0, high.0),
                _mm256_shuffle_ps::<0b11_10_11_10>(low.0, high.0),
                _mm256_shuffle_ps::<0b01_00_01_00>(low.1, high.1),
                _mm256_shuffle_ps::<0b11_10_11_10>(low.1, high.1),
            ]
        };
        let upper = four(pair(row(0), row(1)), pair(row(2), row(3)));
        let lower = four(pair(row(4), row(5)), pair(row(6), row(7)));
        for (place, (upper, lower)) in upper.into_iter().zip(lower).enumerate() {
            _mm256_storeu_ps(to.add(place * to_stride), _mm256_permute2f128_ps::<0x20>(upper, lower));
            _mm256_storeu_ps(to.add((place + 4) * to_stride), _mm256_permute2f128_ps::<0x31>(upper, lower));
        }
    }
}

// SAFETY of all blocks: callers of `Floats` promise AVX2, FMA and valid pointers.
impl Floats for __m256 {
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { _mm256_add_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { _mm256_sub_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { _mm256_mul_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        unsafe { _mm256_fmadd_ps(self, factor, addend) }
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, from: Self) -> Self {
        unsafe { _mm256_fnmadd_ps(self, factor, from) }
    }
    #[inline(always)]
    unsafe fn spread(self, place: usize) -> Self {
        unsafe { _mm256_permutevar8x32_ps(self, _mm256_set1_epi32(place as i32)) }
    }
    #[inline(always)]
    unsafe fn first(self) -> f32 {
        unsafe { _mm256_cvtss_f32(self) }
    }
}
