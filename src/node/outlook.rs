//! What an attempt would cost on a node if nothing more came: what only an oracle may ask.
//!
//! The node is played forward, with the true lengths of all it has, once with the attempt and once
//! without: the attempt's own seconds to its last token, and the seconds by which all others end
//! later. Faults that are on stay on; those to come are not seen. Servers and streams are exact; what
//! an engine leaves out is told in `engine::outlook`. Nothing here changes a node.

use super::reachability::Reachability;
use super::{Backend, Blocks, FaultKind, SimNode, Slowdown, Work, hits};
use crate::rng::{Rng, mix};
use crate::unit::{Span, Time};

/// What an attempt would cost, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outlook {
    /// From now to its own last token.
    pub own: f64,
    /// By which the others end later, in sum.
    pub others: f64,
}

impl SimNode {
    /// Returns what an attempt would cost that started now, behind those `before` it which are on
    /// their way; `None` if it would fail.
    #[must_use]
    pub fn outlook(
        &self,
        now: Time,
        before: &[Work],
        work: &Work,
        blocks: Blocks<'_>,
    ) -> Option<Outlook> {
        let key = self.draws(work);
        let stretch = self.prospect(key).filter(|_| !self.is_too_long(work))?;
        let alone = |own| Outlook { own, others: 0.0 };
        match &self.backend {
            Backend::Slots(slots) => {
                let service = |work: &Work| {
                    let key = self.draws(work);
                    let stretch = self.prospect(key).unwrap_or(1.0);
                    Slowdown::scale(slots.service(&mut Rng::from_key(key)), stretch)
                };
                let before: Vec<Span> = before.iter().map(service).collect();
                slots.outlook(now, &before, service(work)).map(alone)
            }
            Backend::Api(api) => {
                let own = api.outlook(now, work, before.len(), &mut Rng::from_key(key))?;
                Some(alone(own * stretch))
            }
            Backend::Engine(engine) => {
                let slowed = |work: &Work| (*work, self.prospect(self.draws(work)).unwrap_or(1.0));
                let before: Vec<(Work, f64)> = before.iter().map(slowed).collect();
                engine.outlook(now, &before, work, stretch, blocks)
            }
        }
    }

    /// Keys the draws of an attempt.
    pub(super) fn draws(&self, work: &Work) -> u64 {
        mix(mix(work.truth.key, self.key), u64::from(work.attempt.ordinal))
    }

    /// Returns how many times as long the attempt of these draws takes by faults that are on; `None`
    /// if they let it fail.
    fn prospect(&self, key: u64) -> Option<f64> {
        if self.reachability(Some(key)) != Reachability::Open {
            return None;
        }
        self.faults.on.iter().try_fold(1.0, |stretch, (number, kind)| match kind {
            FaultKind::Gray(share, factor) if hits(key, *number, *share) => Some(stretch * factor),
            FaultKind::Cut(share, ..) if hits(key, *number, *share) => None,
            _ => Some(stretch),
        })
    }
}
