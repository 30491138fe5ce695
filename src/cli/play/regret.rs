//! What would have become of a request if one of its decisions had been another: the run is made twice on
//! other threads, as it was decided and with the other node, until the request has reached its end. The run
//! that is watched is not touched.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use super::super::Color;
use super::run::PlayedRun;
use super::session::PlaySession;
use crate::balance::Event;
use crate::command::{OtherChoice, Regret, RegretFound, RequestEnd};
use crate::metrics::Watch;
use crate::scenario::Scenario;
use crate::unit::Time;

/// What is not known after so long stays unknown.
const LIMIT: Duration = Duration::from_secs(10);

/// A decision that is doubted, and what is being found out of it.
pub(super) struct Doubt {
    regret: Regret,
    result: Receiver<RegretFound>,
    stop: Arc<AtomicBool>,
}

impl Drop for Doubt {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Doubt {
    /// Begins to find it out, however long that takes if whoever asks is `patient`.
    pub(super) fn begin(session: &PlaySession, choice: OtherChoice, patient: bool) -> Doubt {
        let (scenario, color) = (session.scenario().clone(), session.color());
        let (stop, by) = (Arc::new(AtomicBool::new(false)), Instant::now() + LIMIT);
        let halt = Arc::clone(&stop);
        let (say, result) = mpsc::channel();
        let work = move || {
            let by = (!patient).then_some(by);
            let stop = || halt.load(Ordering::Relaxed) || by.is_some_and(|by| Instant::now() >= by);
            let fork = Fork { scenario: &scenario, color, choice, stop: &stop };
            // Whoever has asked may be gone.
            let _ = say.send(fork.both());
        };
        let spawned = thread::Builder::new().name("regret".to_owned()).spawn(work);
        let found = if spawned.is_ok() { RegretFound::Waiting } else { RegretFound::Unknown };
        Doubt { regret: Regret { choice, found }, result, stop }
    }

    /// Returns whether it is still to come.
    pub(super) fn goes_on(&self) -> bool {
        self.regret.found == RegretFound::Waiting
    }

    /// Takes what has come. Returns whether there was something.
    pub(super) fn take(&mut self) -> bool {
        let came = self.result.try_recv();
        if let Ok(found) = came {
            self.regret.found = found;
        }
        came.is_ok()
    }

    /// Waits until it is known.
    pub(super) fn wait(&mut self) {
        if self.goes_on() {
            self.regret.found = self.result.recv().unwrap_or(RegretFound::Unknown);
        }
    }

    pub(super) const fn regret(&self) -> Regret {
        self.regret
    }
}

/// The run once more, up to the end of one request.
#[derive(Clone, Copy)]
struct Fork<'a> {
    scenario: &'a Scenario,
    color: Color,
    choice: OtherChoice,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl Fork<'_> {
    /// As it was decided, and with the other node.
    fn both(self) -> RegretFound {
        let (chosen, other) = thread::scope(|scope| {
            let other = scope.spawn(|| self.end(true));
            (self.end(false), other.join().ok().flatten())
        });
        match chosen.zip(other) {
            Some((chosen, other)) => RegretFound::Known { chosen, other },
            None => RegretFound::Unknown,
        }
    }

    /// What becomes of the request; nothing if there was no such decision, or no more time.
    fn end(self, otherwise: bool) -> Option<RequestEnd> {
        let OtherChoice { attempt, node } = self.choice;
        let mut run = PlayedRun::new(self.scenario, Watch::Report, self.color).ok()?;
        if otherwise {
            run.sim.decide_otherwise(attempt, node);
        }
        let (sent, ended) = (Cell::new(false), Cell::new(None));
        let mut hear = |now: Time, event: &Event| match event {
            Event::Dispatched { attempt: this, node: there, .. } if *this == attempt => {
                sent.set((*there == node) == otherwise);
            }
            Event::Settled(settled) if settled.request == attempt.request => {
                ended.set(Some(RequestEnd {
                    at: now,
                    fate: settled.fate,
                    took: now.since(settled.arrived),
                    cost: settled.spent,
                }));
            }
            _ => {}
        };
        run.advance(Time::MAX, || ended.get().is_some() || (self.stop)(), &mut hear);
        ended.get().filter(|_| sent.get())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::load;
    use super::*;
    use crate::balance::{Attempt, Fate};
    use crate::unit::NodeId;

    fn session(name: &str) -> PlaySession {
        let source = load::Source::open(name);
        let source = source.unwrap_or_else(|failure| panic!("{name}: {}", failure.message));
        let session = PlaySession::new(source, Vec::new(), Color::Never);
        session.unwrap_or_else(|failure| panic!("{name}: {}", failure.message))
    }

    /// Every event of a run.
    fn events(session: &PlaySession) -> Vec<(Time, Event)> {
        let run = PlayedRun::new(session.scenario(), Watch::Report, Color::Never);
        let mut run = run.unwrap_or_else(|failure| panic!("{}", failure.message));
        let mut events = Vec::new();
        run.advance(Time::MAX, || false, &mut |now, event| events.push((now, event.clone())));
        events
    }

    fn found(session: &PlaySession, attempt: Attempt, node: NodeId) -> RegretFound {
        let mut doubt = Doubt::begin(session, OtherChoice { attempt, node }, true);
        doubt.wait();
        assert!(!doubt.goes_on());
        doubt.regret().found
    }

    #[test]
    fn what_the_chosen_node_does_is_what_the_run_says() {
        let session = session("quickstart");
        let events = events(&session);
        let decisions = events.iter().filter_map(|(_, event)| match event {
            Event::Dispatched { attempt, why, .. } => Some((*attempt, why.runner_up?.node)),
            _ => None,
        });
        let mut differ = 0;
        for (attempt, second) in decisions.step_by(1_500).take(6) {
            let RegretFound::Known { chosen, other } = found(&session, attempt, second) else {
                panic!("{attempt:?}: a simulation can be made again");
            };
            let (at, settled) = events
                .iter()
                .find_map(|(now, event)| match event {
                    Event::Settled(settled) if settled.request == attempt.request => {
                        Some((*now, settled))
                    }
                    _ => None,
                })
                .expect("it has an end");
            assert_eq!((chosen.at, chosen.fate, chosen.cost), (at, settled.fate, settled.spent));
            assert_eq!(chosen.took, at.since(settled.arrived));
            differ += usize::from(other.fate != Fate::Completed || other.took != chosen.took);
        }
        assert!(differ > 2, "another node takes another time: {differ}");
    }

    #[test]
    fn what_never_was_decided_is_not_known() {
        let session = session("quickstart");
        let attempt = Attempt { request: crate::unit::RequestId(u64::MAX), ordinal: 0 };
        assert_eq!(found(&session, attempt, NodeId(0)), RegretFound::Unknown);
        let first = Attempt { request: crate::unit::RequestId(0), ordinal: 0 };
        assert_eq!(found(&session, first, NodeId(u32::MAX)), RegretFound::Unknown);
    }
}
