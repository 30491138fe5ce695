//! Signals that end a command: what there is by then is printed, and what is being written becomes
//! whole. A second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::failure::{CliFailure, FailureKind, code_of_signal};

/// Remembers the first signal that asks for an end.
pub(super) fn watch_signals() -> Result<Arc<AtomicUsize>, CliFailure> {
    let seen = Arc::new(AtomicUsize::new(0));
    let again = Arc::new(AtomicBool::new(false));
    for signal in ending_signals() {
        let code = i32::from(code_of_signal(signal as usize));
        // In this order: the first signal finds `again` unset and sets it.
        flag::register_conditional_shutdown(signal, code, Arc::clone(&again))
            .and_then(|_| flag::register(signal, Arc::clone(&again)))
            .and_then(|_| flag::register_usize(signal, Arc::clone(&seen), signal as usize))
            .map_err(|error| unheard(&error))?;
    }
    Ok(seen)
}

fn ending_signals() -> impl Iterator<Item = i32> {
    [SIGINT, SIGTERM].into_iter().chain((!hangup_is_ignored()).then_some(SIGHUP))
}

fn unheard(error: &std::io::Error) -> CliFailure {
    CliFailure::new(FailureKind::Unexpected, format!("cannot listen to signals: {error}"))
}

/// Whether whoever started the program wants it to outlive its terminal, as `nohup` does: then it does.
fn hangup_is_ignored() -> bool {
    // Asked of the system in words, because asking it by a call would need unsafe code.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1)
}

/// The same for what runs on a runtime.
#[cfg(feature = "live")]
pub(super) struct EndingSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(feature = "live")]
impl EndingSignals {
    /// Hears signals from now on.
    pub(super) fn listen() -> Result<EndingSignals, CliFailure> {
        use tokio::signal::unix::{SignalKind, signal};
        // Before the first one is heard: hearing changes what is ignored.
        let ignored = hangup_is_ignored();
        let hear = |kind: SignalKind| signal(kind).map_err(|error| unheard(&error));
        Ok(EndingSignals {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
            hangup: if ignored { None } else { Some(hear(SignalKind::hangup())?) },
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> usize {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let signal = tokio::select! {
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
            _ = hangup => SIGHUP,
        };
        signal as usize
    }
}
