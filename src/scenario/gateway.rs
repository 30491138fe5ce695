//! `[gateway]`: what a gateway does beside balancing.

use super::keys::{KeyKind, SPAN_OR_NONE, SectionDef, Usual, key, section, text};
use super::value::{Field, Walk};
use crate::unit::Span;

/// So many origins are known.
pub const ORIGINS_MAX: usize = 64;

/// Proxies and libraries that wait for bytes wait longer than this.
const KEEP_ALIVE: Span = Span::from_secs(15);

/// `[gateway]`.
pub(super) static GATEWAY: SectionDef = SectionDef {
    keys: &[
        key(
            "cors_origins",
            KeyKind::List(&ORIGIN, 0, ORIGINS_MAX),
            Usual::Unsaid("none"),
            "origins whose pages may call it, such as \"https://chat.example.com\"; \"*\" for any",
        ),
        key(
            "keep_alive",
            SPAN_OR_NONE,
            Usual::Span(KEEP_ALIVE),
            "a stream in which nothing came for so long gets a comment",
        ),
        key(
            "begin_after",
            SPAN_OR_NONE,
            Usual::Word("none"),
            "a stream that waits for its first token for so long begins all the same, with comments: what \
             fails after that is told in an event, no longer by a status",
        ),
    ],
    ..section("gateway", "`[gateway]`")
};

const ORIGIN: KeyKind =
    text("an origin, such as https://chat.example.com, or *", "^(\\*|https?://[^/]+)$");

/// What a gateway does beside balancing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Origins whose pages may call it; `*` for any.
    pub cors_origins: Vec<String>,
    /// A stream in which nothing came for so long gets a comment.
    pub keep_alive: Option<Span>,
    /// A stream that waits for its first token for so long begins all the same.
    pub begin_after: Option<Span>,
}

impl Default for GatewaySettings {
    fn default() -> GatewaySettings {
        let (cors_origins, keep_alive) = (Vec::new(), Some(KEEP_ALIVE));
        GatewaySettings { cors_origins, keep_alive, begin_after: None }
    }
}

pub(super) fn read(walk: &mut Walk, field: Option<Field<'_>>) -> GatewaySettings {
    let mut settings = GatewaySettings::default();
    let Some(mut table) = field.and_then(|field| walk.table(field)) else { return settings };
    let origins = table.take("cors_origins").map(|field| walk.list(field));
    for field in origins.into_iter().flatten() {
        let Some(origin) = walk.text(field) else { continue };
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if origin == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
            settings.cors_origins.push(origin.to_owned());
        } else {
            walk.must_be(field, "an origin, such as https://chat.example.com, or *");
        }
    }
    super::balancer::keep(&mut settings.keep_alive, table.span_or_none(walk, "keep_alive"));
    super::balancer::keep(&mut settings.begin_after, table.span_or_none(walk, "begin_after"));
    table.finish(walk);
    settings
}
