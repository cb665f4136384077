//! The same work on many items, on more than one processor.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads that work at the same time, the caller's among them.
const THREADS: usize = 2;

/// Does `work` on every item. The outputs are in the order of the items, whichever thread made them;
/// with one item, or where no thread can be made, the caller's does it all.
///
/// # Errors
/// Of the items that fail, what the first has said; some of those after it are then left out.
pub(crate) fn map<I: Sync, O: Send, E: Send>(
    items: &[I],
    work: impl Fn(&I) -> Result<O, E> + Sync,
) -> Result<Vec<O>, E> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else {
                return done;
            };
            let output = work(item);
            if output.is_err() {
                // All items before this one have been begun, so that theirs are known in the end.
                next.store(items.len(), Ordering::Relaxed);
            }
            done.push((index, output));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others = THREADS.min(items.len()).saturating_sub(1);
        let spawn = || std::thread::Builder::new().spawn_scoped(scope, worker).ok();
        let others: Vec<_> = (0..others).filter_map(|_| spawn()).collect();
        let mut done = worker();
        for thread in others {
            // A panic of a worker is a defect of its work: let it through.
            let theirs = thread.join();
            done.extend(theirs.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, output)| output).collect()
}

/// Does two things, if it can at the same time.
pub(crate) fn both<A: Send, B>(one: impl Fn() -> A + Sync, other: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, &one).ok();
        let other = other();
        let one = match thread {
            Some(thread) => thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => one(),
        };
        (one, other)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_in_order_and_the_first_error_is_told() {
        let items: Vec<u32> = (0..1000).collect();
        let doubled = map(&items, |item| Ok::<_, ()>(item * 2)).unwrap();
        assert_eq!(
            doubled,
            items.iter().map(|item| item * 2).collect::<Vec<_>>()
        );
        let odd = |item: &u32| if item % 10 == 7 { Err(*item) } else { Ok(()) };
        for _ in 0..100 {
            assert_eq!(map(&items, odd), Err(7));
        }
        assert_eq!(map(&[], odd), Ok(vec![]));
    }

    #[test]
    fn two_things_are_done_at_the_same_time() {
        let both_begun = std::sync::Barrier::new(2);
        let wait = || both_begun.wait().is_leader();
        let (one, other) = both(wait, wait);
        assert_ne!(one, other);
    }

    #[test]
    fn more_than_one_thread_works() {
        let both = std::sync::Barrier::new(2);
        let wait = |_: &()| Ok::<_, ()>(both.wait().is_leader());
        let leaders = map(&[(), ()], wait).unwrap();
        assert_eq!(leaders.iter().filter(|leader| **leader).count(), 1);
    }
}
