//! NodeHealth checks as configured: probes, ejections, recovery, outliers.

use crate::unit::{Ratio, Span};

/// How the health of nodes is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// Probes while a node is up; `None` probes only ejected ones.
    pub probe_every: Option<Span>,
    /// A probe without an answer for so long has failed. Half of it is the pause between the probes of an
    /// ejected node, where those of nodes in service are not closer together.
    pub probe_timeout: Span,
    /// So many failed probes in a row eject.
    pub fall: u32,
    /// So many good probes in a row bring an ejected node back.
    pub rise: u32,
    /// Whether a node that was ejected because requests failed, and answers its probes with errors, is
    /// tried with one request when its rest is over: some endpoints serve well and have nothing to be
    /// probed by. Needs [`RecoverySettings::half_open`].
    pub any_answer: bool,
    /// So many blamed failures in a row eject.
    pub consecutive: u32,
    /// Time of the first ejection; every further one doubles it.
    pub eject_base: Span,
    /// No ejection lasts longer.
    pub eject_cap: Span,
    /// At most this share of everything that a route may use, all tiers and all pools, is ejected at a
    /// time because requests fail, but at least one node may be. What is dead, by its probes or because
    /// it refuses connections, is not bounded by it.
    pub max_share: Ratio,
    /// How nodes that are new, come back or may be sick are treated.
    pub recovery: RecoverySettings,
    /// An ejection is longer by up to this share of its time, drawn anew each time, so that nodes which
    /// failed together do not come back together. The cap holds all the same.
    pub eject_jitter: Ratio,
}

impl HealthSettings {
    /// Returns the pause between the probes of an ejected node: short enough that a node which is well
    /// again serves before two probe timeouts have passed, with two good probes.
    pub(in crate::balance) fn probe_pause(&self) -> Span {
        let half = Span(self.probe_timeout.0 / 2).max(PROBE_PAUSE_MIN);
        self.probe_every.map_or(half, |every| every.min(half))
    }

    /// Returns how long an ejection lasts after so many before it; `draw` is uniform from zero to one.
    pub(in crate::balance) fn ejection_time(&self, ejections: u32, draw: f64) -> Span {
        let time = self.eject_base.0.saturating_mul(1 << ejections.min(30));
        let time = Span(time).min(self.eject_cap);
        let jitter = self.eject_jitter.value();
        if jitter == 0.0 {
            return time;
        }
        // What the cap cuts off would be jitter again: below it there is room for all of it.
        let time = time.min(self.eject_cap.scale(1.0 / (1.0 + jitter)));
        time.scale(1.0 + jitter * draw).min(self.eject_cap)
    }

    /// Says how it contradicts itself, if it does.
    pub(in crate::balance) fn is_sound(&self) -> bool {
        // Timers that set themselves again must move on.
        let spans = [self.probe_timeout, self.eject_base, self.eject_cap];
        self.probe_every != Some(Span::ZERO)
            && !spans.contains(&Span::ZERO)
            && self.recovery.is_sound()
    }
}

impl Default for HealthSettings {
    fn default() -> HealthSettings {
        HealthSettings {
            probe_every: None,
            probe_timeout: Span::from_secs(1),
            fall: 3,
            rise: 2,
            any_answer: true,
            consecutive: 5,
            // A rest that outlasts what made it necessary is a loss of capacity of its own: after a
            // short one, `tests/core/metastable.rs`, it is what keeps a fleet at 80 % load from
            // coming back within a minute. Whether a node is well whose probes always were only a
            // request can tell, and one at a time costs little.
            eject_base: Span::from_secs(1),
            eject_cap: Span::from_secs(300),
            max_share: Ratio(500_000),
            recovery: RecoverySettings::default(),
            eject_jitter: Ratio(100_000),
        }
    }
}

/// An ejected node is not probed more often than this.
const PROBE_PAUSE_MIN: Span = Span::from_millis(1);

/// A 429 without a time is taken as this.
pub const RETRY_AFTER_DEFAULT: Span = Span::from_secs(1);
/// A node is never left alone longer than this, whatever it asked for.
pub const RETRY_AFTER_MAX: Span = Span::from_secs(600);

/// How nodes that are new, come back or may be sick are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoverySettings {
    /// Whether a node that comes back from an ejection gets one request at a time until one succeeds.
    pub half_open: bool,
    /// Whether a node that is silent for a whole first-token timeout is ejected at once.
    pub silence: bool,
    /// How long a node rests after the first 401, 402 or 403; twice as long each further time. `None`
    /// lets it rest not at all: where it is the only one, a request would wait for it in vain.
    pub credential: Option<Span>,
    /// How nodes worse than their peers are found.
    pub outlier: Option<OutlierSettings>,
    /// For so long new and returning nodes get less than their share.
    pub slow_start: Option<Span>,
    /// A new node gets at most so many requests at a time until its first success.
    pub probation: Option<u32>,
    /// Where nothing that a route may use is well, ejected nodes serve it too until this share is well;
    /// those never whose probes fail. `None` lets requests wait.
    pub panic: Option<Ratio>,
    /// Probes that ask for one token.
    pub generate: Option<Generate>,
}

/// Probes that ask for one token: they cost money, and find engines that are wedged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generate {
    /// How often.
    pub every: Span,
    /// One that is not answered for so long has failed.
    pub timeout: Span,
}

impl Default for RecoverySettings {
    fn default() -> RecoverySettings {
        RecoverySettings {
            half_open: true,
            silence: true,
            credential: None,
            outlier: None,
            slow_start: None,
            probation: None,
            panic: None,
            generate: None,
        }
    }
}

impl RecoverySettings {
    /// Says how it contradicts itself, if it does.
    pub(in crate::balance) fn is_sound(&self) -> bool {
        let generate = self.generate;
        generate.is_none_or(|it| it.every > Span::ZERO && it.timeout > Span::ZERO)
            && self.slow_start != Some(Span::ZERO)
            && self.credential != Some(Span::ZERO)
            && self.probation != Some(0)
    }
}

/// A window holds at most so many requests.
pub const WINDOW_MAX: u32 = 64;

/// The success rate is held against at least so many peers.
pub const PEERS_SUCCESS: u32 = 4;

/// Slowness is held against at least so many peers.
pub const PEERS_SLOW: u32 = 3;

/// How outliers are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierSettings {
    /// So many of a node's last requests are looked at: 1 to [`WINDOW_MAX`].
    pub window: u32,
    /// A node with fewer is not judged, and judges nobody.
    pub volume: u32,
    /// Its success rate must be below its peers' by so much.
    pub margin: Ratio,
    /// A node that fails this share of its requests is ejected whatever its peers do.
    pub failures: Ratio,
    /// A first token is slow if it takes so many times the median of pool and class; `None` does not
    /// look at times. Not for pools of nodes that are unlike by design.
    pub slow: Option<Ratio>,
}

impl Default for OutlierSettings {
    fn default() -> OutlierSettings {
        OutlierSettings {
            window: 50,
            volume: 20,
            margin: Ratio(50_000),
            failures: Ratio(850_000),
            slow: None,
        }
    }
}
