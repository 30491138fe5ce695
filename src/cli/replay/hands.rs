//! What a person does with keys while a replay goes on: faults of mock servers.
//!
//! The mock does it and ends it; everyone else hears of it by a mark, once the mock has said that it is so.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item};

use super::super::play::PlaySession;
use crate::balance::{Control, Mark, MarkBy, MarkPhase};
use crate::command::{Breakable, Command, Notice};
use crate::live::replay::ReplayHandle;
use crate::live::upstream::MockCall;
use crate::node::fault::FaultKind;
use crate::sim::Deed;
use crate::unit::{NodeId, Time};

/// Whom a fault can be meant for.
const WHOM: [&str; 4] = ["node", "pool", "region", "tag"];

/// What was done by hand, and what is being done.
pub(super) struct Hands {
    session: PlaySession,
    made: Vec<Made>,
    say: Sender<MockSaid>,
    said: Receiver<MockSaid>,
    notice: Option<Notice>,
    breakable: Option<Breakable>,
}

/// A fault that lasts.
struct Made {
    nodes: Vec<NodeId>,
    what: String,
    ends: Option<Time>,
}

/// What the mock has said.
struct MockSaid {
    deed: Deed,
    result: Result<(), String>,
}

impl Hands {
    pub(super) fn new(session: PlaySession) -> Hands {
        let (say, said) = mpsc::channel();
        Hands { session, made: Vec::new(), say, said, notice: None, breakable: None }
    }

    /// Something is to be done.
    pub(super) fn obey(&mut self, now: Time, command: &Command, replay: &ReplayHandle) {
        let Some(text) = self.session.deed(command) else { return };
        match self.call(now, &text, replay) {
            Ok((call, deed)) => {
                let say = self.say.clone();
                // Whoever has asked may be gone.
                replay.call_mock(call, move |result| drop(say.send(MockSaid { deed, result })));
            }
            Err(why) => self.tell(why),
        }
    }

    /// Returns what the mock is told, and what that is.
    fn call(
        &mut self,
        now: Time,
        text: &str,
        replay: &ReplayHandle,
    ) -> Result<(MockCall, Deed), String> {
        let acts = self.session.with(now, text)?.acts;
        let deed = acts.last().map(|act| act.deed.clone()).ok_or("nothing is done")?;
        let breakable = self.breakable(replay);
        let nodes = match &deed {
            Deed::Fault { kind, .. } if kind.is_of_fleet() => {
                return Err(format!("only a simulation has `{}` by hand", kind.words()));
            }
            Deed::Fault { nodes, .. } | Deed::Heal(nodes) => nodes,
            Deed::Strategy(..) | Deed::Load(_) => {
                return Err("a mock knows no such thing".to_owned());
            }
        };
        let labels = &self.session.scenario().labels.nodes;
        let name = |node: &NodeId| labels.get(node.index()).map_or("", |label| label.name.as_str());
        if let Some(real) = nodes.iter().find(|node| !breakable.has(**node)) {
            return Err(format!("{} is no mock server", name(real)));
        }
        let said =
            admin_words(text, nodes.iter().map(name)).ok_or("it cannot be told to a mock")?;
        let call = match deed {
            Deed::Heal(_) => MockCall::Heal(said),
            _ => MockCall::Fault(said),
        };
        Ok((call, deed))
    }

    /// Lets everyone hear of what has begun and ended since.
    pub(super) fn tick(&mut self, now: Time, replay: &ReplayHandle) {
        while let Ok(MockSaid { deed, result }) = self.said.try_recv() {
            match (result, deed) {
                (Err(why), _) => self.tell(why),
                (Ok(()), Deed::Fault { kind, nodes, lasts }) => {
                    let what =
                        if kind == FaultKind::Crash { "kill".to_owned() } else { kind.words() };
                    replay.control(mark(MarkPhase::Begin, nodes.clone(), what.clone()));
                    self.made.push(Made { nodes, what, ends: lasts.map(|span| now + span) });
                }
                (Ok(()), Deed::Heal(nodes)) => self.heal(&nodes, replay),
                (Ok(()), _) => {}
            }
        }
        self.made.retain(|made| {
            let over = made.ends.is_some_and(|ends| ends <= now);
            if over {
                replay.control(mark(MarkPhase::End, made.nodes.clone(), made.what.clone()));
            }
            !over
        });
    }

    fn heal(&mut self, nodes: &[NodeId], replay: &ReplayHandle) {
        let mut healed = Vec::new();
        for made in &mut self.made {
            made.nodes.retain(|node| {
                let hit = nodes.contains(node);
                if hit && !healed.contains(node) {
                    healed.push(*node);
                }
                !hit
            });
        }
        self.made.retain(|made| !made.nodes.is_empty());
        for node in healed {
            replay.control(mark(MarkPhase::End, vec![node], "heal".to_owned()));
        }
    }

    /// Returns the nodes in which faults can be made. It is known once the replay has begun.
    pub(super) fn breakable(&mut self, replay: &ReplayHandle) -> Breakable {
        let session = &self.session;
        let known = self.breakable.get_or_insert_with(|| {
            let mocked = replay.mock().map_or(&[][..], |mock| mock.nodes());
            let all = (0_u32..).zip(&session.scenario().labels.nodes);
            let there = all.filter(|(_, label)| mocked.contains(&label.name));
            let nodes: Arc<[NodeId]> = there.map(|(id, _)| NodeId(id)).collect();
            Breakable::Those(nodes)
        });
        known.clone()
    }

    /// What there is to say of it.
    pub(super) fn notice(&self) -> Option<Notice> {
        self.notice.clone()
    }

    fn tell(&mut self, text: String) {
        let number = self.notice.as_ref().map_or(1, |notice| notice.number + 1);
        self.notice = Some(Notice { number, text, copy: false });
    }
}

fn mark(phase: MarkPhase, nodes: Vec<NodeId>, what: String) -> Control {
    Control::Mark(Mark { by: MarkBy::Person, nodes, phase, what })
}

/// Returns what the admin server of a mock is told, of a deed as a `[[by_hand]]` says it.
fn admin_words<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let document: DocumentMut = text.parse().ok()?;
    let (kind, item) = document.iter().next()?;
    let said = item.as_table_like()?.iter().filter(|(key, _)| !WHOM.contains(key));
    let said: Option<Map<String, Value>> =
        said.map(|(key, item)| Some((key.to_owned(), value(item)?))).collect();
    let mut words = Map::new();
    words.insert("node".to_owned(), Value::from_iter(names));
    if kind != "heal" {
        words.insert(kind.to_owned(), Value::Object(said?));
    }
    Some(Value::Object(words).to_string())
}

fn value(item: &Item) -> Option<Value> {
    let text = item.as_str().map(Value::from);
    let whole = || item.as_integer().map(Value::from);
    text.or_else(whole).or_else(|| item.as_float().map(Value::from))
}

#[cfg(test)]
mod tests {
    use super::admin_words;

    #[test]
    fn a_deed_is_said_to_a_mock_in_its_own_words() {
        let said = |text| admin_words(text, ["a", "b"].into_iter());
        let slow = said(r#"slow = { pool = "p", factor = 4, itl = 1.5, for = "60s" }"#);
        let words = r#"{"node":["a","b"],"slow":{"factor":4,"for":"60s","itl":1.5}}"#;
        assert_eq!(slow.as_deref(), Some(words));
        let heal = said(r#"heal = { tag = "t" }"#);
        assert_eq!(heal.as_deref(), Some(r#"{"node":["a","b"]}"#));
        assert_eq!(said("slow = 4"), None);
        assert_eq!(said("no toml"), None);
    }
}
