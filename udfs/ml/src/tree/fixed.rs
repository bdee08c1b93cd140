//! Real numbers as integers of a common scale: sums do not depend on the order of addition.

/// A power of two by which real numbers are multiplied before they are rounded to integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    factor: f64,
    unit: f64,
}

/// Sums stay below 2^61: adding two of them cannot overflow.
const SUM_BITS: i32 = 61;
/// 2^1000 and its inverse are both finite, normal numbers.
const EXPONENT_MAX: i32 = 1000;

impl Scale {
    /// Counts: one is one.
    pub(super) const ONE: Self = Self { factor: 1.0, unit: 1.0 };

    /// The finest scale at which `n` numbers of at most `magnitude` can be added up.
    pub(super) fn fitting(magnitude: f64, n: usize) -> Self {
        if magnitude <= 0.0 || !magnitude.is_finite() {
            return Self::ONE;
        }
        let bits = |number: f64| number.log2().floor() as i32 + 1;
        let exponent = (SUM_BITS - bits(magnitude) - bits(n.max(1) as f64)).clamp(-EXPONENT_MAX, EXPONENT_MAX);
        Self { factor: 2f64.powi(exponent), unit: 2f64.powi(-exponent) }
    }

    /// The integer nearest to `number` on this scale.
    #[inline]
    pub(super) fn fixed(&self, number: f64) -> i64 {
        (number * self.factor).round_ties_even() as i64
    }

    /// The real number of an integer on this scale.
    #[inline]
    pub(super) fn real(&self, fixed: i64) -> f64 {
        fixed as f64 * self.unit
    }

    /// What an integer step is worth.
    #[inline]
    pub(super) fn unit(&self) -> f64 {
        self.unit
    }
}

/// The product of two integers, the first on `scale`: the result is on the scale of the second.
#[inline]
pub(super) fn product(weight: i64, scale: Scale, number: i64) -> i64 {
    let product = i128::from(weight) * i128::from(number);
    if scale.unit >= 1.0 {
        // Weights beyond 2^44 or so: their integers stand for more than one.
        return (product as f64 * scale.unit) as i64;
    }
    let shift = -(scale.unit.log2() as i32);
    if shift >= 127 { 0 } else { ((product + (1i128 << (shift - 1))) >> shift) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_fit_whatever_the_magnitude() {
        for magnitude in [1e-280, 1e-9, 0.1, 1.0, 3.0, 150_000.0, 1e300] {
            for n in [1, 2, 1000, 1 << 31] {
                let scale = Scale::fitting(magnitude, n);
                let sum = i128::from(scale.fixed(magnitude)) * n as i128;
                assert!(sum <= 1 << 61, "{magnitude} x {n}: {sum}");
                let back = scale.real(scale.fixed(magnitude));
                assert!((back / magnitude - 1.0).abs() < 1e-8, "{magnitude} x {n}: {back}");
            }
        }
        assert_eq!(Scale::fitting(0.0, 5), Scale::ONE);
    }

    #[test]
    fn whole_weights_multiply_exactly() {
        let weights = Scale::fitting(7.0, 1000);
        let numbers = Scale::fitting(10.0, 1000);
        for number in [-9.7, 0.1, 3.3] {
            let fixed = numbers.fixed(number);
            for weight in [1i64, 2, 7] {
                assert_eq!(product(weights.fixed(weight as f64), weights, fixed), weight * fixed);
            }
        }
    }
}
