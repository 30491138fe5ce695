//! Classes of requests and the lengths they draw.
//!
//! Each class has a share of the traffic and its own token lengths. Which class a request belongs
//! to and how long it is come from two streams, so changing a length law moves no class. What a
//! source knows of a request it says in a [`RequestDraft`]; what it leaves open is drawn here.

use crate::balance::{Priority, Request};
use crate::dist::Dist;
use crate::rng::{Rng, mix};
use crate::unit::{ClassId, ModelId, RequestId, Span, TenantId, Time, Tokens};

use super::hardness::HardnessLaw;
use super::origin::Origin;
use super::repeat::RepeatLaw;
use super::tenant::TenantLaw;
use super::{Arrival, Truth};

/// Lengths beyond this are cut: no model has a context so long.
pub const LENGTH_MAX: u64 = 16_777_216;

/// A class of requests as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassSpec {
    /// Its name.
    pub name: String,
    /// Its share of the traffic, relative to the other classes. Above zero for at least one.
    pub share: f64,
    /// How much its requests matter.
    pub priority: Priority,
    /// Tokens of the prompt.
    pub prompt: Dist,
    /// Tokens of the answer.
    pub output: Dist,
    /// How long after arrival an answer stops being useful.
    pub deadline: Option<Span>,
    /// Where they come from, and what else is known of them.
    pub origin: Origin,
    /// Who sends its requests.
    pub tenants: TenantLaw,
    /// The model that its requests name, if they name one.
    pub model: Option<ModelId>,
    /// How hard its requests look, on any scale; `None` where nobody can tell.
    pub complexity: Option<HardnessLaw>,
    /// Which of its requests come again; `None` where each is asked once.
    pub repeat: Option<RepeatLaw>,
}

/// A prompt that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RepeatedPrompt {
    /// What it is, as a hash.
    pub(super) content: u64,
    /// How long it is, every time.
    pub(super) tokens: Tokens,
}

impl ClassSpec {
    /// Draws what a request of this class asks, whose number is given. `None` if it is asked once.
    pub(super) fn repeated(&self, class: ClassId, rng: &mut Rng) -> Option<RepeatedPrompt> {
        let content = self.repeat.as_ref()?.draw(class, rng)?;
        Some(RepeatedPrompt { content, tokens: length(&self.prompt, &mut Rng::from_key(content)) })
    }

    /// Draws how hard a request looks, in thousandths.
    pub(super) fn hardness(&self, key: u64, truth: &Truth) -> Option<u32> {
        Some(self.complexity.as_ref()?.observe(key, truth))
    }
}

/// What is known of a prompt's beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// Chained hashes of its blocks.
    pub hashes: Box<[u64]>,
    /// Tokens a hash stands for; without meaning where there is no hash.
    pub block: u32,
}

impl Prefix {
    /// Returns what a prompt is, as a hash, if its blocks cover it to the end.
    pub(super) fn whole(&self, prompt: Tokens) -> Option<u64> {
        let covered = (self.hashes.len() as u64).saturating_mul(u64::from(self.block));
        self.hashes.last().filter(|_| covered >= prompt.0).map(|last| mix(*last, prompt.0))
    }
}

/// What a source says of a request; what is `None` is drawn or left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestDraft {
    /// Tokens of the prompt; drawn by the law of its class.
    pub prompt: Option<Tokens>,
    /// Tokens of the answer; drawn by the law of its class.
    pub output: Option<Tokens>,
    /// How the prompt begins.
    pub prefix: Prefix,
    /// What exactly it asks, as a hash; drawn by the law of its class where the prompt is.
    pub content: Option<u64>,
    /// What its answer says, where later prompts go on with it.
    pub text: Option<u64>,
    /// Its class, by number; drawn by the shares.
    pub class: Option<usize>,
    /// Who asks; drawn by the law of its class.
    pub tenant: Option<TenantId>,
    /// The conversation it belongs to.
    pub session: Option<u64>,
    /// The key of its [`Truth`]; made from its number.
    pub key: Option<u64>,
}

/// Turns points in time into requests: draws class, lengths, tenant and key, and numbers them.
#[derive(Clone, Debug)]
pub struct Mix {
    classes: Vec<ClassSpec>,
    /// Cumulated shares; the last is the total.
    shares: Vec<f64>,
    class_rng: Rng,
    length_rng: Rng,
    tenant_rng: Rng,
    content_rng: Rng,
    seed: u64,
    origins: u64,
    hardness: u64,
    next: u64,
}

impl Mix {
    /// A mix of these classes.
    ///
    /// # Panics
    /// If there is no class or no share above zero.
    #[must_use]
    pub fn new(classes: Vec<ClassSpec>, seed: u64) -> Mix {
        let shares: Vec<f64> = classes
            .iter()
            .scan(0.0, |sum, class| {
                *sum += class.share;
                Some(*sum)
            })
            .collect();
        assert!(shares.last().is_some_and(|total| *total > 0.0), "some class has a share");
        Mix {
            classes,
            shares,
            class_rng: Rng::stream(seed, "classes"),
            length_rng: Rng::stream(seed, "lengths"),
            tenant_rng: Rng::stream(seed, "tenants"),
            content_rng: Rng::stream(seed, "contents"),
            seed: Rng::stream(seed, "truth").bits(),
            origins: Rng::stream(seed, "origins").bits(),
            hardness: Rng::stream(seed, "complexity").bits(),
            next: 0,
        }
    }

    /// Makes the next request, of which nothing is known.
    pub fn draw(&mut self, at: Time) -> Arrival {
        self.make(at, RequestDraft::default())
    }

    /// Makes the next request: what the draft leaves open is drawn.
    pub fn make(&mut self, at: Time, draft: RequestDraft) -> Arrival {
        let class = draft.class.unwrap_or_else(|| {
            if self.classes.len() == 1 { 0 } else { pick(&self.shares, &mut self.class_rng) }
        });
        let spec = &self.classes[class];
        let number = ClassId(class as u16);
        let open = draft.prompt.is_none() && draft.content.is_none();
        let repeated = open.then(|| spec.repeated(number, &mut self.content_rng)).flatten();
        let prompt = draft.prompt.unwrap_or_else(|| length(&spec.prompt, &mut self.length_rng));
        // Drawn and not used, so that repetition moves no answer.
        let prompt = repeated.map_or(prompt, |repeated| repeated.tokens);
        let output = draft.output.unwrap_or_else(|| length(&spec.output, &mut self.length_rng));
        let tenant = draft.tenant.unwrap_or_else(|| spec.tenants.draw(&mut self.tenant_rng));
        let id = self.next;
        self.next += 1;
        // A conversation stays where it is and what it is.
        let who = draft.session.map_or(id, |session| mix(1, session));
        let (region, attributes) = spec.origin.draw(mix(self.origins, who));
        let key = draft.key.unwrap_or_else(|| mix(self.seed, id));
        let truth = Truth { output: Tokens(output.0.max(1)), key, text: draft.text };
        let request = Request {
            deadline: spec.deadline.map_or(Time::MAX, |deadline| at + deadline),
            class: number,
            tenant,
            priority: spec.priority,
            prompt,
            session: draft.session,
            region,
            attributes,
            prefix_block: if draft.prefix.hashes.is_empty() { 0 } else { draft.prefix.block },
            prefix: draft.prefix.hashes,
            content: draft.content.or(repeated.map(|repeated| repeated.content)),
            model: spec.model,
            complexity: spec.hardness(mix(self.hardness, id), &truth),
            ..Request::new(RequestId(id), at)
        };
        Arrival { at, request, truth }
    }

    /// Draws a class by the shares, and a tenant of it, from the generators of a conversation.
    pub(super) fn cast(&self, rng: &mut Rng, tenant_rng: &mut Rng) -> (usize, TenantId) {
        let class = pick(&self.shares, rng);
        (class, self.classes[class].tenants.draw(tenant_rng))
    }

    /// Draws whether a request of a class is one that comes again, and which.
    pub(super) fn repeated(&self, class: usize, rng: &mut Rng) -> Option<RepeatedPrompt> {
        self.classes[class].repeated(ClassId(class as u16), rng)
    }

    /// Draws the lengths of a prompt and an answer of a class.
    pub(super) fn lengths(&self, class: usize, rng: &mut Rng) -> (Tokens, Tokens) {
        let spec = &self.classes[class];
        let prompt = length(&spec.prompt, rng);
        (prompt, length(&spec.output, rng))
    }

    /// The number of the class with this name.
    pub(super) fn class_named(&self, name: &[u8]) -> Option<usize> {
        self.classes.iter().position(|class| class.name.as_bytes() == name)
    }
}

/// Draws a place by cumulated shares, of which the last is the total.
fn pick(shares: &[f64], rng: &mut Rng) -> usize {
    let point = rng.unit() * shares[shares.len() - 1];
    shares.partition_point(|&sum| sum <= point).min(shares.len() - 1)
}

/// Draws a number of tokens: rounded, at least one, at most [`LENGTH_MAX`].
pub(super) fn length(law: &Dist, rng: &mut Rng) -> Tokens {
    Tokens((law.sample(rng).round() as u64).clamp(1, LENGTH_MAX))
}
