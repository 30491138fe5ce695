//! Loops over several steps: which steps are in one, and which of those must not be.

use super::BackTo;

/// Why a step cannot go back to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopFlaw {
    /// It does not come after that step.
    NotBefore,
    /// A step between them is in the loop of this one already.
    Shared(u16),
}

/// The loops of a workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loops {
    /// By step: the last step of the loop that it is in.
    end: Vec<Option<u16>>,
}

impl Loops {
    /// Finds the steps of each loop: those that come after its first and before its last, and these two.
    /// `after` says, by step, which steps it comes after, and has no cycle; `back` where it goes back to.
    ///
    /// # Errors
    /// The step that goes back and cannot, and why.
    pub fn new(after: &[Vec<u16>], back: &[Option<u16>]) -> Result<Loops, (u16, LoopFlaw)> {
        let mut end = vec![None; after.len()];
        for (last, first) in back.iter().enumerate() {
            let Some(first) = *first else { continue };
            let (last, before) = (last as u16, up_to(after, last as u16));
            if !before.contains(&first) {
                return Err((last, LoopFlaw::NotBefore));
            }
            for step in before.into_iter().filter(|step| up_to(after, *step).contains(&first)) {
                if let Some(other) = end[usize::from(step)].replace(last) {
                    return Err((last, LoopFlaw::Shared(other)));
                }
            }
        }
        Ok(Loops { end })
    }

    /// The last step of the loop that a step is in.
    pub(super) fn end_of(&self, step: u16) -> Option<u16> {
        self.end[usize::from(step)]
    }

    /// The steps of the loop that ends with this one.
    pub(super) fn ending_with(&self, last: u16) -> impl Iterator<Item = u16> {
        let steps = self.end.iter().enumerate();
        steps.filter(move |(_, end)| **end == Some(last)).map(|(step, _)| step as u16)
    }

    /// How often a step runs in the mean, for once that its workflow does.
    pub(super) fn runs<'a>(
        &self,
        step: usize,
        back_to: impl Fn(usize) -> Option<&'a BackTo>,
    ) -> f64 {
        let back = self.end[step].and_then(|end| back_to(usize::from(end)));
        back.map_or(1.0, |back| back.rounds.mean())
    }
}

/// A step and all that it comes after, directly or not.
fn up_to(after: &[Vec<u16>], step: u16) -> Vec<u16> {
    let mut found = vec![step];
    let mut at = 0;
    while let Some(&step) = found.get(at) {
        for &before in &after[usize::from(step)] {
            if !found.contains(&before) {
                found.push(before);
            }
        }
        at += 1;
    }
    found
}
