//! Lists against a full sort of all scores, whatever the path, the filter and the order of lengths.

use super::coarse::CoarseUser;
use super::index::{Bound, length};
use super::kernel::{Isa, TILE, Tile};
use super::*;
use crate::control::Control;
use crate::error::LearnError;
use crate::random::Stream;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

fn items_of(scored: &[Scored]) -> Vec<u32> {
    scored.iter().map(|scored| scored.item).collect()
}

fn with_control<T>(threads: usize, is_cancelled: bool, run: impl FnOnce(&Control<'_>) -> T) -> T {
    let cancel = AtomicBool::new(is_cancelled);
    run(&Control { threads: NonZeroUsize::new(threads).unwrap(), cancel: &cancel, progress: &|_| {} })
}

/// All items by the scores of the index itself, without those filtered out.
fn full_sort(index: &ItemIndex, user: &[f32], filter: &Filter<'_>) -> Vec<Scored> {
    let mut all: Vec<Scored> = (0..index.n_items() as u32)
        .filter(|item| !filter.excluded.contains(item) && filter.allowed.is_none_or(|allowed| allowed.contains(*item)))
        .map(|item| Scored { item, score: index.score(user, item).unwrap() })
        .collect();
    all.sort_by(|left, right| right.score.total_cmp(&left.score).then(left.item.cmp(&right.item)));
    all
}

/// Item factors that are hard on pruning or on ties.
fn hard_items(kind: usize, n_items: usize, rank: usize, stream: &mut Stream) -> Factors {
    let mut data = Vec::new();
    for item in 0..n_items {
        // Lengths that are equal, fall fast, rise, or lie within a few roundings of each other.
        let scale = match kind {
            0 => 1.0,
            1 => 1.0 / (1.0 + item as f64),
            2 => 1e-3 * (1 + item) as f64,
            3 => 1.0,
            4 => (stream.next_u64() % 3) as f64, // Also zero.
            _ => 1e-30 * stream.uniform(),       // Products below the normal numbers.
        };
        for factor in 0..rank {
            data.push(match kind {
                // The same direction: the bound of Cauchy and Schwarz is met, all that remains is rounding.
                3 => ((1.0 + 1e-7 * stream.gaussian()) * (1.0 + factor as f64)) as f32,
                4 => (scale * ((stream.next_u64() % 3) as f64 - 1.0)) as f32,
                _ => (scale * stream.gaussian()) as f32,
            });
        }
    }
    Factors::from_vec(rank, data)
}

#[test]
fn what_does_not_fit_or_is_not_a_number_is_an_error() {
    let items = Factors::from_vec(2, vec![1.0, 2.0, 3.0, 4.0]);
    let index = ItemIndex::new(&items, None).unwrap();
    assert!(matches!(ItemIndex::new(&items, Some(&[1.0])), Err(LearnError::Shape { .. })));
    assert!(matches!(ItemIndex::new(&items, Some(&[1.0, f32::NAN])), Err(LearnError::Value { row: 1, .. })));
    let infinite = Factors::from_vec(2, vec![1.0, 2.0, f32::INFINITY, 4.0]);
    assert!(matches!(ItemIndex::new(&infinite, None), Err(LearnError::Value { row: 1, .. })));
    assert!(matches!(index.top(&[1.0], 1, &Filter::default()), Err(LearnError::Shape { .. })));
    assert!(matches!(index.top(&[1.0, f32::NAN], 1, &Filter::default()), Err(LearnError::Value { .. })));
    assert_eq!((index.score(&[1.0], 0), index.score(&[1.0, 1.0], 2)), (None, None));

    let users = Factors::from_vec(2, vec![1.0, 1.0, 1.0, f32::NAN]);
    let batch = |rows| Batch { users: &users, rows, k: 1, excluded: None, allowed: None };
    with_control(1, false, |control| {
        assert!(matches!(index.top_of_many(&batch(&[0, 2]), control), Err(LearnError::Shape { .. })));
        assert!(matches!(index.top_of_many(&batch(&[0, 1]), control), Err(LearnError::Value { row: 1, .. })));
        assert_eq!(index.top_of_many(&batch(&[]), control).unwrap().len(), 0);
    });
    with_control(2, true, |control| assert_eq!(index.top_of_many(&batch(&[0]), control), Err(LearnError::Cancelled)));
}

#[test]
fn nothing_is_invented_when_too_few_items_remain() {
    let items = Factors::from_vec(1, vec![1.0, 2.0, 3.0]);
    let index = ItemIndex::new(&items, None).unwrap();
    for (k, excluded, expected) in
        [(10, &[][..], &[2, 1, 0][..]), (10, &[2, 0], &[1]), (10, &[0, 1, 2, 77], &[]), (0, &[], &[]), (usize::MAX, &[1], &[2, 0])]
    {
        assert_eq!(items_of(&index.top(&[1.0], k, &Filter { excluded, allowed: None }).unwrap()), expected);
        let mut ascending = excluded.to_vec();
        ascending.sort_unstable();
        assert_eq!(items_of(&of_user(&[1.0], &items, k, &ascending)), expected);
    }
    let nothing = ItemIndex::new(&Factors::zeros(0, 1), None).unwrap();
    assert_eq!(nothing.top(&[1.0], 5, &Filter::default()).unwrap(), []);
    assert_eq!(of_user(&[1.0], &Factors::zeros(0, 1), 5, &[]), []);
}

#[test]
fn ties_go_to_the_smaller_item() {
    let items = Factors::from_vec(1, vec![1.0, 2.0, 2.0, 1.0, 2.0, 1.0]);
    let index = ItemIndex::new(&items, None).unwrap();
    for (user, k, excluded, expected) in
        [(1.0, 2, &[][..], &[1, 2][..]), (1.0, 4, &[], &[1, 2, 4, 0]), (0.0, 3, &[0], &[1, 2, 3]), (-0.0, 3, &[], &[0, 1, 2])]
    {
        assert_eq!(items_of(&of_user(&[user], &items, k, excluded)), expected);
        assert_eq!(items_of(&index.top(&[user], k, &Filter { excluded, allowed: None }).unwrap()), expected);
    }
    // 1,000 equal items of the same length, and the best is the first of them in every block.
    let equal = ItemIndex::new(&Factors::from_vec(3, vec![0.1; 3000]), None).unwrap();
    assert_eq!(items_of(&equal.top(&[1.0; 3], 200, &Filter::default()).unwrap()), (0..200).collect::<Vec<_>>());
}

#[test]
fn a_list_is_the_full_sort_whatever_the_lengths_biases_and_filters() {
    for seed in 0..90u64 {
        let mut stream = Stream::new(seed, 1);
        let (kind, rank, n_items) = (seed as usize % 6, [1, 3, 8, 17, 64][seed as usize % 5], 1 + (stream.next_u64() % 900) as usize);
        let items = hard_items(kind, n_items, rank, &mut stream);
        let biases: Vec<f32> = (0..n_items).map(|_| (stream.next_u64() % 5) as f32 * 0.5 - 1.5).collect();
        let index = ItemIndex::new(&items, (seed % 2 == 1).then_some(&biases)).unwrap();
        let user: Vec<f32> = match seed / 6 % 3 {
            0 => (0..rank).map(|_| stream.gaussian() as f32).collect(),
            1 => (1..=rank).map(|factor| -(factor as f32)).collect(), // All scores of kind 3 are negative.
            _ => (1..=rank).map(|factor| factor as f32).collect(),
        };
        let excluded: Vec<u32> = (0..n_items as u32).filter(|_| stream.uniform() < 0.3).collect();
        let many = Bitmap::of_items(n_items, (0..n_items as u32).filter(|_| stream.uniform() < 0.8));
        let few = Bitmap::of_items(n_items, (0..n_items as u32).filter(|_| stream.uniform() < 0.05));
        for (excluded, allowed) in [(&[][..], None), (&excluded, None), (&excluded, Some(&many)), (&[], Some(&few))] {
            let filter = Filter { excluded, allowed };
            let all = full_sort(&index, &user, &filter);
            for k in [1, 2, 10, 64, 1000] {
                assert_eq!(index.top(&user, k, &filter).unwrap(), all[..k.min(all.len())], "seed {seed}, k {k}");
            }
        }
    }
}

/// Item factors that are hard on 8 bits: `kind` below [`COARSE_KINDS`].
fn coarse_items(kind: usize, n_items: usize, rank: usize, stream: &mut Stream) -> Factors {
    let rows: Vec<f32> = (0..5 * rank).map(|_| stream.gaussian() as f32).collect();
    let mut data = Vec::new();
    for item in 0..n_items {
        for factor in 0..rank {
            let gaussian = stream.gaussian() as f32;
            data.push(match kind {
                0 => gaussian,
                1 => rows[factor],                   // All the same.
                2 => rows[item % 5 * rank + factor], // More of each than a list has.
                3 => 0.0,
                4 => 1e-38 * gaussian,
                5 => 1e-44 * gaussian, // A few of the smallest numbers.
                6 => 1e25 * gaussian,
                7 if factor == item % rank => 1000.0 * gaussian, // All the rest is rounded to nearly nothing.
                8 => 1.0 + 1e-7 * gaussian,                      // The same integers.
                9 => gaussian / (1 + item) as f32,
                10 if item == 70 => 1e6 * gaussian,
                _ => gaussian,
            });
        }
    }
    Factors::from_vec(rank, data)
}

const COARSE_KINDS: usize = 11;

fn coarse_biases(kind: usize, n_items: usize, stream: &mut Stream) -> Option<Vec<f32>> {
    let bias = |item: usize| match kind {
        1 => 3.0 * stream.gaussian() as f32,
        2 => -1e6 - (item % 7) as f32,
        3 if item % 50 == 3 => 1e8,
        4 => -1e29,
        _ => 0.0,
    };
    (kind > 0).then(|| (0..n_items).map(bias).collect())
}

/// A user for [`coarse_items`].
fn coarse_user(kind: usize, rank: usize, stream: &mut Stream) -> Vec<f32> {
    let factor = |factor: usize| match kind {
        0 => stream.gaussian() as f32,
        1 => 1e-30 * stream.gaussian() as f32,
        2 => 0.0,
        _ => f32::from(u8::from(factor == 0)) - 1e-3,
    };
    (0..rank).map(factor).collect()
}

#[test]
fn a_coarse_search_is_the_full_sort_whatever_the_factors_biases_and_filters() {
    let mut seed = 0;
    for (kind, rank) in (0..COARSE_KINDS).flat_map(|kind| [1, 3, 64, 65].map(|rank| (kind, rank))) {
        for n_items in [5, 333, 1000] {
            seed += 1;
            let mut stream = Stream::new(seed as u64, 4);
            let items = coarse_items(kind, n_items, rank, &mut stream);
            let biases = coarse_biases(seed % 5, n_items, &mut stream);
            let user = coarse_user(seed % 4, rank, &mut stream);
            let mut index = ItemIndex::new(&items, biases.as_deref()).unwrap();
            let retired: Vec<u32> = if seed.is_multiple_of(2) { (0..n_items as u32).step_by(9).collect() } else { Vec::new() };
            index.retire(retired.iter().copied());
            let excluded: Vec<u32> = (0..n_items as u32).filter(|_| stream.uniform() < 0.3).collect();
            let few = Bitmap::of_items(n_items, (0..n_items as u32).filter(|_| stream.uniform() < 0.05));
            let none = Bitmap::empty(n_items);
            for isa in Isa::all() {
                index.isa = isa;
                let bound = Bound::new(&index, &user);
                assert!(index.is_coarse_sound(bound), "seed {seed}");
                for (excluded, allowed) in [(&[][..], None), (&excluded, None), (&excluded, Some(&few)), (&[], Some(&none))] {
                    let filter = Filter { excluded, allowed };
                    let mut all = full_sort(&index, &user, &filter);
                    all.retain(|scored| !retired.contains(&scored.item));
                    for k in [0, 1, 10, n_items] {
                        let expected = &all[..k.min(all.len())];
                        let context = format!("{isa:?}, kind {kind}, rank {rank}, {n_items} items, seed {seed}, k {k}");
                        for n_exact in [0, 1, 4, usize::MAX] {
                            let mut best = Best::new(k);
                            index.search(&user, bound, &index.wanted(&filter), n_exact, &mut best);
                            assert_eq!(best.into_sorted(), expected, "{context}, {n_exact} blocks are exact");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_score_lies_within_the_slack_of_its_coarse_score() {
    let mut tile = Tile::<1>::new();
    for seed in 0..660usize {
        let mut stream = Stream::new(seed as u64, 5);
        let (kind, rank, n_items) = (seed % COARSE_KINDS, [1, 2, 3, 64, 65, 200][seed / COARSE_KINDS % 6], 130);
        let items = coarse_items(kind, n_items, rank, &mut stream);
        let biases = coarse_biases(seed % 5, n_items, &mut stream);
        let mut index = ItemIndex::new(&items, biases.as_deref()).unwrap();
        // Along with any user the one along what an item has lost: the bound of Cauchy and Schwarz is nearly met.
        let lost = index.factors(3).into_iter().map(|factor| factor - factor.round()).collect();
        for user in [coarse_user(seed % 4, rank, &mut stream), lost] {
            let coarse_user = CoarseUser::new(&user);
            for isa in Isa::all() {
                index.isa = isa;
                for place in 0..n_items {
                    let (block, lane) = (place / LANES, place % LANES);
                    let slack = index.score_coarse(block, &coarse_user, f32::NEG_INFINITY, &mut tile);
                    let (coarse, exact) = (f64::from(tile.scores[0].0[lane]), f64::from(index.score_at(place, &user)));
                    assert!((coarse - exact).abs() <= slack, "{isa:?}, seed {seed}, place {place}: {coarse} {exact} {slack}");
                    assert_eq!(tile.hits[0], u64::MAX);
                    // Exactly those that can reach a threshold are hits.
                    index.score_coarse(block, &coarse_user, exact as f32, &mut tile);
                    assert_eq!(tile.hits[0] >> lane & 1, 1, "{isa:?}, seed {seed}, place {place}");
                }
                // It is of use: few of the items are within the slack of the best.
                if kind == 0 && rank == 64 && biases.is_none() {
                    let slack = index.score_coarse(0, &coarse_user, f32::NEG_INFINITY, &mut tile);
                    assert!(slack < 0.02 * length(&user) * length(&index.factors(index.item_at(0))), "{slack}");
                }
            }
        }
    }
}

#[test]
fn integers_that_reverse_an_order_change_no_list() {
    // The first factor of the first item makes the scale 1, so the second and third item become (0, 1, 1) and (0, 2, 1).
    let items = Factors::from_vec(3, vec![127.0, 0.0, 0.0, 0.0, 1.49, 1.49, 0.0, 1.51, 1.0]);
    let mut index = ItemIndex::new(&items, None).unwrap();
    let (user, mut tile) = ([0.0, 1.0, 1.0], Tile::<1>::new());
    for isa in Isa::all() {
        index.isa = isa;
        index.score_coarse(0, &CoarseUser::new(&user), f32::NEG_INFINITY, &mut tile);
        let [_, first, second] = [0, 1, 2].map(|item| tile.scores[0].0[index.place(item).unwrap()]);
        assert!(first + 0.5 < second, "{first} {second}");
        let mut best = Best::new(1);
        index.search(&user, Bound::new(&index, &user), &index.wanted(&Filter::default()), 0, &mut best);
        assert_eq!(items_of(&best.into_sorted()), [1]);
    }
}

#[test]
fn a_large_index_is_searched_coarsely_except_where_numbers_end() {
    let (n_items, rank) = (9000, 32);
    let mut stream = Stream::new(6, 6);
    for (factor, bias, user, is_sound) in [
        (1.0, 0.0, 1.0, true),
        (1e-20, 1e20, 1e20, true),
        (3e38, 0.0, 3e38, false),
        (1e20, 0.0, 1e20, false),
        (1.0, -3e38, 1.0, false),
        (1.0, 3e38, 1.0, false),
        (-3e38, 3e38, 2.0, false),
    ] {
        let number = |scale: f32, stream: &mut Stream| scale * (2.0 * stream.uniform() as f32 - 1.0);
        let items = Factors::from_vec(rank, (0..rank * n_items).map(|_| number(factor, &mut stream)).collect());
        let biases: Vec<f32> = (0..n_items).map(|item| if item % 4 == 0 { bias } else { 0.0 }).collect();
        let index = ItemIndex::new(&items, Some(&biases)).unwrap();
        let user: Vec<f32> = (0..rank).map(|_| number(user, &mut stream)).collect();
        assert_eq!(index.is_coarse_sound(Bound::new(&index, &user)), is_sound, "{factor} {bias}");
        let mut all = full_sort(&index, &user, &Filter::default());
        all.retain(|scored| !scored.score.is_nan());
        for k in [1, 10, 70, 71, n_items] {
            assert_eq!(index.top(&user, k, &Filter::default()).unwrap(), all[..k.min(all.len())], "{factor} {bias} {k}");
        }
    }
}

#[test]
fn scores_near_the_plain_dot_product() {
    let mut stream = Stream::new(5, 5);
    let items = hard_items(0, 300, 50, &mut stream);
    let biases: Vec<f32> = (0..300).map(|_| stream.gaussian() as f32).collect();
    let user: Vec<f32> = (0..50).map(|_| stream.gaussian() as f32).collect();
    let index = ItemIndex::new(&items, Some(&biases)).unwrap();
    for item in 0..300u32 {
        assert_eq!(index.factors(item), items.row(item as usize));
        let exact: f64 = items.row(item as usize).iter().zip(&user).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let score = f64::from(index.score(&user, item).unwrap());
        assert!((score - exact - f64::from(biases[item as usize])).abs() < 1e-5, "{item}: {score} {exact}");
    }
}

#[test]
fn every_path_of_a_pair_has_the_same_bits() {
    for (seed, rank) in [1usize, 2, 7, 16, 33, 64, 100].into_iter().enumerate() {
        let mut stream = Stream::new(seed as u64, 2);
        let items = hard_items(0, 64, rank, &mut stream);
        let biases: Vec<f32> = (0..64).map(|_| stream.gaussian() as f32).collect();
        let index = ItemIndex::new(&items, Some(&biases)).unwrap();
        let users: Vec<[f32; TILE]> = (0..rank).map(|_| std::array::from_fn(|_| stream.gaussian() as f32)).collect();
        let mut fused = None;
        for isa in Isa::all() {
            let mut tile = Tile::<TILE>::new();
            isa.score(index.block(0), index.biases(0), &users, &[0.5; TILE], &mut tile);
            for user in 0..TILE {
                let factors: Vec<f32> = users.iter().map(|factors| factors[user]).collect();
                let mut alone = Tile::<1>::new();
                isa.score(index.block(0), index.biases(0), factors.as_chunks().0, &[0.5], &mut alone);
                assert_eq!(alone.scores[0], tile.scores[user], "{isa:?}, rank {rank}");
                assert_eq!(alone.hits[0], tile.hits[user], "{isa:?}, rank {rank}");
                for (lane, score) in alone.scores[0].0.iter().enumerate() {
                    assert_eq!(*score, isa.score_lane(index.block(0), lane, index.biases(0).0[lane], &factors), "{isa:?}, rank {rank}");
                    assert_eq!(alone.hits[0] >> lane & 1 == 1, *score >= 0.5);
                }
            }
            if isa.is_fused() {
                let bits = fused.get_or_insert(tile.scores);
                assert_eq!(*bits, tile.scores, "{isa:?}, rank {rank}");
            }
        }
    }
}

#[test]
fn counts_are_the_same_on_every_path() {
    let scores: Vec<f32> = (0..1003).map(|place| if place % 50 == 0 { f32::NAN } else { (place % 7) as f32 }).collect();
    let expected = (scores.iter().filter(|score| **score > 3.0).count(), scores.iter().filter(|score| **score == 3.0).count());
    for isa in Isa::all() {
        assert_eq!(isa.count_greater_and_equal(&scores, 3.0), expected, "{isa:?}");
    }
}

#[test]
fn a_batch_is_the_single_searches_whatever_the_threads() {
    let mut stream = Stream::new(11, 3);
    let (rank, n_items, n_users) = (12, 700, 131);
    let items = hard_items(1, n_items, rank, &mut stream);
    let biases: Vec<f32> = (0..n_items).map(|_| 0.1 * stream.gaussian() as f32).collect();
    let users = hard_items(4, n_users, rank, &mut stream);
    let allowed = Bitmap::of_items(n_items, (0..n_items as u32).filter(|item| item % 3 != 0));
    // From nothing to everything seen.
    let seen: Vec<Vec<u32>> = (0..n_users).map(|user| (0..n_items as u32).filter(|item| (*item as usize) < 6 * user).collect()).collect();
    let excluded = |user: u32| seen[user as usize].as_slice();
    // Users in any order, some twice.
    let rows: Vec<u32> = (0..n_users as u32).rev().chain([5, 5, 0]).collect();
    for biases in [None, Some(biases.as_slice())] {
        let index = ItemIndex::new(&items, biases).unwrap();
        for (excluded, allowed) in [(None, None), (Some(&excluded as &Excluded<'_>), Some(&allowed))] {
            for k in [0, 1, 10, 5000] {
                let batch = Batch { users: &users, rows: &rows, k, excluded, allowed };
                let lists = with_control(1, false, |control| index.top_of_many(&batch, control)).unwrap();
                assert_eq!(lists, with_control(3, false, |control| index.top_of_many(&batch, control)).unwrap());
                assert_eq!(lists.len(), rows.len());
                // A few users go another way.
                let few = Batch { rows: &rows[7..9], ..batch };
                let few = with_control(2, false, |control| index.top_of_many(&few, control)).unwrap();
                assert_eq!([few.list(0), few.list(1)], [lists.list(7), lists.list(8)]);
                for (list, row) in lists.iter().zip(&rows) {
                    let filter = Filter { excluded: excluded.map_or(&[], |excluded| excluded(*row)), allowed };
                    assert_eq!(list, index.top(users.row(*row as usize), k, &filter).unwrap(), "user {row}, k {k}");
                }
            }
        }
    }
}

#[test]
fn an_infinite_score_is_best_and_a_score_of_nan_is_none() {
    let items = Factors::from_vec(2, vec![1.0, 0.0, 3e38, 3e38, 3e38, -3e38, 2.0, 0.0]);
    let index = ItemIndex::new(&items, None).unwrap();
    let list = index.top(&[3e38, 3e38], 10, &Filter::default()).unwrap();
    assert_eq!((list[0].item, list[0].score), (1, f32::INFINITY));
    assert!(list.iter().all(|scored| !scored.score.is_nan()));
    // All scores are infinite: the tie with the shortest item must not be lost to pruning by length.
    let items = Factors::from_vec(1, (0..200).map(|item| 10.0 + item as f32).collect());
    assert_eq!(items_of(&ItemIndex::new(&items, None).unwrap().top(&[3e38], 2, &Filter::default()).unwrap()), [0, 1]);
}

#[test]
fn neighbours_are_those_by_angle_and_zero_rows_have_none() {
    let rows = Factors::from_vec(2, vec![1.0, 0.0, 0.0, 0.0, 100.0, 1.0, -1.0, 0.0, 0.0, 2.0, 3.0, 0.0]);
    let index = CosineIndex::new(&rows).unwrap();
    let nearest = index.similar(0, 10, &Filter::default());
    assert_eq!(items_of(&nearest), [5, 2, 4, 3]);
    assert_eq!((nearest[0].score, nearest[2].score, nearest[3].score), (1.0, 0.0, -1.0));
    assert_eq!(index.similar(1, 10, &Filter::default()), []);
    assert_eq!(index.similar(6, 10, &Filter::default()), []);
    assert_eq!(items_of(&index.similar(0, 2, &Filter { excluded: &[5], allowed: None })), [2, 4]);
    assert_eq!(items_of(&index.similar_to(&[0.0, -7.0], 1, &Filter::default()).unwrap()), [0]);
    assert_eq!(index.similar_to(&[0.0, 0.0], 1, &Filter::default()).unwrap(), []);
    assert!(index.similar_to(&[0.0], 1, &Filter::default()).is_err());
}

#[test]
fn a_cosine_is_never_beyond_1_and_equal_directions_are_ties() {
    let mut stream = Stream::new(3, 3);
    let direction: Vec<f32> = (0..9).map(|_| stream.gaussian() as f32).collect();
    let data = (1..=150).flat_map(|scale| direction.iter().map(move |factor| factor * (1 << (scale % 20)) as f32)).collect();
    let index = CosineIndex::new(&Factors::from_vec(9, data)).unwrap();
    let nearest = index.similar(70, 149, &Filter::default());
    assert_eq!(items_of(&nearest), (0..150).filter(|row| *row != 70).collect::<Vec<_>>());
    assert!(nearest.iter().all(|scored| scored.score <= 1.0 && scored.score > 0.999));
}
