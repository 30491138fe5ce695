//! Hashing of keys to nodes: what consistent hashing and affinity share.
//!
//! The key of a request is its session, its tenant or the beginning of its prompt. Rendezvous
//! hashing orders nodes by `-weight / ln(u)`, where `u` is a uniform hash of (key, node): exact
//! weights, least disruption (Thaler and Ravishankar 1998; weighted by Schindelhauer 2005).

use super::PickContext;
use crate::balance::vocabulary::Request;
use crate::rng::mix;
use crate::unit::NodeId;

/// What a key is made of, as settings name it.
pub(super) const KEYS: &[&str] = &["session", "tenant", "prefix", "request"];

/// Blocks of the prompt that make up a key.
const PREFIX_BLOCKS: usize = 4;

/// What a key is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    Session,
    Tenant,
    Prefix,
    Request,
}

impl Key {
    pub(super) fn of(place: u64) -> Key {
        match place {
            0 => Key::Session,
            1 => Key::Tenant,
            2 => Key::Prefix,
            _ => Key::Request,
        }
    }

    /// Returns the key of a request. One without a session or a prefix is its own key.
    pub(super) fn hash(self, request: &Request) -> u64 {
        let own = mix(0x0072_6571, request.id.0);
        match self {
            Key::Session => request.session.map_or(own, |session| mix(0x0073_6573, session)),
            Key::Tenant => mix(0x0074_656e, u64::from(request.tenant.0)),
            // Blocks are hashed in chains, so the last one stands for all before it.
            Key::Prefix => request
                .prefix
                .get(PREFIX_BLOCKS.min(request.prefix.len()).saturating_sub(1))
                .map_or(own, |block| mix(0x0070_7265, *block)),
            Key::Request => own,
        }
    }
}

/// A uniform number in (0, 1] of (key, node).
fn uniform(key: u64, node: NodeId) -> f64 {
    ((mix(key, u64::from(node.0)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Returns how much a key dislikes a node: the least wins.
pub(super) fn distance(context: &PickContext<'_>, key: u64, node: NodeId) -> f64 {
    let weight = f64::from(context.node(node).spec.weight);
    -uniform(key, node).ln() / weight
}
