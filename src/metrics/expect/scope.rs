//! Finds what an expectation is about: the whole run, or what its scope names.

use std::collections::BTreeSet;

use super::nearest::nearest;
use super::parse::{ExpectPiece, metric_names, words};
use super::{ExpectError, ExpectNames};
use crate::metrics::catalogue::scopes::{CLASS, JOBS, MODEL, NODE, POOL, ROUTE, RUN, STEP, TENANT};
use crate::metrics::catalogue::{MetricDef, Scope, Scopes};

/// What may be called by its name alone.
const NAMED: Scopes = CLASS.and(POOL).and(NODE).and(ROUTE);

/// So many names are told of a kind, where it is known of which kind something was meant to be.
const OF_KIND_MAX: usize = 32;

/// So many of each kind where it is not.
const OF_EACH_MAX: usize = 6;

/// The kinds that may stand before a colon, with their words.
fn kinds() -> impl Iterator<Item = (Scopes, &'static str)> {
    Scopes::worded().filter(|(kind, _)| !RUN.and(JOBS).any_of(*kind))
}

/// Returns the kind that this word before a colon says.
pub(super) fn kind_of(word: &str) -> Option<Scopes> {
    kinds().find(|(_, prefix)| *prefix == word).map(|(kind, _)| kind)
}

fn prefix(kind: Scopes) -> &'static str {
    kinds().find(|(known, _)| *known == kind).map_or("name", |(_, prefix)| prefix)
}

fn phrase(kind: Scopes) -> &'static str {
    match kind {
        CLASS => "a class",
        POOL => "a pool",
        NODE => "a node",
        JOBS => "jobs",
        ROUTE => "a route",
        STEP => "a step",
        TENANT => "a tenant",
        MODEL => "a model",
        _ => "the whole run",
    }
}

/// Finds out what the scope is, and whether the metric is measured for it.
pub(super) fn scope(
    kind: Option<Scopes>,
    name: Option<ExpectPiece<'_>>,
    names: &ExpectNames,
    metric: &MetricDef,
    word: ExpectPiece<'_>,
) -> Result<Scope, ExpectError> {
    let (kind, scope) = match name {
        Some(name) => named(kind, name, names)?,
        None if kind.is_some() => {
            let reason = "a name must follow the colon, and a dot the name".to_owned();
            return Err(word.wrong(reason, Some("write for instance `class:chat.p99`".to_owned())));
        }
        None => (RUN, Scope::Run),
    };
    if !metric.scopes.any_of(kind) {
        let reason = format!("`{}` is not measured for {}", word.text, phrase(kind));
        let help = format!("for {} there are {}", phrase(kind), metric_names(kind));
        return Err(word.wrong(reason, Some(help)));
    }
    Ok(scope)
}

fn named(
    kind: Option<Scopes>,
    name: ExpectPiece<'_>,
    names: &ExpectNames,
) -> Result<(Scopes, Scope), ExpectError> {
    if kind.is_none()
        && let Some(found) = jobs(name, names)
    {
        return found;
    }
    match kind {
        Some(STEP) => return step(name, names),
        Some(TENANT) => return tenant(name, names),
        Some(MODEL) => return model(name, names),
        _ => {}
    }
    let wanted = kind.unwrap_or(NAMED);
    let found: Vec<Scopes> = names
        .lists()
        .into_iter()
        .filter(|(kind, list)| wanted.any_of(*kind) && list.iter().any(|one| one == name.text))
        .map(|(kind, _)| kind)
        .collect();
    match found[..] {
        [CLASS] => Ok((CLASS, Scope::Class(name.text.to_owned()))),
        [POOL] => Ok((POOL, Scope::Pool(name.text.to_owned()))),
        [NODE] => Ok((NODE, Scope::Node(name.text.to_owned()))),
        [ROUTE] => Ok((ROUTE, Scope::Route(name.text.to_owned()))),
        [] => Err(kind.map_or_else(|| nothing(name, names), |kind| unknown(kind, name, names))),
        [..] => {
            let kinds: Vec<&str> = found.iter().map(|kind| phrase(*kind)).collect();
            let forms: Vec<String> =
                found.iter().map(|kind| format!("`{}:{}`", prefix(*kind), name.text)).collect();
            let reason = format!("`{}` is {}", name.text, kinds.join(" and "));
            Err(name.wrong(reason, Some(format!("write {}", forms.join(" or ")))))
        }
    }
}

/// Reads `jobs` and `NAME.jobs`, where there are workflows; `None` if it is something else.
fn jobs(
    name: ExpectPiece<'_>,
    names: &ExpectNames,
) -> Option<Result<(Scopes, Scope), ExpectError>> {
    let (flow, word) = name.last();
    if word.text != "jobs" || (names.workflows.is_empty() && names.has(name.text)) {
        return None;
    }
    if names.workflows.is_empty() {
        let reason = "there are no jobs: the scenario starts no workflow".to_owned();
        return Some(Err(word.wrong(reason, None)));
    }
    let Some(flow) = flow else { return Some(Ok((JOBS, Scope::Jobs(None)))) };
    if names.workflows.iter().any(|known| known == flow.text) {
        return Some(Ok((JOBS, Scope::Jobs(Some(flow.text.to_owned())))));
    }
    let near = nearest(flow.text, names.workflows.iter().map(String::as_str));
    let help = near.map(|near| format!("did you mean `{near}.jobs`?"));
    Some(Err(flow.wrong(format!("no workflow is called `{}`", flow.text), help)))
}

/// Reads `step:NAME` and `step:WORKFLOW.NAME`.
fn step(name: ExpectPiece<'_>, names: &ExpectNames) -> Result<(Scopes, Scope), ExpectError> {
    let found: Vec<&(String, String)> = names.steps_called(name.text).collect();
    match found[..] {
        [(flow, step)] => return Ok((STEP, Scope::Step(flow.clone(), step.clone()))),
        [] => {}
        [..] => {
            let help = format!("write {}", forms(&found));
            let reason = format!("{} workflows have a step `{}`", found.len(), name.text);
            return Err(name.wrong(reason, Some(help)));
        }
    }
    if names.steps.is_empty() {
        return Err(name.wrong("there are no steps: the scenario has no workflow".to_owned(), None));
    }
    Err(unknown(STEP, name, names))
}

/// Ways to write these steps.
fn forms(steps: &[&(String, String)]) -> String {
    let forms = steps.iter().map(|(flow, step)| format!("`step:{flow}.{step}`"));
    forms.collect::<Vec<_>>().join(" or ")
}

/// Reads `tenant:NAME`, and `tenant:NUMBER` of one without a name: such tenants need no mention in the
/// scenario.
fn tenant(name: ExpectPiece<'_>, names: &ExpectNames) -> Result<(Scopes, Scope), ExpectError> {
    if names.has_of(TENANT, name.text) {
        return Ok((TENANT, Scope::Tenant(name.text.to_owned())));
    }
    let Ok(number) = name.text.parse::<u32>() else {
        return Err(unknown(TENANT, name, names));
    };
    if let Some((_, called)) = names.tenants.iter().find(|(known, _)| known.0 == number) {
        let help = format!("write `tenant:{called}`");
        return Err(name.wrong(format!("tenant {number} is called `{called}`"), Some(help)));
    }
    // As results have it, whatever zeros stood before it.
    Ok((TENANT, Scope::Tenant(number.to_string())))
}

/// Reads `model:NAME`.
fn model(name: ExpectPiece<'_>, names: &ExpectNames) -> Result<(Scopes, Scope), ExpectError> {
    if !names.has_of(MODEL, name.text) {
        return Err(unknown(MODEL, name, names));
    }
    if names.models.len() == 1 {
        let reason = format!("`{}` is the only model", name.text);
        let help = "what is measured of the run, its pools and its nodes is all its own";
        return Err(name.wrong(reason, Some(help.to_owned())));
    }
    Ok((MODEL, Scope::Model(name.text.to_owned())))
}

/// Nothing of this kind has the name.
fn unknown(kind: Scopes, name: ExpectPiece<'_>, names: &ExpectNames) -> ExpectError {
    let word = prefix(kind);
    let all = known(kind, names);
    let near = near_of(kind, name.text, names);
    let near = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
    let list = match (kind, all.is_empty()) {
        (TENANT, true) => "no tenant has a name; `tenant:3` is one by its number".to_owned(),
        (_, true) => format!("there is no {word} with a name"),
        (TENANT, false) => {
            format!("known are {}, and others by their number", told(&all, OF_KIND_MAX))
        }
        (_, false) => format!("known are {}", told(&all, OF_KIND_MAX)),
    };
    name.wrong(format!("no {word} is called `{}`", name.text), Some(near + &list))
}

/// Nothing that may be called by its name alone has this name.
fn nothing(name: ExpectPiece<'_>, names: &ExpectNames) -> ExpectError {
    let near = meant(name.text, names);
    let near = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
    let kinds = [CLASS, ROUTE, POOL, NODE, JOBS, STEP, TENANT, MODEL];
    let lists = kinds.into_iter().map(|kind| known(kind, names)).filter(|list| !list.is_empty());
    let lists: Vec<String> = lists.map(|list| told(&list, OF_EACH_MAX)).collect();
    let known = if lists.is_empty() { "nothing has a name" } else { "known are " };
    let reason = format!("no class, route, pool or node is called `{}`", name.text);
    name.wrong(reason, Some(format!("{near}{known}{}", lists.join(", "))))
}

/// What was perhaps meant by a name that stands alone, ready to be written.
fn meant(name: &str, names: &ExpectNames) -> Option<String> {
    let inside = kind_inside(name);
    if let Some(found) = inside.and_then(|(before, kind, rest)| meant_of(kind, before, rest, names))
    {
        return Some(found);
    }
    // `workflow:claim`, `jobs:claim`.
    let flow = name.split_once(':').map(|(_, flow)| flow.trim());
    if let Some(flow) = names.workflows.iter().find(|known| Some(known.as_str()) == flow) {
        return Some(format!("`{flow}.jobs`"));
    }
    // What is called by its kind alone has the name of a class as often as not.
    let last = name.rsplit('.').next().unwrap_or(name).trim();
    [STEP, TENANT, MODEL]
        .into_iter()
        .find_map(|kind| exactly(kind, name, names))
        .or_else(|| exactly(STEP, last, names))
        .or_else(|| near_name(name, names).map(|near| format!("`{near}`")))
}

/// Takes `claim.step:read` apart, where the kind should stand first, and `steps:read`.
fn kind_inside(name: &str) -> Option<(&str, Scopes, &str)> {
    let (before, rest) = name.split_once(':')?;
    let (before, word) = before.rsplit_once('.').unwrap_or(("", before));
    let kind = kind_of(nearest(word.trim(), kinds().map(|(_, prefix)| prefix))?)?;
    Some((before.trim(), kind, rest.trim()))
}

/// What a kind with something before it was meant to be.
fn meant_of(kind: Scopes, before: &str, rest: &str, names: &ExpectNames) -> Option<String> {
    let whole = format!("{before}.{rest}");
    exactly(kind, &whole, names)
        .or_else(|| exactly(kind, rest, names))
        .or_else(|| near_of(kind, rest, names))
}

/// The nearest name of a kind, with it.
fn near_of(kind: Scopes, name: &str, names: &ExpectNames) -> Option<String> {
    let all = known(kind, names);
    // Of steps the name alone is nearer than it is behind that of its workflow.
    let alone: Vec<&str> = match kind {
        STEP => names.steps.iter().map(|(_, step)| step.as_str()).collect(),
        _ => all.iter().filter_map(|form| form.split_once(':')).map(|(_, name)| name).collect(),
    };
    nearest(name, alone.into_iter()).and_then(|near| exactly(kind, near, names))
}

/// Ways to write what has just this name; `None` where nothing has it.
fn exactly(kind: Scopes, name: &str, names: &ExpectNames) -> Option<String> {
    let steps: Vec<&(String, String)> = match kind {
        STEP => names.steps_called(name).collect(),
        _ => Vec::new(),
    };
    match steps[..] {
        [_, _, ..] => Some(forms(&steps)),
        _ if names.has_of(kind, name) => Some(format!("`{}:{name}`", prefix(kind))),
        _ => None,
    }
}

/// The nearest of the names that stand alone. What stands where a scope may stand was perhaps meant as a
/// metric: `tttf.p99`.
fn near_name(name: &str, names: &ExpectNames) -> Option<String> {
    if let Some(flow) = nearest(name, names.workflows.iter().map(String::as_str)) {
        return Some(format!("{flow}.jobs"));
    }
    let lists = names.lists();
    let alone = lists.iter().flat_map(|(_, list)| list.iter().map(String::as_str));
    let jobs = known(JOBS, names);
    let near = nearest(name, alone.chain(words()));
    near.or_else(|| nearest(name, jobs.iter().map(String::as_str))).map(str::to_owned)
}

/// What there is of a kind, each as it is written in an expectation.
fn known(kind: Scopes, names: &ExpectNames) -> Vec<String> {
    let each = |list: &[String]| {
        list.iter().map(|name| format!("{}:{name}", prefix(kind))).collect::<Vec<_>>()
    };
    match kind {
        CLASS => each(&names.classes),
        POOL => each(&names.pools),
        NODE => each(&names.nodes),
        ROUTE => each(&names.routes),
        MODEL => each(&names.models),
        STEP => names.steps.iter().map(|(flow, step)| format!("step:{flow}.{step}")).collect(),
        TENANT => {
            let called: BTreeSet<&String> = names.tenants.values().collect();
            called.into_iter().map(|name| format!("tenant:{name}")).collect()
        }
        _ => {
            let flows = names.workflows.iter().map(|flow| format!("{flow}.jobs"));
            names.workflows.first().map(|_| "jobs".to_owned()).into_iter().chain(flows).collect()
        }
    }
}

/// The first of what is known, and how many more there are.
fn told(known: &[String], most: usize) -> String {
    let first: Vec<String> = known.iter().take(most).map(|form| format!("`{form}`")).collect();
    let more = known.len().saturating_sub(most);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    first.join(" ") + &more
}

impl ExpectNames {
    fn lists(&self) -> [(Scopes, &Vec<String>); 4] {
        [(CLASS, &self.classes), (POOL, &self.pools), (NODE, &self.nodes), (ROUTE, &self.routes)]
    }

    /// Steps of this name, alone or behind that of their workflow.
    fn steps_called<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a (String, String)> + 'a {
        let whole = move |flow: &str, step: &str| {
            let rest = name.strip_prefix(flow).and_then(|rest| rest.strip_prefix('.'));
            rest == Some(step)
        };
        self.steps.iter().filter(move |(flow, step)| step == name || whole(flow, step))
    }

    /// Returns whether something may be called by this name alone.
    pub(super) fn has(&self, name: &str) -> bool {
        self.lists().into_iter().any(|(_, list)| list.iter().any(|one| one == name))
    }

    /// Returns whether something of this kind has the name.
    pub(super) fn has_of(&self, kind: Scopes, name: &str) -> bool {
        match kind {
            STEP => self.steps_called(name).next().is_some(),
            TENANT => self.tenants.values().any(|known| known == name),
            MODEL => self.models.iter().any(|known| known == name),
            _ => {
                let mut lists = self.lists().into_iter();
                lists.any(|(of, list)| of == kind && list.iter().any(|one| one == name))
            }
        }
    }
}
