//! A counter-based random generator: the number at a place depends on the seed and the place only.
//!
//! Training and splitting ask for "the number of row 17", from any thread and in any order, so a
//! generator with a hidden state would tie results to scheduling.

/// A stream of random numbers for one place (a row, a user) under a seed.
#[derive(Debug, Clone)]
pub struct Stream {
    state: u64,
}

/// The step of SplitMix64: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Stream {
    /// The stream of `place` under `seed`.
    pub fn new(seed: u64, place: u64) -> Self {
        // Mixed twice, so that neighbouring seeds and places share no stretch of numbers.
        Self { state: mix(mix(seed.wrapping_add(STEP)) ^ place.wrapping_mul(STEP)) }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// The next number in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The next number of the standard normal distribution.
    pub fn gaussian(&mut self) -> f64 {
        self.gaussians().0
    }

    /// The next two independent numbers of the standard normal distribution, for little more than the price of one.
    ///
    /// # Source
    /// Box, Muller 1958, *A Note on the Generation of Random Normal Deviates*.
    pub fn gaussians(&mut self) -> (f64, f64) {
        // 1 - u is in (0, 1]: the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        (radius * cosine, radius * sine)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_seeds_have_streams_of_their_own() {
        let first = |seed, place| Stream::new(seed, place).next_u64();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(2, 1));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(0, 0), first(0, 1));
    }

    #[test]
    fn the_distributions_have_their_mean_and_variance() {
        let n = 100_000;
        let (mut uniform_sum, mut sums, mut squares, mut products) = (0.0, [0.0; 2], [0.0; 2], 0.0);
        for place in 0..n {
            let mut stream = Stream::new(7, place);
            uniform_sum += stream.uniform();
            let (first, second) = stream.gaussians();
            for (which, gaussian) in [first, second].into_iter().enumerate() {
                sums[which] += gaussian;
                squares[which] += gaussian * gaussian;
            }
            products += first * second;
        }
        let n = n as f64;
        assert!((uniform_sum / n - 0.5).abs() < 0.005, "mean of uniform {}", uniform_sum / n);
        for which in 0..2 {
            assert!((sums[which] / n).abs() < 0.015, "mean of gaussian {which}: {}", sums[which] / n);
            assert!((squares[which] / n - 1.0).abs() < 0.03, "variance of gaussian {which}: {}", squares[which] / n);
        }
        assert!((products / n).abs() < 0.015, "covariance of the two {}", products / n);
    }
}
