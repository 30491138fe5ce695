//! Where requests come from, and the only place that makes a [`Truth`].
//!
//! A source yields arrivals in order of time: what the balancer may know (`Request`) and what only
//! a simulated node may know (`Truth`). Everything random comes from streams named after their
//! purpose, so a change of strategy changes no arrival and no length.

pub mod arrival;
pub mod closed;
pub mod complexity;
pub mod hardness;
pub mod length;
pub mod origin;
pub mod process;
pub mod quality;
pub mod repeat;
pub mod session;
pub mod tenant;
pub mod trace;
pub mod workflow;

use rand_distr::{Distribution, StandardNormal};

use crate::balance::{Fate, Input, JobNews, Request};
use crate::rng::{Rng, mix};
use crate::unit::{RequestId, Time, Tokens};

pub use arrival::Generated;
pub use closed::{Begin, ClosedLoop, Script, SessionPace, Users};
pub use complexity::PromptFeatures;
pub use hardness::HardnessLaw;
pub use length::{ClassSpec, Mix};
pub use origin::{Origin, OriginShares};
pub use process::Process;
pub use quality::{AnswerQuality, QualitySpec};
pub use repeat::RepeatLaw;
pub use session::SessionSpec;
pub use tenant::TenantLaw;
pub use trace::{
    CsvMap, Recordings, ServeGen, TimeUnit, Trace, TraceError, TraceFormat, TraceScale,
};
pub use workflow::{Jobs, WorkflowSpec};

/// Generated arrivals where a bare rate is given: `Poisson::new(40.0, ...)`.
pub type Poisson = Generated;

/// Keys how hard requests are; any number that no other draw uses.
const DIFFICULTY: u64 = 0x64_69_66_66_69_63_75_6c;

/// What is true of a request but not known before it is answered. The balancer cannot name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Tokens the answer will have; at least one.
    pub output: Tokens,
    /// Seeds the draws of nodes that serve it, so that they do not depend on who is asked when.
    pub key: u64,
    /// The text that its answer goes on with, where it will be part of later prompts: the hashes of the
    /// blocks of the prompt go on by it, as [`chained`].
    pub text: Option<u64>,
}

/// The hash of a block at a place of a text, after the hash of the block before it.
#[must_use]
pub fn chained(before: u64, text: u64, place: u64) -> u64 {
    mix(before, mix(text, place))
}

impl Truth {
    /// Returns how hard the request is for any model, against others of its class: a draw of the
    /// standard normal law.
    #[must_use]
    pub fn difficulty(&self) -> f64 {
        StandardNormal.sample(&mut Rng::from_key(mix(self.key, DIFFICULTY)))
    }
}

/// A request at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When; equal to `request.arrived`.
    pub at: Time,
    /// What the balancer may know.
    pub request: Request,
    /// What it may not.
    pub truth: Truth,
}

/// Yields arrivals in order of time, whatever becomes of them (an open loop). Ids count up from
/// zero.
pub trait ArrivalSource: Send {
    /// Returns the next arrival, or `None` at the end.
    ///
    /// # Errors
    /// If a trace cannot be read any further, with every error found in the rest of it.
    fn next(&mut self) -> Result<Option<Arrival>, Vec<TraceError>>;

    /// See [`Traffic::set_load`].
    fn set_load(&mut self, factor: f64) -> bool {
        let _ = factor;
        false
    }

    /// What a person should know of what has been played so far, such as rows left out.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What traffic has to say beside its arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Something happened to a job.
    Job(JobNews),
    /// Nobody waits for this request any more.
    Cancel(RequestId),
}

impl From<News> for Input {
    fn from(news: News) -> Input {
        match news {
            News::Job(news) => Input::Job(news),
            News::Cancel(request) => Input::Cancel(request),
        }
    }
}

/// What a driver plays: arrivals in order of time, some of which may wait for answers (a closed
/// loop). Ids count up from zero in order of arrival.
pub trait Traffic: Send {
    /// Returns when the next arrival comes. `None` if none comes as things are: never again, or
    /// not before a request under way is settled.
    ///
    /// # Errors
    /// If a trace cannot be read any further, with every error found in the rest of it.
    fn peek(&mut self) -> Result<Option<Time>, Vec<TraceError>>;

    /// Takes the arrival that [`Traffic::peek`] has just told of.
    ///
    /// # Panics
    /// If it told of none.
    fn take(&mut self) -> Arrival;

    /// From the next arrival but the one that is told of on, so many times as many arrive as the law says.
    /// Returns whether that is possible: not where arrivals are recorded, or wait for answers.
    fn set_load(&mut self, factor: f64) -> bool {
        let _ = factor;
        false
    }

    /// Hears how a request ended. What follows from it comes at `now` or later.
    fn settled(&mut self, now: Time, request: RequestId, fate: Fate);

    /// What a person should know of what has been played so far, such as rows left out.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns when it has something to say beside arrivals, as things are: at once if that time has
    /// passed. What is said may change every arrival to come, so it is said before those of its time.
    fn news_at(&mut self) -> Option<Time> {
        None
    }

    /// Says the next of what is to be said by `now`, for the balancer to hear.
    fn news(&mut self, now: Time) -> Option<News> {
        let _ = now;
        None
    }
}

/// An open loop as traffic.
pub struct OpenLoop<S> {
    source: S,
    held: Option<Arrival>,
}

impl<S: ArrivalSource> OpenLoop<S> {
    /// Plays a source.
    #[must_use]
    pub const fn new(source: S) -> OpenLoop<S> {
        OpenLoop { source, held: None }
    }
}

impl<S> std::fmt::Debug for OpenLoop<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenLoop").field("held", &self.held).finish_non_exhaustive()
    }
}

impl<S: ArrivalSource> Traffic for OpenLoop<S> {
    fn peek(&mut self) -> Result<Option<Time>, Vec<TraceError>> {
        if self.held.is_none() {
            self.held = self.source.next()?;
        }
        Ok(self.held.as_ref().map(|arrival| arrival.at))
    }

    fn take(&mut self) -> Arrival {
        self.held.take().expect("an arrival was told of")
    }

    fn settled(&mut self, _: Time, _: RequestId, _: Fate) {}

    fn set_load(&mut self, factor: f64) -> bool {
        self.source.set_load(factor)
    }

    fn remarks(&self) -> Vec<String> {
        self.source.remarks()
    }
}
