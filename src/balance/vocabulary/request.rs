//! A request as the balancer may know it: the facts at hand when it arrives, and no others.
//!
//! The edge (simulator or gateway) turns text into these facts and keeps the body. How long the
//! answer really becomes and how long a node really takes live in `workload::Truth`, a type this
//! module cannot name: no strategy can read the future.

use super::job::JobStep;
use crate::unit::{ClassId, ModelId, NodeId, RegionId, RequestId, TenantId, Time, Tokens};

/// How much a request matters when not everything can be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Served before everything else.
    Critical,
    /// Served before normal traffic.
    High,
    /// The default.
    #[default]
    Normal,
    /// The first to go under overload.
    Sheddable,
}

impl Priority {
    /// All of them, the most important first.
    pub const ALL: [Priority; 4] =
        [Priority::Critical, Priority::High, Priority::Normal, Priority::Sheddable];

    /// Returns the word of scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Priority::Critical => "critical",
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Sheddable => "sheddable",
        }
    }
}

/// The node that has what a request goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HomeNode {
    /// The node.
    pub node: NodeId,
    /// Nobody else has it: the request is served there or not at all. Otherwise it goes there as long as
    /// that node takes it at once.
    pub only: bool,
}

/// What a request may name that belongs to a conversation, or that a node keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionKeyKind {
    /// The conversation, as [`Request::session`] has it.
    Session,
    /// The end user.
    User,
    /// The conversation that the endpoint keeps.
    Conversation,
    /// What shares a cache of prompts.
    PromptCacheKey,
    /// The answer it goes on from, which the endpoint keeps.
    PreviousResponse,
    /// The session of a tool server.
    McpSession,
}

impl SessionKeyKind {
    /// All of them.
    pub const ALL: [SessionKeyKind; 6] = [
        SessionKeyKind::Session,
        SessionKeyKind::User,
        SessionKeyKind::Conversation,
        SessionKeyKind::PromptCacheKey,
        SessionKeyKind::PreviousResponse,
        SessionKeyKind::McpSession,
    ];

    /// Returns the word of scenarios and journals.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SessionKeyKind::Session => "session",
            SessionKeyKind::User => "user",
            SessionKeyKind::Conversation => "conversation",
            SessionKeyKind::PromptCacheKey => "prompt_cache_key",
            SessionKeyKind::PreviousResponse => "previous_response_id",
            SessionKeyKind::McpSession => "mcp_session_id",
        }
    }

    /// Returns whether nodes give the name, not clients: who names it means what one node keeps.
    #[must_use]
    pub const fn is_given(self) -> bool {
        matches!(self, SessionKeyKind::PreviousResponse | SessionKeyKind::McpSession)
    }
}

/// Something that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// What it is.
    pub by: SessionKeyKind,
    /// A hash of its name.
    pub hash: u64,
}

/// What is known of a request at arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number in this run.
    pub id: RequestId,
    /// When it was meant to arrive. Latency counts from here (no coordinated omission).
    pub arrived: Time,
    /// When its answer stops being useful; `Time::MAX` for never.
    pub deadline: Time,
    /// Its class.
    pub class: ClassId,
    /// Who asks.
    pub tenant: TenantId,
    /// How much it matters.
    pub priority: Priority,
    /// Tokens of the prompt, counted or estimated by the edge.
    pub prompt: Tokens,
    /// Tokens the answer may have at most, if the client said so.
    pub output_max: Option<Tokens>,
    /// The conversation it belongs to.
    pub session: Option<u64>,
    /// What else it names, each kind at most once; without the session. Empty where nobody goes by it.
    pub keys: Box<[SessionKey]>,
    /// Where it comes from, if that is known.
    pub region: Option<RegionId>,
    /// What else the edge knows of it, as a set of bits that stand for the scenario's attributes.
    pub attributes: u64,
    /// The job it is a step of.
    pub job: Option<JobStep>,
    /// Chained hashes of the prompt's blocks: two requests share a prefix exactly as far as these
    /// agree. Empty where the edge does not know them.
    pub prefix: Box<[u64]>,
    /// Tokens that a hash of `prefix` stands for; the last one may stand for fewer. Zero where
    /// there is none.
    pub prefix_block: u32,
    /// What exactly it asks: a hash of all that makes its answer what it is, so that requests with the
    /// same one may be given the same answer. `None` where the edge does not say.
    pub content: Option<u64>,
    /// How hard it is, in thousandths of any scale on which more is harder, if the edge can tell.
    pub complexity: Option<u32>,
    /// The model it names: only nodes of it may serve it.
    pub model: Option<ModelId>,
    /// Whether its answer comes whole, without a first token before the end.
    pub whole: bool,
    /// How hard the model is asked to think before it answers, in steps from one on; zero if nothing is said.
    pub effort: u8,
    /// Whether it does something that is not to be done twice: it is tried again only where it was refused
    /// before anything came of it, and never beside an attempt that is late.
    pub once: bool,
    /// How often whoever asks has asked the same before, as far as they say so: a step of a job that
    /// is tried again, a client's library that repeats a request. Zero for a new request.
    pub again: u8,
    /// Who has what it goes on from: an earlier answer, a session that a node keeps. Whatever the strategy
    /// would prefer, it goes there.
    pub home: Option<HomeNode>,
}

impl Request {
    /// Returns whether one node alone may serve it.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.home.is_some_and(|home| home.only)
    }

    /// Returns what it names of this kind.
    #[must_use]
    pub fn key(&self, by: SessionKeyKind) -> Option<SessionKey> {
        if by == SessionKeyKind::Session {
            return self.session.map(|hash| SessionKey { by, hash });
        }
        self.keys.iter().find(|key| key.by == by).copied()
    }

    /// A request of which nothing more is known: of the first class and tenant, one token long,
    /// for ever of use.
    #[must_use]
    pub fn new(id: RequestId, arrived: Time) -> Request {
        Request {
            id,
            arrived,
            deadline: Time::MAX,
            class: ClassId(0),
            tenant: TenantId(0),
            priority: Priority::Normal,
            prompt: Tokens(1),
            output_max: None,
            session: None,
            keys: Box::default(),
            region: None,
            attributes: 0,
            job: None,
            prefix: Box::default(),
            prefix_block: 0,
            content: None,
            complexity: None,
            model: None,
            whole: false,
            effort: 0,
            once: false,
            again: 0,
            home: None,
        }
    }

    /// Returns how hard it is, in thousandths: its complexity, or else its prompt in thousands of
    /// tokens, for want of anything better.
    #[must_use]
    pub fn hardness(&self) -> u32 {
        self.complexity.unwrap_or_else(|| u32::try_from(self.prompt.0).unwrap_or(u32::MAX))
    }
}
