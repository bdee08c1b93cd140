//! AVX-512: 16 floats in one register.
#![allow(unsafe_code)]

use super::kernels;
use super::vector::{Floats, Registers, Vector};
use std::arch::x86_64::*;

kernels!(__m512, "avx512f");

// SAFETY of all blocks: callers of `Vector` promise AVX-512F and valid pointers.
impl Floats for __m512 {
    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { _mm512_add_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { _mm512_sub_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { _mm512_mul_ps(self, other) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        unsafe { _mm512_fmadd_ps(self, factor, addend) }
    }
    #[inline(always)]
    unsafe fn mul_sub_from(self, factor: Self, from: Self) -> Self {
        unsafe { _mm512_fnmadd_ps(self, factor, from) }
    }
    #[inline(always)]
    unsafe fn spread(self, place: usize) -> Self {
        unsafe { _mm512_permutexvar_ps(_mm512_set1_epi32(place as i32), self) }
    }
    #[inline(always)]
    unsafe fn first(self) -> f32 {
        unsafe { _mm512_cvtss_f32(self) }
    }
}

// SAFETY of all blocks: as above.
impl Vector for __m512 {
    const REGISTERS: Registers = Registers::Many;
    type Register = Self;

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        unsafe { _mm512_maskz_loadu_ps(((1u32 << count) - 1) as u16, from) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe {
            let eight = _mm512_add_ps(self, _mm512_shuffle_f32x4::<0b01_00_11_10>(self, self));
            let eight = _mm512_castps512_ps256(eight);
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
        // Every processor with AVX-512 has AVX2.
        unsafe { super::avx2::transpose(from, from_stride, to, to_stride) }
    }
}
