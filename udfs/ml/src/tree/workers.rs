//! Independent pieces of work on several threads, results in the order of the pieces.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Runs `work` on 0 to `n_pieces` - 1 and returns the results in this order. Each thread makes a state of its
/// own first (scratch memory); the states are returned too, in no particular order.
pub(super) fn map_with<S: Send, T: Send>(
    threads: usize,
    n_pieces: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> T + Sync,
) -> (Vec<T>, Vec<S>) {
    let threads = threads.clamp(1, n_pieces.max(1));
    if threads == 1 {
        let mut state = state();
        return ((0..n_pieces).map(|piece| work(&mut state, piece)).collect(), vec![state]);
    }
    let next = AtomicUsize::new(0);
    let finished: Mutex<(Vec<(usize, T)>, Vec<S>)> = Mutex::new((Vec::with_capacity(n_pieces), Vec::with_capacity(threads)));
    let run = || {
        let mut state = state();
        let mut results = Vec::new();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= n_pieces {
                break;
            }
            results.push((piece, work(&mut state, piece)));
        }
        let mut finished = finished.lock().unwrap_or_else(PoisonError::into_inner);
        finished.0.append(&mut results);
        finished.1.push(state);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    let (mut results, states) = finished.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(piece, _)| *piece);
    (results.into_iter().map(|(_, result)| result).collect(), states)
}

/// Runs `work` on 0 to `n_pieces` - 1 and returns the results in this order.
pub(super) fn map<T: Send>(threads: usize, n_pieces: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    map_with(threads, n_pieces, || (), |(), piece| work(piece)).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_pieces() {
        for threads in [1, 3, 8] {
            let (squares, states) = map_with(
                threads,
                100,
                || 0,
                |n_done, piece| {
                    *n_done += 1;
                    piece * piece
                },
            );
            assert_eq!(squares, (0..100).map(|piece| piece * piece).collect::<Vec<_>>());
            assert_eq!(states.iter().sum::<usize>(), 100);
        }
        assert_eq!(map(4, 0, |piece| piece), []);
    }
}
