//! Eigenvalues and eigenvectors of a symmetric matrix.

use crate::control::Control;
use crate::error::LearnError;

/// The eigenvalues of an `n x n` matrix, largest first, each with its eigenvector of length 1.
///
/// # Errors
/// [`LearnError::Diverged`] for a matrix that is not finite, [`LearnError::Cancelled`].
///
/// # Cost
/// Some `9·n³` multiplications.
///
/// # Source
/// Householder's tridiagonal form and QL with implicit shifts: `tred2` and `tql2` of EISPACK (Wilkinson, Reinsch 1971,
/// *Handbook for Automatic Computation*).
pub(crate) fn symmetric(n: usize, matrix: &[f64], control: &Control) -> Result<Vec<(f64, Vec<f64>)>, LearnError> {
    if !matrix.iter().all(|number| number.is_finite()) {
        return Err(LearnError::Diverged { what: "the covariances are not finite" });
    }
    let mut rows: Vec<Vec<f64>> = matrix.chunks_exact(n.max(1)).map(<[f64]>::to_vec).collect();
    let (mut diagonal, mut beside) = tridiagonal(&mut rows, control)?;
    // Rotations then work on vectors that lie in one piece.
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|column| rows.iter().map(|row| row[column]).collect()).collect();
    ql(&mut diagonal, &mut beside, &mut vectors, control)?;
    let mut pairs: Vec<(f64, Vec<f64>)> = diagonal.into_iter().zip(vectors).collect();
    pairs.sort_by(|one, other| other.0.total_cmp(&one.0));
    Ok(pairs)
}

/// Reduces `rows` to tridiagonal form by reflections, and replaces it by their product, of which column `i` belongs to place
/// `i`. Returns the diagonal and, one place later, the numbers beside it.
fn tridiagonal(rows: &mut [Vec<f64>], control: &Control) -> Result<(Vec<f64>, Vec<f64>), LearnError> {
    let n = rows.len();
    let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n]);
    for i in (1..n).rev() {
        if control.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        let scale: f64 = rows[i][..i].iter().map(|value| value.abs()).sum();
        if i == 1 || scale == 0.0 {
            beside[i] = rows[i][i - 1];
            continue;
        }
        rows[i][..i].iter_mut().for_each(|value| *value /= scale);
        let mut squares: f64 = rows[i][..i].iter().map(|value| value * value).sum();
        let last = rows[i][i - 1];
        let root = -squares.sqrt().copysign(last);
        beside[i] = scale * root;
        squares -= last * root;
        rows[i][i - 1] = last - root;
        let reflector = rows[i][..i].to_vec();
        // The product of the matrix (lower triangle) with the reflector.
        let product = &mut beside[..i];
        product.fill(0.0);
        for j in 0..i {
            let mut sum = rows[j][j] * reflector[j];
            for k in 0..j {
                sum += rows[j][k] * reflector[k];
                product[k] += rows[j][k] * reflector[j];
            }
            product[j] += sum;
        }
        let mut along = 0.0;
        for j in 0..i {
            product[j] /= squares;
            along += product[j] * reflector[j];
        }
        let half = along / (2.0 * squares);
        for j in 0..i {
            product[j] -= half * reflector[j];
            rows[j][i] = reflector[j] / squares;
        }
        for j in 0..i {
            let (reflected, multiplied) = (reflector[j], product[j]);
            let row = &mut rows[j][..=j];
            row.iter_mut().zip(&*product).zip(&reflector).for_each(|((value, product), reflector)| {
                *value -= reflected * product + multiplied * reflector;
            });
        }
        beside[i] = scale * root;
        diagonal[i] = squares;
    }
    for i in 0..n {
        if i > 0 && diagonal[i] != 0.0 {
            let mut products = vec![0.0; i];
            let (above, from) = rows.split_at(i);
            for (factor, row) in from[0].iter().zip(above) {
                products.iter_mut().zip(&row[..i]).for_each(|(product, value)| *product += factor * value);
            }
            for row in &mut rows[..i] {
                let factor = row[i];
                row[..i].iter_mut().zip(&products).for_each(|(value, product)| *value -= product * factor);
            }
        }
        diagonal[i] = rows[i][i];
        rows[i][i] = 1.0;
        rows[i][..i].fill(0.0);
        rows[..i].iter_mut().for_each(|row| row[i] = 0.0);
    }
    Ok((diagonal, beside))
}

/// Turns a tridiagonal matrix into a diagonal one by rotations, which `vectors` follow.
fn ql(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut [Vec<f64>], control: &Control) -> Result<(), LearnError> {
    let n = diagonal.len();
    if n > 0 {
        beside.rotate_left(1);
        beside[n - 1] = 0.0;
    }
    for low in 0..n {
        for _ in 0..60 {
            let is_small = |place: usize| {
                let size = diagonal[place].abs() + diagonal[place + 1].abs();
                beside[place].abs() <= f64::EPSILON * size
            };
            let high = (low..n - 1).find(|place| is_small(*place)).unwrap_or(n - 1);
            if high == low {
                break;
            }
            if control.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            let shift = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low]);
            let root = shift.hypot(1.0);
            let mut g = diagonal[high] - diagonal[low] + beside[low] / (shift + root.copysign(shift));
            let (mut sine, mut cosine, mut moved) = (1.0, 1.0, 0.0);
            let mut is_split = false;
            for i in (low..high).rev() {
                let f = sine * beside[i];
                let b = cosine * beside[i];
                let r = f.hypot(g);
                beside[i + 1] = r;
                if r == 0.0 {
                    diagonal[i + 1] -= moved;
                    beside[high] = 0.0;
                    is_split = true;
                    break;
                }
                sine = f / r;
                cosine = g / r;
                g = diagonal[i + 1] - moved;
                let r = (diagonal[i] - g) * sine + 2.0 * cosine * b;
                moved = sine * r;
                diagonal[i + 1] = g + moved;
                g = cosine * r - b;
                let (before, after) = vectors.split_at_mut(i + 1);
                for (left, right) in before[i].iter_mut().zip(after[0].iter_mut()) {
                    (*right, *left) = (sine * *left + cosine * *right, cosine * *left - sine * *right);
                }
            }
            if !is_split {
                diagonal[low] -= moved;
                beside[low] = g;
                beside[high] = 0.0;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::cholesky::dot;
    use crate::linear::tests::{cancelled, control};
    use crate::random::Stream;

    #[test]
    fn matrices_that_are_not_finite_have_no_eigenvalues() {
        assert!(matches!(symmetric(1, &[f64::NAN], &control(1)), Err(LearnError::Diverged { .. })));
        assert_eq!(symmetric(2, &[1.0; 4], &cancelled()), Err(LearnError::Cancelled));
        assert_eq!(symmetric(0, &[], &control(1)), Ok(vec![]));
    }

    #[test]
    fn vectors_are_stretched_by_their_values_and_orthogonal() {
        for (n, rank) in [(1, 1), (2, 2), (3, 1), (8, 8), (30, 12), (60, 60)] {
            let mut stream = Stream::new(n as u64, 1);
            let factors: Vec<Vec<f64>> = (0..n).map(|_| (0..rank).map(|_| stream.gaussian()).collect()).collect();
            let matrix: Vec<f64> = (0..n * n).map(|place| dot(&factors[place / n], &factors[place % n])).collect();
            let pairs = symmetric(n, &matrix, &control(1)).unwrap();
            assert!(pairs.is_sorted_by(|one, other| one.0 >= other.0));
            for (place, (value, vector)) in pairs.iter().enumerate() {
                for row in 0..n {
                    let stretched = dot(&matrix[row * n..(row + 1) * n], vector);
                    assert!((stretched - value * vector[row]).abs() < 1e-10 * n as f64, "n {n}, pair {place}");
                }
                for (other, (_, against)) in pairs.iter().enumerate() {
                    let expected = f64::from(u8::from(place == other));
                    assert!((dot(vector, against) - expected).abs() < 1e-12 * n as f64, "n {n}, pair {place} and {other}");
                }
            }
        }
        let diagonal = symmetric(3, &[2.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, -1.0], &control(1)).unwrap();
        assert_eq!(diagonal.iter().map(|pair| pair.0).collect::<Vec<_>>(), [5.0, 2.0, -1.0]);
    }
}
