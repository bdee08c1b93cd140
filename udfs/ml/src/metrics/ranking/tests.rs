//! Measures against numbers computed by hand, and against their definitions.

use super::*;
use crate::random::Stream;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

fn with_control<T>(threads: usize, is_cancelled: bool, run: impl FnOnce(&Control<'_>) -> T) -> T {
    let cancel = AtomicBool::new(is_cancelled);
    run(&Control { threads: NonZeroUsize::new(threads).unwrap(), cancel: &cancel, progress: &|_| {} })
}

fn csr(n_users: usize, n_items: usize, ratings: &[(u32, u32, f32)]) -> Csr {
    let users: Vec<u32> = ratings.iter().map(|rating| rating.0).collect();
    let items: Vec<u32> = ratings.iter().map(|rating| rating.1).collect();
    let values: Vec<f32> = ratings.iter().map(|rating| rating.2).collect();
    Csr::new(n_users, n_items, &users, &items, &values).unwrap()
}

/// An index in which every user scores item `i` with `scores[i]`.
fn of_scores(n_users: usize, scores: &[f32]) -> (ItemIndex, Factors) {
    (ItemIndex::new(&Factors::from_vec(1, scores.to_vec()), None).unwrap(), Factors::from_vec(1, vec![1.0; n_users]))
}

#[track_caller]
fn near(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (index, users) = of_scores(2, &[1.0, 2.0, 3.0]);
    let (right, narrow, short) = (csr(2, 3, &[(0, 0, 1.0)]), csr(2, 2, &[]), csr(1, 3, &[]));
    let (other_rank, not_a_number) = (Factors::zeros(2, 2), Factors::from_vec(1, vec![f32::NAN; 2]));
    let run = |train, eval, k, users| {
        let task = RankingTask { train, eval, k, min_relevant: 0.0, catalogue: None };
        with_control(1, false, |control| RankingMetrics::evaluate(&index, users, &task, control))
    };
    assert!(matches!(run(&right, &right, 0, &users), Err(LearnError::Parameter { .. })));
    for (train, eval) in [(&right, &narrow), (&narrow, &right), (&right, &short), (&short, &right)] {
        assert!(matches!(run(train, eval, 1, &users), Err(LearnError::Shape { .. })));
    }
    let empty = csr(2, 3, &[]);
    assert!(matches!(run(&empty, &right, 1, &other_rank), Err(LearnError::Shape { .. })));
    assert!(matches!(run(&empty, &right, 1, &not_a_number), Err(LearnError::Value { .. })));
    assert_eq!(run(&right, &empty, 1, &users), Ok(None));
    // What is in both parts is no candidate.
    assert_eq!(run(&right, &right, 1, &users), Ok(None));
    let task = RankingTask { train: &empty, eval: &right, k: 1, min_relevant: 0.0, catalogue: None };
    let other = Bitmap::full(4);
    let of_other = RankingTask { catalogue: Some(&other), ..task };
    let outcome = with_control(1, false, |control| RankingMetrics::evaluate(&index, &users, &of_other, control));
    assert!(matches!(outcome, Err(LearnError::Shape { .. })));
    assert_eq!(with_control(2, true, |control| RankingMetrics::evaluate(&index, &users, &task, control)), Err(LearnError::Cancelled));
}

#[test]
fn measures_are_those_computed_by_hand() {
    // Everybody's order: 5 4 3 2 1 0. User 0 has seen 5; user 1 nothing; user 2 has nothing relevant.
    let (index, users) = of_scores(3, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let train = csr(3, 6, &[(0, 5, 1.0), (0, 5, 2.0), (2, 0, 1.0)]);
    let eval = csr(3, 6, &[(0, 3, 4.0), (0, 0, 5.0), (0, 4, 3.0), (1, 5, 4.0), (1, 5, 1.0), (2, 1, 3.5)]);
    let task = RankingTask { train: &train, eval: &eval, k: 3, min_relevant: 4.0, catalogue: None };
    let metrics = with_control(1, false, |control| RankingMetrics::evaluate(&index, &users, &task, control)).unwrap().unwrap();
    // User 0: list 4 3 2, relevant 3 (rank 2 of 5) and 0 (rank 5). User 1: list 5 4 3, relevant 5 (rank 1 of 6).
    let log3 = 3f64.log2();
    assert_eq!((metrics.k, metrics.n_users, metrics.n_relevant), (3, 2, 3));
    near(metrics.precision, 1.0 / 3.0);
    near(metrics.recall, (0.5 + 1.0) / 2.0);
    near(metrics.recall_capped, (0.5 + 1.0) / 2.0);
    near(metrics.ndcg, ((1.0 / log3) / (1.0 + 1.0 / log3) + 1.0) / 2.0);
    near(metrics.map, (0.25 + 1.0) / 2.0);
    near(metrics.mrr, (0.5 + 1.0) / 2.0);
    near(metrics.hit_rate, 1.0);
    near(metrics.coverage, 4.0 / 6.0);
    // User 0: item 3 is above 2 of 3 others, item 0 above none.
    near(metrics.auc.unwrap(), (2.0 / 6.0 + 1.0) / 2.0);
    near(metrics.average_rank, (0.25 + 1.0 + 0.0) / 3.0);
}

#[test]
fn recall_divides_by_all_relevant_items_and_its_capped_variant_by_what_a_list_can_hold() {
    let (index, users) = of_scores(1, &[5.0, 4.0, 3.0, 2.0]);
    let (train, eval) = (csr(1, 4, &[]), csr(1, 4, &[(0, 0, 1.0), (0, 1, 1.0), (0, 2, 1.0), (0, 3, 1.0)]));
    let task = RankingTask { train: &train, eval: &eval, k: 2, min_relevant: f32::NEG_INFINITY, catalogue: None };
    let metrics = with_control(1, false, |control| RankingMetrics::evaluate(&index, &users, &task, control)).unwrap().unwrap();
    assert_eq!((metrics.recall, metrics.recall_capped, metrics.ndcg, metrics.map, metrics.precision), (0.5, 1.0, 1.0, 1.0, 1.0));
    // Nothing else to be ranked above.
    assert_eq!((metrics.auc, metrics.average_rank), (None, 0.5));
    // A list that is shorter than k still divides by k.
    let eval = csr(1, 4, &[(0, 0, 1.0)]);
    let task = RankingTask { train: &train, eval: &eval, k: 8, min_relevant: 0.0, catalogue: None };
    let metrics = with_control(1, false, |control| RankingMetrics::evaluate(&index, &users, &task, control)).unwrap().unwrap();
    assert_eq!((metrics.precision, metrics.recall), (0.125, 1.0));
}

#[test]
fn what_is_not_in_the_catalogue_is_nobodys_candidate() {
    // Everybody's order: 5 4 3 2 1 0, without 5 and 2. User 0 has seen 4; all that user 1 has held out is 5.
    let (index, users) = of_scores(2, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let (train, eval) = (csr(2, 6, &[(0, 4, 1.0)]), csr(2, 6, &[(0, 3, 1.0), (0, 2, 1.0), (1, 5, 1.0)]));
    let catalogue = Bitmap::of_items(6, [0, 1, 3, 4]);
    let task = RankingTask { train: &train, eval: &eval, k: 2, min_relevant: 0.0, catalogue: Some(&catalogue) };
    let metrics = with_control(1, false, |control| RankingMetrics::evaluate(&index, &users, &task, control)).unwrap().unwrap();
    // The list 3 1 of the candidates 3 1 0.
    assert_eq!((metrics.n_users, metrics.n_relevant), (1, 1));
    assert_eq!((metrics.precision, metrics.recall, metrics.coverage), (0.5, 1.0, 0.5));
    assert_eq!((metrics.auc, metrics.average_rank), (Some(1.0), 0.0));
    // Nothing but 4 was ever rated: the others tie, and 0 1 is the list.
    let popularity = with_control(1, false, |control| RankingMetrics::evaluate_popularity(&task, &train, control)).unwrap().unwrap();
    assert_eq!((popularity.n_users, popularity.hit_rate, popularity.auc, popularity.coverage), (1, 0.0, Some(0.5), 0.5));
}

#[test]
fn a_model_without_an_opinion_is_chance() {
    let (index, users) = of_scores(1, &[2.0; 9]);
    let (train, eval) = (csr(1, 9, &[(0, 1, 1.0)]), csr(1, 9, &[(0, 7, 1.0), (0, 0, 1.0)]));
    let task = RankingTask { train: &train, eval: &eval, k: 3, min_relevant: 0.0, catalogue: None };
    let metrics = with_control(1, false, |control| RankingMetrics::evaluate(&index, &users, &task, control)).unwrap().unwrap();
    assert_eq!((metrics.auc, metrics.average_rank), (Some(0.5), 0.5));
}

/// The definitions, word for word, over a full sort of the candidates of each user.
fn by_definition(index: &ItemIndex, users: &Factors, task: &RankingTask<'_>) -> RankingMetrics {
    let (k, mut n_users, mut n_relevant) = (task.k, 0usize, 0usize);
    let mut sums = [0f64; 9];
    let (mut auc_users, mut listed) = (0usize, std::collections::BTreeSet::new());
    for user in 0..users.n_rows() {
        let seen = task.train.row(user).0;
        let mut candidates: Vec<Scored> = (0..index.n_items() as u32)
            .filter(|item| !seen.contains(item))
            .map(|item| Scored { item, score: index.score(users.row(user), item).unwrap() })
            .collect();
        candidates.sort_by(|left, right| right.cmp(left));
        let held_out = task.eval.row(user);
        let is_relevant = |item: u32| {
            !seen.contains(&item) && held_out.0.iter().zip(held_out.1).any(|(other, rating)| *other == item && *rating >= task.min_relevant)
        };
        let relevant: Vec<Scored> = candidates.iter().filter(|scored| is_relevant(scored.item)).copied().collect();
        if relevant.is_empty() {
            continue;
        }
        n_users += 1;
        n_relevant += relevant.len();
        let list = &candidates[..k.min(candidates.len())];
        listed.extend(list.iter().map(|scored| scored.item));
        let is_hit: Vec<bool> = list.iter().map(|scored| is_relevant(scored.item)).collect();
        let hits = is_hit.iter().filter(|hit| **hit).count() as f64;
        let capped = relevant.len().min(k) as f64;
        let gain = |ranks: &mut dyn Iterator<Item = usize>| ranks.map(|rank| 1.0 / ((rank + 2) as f64).log2()).sum::<f64>();
        let ideal = gain(&mut (0..capped as usize));
        let precision_at = |rank: usize| is_hit[..=rank].iter().filter(|hit| **hit).count() as f64 / (rank + 1) as f64;
        sums[0] += hits / k as f64;
        sums[1] += hits / relevant.len() as f64;
        sums[2] += hits / capped;
        sums[3] += gain(&mut (0..list.len()).filter(|rank| is_hit[*rank])) / ideal;
        sums[4] += (0..list.len()).filter(|rank| is_hit[*rank]).map(precision_at).sum::<f64>() / capped;
        sums[5] += is_hit.iter().position(|hit| *hit).map_or(0.0, |rank| 1.0 / (rank + 1) as f64);
        sums[6] += f64::from(hits > 0.0);
        let others: Vec<f32> = candidates.iter().filter(|scored| !is_relevant(scored.item)).map(|scored| scored.score).collect();
        let win = |score: f32, other: f32| {
            if score > other {
                1.0
            } else if score == other {
                0.5
            } else {
                0.0
            }
        };
        if !others.is_empty() {
            auc_users += 1;
            let won: f64 = relevant.iter().map(|scored| others.iter().map(|other| win(scored.score, *other)).sum::<f64>()).sum();
            sums[7] += won / (relevant.len() * others.len()) as f64;
        }
        for scored in &relevant {
            let above: f64 = candidates.iter().filter(|other| other.item != scored.item).map(|other| win(other.score, scored.score)).sum();
            sums[8] += above / (candidates.len() - 1) as f64;
        }
    }
    let mean = |place: usize| sums[place] / n_users as f64;
    RankingMetrics {
        k,
        n_users,
        n_relevant,
        precision: mean(0),
        recall: mean(1),
        recall_capped: mean(2),
        ndcg: mean(3),
        map: mean(4),
        mrr: mean(5),
        hit_rate: mean(6),
        coverage: listed.len() as f64 / index.n_items() as f64,
        auc: (auc_users > 0).then(|| sums[7] / auc_users as f64),
        average_rank: sums[8] / n_relevant as f64,
    }
}

fn values(metrics: &RankingMetrics) -> [f64; 10] {
    let m = metrics;
    [m.precision, m.recall, m.recall_capped, m.ndcg, m.map, m.mrr, m.hit_rate, m.coverage, m.auc.unwrap(), m.average_rank]
}

#[test]
fn measures_follow_their_definitions_whatever_the_threads() {
    for seed in 0..6 {
        let mut stream = Stream::new(seed, 8);
        let (n_users, n_items, rank) = (150u32, 90u32, 3);
        // Whole numbers: many ties.
        let mut draw = |n: u32| Factors::from_vec(rank, (0..n as usize * rank).map(|_| (stream.next_u64() % 4) as f32 - 1.0).collect());
        let (users, items) = (draw(n_users), draw(n_items));
        let mut ratings = |n: usize| -> Vec<(u32, u32, f32)> {
            let mut below = |n: u32| (stream.next_u64() % u64::from(n)) as u32;
            (0..n).map(|_| (below(n_users), below(n_items), below(5) as f32)).collect()
        };
        let (train, eval) = (csr(150, 90, &ratings(3000)), csr(150, 90, &ratings(900)));
        let index = ItemIndex::new(&items, None).unwrap();
        for (k, min_relevant) in [(1, 3.0), (10, 3.0), (200, f32::NEG_INFINITY)] {
            let task = RankingTask { train: &train, eval: &eval, k, min_relevant, catalogue: None };
            let run = |threads| {
                with_control(threads, false, |control| RankingMetrics::evaluate(&index, &users, &task, control)).unwrap().unwrap()
            };
            let (metrics, expected) = (run(1), by_definition(&index, &users, &task));
            assert_eq!((metrics.n_users, metrics.n_relevant), (expected.n_users, expected.n_relevant));
            values(&metrics).iter().zip(values(&expected)).for_each(|(value, expected)| near(*value, expected));
            assert_eq!(metrics, run(3));

            let popularity =
                with_control(2, false, |control| RankingMetrics::evaluate_popularity(&task, &train, control)).unwrap().unwrap();
            let mut counts = vec![0f32; 90];
            train.entries().for_each(|(_, item, _)| counts[item as usize] += 1.0);
            let (by_count, everybody) = of_scores(150, &counts);
            values(&popularity)
                .iter()
                .zip(values(&by_definition(&by_count, &everybody, &task)))
                .for_each(|(value, expected)| near(*value, expected));
        }
    }
}
