//! Each instruction set of this machine against plain f64 arithmetic, and against each other.

use super::*;
use crate::memory::Aligned;
use crate::random::Stream;

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, 0);
    (0..n).map(|_| stream.gaussian() as f32).collect()
}

/// A table of rows, neighbours in it, targets.
fn case(rank: usize, n: usize) -> (Vec<f32>, Vec<u32>, Vec<f32>) {
    let mut stream = Stream::new(5, rank as u64);
    let neighbours = (0..n).map(|_| (stream.next_u64() % 50) as u32).collect();
    (numbers(50 * rank, rank as u64), neighbours, numbers(n, 77))
}

const RANKS: [usize; 14] = [1, 3, 7, 8, 9, 15, 16, 17, 24, 33, 48, 64, 65, 100];

struct Sums {
    panel: Aligned,
    matrix: Aligned,
    right: Aligned,
}

fn sums(isa: Isa, rank: usize, weights: Option<&[f32]>, n: usize) -> Sums {
    let (table, neighbours, targets) = case(rank, n);
    let stride = stride_of(rank);
    let mut sums = Sums { panel: Aligned::zeros(n * stride), matrix: Aligned::zeros(stride * stride), right: Aligned::zeros(stride) };
    isa.gather(&Rows { data: &table, rank, with_one: false }, &neighbours, &neighbours[1..], weights, &mut sums.panel);
    // In two parts, the first of which overwrites.
    sums.matrix.fill(if n > 1 { 7.0 } else { 0.0 });
    isa.gram(&sums.panel, n / 2, rank, true, None, &mut sums.matrix);
    isa.gram(&sums.panel[n / 2 * stride..], n - n / 2, rank, false, None, &mut sums.matrix);
    isa.right(&sums.panel, rank, &targets, &mut sums.right);
    sums
}

#[test]
fn gathered_sums_are_those_of_plain_arithmetic() {
    for isa in Isa::available() {
        for rank in RANKS {
            let n = 37;
            let weights: Vec<f32> = numbers(n, 3).iter().map(|value| value.abs()).collect();
            for weights in [None, Some(&weights[..])] {
                let sums = sums(isa, rank, weights, n);
                let (table, neighbours, targets) = case(rank, n);
                let stride = stride_of(rank);
                let entry = |place: usize, column: usize| {
                    let value = f64::from(table[neighbours[place] as usize * rank + column]);
                    weights.map_or(value, |weights| value * f64::from(weights[place]))
                };
                for row in 0..rank {
                    let right: f64 = (0..n).map(|place| entry(place, row) * f64::from(targets[place])).sum();
                    assert!((f64::from(sums.right[row]) - right).abs() < 1e-4, "{isa:?}, rank {rank}, right {row}");
                    for column in row..rank {
                        let expected: f64 = (0..n).map(|place| entry(place, row) * entry(place, column)).sum();
                        let actual = f64::from(sums.matrix[row * stride + column]);
                        assert!((actual - expected).abs() < 1e-4, "{isa:?}, rank {rank}, {row} {column}: {actual} for {expected}");
                    }
                }
                assert!((rank..stride).all(|column| sums.right[column] == 0.0 && sums.matrix[column] == 0.0), "{isa:?}, rank {rank}");
            }
        }
    }
}

#[test]
fn gathering_with_the_right_side_is_gathering_and_summing() {
    for isa in Isa::available() {
        for (rank, with_one) in RANKS.into_iter().flat_map(|rank| [(rank, false), (rank, true)]) {
            let (table, neighbours, targets) = case(rank, 37);
            let rows = Rows { data: &table, rank, with_one };
            let stride = stride_of(rows.n_columns());
            let weights: Vec<f32> = numbers(37, 3).iter().map(|value| value.abs()).collect();
            for weights in [None, Some(&weights[..])] {
                let (mut panel, mut right) = (Aligned::zeros(37 * stride), Aligned::zeros(stride));
                isa.gather(&rows, &neighbours, &[], weights, &mut panel);
                isa.right(&panel, rows.n_columns(), &targets, &mut right);
                let (mut same_panel, mut same_right) = (Aligned::zeros(37 * stride), Aligned::zeros(stride));
                let ratings = Weighted { neighbours: &neighbours, weights, targets: &targets };
                isa.gather_right(&rows, &ratings, &mut same_panel, &mut same_right);
                assert!(panel == same_panel, "{isa:?}, rank {rank}, with one: {with_one}");
                for (sum, same) in right.iter().zip(same_right.iter()) {
                    assert!((sum - same).abs() < 1e-4, "{isa:?}, rank {rank}, with one: {with_one}: {same} for {sum}");
                }
            }
        }
    }
}

#[test]
fn cholesky_solves_the_equations() {
    for isa in Isa::available() {
        for rank in RANKS {
            let Sums { mut matrix, mut right, .. } = sums(isa, rank, None, 2 * rank + 3);
            let stride = stride_of(rank);
            for place in 0..rank {
                matrix[place * stride + place] += 1.0;
            }
            let (equations, targets) = (matrix.clone(), right.clone());
            let mut x = Aligned::zeros(stride);
            assert!(isa.cholesky(&mut matrix, rank, &mut right, &vec![0.0; stride], &mut x), "{isa:?}, rank {rank}");
            for row in 0..rank {
                let entry = |column: usize| equations[row.min(column) * stride + row.max(column)];
                let left: f64 = (0..rank).map(|column| f64::from(entry(column)) * f64::from(x[column])).sum();
                let size = f64::from(equations[row * stride + row]);
                assert!((left - f64::from(targets[row])).abs() < 1e-4 * size, "{isa:?}, rank {rank}, row {row}: {left} {}", targets[row]);
            }
            assert!(x[rank..].iter().all(|value| *value == 0.0), "{isa:?}, rank {rank}");
        }
    }
}

#[test]
fn cholesky_says_when_a_matrix_is_not_positive_definite() {
    for isa in Isa::available() {
        for rank in RANKS.into_iter().filter(|rank| *rank > 1) {
            let stride = stride_of(rank);
            for bad in [-1.0, 0.0, f32::NAN] {
                let (mut matrix, mut right, mut x) = (Aligned::zeros(stride * stride), Aligned::zeros(stride), Aligned::zeros(stride));
                for place in 0..rank {
                    matrix[place * stride + place] = if place == rank - 1 { bad } else { 1.0 };
                }
                assert!(!isa.cholesky(&mut matrix, rank, &mut right, &vec![0.0; stride], &mut x), "{isa:?}, rank {rank}, {bad}");
            }
        }
    }
}

#[test]
fn instruction_sets_with_fused_multiply_add_agree_bit_by_bit() {
    let fused: Vec<Isa> = Isa::available().into_iter().filter(|isa| isa.name() != "portable").collect();
    for rank in RANKS {
        let solved = fused.iter().map(|isa| {
            let Sums { mut matrix, mut right, panel } = sums(*isa, rank, None, 2 * rank + 3);
            (0..rank).for_each(|place| matrix[place * stride_of(rank) + place] += 1.0);
            let (upper, targets) = (matrix.clone(), right.clone());
            let mut x = Aligned::zeros(stride_of(rank));
            let limits = vec![0.0; stride_of(rank)];
            assert!(isa.cholesky(&mut matrix, rank, &mut right, &limits, &mut x));
            let upper: Vec<f32> = (0..rank).flat_map(|row| upper[row * stride_of(rank)..][row..rank].to_vec()).collect();
            (panel.to_vec(), upper, targets.to_vec(), x.to_vec())
        });
        let solved: Vec<_> = solved.collect();
        for pair in solved.windows(2) {
            assert!(pair[0].0 == pair[1].0, "panels of rank {rank}");
            assert!(pair[0].1 == pair[1].1, "matrices of rank {rank}");
            assert!(pair[0].2 == pair[1].2, "right sides of rank {rank}");
            assert_eq!(pair[0].3, pair[1].3, "solutions of rank {rank}");
        }
    }
}

#[test]
fn products_are_those_of_plain_arithmetic() {
    for isa in Isa::available() {
        for rank in RANKS {
            let stride = stride_of(rank);
            for n in [1, 8, 13] {
                let Sums { matrix, panel, .. } = sums(isa, rank, None, n);
                let mut x = Aligned::zeros(stride);
                x[..rank].copy_from_slice(&numbers(rank, 9));
                let mut keep = Aligned::zeros(stride);
                (0..rank).filter(|place| place % 3 != 0).for_each(|place| keep[place] = 1.0);
                let kept: Vec<f32> = x.iter().zip(keep.iter()).map(|(x, keep)| x * keep).collect();
                let entry = |row: usize, column: usize| f64::from(matrix[row.min(column) * stride + row.max(column)]);
                let expected = |row: usize, x: &[f32]| (0..rank).map(|column| entry(row, column) * f64::from(x[column])).sum::<f64>();
                let (mut symmetric, mut twice, mut outside) = (Aligned::zeros(stride), Aligned::zeros(stride), Aligned::zeros(stride));
                isa.symmetric(&matrix, rank, &x, &mut symmetric);
                isa.twice(&panel, n, rank, &x, &mut twice);
                isa.outside(&matrix, rank, &keep, &kept, &mut outside);
                for row in 0..rank {
                    let size = (0..rank).map(|column| entry(row, column).abs()).sum::<f64>() + 1.0;
                    let near = |actual: f32, expected: f64| (f64::from(actual) - expected).abs() < 1e-5 * size;
                    assert!(near(symmetric[row], expected(row, &x)), "{isa:?}, rank {rank}, row {row}");
                    assert!(near(twice[row], expected(row, &x)), "{isa:?}, rank {rank}, row {row}");
                    assert!(keep[row] != 0.0 || near(outside[row], expected(row, &kept)), "{isa:?}, rank {rank}, row {row}");
                }
            }
        }
    }
}

#[test]
fn restricted_equations_have_zeros_outside() {
    for isa in Isa::available() {
        for rank in RANKS {
            let stride = stride_of(rank);
            let Sums { matrix, .. } = sums(isa, rank, None, 20);
            let mut keep = Aligned::zeros(stride);
            (0..rank).filter(|place| place % 3 != 0).for_each(|place| keep[place] = 1.0);
            let mut restricted = Aligned::zeros(stride * stride);
            isa.restrict(&matrix, rank, &keep, &mut restricted);
            for row in 0..rank {
                for column in row..rank {
                    let is_kept = keep[row] * keep[column] != 0.0;
                    let outside = if row == column { 1.0 } else { 0.0 };
                    let expected = if is_kept { matrix[row * stride + column] } else { outside };
                    assert_eq!(restricted[row * stride + column], expected, "{isa:?}, rank {rank}, {row} {column}");
                }
            }
        }
    }
}

#[test]
fn implicit_ratings_weigh_the_root_of_their_confidence() {
    for isa in Isa::available() {
        for n in [0, 1, 7, 8, 9, 23] {
            // Negative ones are confident dislikes, and 0 weighs nothing.
            let values: Vec<f32> = numbers(n, 9).iter().enumerate().map(|(place, value)| if place == 3 { 0.0 } else { *value }).collect();
            // The places behind them are not theirs.
            let (mut weights, mut targets) = (vec![-1.0; n + 2], vec![-1.0; n + 2]);
            let energy = isa.weigh(2.0, &values, &mut weights, &mut targets);
            let wanted = |value: f32| if value > 0.0 { 1.0 + 2.0 * f64::from(value) } else { 0.0 };
            for (place, value) in values.iter().enumerate() {
                let weight = f64::from(weights[place]);
                assert!((weight * weight - 2.0 * f64::from(value.abs())).abs() < 1e-5, "{isa:?}, {value}");
                assert!((f64::from(targets[place]) * weight - wanted(*value)).abs() < 1e-5, "{isa:?}, {value}");
            }
            assert!((energy - values.iter().map(|value| wanted(*value)).sum::<f64>()).abs() < 1e-4, "{isa:?}, {n}");
            assert_eq!((&weights[n..], &targets[n..]), (&[-1.0, -1.0][..], &[-1.0, -1.0][..]));
        }
    }
}
