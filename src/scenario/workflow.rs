//! `[[workflow]]`: jobs of agents as graphs of steps.

use super::dist::{DURATION, NUMBER, read as read_dist, read_or_zero};
use super::keys::{
    KeyKind, NAME, POSITIVE_SPAN, SectionDef, TEXT, Usual, key, names, need, section,
};
use super::names::Names;
use super::problem::{Place, quote};
use super::table::Table;
use super::value::{Field, Walk};
use crate::dist::Dist;
use crate::metrics::WorkflowLabel;
use crate::unit::ClassId;
use crate::workload::WorkflowSpec;
use crate::workload::workflow::{
    BackTo, CALL_ENTRIES_MAX, CALLS_MAX, CallSpec, FAN_OUT_MAX, LoopFlaw, Loops, OnFailure,
    ROUNDS_MAX, STEPS_MAX, StepContext, StepSpec, TRIES_MAX, cycle,
};

/// A scenario has at most so many workflows.
pub const WORKFLOWS_MAX: usize = 256;

const POLICIES: [(&str, OnFailure); 2] = [("fail", OnFailure::Fail), ("skip", OnFailure::Skip)];

const CONTEXTS: [(&str, StepContext); 2] =
    [("fresh", StepContext::Fresh), ("grow", StepContext::Grow)];

/// `[[workflow]]`.
pub(super) static WORKFLOW: SectionDef = SectionDef {
    keys: &[
        need("name", NAME, "what the workload calls it"),
        key("deadline", POSITIVE_SPAN, Usual::Unsaid("none"), "a job that takes longer has failed"),
        need("steps", KeyKind::Tables(&STEP, STEPS_MAX), "what has to be done"),
    ],
    later: &["region", "tenant", "slo"],
    ..section("workflow", "`[[workflow]]`")
};

static STEP: SectionDef = SectionDef {
    keys: &[
        need("name", NAME, "what other steps call it"),
        need("route_class", TEXT, "the class of its requests"),
        key(
            "after",
            KeyKind::OneOrMore(&TEXT, STEPS_MAX),
            Usual::Unsaid("it begins with the job"),
            "it begins when these steps are over",
        ),
        key("fan_out", NUMBER, Usual::Unsaid("1"), "requests that are sent at a time"),
        key(
            "rounds",
            NUMBER,
            Usual::Unsaid("1"),
            "how often each goes on: a request of its own, then its calls",
        ),
        key(
            "deadline",
            POSITIVE_SPAN,
            Usual::Unsaid("that of the job"),
            "of each that is sent at a time, with all its rounds and calls",
        ),
        key(
            "on_failure",
            KeyKind::Any(&[POLICY, KeyKind::Table(&RETRY)]),
            Usual::Word("fail"),
            "what becomes of the job if a request fails",
        ),
        key(
            "calls",
            KeyKind::OneOrMore(&KeyKind::Table(&CALLS), CALL_ENTRIES_MAX),
            Usual::Unsaid("none"),
            "requests that each of its requests makes in turn, of one class after another",
        ),
        key(
            "context",
            KeyKind::Word(&names(&CONTEXTS)),
            Usual::Word("fresh"),
            "whether prompts begin with what came before",
        ),
        key(
            "back_to",
            KeyKind::Table(&BACK_TO),
            Usual::Unsaid("it is over once"),
            "all steps from another one to here begin again when it is over",
        ),
    ],
    later: &["pool", "tool", "pause"],
    ..section("step", "`[[workflow.steps]]`")
};

const POLICY: KeyKind = KeyKind::Word(&names(&POLICIES));

static RETRY: SectionDef = SectionDef {
    keys: &[
        need("retry", KeyKind::Whole(0, TRIES_MAX), "further tries"),
        key("then", POLICY, Usual::Word("fail"), "and if all of them fail"),
    ],
    later: &["pause", "backoff"],
    ..section("on_failure", "")
};

static BACK_TO: SectionDef = SectionDef {
    keys: &[
        need("step", TEXT, "the first step of the loop: one before this, or this one"),
        need("rounds", NUMBER, "how often the loop is gone through in all"),
    ],
    later: &["until"],
    ..section("back_to", "")
};

static CALLS: SectionDef = SectionDef {
    keys: &[
        need("class", TEXT, "their class"),
        need("count", NUMBER, "how many, one after the other"),
        key("think", DURATION, Usual::Unsaid("none"), "time before each of them"),
    ],
    later: &["parallel"],
    ..section("calls", "")
};

/// What the `[[workflow]]` tables say.
#[derive(Debug, Default)]
pub(super) struct Workflows {
    pub(super) names: Names,
    /// None has a share until the workload names it.
    pub(super) specs: Vec<WorkflowSpec>,
    pub(super) labels: Vec<WorkflowLabel>,
    /// Where the first of them stands.
    first: Option<Place>,
}

pub(super) fn read(walk: &mut Walk, field: Option<Field<'_>>, classes: &Names) -> Workflows {
    let mut flows = Workflows { names: Names::new("workflow"), ..Workflows::default() };
    for mut table in walk.tables(field) {
        flows.first.get_or_insert_with(|| table.place.clone());
        read_one(walk, &mut table, classes, &mut flows);
        table.finish(walk);
    }
    flows
}

fn read_one(walk: &mut Walk, table: &mut Table<'_>, classes: &Names, flows: &mut Workflows) {
    let name = table.need(walk, "name").and_then(|field| {
        let name = walk.name(field)?;
        flows.names.add(walk, name, field.place());
        Some(name)
    });
    if name.is_none() {
        flows.names.skip();
    }
    let name = name.unwrap_or_default().to_owned();
    let deadline = table.span(walk, "deadline");
    let steps = table.need(walk, "steps").map(|field| read_steps(walk, field, &name, classes));
    let steps = steps.unwrap_or_default();
    let label = steps.iter().map(|step| step.name.clone()).collect();
    flows.labels.push(WorkflowLabel { name: name.clone(), steps: label });
    flows.specs.push(WorkflowSpec { name, share: 0.0, deadline, steps });
}

fn read_steps(walk: &mut Walk, field: Field<'_>, flow: &str, classes: &Names) -> Vec<StepSpec> {
    if field.is_list_below(1) {
        walk.problem(field.place(), format!("workflow {} has no steps", quote(flow)))
            .label("empty")
            .help("write for instance steps = [{ name = \"plan\", route_class = \"planner\" }]");
        return Vec::new();
    }
    let mut names = Names::new("step");
    let mut steps = Vec::new();
    let mut after: Vec<Vec<Field<'_>>> = Vec::new();
    let mut back: Vec<Option<(Field<'_>, Dist)>> = Vec::new();
    for mut table in walk.tables(Some(field)) {
        let (step, before) = read_step(walk, &mut table, classes, &mut names);
        let back_to = table.take("back_to").and_then(|field| back_to(walk, field));
        table.finish(walk);
        after.push(before);
        back.push(back_to);
        steps.extend(step);
    }
    // Steps may be named before they stand; a step that could not be read has its number too.
    let found: Vec<Vec<(u16, Field<'_>)>> =
        after.iter().map(|list| predecessors(walk, list, &names)).collect();
    let graph: Vec<Vec<u16>> =
        found.iter().map(|list| list.iter().map(|(step, _)| *step).collect()).collect();
    if let Some(path) = cycle(&graph) {
        let (last, first) = (path[path.len() - 2], path[path.len() - 1]);
        let closing = found[usize::from(last)].iter().find(|(step, _)| *step == first);
        let place = closing.map_or(field.place(), |(_, item)| item.place());
        // The path leads from each step to one that comes before it; work flows the other way.
        let flow_of = path.iter().rev().map(|&step| names.list()[usize::from(step)].as_str());
        let shown = flow_of.collect::<Vec<_>>().join(" -> ");
        walk.problem(place, format!("workflow {} has a cycle: {shown}", quote(flow)))
            .label("closes the cycle")
            .help("a step begins when all steps it comes after are over: none of these ever could");
        return steps;
    }
    let back = read_loops(walk, &graph, back, &names);
    for ((step, after), back) in steps.iter_mut().zip(graph).zip(back) {
        (step.after, step.back_to) = (after, back);
    }
    steps
}

/// `{ step = "plan", rounds = 3 }`.
fn back_to<'a>(walk: &mut Walk, field: Field<'a>) -> Option<(Field<'a>, Dist)> {
    let mut table = walk.table(field)?;
    let step = table.need(walk, "step");
    let rounds = table.need(walk, "rounds").and_then(|field| whole(walk, field, 1.0, ROUNDS_MAX));
    table.finish(walk);
    Some((step?, rounds?))
}

/// Where steps go back to, if they can.
fn read_loops(
    walk: &mut Walk,
    graph: &[Vec<u16>],
    back: Vec<Option<(Field<'_>, Dist)>>,
    names: &Names,
) -> Vec<Option<BackTo>> {
    let places: Vec<Option<Place>> =
        back.iter().map(|back| back.as_ref().map(|(field, _)| field.place().clone())).collect();
    let back: Vec<Option<BackTo>> = back
        .into_iter()
        .map(|back| {
            let (field, rounds) = back?;
            Some(BackTo { step: names.find(walk, field)? as u16, rounds })
        })
        .collect();
    let first: Vec<Option<u16>> =
        back.iter().map(|back| back.as_ref().map(|back| back.step)).collect();
    let Err((step, flaw)) = Loops::new(graph, &first) else { return back };
    let name = |step: u16| names.list().get(usize::from(step)).map_or("", String::as_str);
    let message = match flaw {
        LoopFlaw::NotBefore => {
            let first = first[usize::from(step)].map_or("", name);
            format!("{} does not come after {}", quote(name(step)), quote(first))
        }
        LoopFlaw::Shared(other) => format!(
            "the loops that end with {} and {} have a step in common",
            quote(name(other)),
            quote(name(step))
        ),
    };
    if let Some(Some(place)) = places.get(usize::from(step)) {
        walk.problem(place, message).label("goes back to here").help(
            "a loop goes back to a step that its last one comes after, and has steps of its own",
        );
    }
    Vec::new()
}

fn predecessors<'a>(walk: &mut Walk, list: &[Field<'a>], names: &Names) -> Vec<(u16, Field<'a>)> {
    let mut found: Vec<(u16, Field<'a>)> = Vec::new();
    for item in list {
        let Some(step) = names.find(walk, *item) else { continue };
        if found.iter().any(|(other, _)| usize::from(*other) == step) {
            walk.problem(item.place(), "the step is named twice").label("the second time");
        } else {
            found.push((step as u16, *item));
        }
    }
    found
}

/// A step, and what it says it comes after. `None` where a law could not be read.
fn read_step<'a>(
    walk: &mut Walk,
    table: &mut Table<'a>,
    classes: &Names,
    names: &mut Names,
) -> (Option<StepSpec>, Vec<Field<'a>>) {
    let name_field = table.need(walk, "name");
    let name = name_field.and_then(|field| walk.name(field).map(|name| (name, field)));
    match name {
        Some((name, field)) => names.add(walk, name, field.place()),
        None => names.skip(),
    }
    let class = table.need(walk, "route_class").and_then(|field| classes.find(walk, field));
    let after = table.take("after");
    let after = after.map(|field| walk.one_or_more(field)).unwrap_or_default();
    let mut once_or = |key, most| {
        let field = table.take(key);
        field.map_or_else(|| Dist::constant(1.0).ok(), |field| whole(walk, field, 1.0, most))
    };
    let laws = once_or("fan_out", FAN_OUT_MAX).zip(once_or("rounds", ROUNDS_MAX));
    let deadline = table.span(walk, "deadline");
    let policy = table.take("on_failure").and_then(|field| policy(walk, field));
    let (retries, on_failure) = policy.unwrap_or_default();
    let calls = table.take("calls").map(|field| calls(walk, field, classes));
    let context = table.word(walk, "context", &CONTEXTS);
    let step = laws.map(|(fan_out, rounds)| StepSpec {
        name: name.map_or("", |(name, _)| name).to_owned(),
        class: ClassId(class.unwrap_or_default() as u16),
        after: Vec::new(),
        fan_out,
        rounds,
        deadline,
        retries,
        on_failure,
        calls: calls.unwrap_or_default(),
        context: context.unwrap_or_default(),
        back_to: None,
    });
    (step, after)
}

/// A number or a law with a mean from `least` to `most`.
fn whole(walk: &mut Walk, field: Field<'_>, least: f64, most: u64) -> Option<Dist> {
    let law = if least > 0.0 { read_dist(walk, field)? } else { read_or_zero(walk, field)? };
    if (least..=most as f64).contains(&law.mean()) {
        return Some(law);
    }
    let mean = if field.is_table() { " in the mean" } else { "" };
    let wanted = format!("from {least} to {}{mean}", super::value::digits(most));
    walk.must_be(field, &wanted);
    None
}

/// `"fail"`, `"skip"` or `{ retry = 2, then = "skip" }`.
fn policy(walk: &mut Walk, field: Field<'_>) -> Option<(u32, OnFailure)> {
    if !field.is_table() {
        if field.is_text("retry") {
            walk.must_be(field, "a number of tries: { retry = 2 }");
            return None;
        }
        return policy_word(walk, field).map(|policy| (0, policy));
    }
    let mut table = walk.table(field)?;
    let retries = table.count(walk, "retry");
    let then = table.take("then").and_then(|field| policy_word(walk, field));
    table.finish(walk);
    Some((retries? as u32, then.unwrap_or_default()))
}

fn policy_word(walk: &mut Walk, field: Field<'_>) -> Option<OnFailure> {
    walk.word(Field { name: "policy", ..field }, &POLICIES)
}

/// One entry, or a list of them.
fn calls(walk: &mut Walk, field: Field<'_>, classes: &Names) -> Vec<CallSpec> {
    let entries = walk.one_or_more(field).into_iter();
    entries.filter_map(|entry| call(walk, entry, classes)).collect()
}

/// `{ class = "llm-call", count = 3, think = "200ms" }`.
fn call(walk: &mut Walk, field: Field<'_>, classes: &Names) -> Option<CallSpec> {
    let mut table = walk.table(field)?;
    let class = table.need(walk, "class").and_then(|field| classes.find(walk, field));
    let count = table.need(walk, "count").and_then(|field| whole(walk, field, 0.0, CALLS_MAX));
    let think = table
        .take("think")
        .map_or_else(|| Dist::constant(0.0).ok(), |field| read_or_zero(walk, field));
    table.finish(walk);
    Some(CallSpec { class: ClassId(class? as u16), count: count?, think: think? })
}

/// Reads which workflows start: a name, or shares by name.
pub(super) fn started(walk: &mut Walk, field: Field<'_>, flows: &mut Workflows) {
    if !field.is_table() {
        if let Some(flow) = flows.names.find(walk, field)
            && let Some(spec) = flows.specs.get_mut(flow)
        {
            spec.share = 1.0;
        }
        return;
    }
    let shares = walk.map(field);
    if shares.is_empty() {
        walk.must_be(field, "a workflow, or shares such as { report = 0.7, claim = 0.3 }");
    }
    for (name, place, share) in shares {
        let share = walk.number(share);
        match flows.names.get(name).filter(|_| !name.is_empty()) {
            Some(flow) => {
                if let Some(spec) = flows.specs.get_mut(flow) {
                    spec.share = share.unwrap_or(1.0);
                }
            }
            None => unknown(walk, place, name, &flows.names),
        }
    }
}

fn unknown(walk: &mut Walk, place: &Place, name: &str, names: &Names) {
    let known = names.list().iter().map(String::as_str).filter(|name| !name.is_empty());
    let help = super::value::suggest("workflow", name, known);
    walk.problem(place, format!("unknown workflow {}", quote(name)))
        .label("names no workflow")
        .help(help);
}

/// Workflows of which none is started are a mistake.
pub(super) fn check_started(walk: &mut Walk, flows: &Workflows) {
    if let Some(first) = &flows.first
        && flows.specs.iter().all(|spec| spec.share <= 0.0)
    {
        let name = flows.names.list().first().map_or("", String::as_str);
        walk.problem(first, "no job ever starts: the workload names no workflow")
            .label("not started")
            .help(format!("write `workflow = \"{name}\"` under `[workload]`"));
    }
}
