//! Jobs on all cores: a queue that is a counter, and results in the order of the jobs.
//!
//! Nothing is shared between jobs, so the answer does not depend on the number of threads. The
//! caller's thread does no job; it hears of results and can show how far things are.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// More threads than this are never started.
pub const THREADS_MAX: usize = 1_024;

/// `heard` is called at least so often while jobs run.
const BREATH: Duration = Duration::from_millis(100);

/// Tells a job whether to give up: the person asked for it, or another job failed.
pub struct Halt<'a> {
    failed: AtomicBool,
    asked: &'a (dyn Fn() -> bool + Sync),
}

impl std::fmt::Debug for Halt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Halt").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Halt<'_> {
    /// Returns whether to give up.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || (self.asked)()
    }
}

/// Returns how many threads to use: what was asked for, or one a core.
#[must_use]
pub fn threads(asked: Option<usize>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or_else(cores).clamp(1, THREADS_MAX)
}

/// A job by its number; `None` if it gave up.
pub type Job<'a, R, E> = &'a (dyn Fn(usize, &Halt<'_>) -> Result<Option<R>, E> + Sync);

/// Does the jobs `0..count`, in this order, on so many threads. A job that gave up is `None`, as is
/// one that was never begun. `heard` is told how many are done, now and then and after each.
///
/// # Errors
/// The first error of a job in the order of jobs; the others are told to give up.
///
/// # Panics
/// If a job does.
pub fn run_all<R: Send, E: Send>(
    count: usize,
    threads: usize,
    asked: &(dyn Fn() -> bool + Sync),
    job: Job<'_, R, E>,
    mut heard: impl FnMut(usize),
) -> Result<Vec<Option<R>>, E> {
    let mut results: Vec<Option<R>> = (0..count).map(|_| None).collect();
    let halt = Halt { failed: AtomicBool::new(false), asked };
    let next = AtomicUsize::new(0);
    let mut first: Option<(usize, E)> = None;
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..threads.clamp(1, count.max(1)) {
            let (sender, halt, next) = (sender.clone(), &halt, &next);
            scope.spawn(move || {
                while !halt.asked() {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let result = job(at, halt);
                    if result.is_err() {
                        halt.failed.store(true, Ordering::Relaxed);
                    }
                    // The receiver lives as long as there are senders.
                    let _ = sender.send((at, result));
                }
            });
        }
        drop(sender);
        let mut done = 0;
        loop {
            match receiver.recv_timeout(BREATH) {
                Ok((at, Ok(result))) => {
                    done += usize::from(result.is_some());
                    results[at] = result;
                }
                Ok((at, Err(error))) => {
                    if first.as_ref().is_none_or(|(earlier, _)| at < *earlier) {
                        first = Some((at, error));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            heard(done);
        }
    });
    first.map_or(Ok(results), |(_, error)| Err(error))
}
