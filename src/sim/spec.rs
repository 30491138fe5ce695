//! What a simulation is made of.

use super::act::Act;
use super::instances::Instances;
use super::network::NetworkSpec;
use crate::balance::Config;
use crate::dist::Dist;
use crate::node::{BackendSpec, FaultRule, FaultSpec};
use crate::unit::Span;
use crate::workload::QualitySpec;

/// Everything a simulation is made of, beside its traffic.
#[derive(Debug)]
pub struct SimSpec {
    /// The balancer's configuration.
    pub config: Config,
    /// Back ends, by node.
    pub backends: Vec<BackendSpec>,
    /// Faults on the schedule.
    pub faults: Vec<FaultSpec>,
    /// The gap after which a stream counts as stalled.
    pub inter_token: Option<Span>,
    /// How many balancers there are, and what they are told.
    pub instances: Instances,
    /// By node: seconds it takes to start. Those left out start at once.
    pub cold_starts: Vec<Dist>,
    /// How long words are under way; `None` for no time at all.
    pub network: Option<NetworkSpec>,
    /// How good answers are, where that is known.
    pub quality: Option<QualitySpec>,
    /// Faults that happen again and again.
    pub fault_rules: Vec<FaultRule>,
    /// What a person does.
    pub acts: Vec<Act>,
    /// How long the executor waits for a connection; `None` is for ever.
    pub connect: Option<Span>,
}

impl SimSpec {
    /// Returns one balancer before these back ends, by node; nothing fails but what they say, no
    /// stream stalls, every node starts at once and no word takes time.
    #[must_use]
    pub fn new(config: Config, backends: Vec<BackendSpec>) -> SimSpec {
        SimSpec {
            config,
            backends,
            faults: Vec::new(),
            inter_token: None,
            instances: Instances::default(),
            cold_starts: Vec::new(),
            network: None,
            quality: None,
            fault_rules: Vec::new(),
            acts: Vec::new(),
            connect: None,
        }
    }
}
