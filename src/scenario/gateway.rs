//! `[gateway]`: what a gateway does beside balancing.

use super::keys::{KeyKind, SectionDef, Usual, key, section, text};
use super::value::{Field, Walk};

/// So many origins are known.
pub const ORIGINS_MAX: usize = 64;

/// `[gateway]`.
pub(super) static GATEWAY: SectionDef = SectionDef {
    keys: &[key(
        "cors_origins",
        KeyKind::List(&ORIGIN, 0, ORIGINS_MAX),
        Usual::Unsaid("none"),
        "origins whose pages may call it, such as \"https://chat.example.com\"; \"*\" for any",
    )],
    ..section("gateway", "`[gateway]`")
};

const ORIGIN: KeyKind =
    text("an origin, such as https://chat.example.com, or *", "^(\\*|https?://[^/]+)$");

/// What a gateway does beside balancing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Origins whose pages may call it; `*` for any.
    pub cors_origins: Vec<String>,
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
    table.finish(walk);
    settings
}
