//! Random: any candidate, each with the same probability. Never herds, never learns.

use super::{Ask, Entry, Strategy};
use crate::balance::event::{Scored, Why};
use crate::rng::Rng;
use crate::unit::NodeId;

pub(super) const ENTRY: Entry = Entry {
    name: "random",
    summary: "any node, each with the same probability",
    when: "many balancers that know nothing of each other; a baseline",
    cost: "O(1)",
    source: "folklore",
    settings: &[],
    build: |_| Box::new(Random),
};

#[derive(Debug)]
struct Random;

impl Strategy for Random {
    fn pick(&mut self, ask: &Ask<'_>, rng: &mut Rng, why: &mut Why) -> Option<NodeId> {
        let node = ask.draw(rng)?;
        why.considered = 1;
        ask.looked_at(node, f64::NAN);
        why.chosen = Scored::unscored(node);
        Some(node)
    }
}
