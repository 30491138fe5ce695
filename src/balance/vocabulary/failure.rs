//! Which failure is whose: one table, for the simulated and the live.
//!
//! | whose | told by | tried again | what it does to the node |
//! |---|---|---|---|
//! | the node's | no connection, 5xx, a broken answer | anywhere | it suffers |
//! | the request's, as one node says | 400, 404, 422 and their like | on another node, if the first is doubted or has not what is asked for | it suffers if another one serves the request |
//! | the credential's | 401, 402, 403, money that is spent, told by any status | with another credential | it rests |
//! | the limit's | 429, 503, 529, or a word of them | anywhere | it is left alone |
//! | the length's | a word of the context | where the context is larger, or unknown in another pool | nothing |
//! | the policy's | a word of a content filter | in another pool, where the route says so | nothing |
//!
//! A node that is given a wrong path, a model it has not, or an account that may not use it says that
//! the request is at fault; so does a node whose client made a mistake. One node's word does not tell
//! them apart, a second one's does. A simulated fault says a [`Failure`]; live answers are read into one
//! by their status here, and by their words in `live::wire::refusal`.

use crate::unit::NodeId;

/// Why an attempt or a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// No connection: refused, unreachable, or no answer to the connect in time.
    Refused,
    /// The connection broke before the answer was whole.
    Reset,
    /// The node answered with a server error.
    ServerError,
    /// The node has no room (503, 529, queue full): back-pressure, not sickness.
    Overloaded,
    /// No token for longer than the allowed gap. Watched by the executor, which sees tokens.
    Stalled,
    /// An answer that is not one: wrong type, malformed, truncated.
    Malformed,
    /// The request itself is at fault, as the node says (400, 413, 422).
    ClientError,
    /// The credential is at fault (401, 402, 403), or what it may spend is spent: it is not tried
    /// again with any node that is asked with the same one.
    Unauthorized,
    /// The node could never hold a request of this length. Not blamed on the node; a larger one may
    /// hold it.
    TooLong,
    /// What is asked for is not there, as the node says (404, 405, 410): its model, its deployment or its
    /// path.
    NotFound,
    /// The node's provider will not answer what is asked. Another provider may.
    ContentPolicy,
    /// The answer is larger than whoever asks takes, in one piece or before it begins. Nobody is to blame.
    TooLarge,
    /// An answer that was cut, and comes anew, is another one than had come. Nobody is to blame.
    Diverged,
    /// No connection: the certificate has expired, or is of use only later.
    CertificateExpired,
    /// No connection: the certificate is for another name.
    CertificateName,
    /// No connection: nobody who is trusted stands for the certificate.
    CertificateUntrusted,
    /// No connection: there is no agreement on how it is to be kept secret.
    Handshake,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The node's.
    Node,
    /// The request's, as one node says; the node's, if another one serves the request.
    Request,
    /// That of the credential the node is asked with.
    Credential,
    /// Nobody's: a limit is reached.
    Limit,
    /// Nobody's: the request is longer than the node's context.
    Length,
    /// Nobody's: the provider has rules about what it answers, or the asker about what it takes.
    Policy,
}

/// Of at most so many nodes it is asked whether a request is at fault.
pub const OPINIONS_MAX: u32 = 3;

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 17] = [
        Failure::Refused,
        Failure::Reset,
        Failure::ServerError,
        Failure::Overloaded,
        Failure::Stalled,
        Failure::Malformed,
        Failure::ClientError,
        Failure::Unauthorized,
        Failure::TooLong,
        Failure::NotFound,
        Failure::ContentPolicy,
        Failure::TooLarge,
        Failure::Diverged,
        Failure::CertificateExpired,
        Failure::CertificateName,
        Failure::CertificateUntrusted,
        Failure::Handshake,
    ];

    /// The table: whose it is, and the words a log line uses.
    const fn row(self) -> (Whose, &'static str) {
        match self {
            Failure::Refused => (Whose::Node, "connect refused"),
            Failure::Reset => (Whose::Node, "connection reset"),
            Failure::ServerError => (Whose::Node, "server error"),
            Failure::Overloaded => (Whose::Limit, "overloaded"),
            Failure::Stalled => (Whose::Node, "stream stalled"),
            Failure::Malformed => (Whose::Node, "malformed answer"),
            Failure::ClientError => (Whose::Request, "client error"),
            Failure::Unauthorized => (Whose::Credential, "unauthorized"),
            Failure::TooLong => (Whose::Length, "too long for the node"),
            Failure::NotFound => (Whose::Request, "not found"),
            Failure::ContentPolicy => (Whose::Policy, "content policy"),
            Failure::TooLarge => (Whose::Policy, "answer too large"),
            Failure::Diverged => (Whose::Policy, "another answer"),
            Failure::CertificateExpired => (Whose::Node, "certificate expired"),
            Failure::CertificateName => (Whose::Node, "certificate of another name"),
            Failure::CertificateUntrusted => (Whose::Node, "certificate not trusted"),
            Failure::Handshake => (Whose::Node, "no TLS handshake"),
        }
    }

    /// Returns what an HTTP status means for health and retries, where no word of the answer says
    /// otherwise. A redirect is not followed, and a success is not asked about, so both are answers
    /// that are none.
    #[must_use]
    pub const fn of_status(status: u16) -> Failure {
        match status {
            429 | 503 | 529 => Failure::Overloaded,
            401..=403 => Failure::Unauthorized,
            // Too slow a request, or one too early: the next one may be fine.
            408 | 425 | 500..=599 => Failure::ServerError,
            404 | 405 | 410 => Failure::NotFound,
            400..=499 => Failure::ClientError,
            _ => Failure::Malformed,
        }
    }

    /// Returns whose fault it is.
    #[must_use]
    pub const fn whose(self) -> Whose {
        self.row().0
    }

    /// Returns whether the node is to blame whatever others say, so that its health suffers.
    #[must_use]
    pub const fn blames_node(self) -> bool {
        matches!(self.whose(), Whose::Node)
    }

    /// Returns whether there was no connection, so nothing was sent.
    #[must_use]
    pub const fn is_unreached(self) -> bool {
        matches!(
            self,
            Failure::Refused
                | Failure::CertificateExpired
                | Failure::CertificateName
                | Failure::CertificateUntrusted
                | Failure::Handshake
        )
    }

    /// Returns whether the node gave an answer, if not the one that was wanted: it is there.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        !self.is_unreached() && !matches!(self, Failure::Reset | Failure::Stalled)
    }

    /// Returns whether the node says that the request itself is at fault.
    #[must_use]
    pub const fn blames_request(self) -> bool {
        matches!(self.whose(), Whose::Request)
    }

    /// Returns whether the client is told what the node said: the request is at fault, or is not for
    /// this node.
    #[must_use]
    pub const fn is_told(self) -> bool {
        matches!(self.whose(), Whose::Request | Whose::Length | Whose::Policy)
    }

    /// Returns the words a log line uses.
    #[must_use]
    pub const fn words(self) -> &'static str {
        self.row().1
    }
}

/// Which nodes have refused a request, and over what: bits by the ordinal of the attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::balance) struct Refusals {
    /// Over their credential.
    pub(in crate::balance) credential: u8,
    /// Because the request is at fault, as they say.
    pub(in crate::balance) request: u8,
    /// Over its length.
    pub(in crate::balance) length: u8,
    /// Over their policy.
    pub(in crate::balance) policy: u8,
    /// Of those of `request`: because what is asked for is not there.
    pub(in crate::balance) missing: u8,
    /// Of those of `request`: it is settled whose fault that was.
    pub(in crate::balance) settled: u8,
}

impl Refusals {
    /// Notes that the node of the attempt of this ordinal failed so.
    pub(in crate::balance) const fn note(&mut self, ordinal: usize, failure: Failure) {
        let bits = match failure.whose() {
            Whose::Credential => &mut self.credential,
            Whose::Request => &mut self.request,
            Whose::Length => &mut self.length,
            Whose::Policy => &mut self.policy,
            Whose::Node | Whose::Limit => return,
        };
        *bits |= 1 << ordinal;
        if matches!(failure, Failure::NotFound) {
            self.missing |= 1 << ordinal;
        }
    }

    /// Returns whether those are believed who said that the request is at fault, the last of whom is
    /// doubted or not. One is that is not, unless it said only that what is asked for is not there.
    pub(in crate::balance) const fn is_believed(self, doubted: bool) -> bool {
        match self.request.count_ones() {
            0 => false,
            1 => !doubted && self.missing == 0,
            opinions => !doubted || opinions >= OPINIONS_MAX,
        }
    }

    /// Returns those who said that the request is at fault, as long as that is not settled.
    #[inline]
    pub(in crate::balance) const fn pending(self) -> u8 {
        self.request & !self.settled
    }

    /// It is settled whose fault the request's refusals were. Returns what was not settled before.
    pub(in crate::balance) const fn settle(&mut self) -> Refusals {
        let before = Refusals { request: self.pending(), ..*self };
        self.settled = self.request;
        before
    }

    /// Returns whether nobody has refused it.
    #[inline]
    pub(in crate::balance) const fn is_empty(self) -> bool {
        self.credential | self.request | self.length | self.policy == 0
    }

    /// Returns whether nothing but its length was refused: a node with a longer context would take it.
    pub(in crate::balance) const fn only_length(self) -> bool {
        self.length != 0 && self.credential | self.request | self.policy == 0
    }

    /// Returns the nodes among `tried` that a set of bits stands for.
    pub(in crate::balance) fn of(bits: u8, tried: &[NodeId]) -> impl Iterator<Item = NodeId> {
        let bit = move |ordinal: usize| ordinal < 8 && bits >> ordinal & 1 == 1;
        tried.iter().enumerate().filter(move |(ordinal, _)| bit(*ordinal)).map(|(_, node)| *node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_somebodys_and_only_some_are_the_nodes() {
        for failure in Failure::ALL {
            assert!(!failure.words().is_empty());
            let told = failure.is_told() as u8;
            assert!(failure.blames_node() as u8 + told <= 1, "{failure:?} is told and blamed");
            assert!(!failure.blames_request() || failure.is_told(), "{failure:?}");
        }
        let words: std::collections::BTreeSet<_> = Failure::ALL.map(Failure::words).into();
        assert_eq!(words.len(), Failure::ALL.len());
    }

    #[test]
    fn refusals_are_kept_apart_by_what_they_are_over() {
        let tried = [NodeId(4), NodeId(2), NodeId(9)];
        let mut refusals = Refusals::default();
        for failure in [Failure::Reset, Failure::Overloaded, Failure::ServerError] {
            refusals.note(0, failure);
        }
        assert!(refusals.is_empty());
        refusals.note(0, Failure::NotFound);
        refusals.note(2, Failure::ClientError);
        refusals.note(1, Failure::TooLong);
        assert!(Refusals::of(refusals.request, &tried).eq([NodeId(4), NodeId(9)]));
        assert!(Refusals::of(refusals.length, &tried).eq([NodeId(2)]));
        assert!(
            refusals.is_believed(false) && !refusals.is_believed(true),
            "of two a third is asked"
        );
        assert!(!refusals.is_empty() && !refusals.only_length());
        assert!(Refusals { request: 0, ..refusals }.only_length());
    }

    #[test]
    fn one_word_is_enough_unless_it_is_doubted_and_no_more_than_three_are_asked() {
        let mut refusals = Refusals::default();
        assert!(!refusals.is_believed(false));
        refusals.note(0, Failure::ClientError);
        assert!(refusals.is_believed(false) && !refusals.is_believed(true));
        let mut missing = Refusals::default();
        missing.note(0, Failure::NotFound);
        assert!(!missing.is_believed(false), "another node may have it");
        missing.note(1, Failure::NotFound);
        assert!(missing.is_believed(false) && !missing.is_believed(true));
        missing.note(2, Failure::NotFound);
        assert!(missing.is_believed(true));
    }
}
