//! How unlikely a ratio of a coefficient to its standard error is, were the coefficient zero.

use std::f64::consts::PI;

/// The probability that a standard normal number is at least as far from zero as `value`.
pub(crate) fn normal_two_sided(value: f64) -> f64 {
    // The square of a standard normal number is chi-squared: Q(1/2, z²/2).
    gamma_upper(0.5, value * value / 2.0)
}

/// The probability that a number of Student's t distribution with `freedom` degrees is at least as far from
/// zero as `value`.
pub(crate) fn student_two_sided(value: f64, freedom: f64) -> f64 {
    beta_regularised(freedom / (freedom + value * value), freedom / 2.0, 0.5)
}

/// `ln Γ(x)` for positive `x`: Lanczos with g = 7 and nine terms, 15 digits.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let series = TERMS.iter().enumerate().fold(0.999_999_999_999_809_9, |sum, (place, term)| sum + term / (x + place as f64 + 1.0));
    let t = x + 7.5;
    (2.0 * PI).ln() / 2.0 + (x + 0.5) * t.ln() - t + series.ln()
}

/// The regularised upper incomplete gamma function `Q(a, x)`, by series or continued fraction (Numerical Recipes 6.2).
fn gamma_upper(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return 1.0 - front * sum;
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1e300, 1.0 / b);
    let mut fraction = d;
    for step in 1..500 {
        let step = f64::from(step);
        let numerator = -step * (step - a);
        b += 2.0;
        d = 1.0 / away_from_zero(numerator * d + b);
        c = away_from_zero(b + numerator / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    front * fraction
}

/// The regularised incomplete beta function `I_x(a, b)`, by continued fraction (Numerical Recipes 6.4).
fn beta_regularised(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_regularised(1.0 - x, b, a);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    let (mut c, mut d) = (1.0, 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for step in 1..1_000 {
        let m = f64::from(step);
        for numerator in
            [m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)), -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))]
        {
            d = 1.0 / away_from_zero(1.0 + numerator * d);
            c = away_from_zero(1.0 + numerator / c);
            fraction *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    front * fraction
}

fn away_from_zero(value: f64) -> f64 {
    if value.abs() < 1e-300 { 1e-300 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: f64, expected: f64) {
        assert!((value - expected).abs() <= 1e-9 * expected, "{value}, not {expected}");
    }

    #[test]
    fn tails_are_those_of_scipy() {
        // scipy.stats: 2*norm.sf(z), 2*t.sf(t, df)
        NORMALS.iter().for_each(|(z, expected)| check(normal_two_sided(*z), *expected));
        STUDENTS.iter().for_each(|(t, freedom, expected)| check(student_two_sided(*t, *freedom), *expected));
        check(normal_two_sided(0.0), 1.0);
        assert_eq!(student_two_sided(1e200, 5.0), 0.0);
    }

    const NORMALS: [(f64, f64); 4] = [
        (1.959_963_984_540_054, 0.05),
        (1.0, 0.317_310_507_862_914_15),
        (5.0, 5.733_031_437_583_866e-7),
        (20.0, 5.507_248_237_212_311e-89),
    ];
    const STUDENTS: [(f64, f64, f64); 6] = [
        (0.1, 1.0, 0.936_548_965_138_893),
        (1.0, 3.0, 0.391_002_218_955_770_5),
        (-2.5, 10.0, 0.031_446_844_236_608_82),
        (2.0, 100_000.0, 0.045_502_963_457_506_51),
        (8.0, 7.0, 9.114_921_170_875_357e-5),
        (30.0, 50.0, 1.238_002_279_598_724_4e-33),
    ];
}
