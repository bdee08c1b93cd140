//! What this machine can do: fused multiply-adds of f32 per second, measured with registers only.

use std::time::Instant;

/// Independent chains: enough to fill the pipelines of two FMA units with a latency of four to five cycles.
const CHAINS_AVX512: usize = 16;
/// There are 16 registers of this width, and two are taken.
const CHAINS_AVX2: usize = 12;
const ROUNDS: usize = 50_000_000;

/// The best instruction set and its GFLOP/s on `threads` threads together; `None` where there is no measurement.
///
/// Takes about a second.
pub fn measure(threads: usize) -> Option<(&'static str, f64)> {
    let (name, flops_per_round, kernel) = best()?;
    let run = |rounds: usize| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || std::hint::black_box(kernel(rounds, 1.0 + thread as f32 * 1e-9)));
            }
        });
        start.elapsed().as_secs_f64()
    };
    run(ROUNDS / 20); // The clock of the processor settles.
    let seconds = (0..3).map(|_| run(ROUNDS)).fold(f64::INFINITY, f64::min);
    Some((name, (flops_per_round * ROUNDS * threads) as f64 / seconds / 1e9))
}

type Kernel = fn(usize, f32) -> f32;

#[cfg(target_arch = "x86_64")]
fn best() -> Option<(&'static str, usize, Kernel)> {
    if is_x86_feature_detected!("avx512f") {
        Some(("avx512f", CHAINS_AVX512 * 16 * 2, x86::avx512))
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        Some(("avx2+fma", CHAINS_AVX2 * 8 * 2, x86::avx2))
    } else {
        None
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best() -> Option<(&'static str, usize, Kernel)> {
    None
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use super::{CHAINS_AVX2, CHAINS_AVX512};
    use std::arch::x86_64::*;

    /// Runs the chains in registers of 512 bits.
    pub fn avx512(rounds: usize, factor: f32) -> f32 {
        // SAFETY: `best` hands this function out only where the processor has AVX-512F.
        unsafe { avx512_chains(rounds, factor) }
    }

    /// Runs the chains in registers of 256 bits.
    pub fn avx2(rounds: usize, factor: f32) -> f32 {
        // SAFETY: `best` hands this function out only where the processor has AVX2 and FMA.
        unsafe { avx2_chains(rounds, factor) }
    }

    #[target_feature(enable = "avx512f")]
    fn avx512_chains(rounds: usize, factor: f32) -> f32 {
        let (factor, term) = (_mm512_set1_ps(factor), _mm512_set1_ps(1e-9));
        let mut chains = [_mm512_set1_ps(1.0); CHAINS_AVX512];
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(*chain, factor, term);
            }
        }
        chains.into_iter().map(|chain| _mm512_reduce_add_ps(chain)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    fn avx2_chains(rounds: usize, factor: f32) -> f32 {
        let (factor, term) = (_mm256_set1_ps(factor), _mm256_set1_ps(1e-9));
        let mut chains = [_mm256_set1_ps(1.0); CHAINS_AVX2];
        for _ in 0..rounds {
            for chain in &mut chains {
                *chain = _mm256_fmadd_ps(*chain, factor, term);
            }
        }
        let total = chains.into_iter().fold(_mm256_setzero_ps(), |left, right| _mm256_add_ps(left, right));
        _mm_cvtss_f32(_mm_add_ps(_mm256_castps256_ps128(total), _mm256_extractf128_ps::<1>(total)))
    }
}
