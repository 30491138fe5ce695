//! The list of faults that are made by hand: which, with whom, by which parameters, for how long.

use std::sync::LazyLock;

use crate::command::Command;
use crate::node::fault::{
    FAULTS, FaultDef, FaultKind, FaultPattern, Param, ParamDefault, ParamKind, ParamValue,
    ParamValues, STATUSES,
};
use crate::quote;
use crate::unit::{NodeId, Span};

use super::keys::KeyAction;
use super::model::{Model, Overlay};
use super::update::{self, Effect, moved};

/// How long a fault may last; nothing is to the end.
const LASTS: [Option<Span>; 5] = [
    Some(Span::from_secs(10)),
    Some(Span::from_secs(30)),
    Some(Span::from_secs(60)),
    Some(Span::from_secs(300)),
    None,
];
/// What it lasts unless somebody says otherwise.
const LASTS_DEFAULT: usize = 2;

/// A number that may be zero goes from there to this.
const NUMBER_LEAST: f64 = 0.125;
/// A number that may not be zero is not halved below this.
const NUMBER_FLOOR: f64 = 0.001;
/// What is not said becomes this, if it is a time.
const SPAN_LEAST: Span = Span::from_secs(1);
const SPAN_MOST: Span = Span::from_secs(86_400);
/// A filter has at most so many letters.
const FILTER_MAX: usize = 24;
/// Rows of a page.
const PAGE: usize = 8;

/// Every fault that can be made by hand: those with a rhythm of their own are for scenarios.
static OFFERED: LazyLock<Vec<&'static FaultDef>> = LazyLock::new(|| {
    let lasting = |fault: &&FaultDef| {
        let values: Vec<_> = fault.params.iter().map(|param| initial(fault, param)).collect();
        matches!(fault.build(&given(fault, &values)), Ok(FaultPattern::Lasting(_)))
    };
    FAULTS.iter().filter(lasting).collect()
});

pub(super) fn offered() -> &'static [&'static FaultDef] {
    &OFFERED
}

/// What is chosen in the list of faults; it stays for the next time.
#[derive(Debug)]
pub(super) struct FaultPalette {
    pub(super) filter: String,
    /// The selected fault, as an index into [`offered`].
    pub(super) at: usize,
    /// Zero is the list, then come the parameters, then for how long.
    pub(super) field: usize,
    /// Index into [`LASTS`].
    lasts: usize,
    /// By fault and parameter; nothing is not said.
    values: Vec<Vec<Option<ParamValue>>>,
    node: Option<NodeId>,
    target: usize,
}

impl Default for FaultPalette {
    fn default() -> FaultPalette {
        let values = |fault: &&'static FaultDef| {
            fault.params.iter().map(|param| initial(fault, param)).collect()
        };
        FaultPalette {
            filter: String::new(),
            at: 0,
            field: 0,
            lasts: LASTS_DEFAULT,
            values: offered().iter().map(values).collect(),
            node: None,
            target: 0,
        }
    }
}

/// What a parameter is before anybody changes it: what is usual, or where that changes nothing,
/// something that does.
fn initial(fault: &FaultDef, param: &Param) -> Option<ParamValue> {
    let number = |number| Some(ParamValue::Number(number));
    match (fault.name, param.name, param.default) {
        ("slow", "factor", _) => number(4.0),
        ("price", "input", _) => number(10.0),
        ("price", "cached_input", _) => number(1.0),
        ("price", "output", _) => number(40.0),
        ("capacity", "concurrency", _) => Some(ParamValue::Whole(1)),
        (_, _, Some(ParamDefault::Is(value))) => Some(value),
        (_, _, Some(ParamDefault::Unsaid(_))) => None,
        (_, _, None) => match param.kind {
            ParamKind::Word(_) => Some(ParamValue::Word(0)),
            _ => None,
        },
    }
}

/// Returns whether a value has to be written: what is usual goes without saying.
fn is_said(param: &Param, value: Option<ParamValue>) -> bool {
    match (param.default, value) {
        (_, None) => false,
        (Some(ParamDefault::Is(usual)), Some(value)) => usual != value,
        _ => true,
    }
}

fn given(fault: &FaultDef, values: &[Option<ParamValue>]) -> ParamValues {
    let mut given = ParamValues::default();
    for (param, value) in fault.params.iter().zip(values) {
        if let Some(value) = value.filter(|_| is_said(param, *value)) {
            given.set(param.name, value);
        }
    }
    given
}

/// A value as a scenario writes it.
fn written(kind: ParamKind, value: ParamValue) -> String {
    match value {
        ParamValue::Number(number) => number.to_string(),
        ParamValue::Span(span) => format!("\"{span}\""),
        ParamValue::Whole(whole) => whole.to_string(),
        ParamValue::Word(place) => format!("\"{}\"", word(kind, place)),
    }
}

fn word(kind: ParamKind, place: usize) -> &'static str {
    match kind {
        ParamKind::Word(words) => words.get(place).copied().unwrap_or_default(),
        _ => "",
    }
}

/// Twice as much or half of it; the next word; `None` where nothing is said.
fn stepped(param: &Param, value: Option<ParamValue>, more: bool) -> Option<ParamValue> {
    match (param.kind, value) {
        (ParamKind::Number(bounds), Some(ParamValue::Number(number))) => {
            let wanted = match (more, number) {
                (true, 0.0) => NUMBER_LEAST,
                (true, number) => number * 2.0,
                (false, number) if bounds.zero && number <= NUMBER_LEAST => 0.0,
                (false, number) => (number / 2.0).max(NUMBER_FLOOR.min(number)),
            };
            Some(ParamValue::Number(wanted.min(bounds.max)))
        }
        (ParamKind::Span, None) => more.then_some(ParamValue::Span(SPAN_LEAST)),
        (ParamKind::Span, Some(ParamValue::Span(span))) => {
            let wanted = if more { Span(span.0.saturating_mul(2)) } else { Span(span.0 / 2) };
            let unsaid = matches!(param.default, Some(ParamDefault::Unsaid(_)));
            let least = wanted < SPAN_LEAST;
            let wanted = ParamValue::Span(wanted.max(SPAN_LEAST).min(SPAN_MOST));
            (!(least && unsaid)).then_some(wanted)
        }
        (ParamKind::Whole(least, _), None) => more.then_some(ParamValue::Whole(least)),
        (ParamKind::Whole(least, most), Some(ParamValue::Whole(whole))) => {
            let wanted = if more { whole.saturating_mul(2) } else { whole / 2 };
            let unsaid = matches!(param.default, Some(ParamDefault::Unsaid(_)));
            let below = wanted < least && unsaid;
            (!below).then_some(ParamValue::Whole(wanted.clamp(least, most)))
        }
        (ParamKind::Status, Some(ParamValue::Whole(status))) => {
            let here = STATUSES.iter().position(|one| u64::from(*one) == status).unwrap_or(0);
            let next = (here + if more { 1 } else { STATUSES.len() - 1 }) % STATUSES.len();
            Some(ParamValue::Whole(u64::from(STATUSES[next])))
        }
        (ParamKind::Word(words), Some(ParamValue::Word(place))) => {
            let next = place + if more { 1 } else { words.len().saturating_sub(1) };
            Some(ParamValue::Word(next % words.len().max(1)))
        }
        (_, value) => value,
    }
}

/// Whom a fault hits: a word of the scenario and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FaultTarget {
    pub(super) word: &'static str,
    pub(super) name: String,
    /// How many nodes are meant.
    pub(super) nodes: usize,
}

impl FaultPalette {
    /// Returns the faults that fit what was typed, as indices into [`offered`]: those whose name begins so
    /// come first.
    pub(super) fn matches(&self) -> Vec<usize> {
        let typed = self.filter.as_str();
        let fits = |&at: &usize| {
            let fault = offered()[at];
            fault.name.contains(typed) || fault.about.contains(typed)
        };
        let mut found: Vec<usize> = (0..offered().len()).filter(fits).collect();
        found.sort_by_key(|&at| {
            let name = offered()[at].name;
            (!name.starts_with(typed), !name.contains(typed))
        });
        found
    }

    /// Returns the selected fault, if it fits what was typed.
    pub(super) fn selected(&self) -> Option<&'static FaultDef> {
        self.matches().contains(&self.at).then(|| offered()[self.at])
    }

    /// Returns what can be changed: names and values, and last for how long.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let fault = offered()[self.at];
        let shown = |(param, value): (&Param, &Option<ParamValue>)| {
            let text = match (value, param.default) {
                (Some(value), _) => written(param.kind, *value).replace('"', ""),
                (None, Some(usual)) => usual.to_string(),
                (None, None) => String::new(),
            };
            (param.name, text)
        };
        let mut fields: Vec<_> =
            fault.params.iter().zip(&self.values[self.at]).map(shown).collect();
        let lasts = self.lasts().map_or_else(|| "to the end".to_owned(), |span| span.to_string());
        fields.push(("for", lasts));
        fields
    }

    pub(super) fn lasts(&self) -> Option<Span> {
        LASTS[self.lasts]
    }

    /// Returns what the fault at this place would be, or why it cannot be.
    pub(super) fn built(&self, at: usize) -> Result<FaultKind, &'static str> {
        let fault = offered()[at];
        match fault.build(&given(fault, &self.values[at])) {
            Ok(FaultPattern::Lasting(kind)) => Ok(kind),
            Ok(FaultPattern::Cycle { .. }) => Err("it has a rhythm of its own"),
            Err(wrong) => Err(wrong.message),
        }
    }

    /// Returns the fault at this place as a `[[by_hand]]` says it.
    fn text(&self, at: usize, target: &FaultTarget) -> String {
        let fault = offered()[at];
        let mut said = vec![format!("{} = {}", target.word, quote::toml(&target.name))];
        for (param, value) in fault.params.iter().zip(&self.values[at]) {
            if let Some(value) = value.filter(|_| is_said(param, *value)) {
                said.push(format!("{} = {}", param.name, written(param.kind, value)));
            }
        }
        said.extend(self.lasts().map(|span| format!("for = \"{span}\"")));
        format!("{} = {{ {} }}", fault.name, said.join(", "))
    }

    fn change(&mut self, more: bool) {
        let fault = offered()[self.at];
        match (self.field - 1, fault.params) {
            (place, params) if place < params.len() => {
                let value = &mut self.values[self.at][place];
                *value = stepped(&params[place], *value, more);
            }
            _ if more => self.lasts = (self.lasts + 1).min(LASTS.len() - 1),
            _ => self.lasts = self.lasts.saturating_sub(1),
        }
    }
}

/// Returns whom a fault can hit: the node, then its pool, its region and its tags.
pub(super) fn targets(model: &Model) -> Vec<FaultTarget> {
    let node = model.ui.faults.node.and_then(|id| model.node(id));
    let Some((frame, row)) = model.frame.as_ref().zip(node) else { return Vec::new() };
    let mut targets = vec![FaultTarget { word: "node", name: row.name.clone(), nodes: 1 }];
    let pool = model.pool(row.pool);
    targets.extend(pool.map(|pool| FaultTarget {
        word: "pool",
        name: pool.name.clone(),
        nodes: pool.nodes as usize,
    }));
    let groups = frame.groups.iter().filter(|group| group.nodes.contains(&row.id));
    targets.extend(groups.map(|group| FaultTarget {
        word: group.word,
        name: group.name.clone(),
        nodes: group.nodes.len(),
    }));
    targets
}

/// Returns whom the fault is to hit.
pub(super) fn target(model: &Model) -> Option<FaultTarget> {
    let targets = targets(model);
    targets.get(model.ui.faults.target).or(targets.first()).cloned()
}

/// Opens the list for the selected node, or for the first one.
pub(super) fn open(model: &mut Model) {
    if !update::can_kill(model, None) {
        return;
    }
    let rows = model.snapshot().map_or(&[][..], |snapshot| &snapshot.nodes);
    let all = model.order.iter().filter_map(|&at| rows.get(at)).map(|row| row.id);
    let first = all.clone().find(|id| model.can_break(Some(*id))).or(all.clone().next());
    let selected = model.ui.selected.filter(|id| model.node(*id).is_some());
    let Some(node) = selected.or(first) else {
        model.ui.notice = Some("there is no node yet".to_owned());
        return;
    };
    let palette = &mut model.ui.faults;
    palette.filter.clear();
    palette.field = 0;
    if palette.node.replace(node) != Some(node) {
        palette.target = 0;
    }
    model.ui.overlay = Overlay::Faults;
}

/// Takes a letter of the filter. Returns whether it is one.
pub(super) fn typed(model: &mut Model, letter: char) -> bool {
    let letter = if letter == '-' { '_' } else { letter };
    if !(letter.is_ascii_lowercase() || letter == '_') {
        return false;
    }
    let palette = &mut model.ui.faults;
    if palette.filter.len() < FILTER_MAX {
        palette.filter.push(letter);
    }
    narrowed(model);
    true
}

pub(super) fn erase(model: &mut Model) {
    model.ui.faults.filter.pop();
    narrowed(model);
}

/// Selects the first that fits.
fn narrowed(model: &mut Model) {
    let palette = &mut model.ui.faults;
    palette.field = 0;
    if let Some(first) = palette.matches().first() {
        palette.at = *first;
    }
}

pub(super) fn next_target(model: &mut Model) {
    let many = targets(model).len().max(1);
    model.ui.faults.target = (model.ui.faults.target + 1) % many;
}

/// Goes to the next field, or the one before.
pub(super) fn next_field(model: &mut Model, on: bool) {
    let palette = &mut model.ui.faults;
    let many = offered()[palette.at].params.len() + 2;
    palette.field = (palette.field + if on { 1 } else { many - 1 }) % many;
}

/// Moves through the list, or changes the value of a field.
pub(super) fn travel(model: &mut Model, action: KeyAction) {
    let palette = &mut model.ui.faults;
    if palette.field > 0 {
        match action {
            KeyAction::Up => palette.change(true),
            KeyAction::Down => palette.change(false),
            _ => {}
        }
        return;
    }
    let found = palette.matches();
    let Some(last) = found.len().checked_sub(1) else { return };
    let here = found.iter().position(|at| *at == palette.at).unwrap_or(0);
    palette.at = found[moved(action, here, last, PAGE)];
}

/// Makes the fault.
pub(super) fn inject(model: &mut Model) -> Vec<Effect> {
    let palette = &model.ui.faults;
    let Some(target) = target(model) else {
        model.ui.notice = Some("this node is gone".to_owned());
        return Vec::new();
    };
    if palette.selected().is_none() {
        model.ui.notice = Some("no fault is called so".to_owned());
        return Vec::new();
    }
    if let Err(why) = palette.built(palette.at) {
        model.ui.notice = Some(why.to_owned());
        return Vec::new();
    }
    let text = palette.text(palette.at, &target);
    model.ui.overlay = Overlay::None;
    model.ui.notice = Some(text.clone());
    vec![Effect::Send(Command::Do(text))]
}

/// Ends everything that was made by hand, pool by pool.
pub(super) fn heal_all(model: &mut Model) -> Vec<Effect> {
    let Some(snapshot) = model.snapshot() else { return Vec::new() };
    let hit = |pool| snapshot.nodes.iter().any(|row| row.by_hand && row.pool == pool);
    let pools = snapshot.pools.iter().filter(|pool| hit(pool.id));
    let heal = |name: &str| Command::Do(format!("heal = {{ pool = {} }}", quote::toml(name)));
    let effects: Vec<Effect> = pools.map(|pool| Effect::Send(heal(&pool.name))).collect();
    let said = if effects.is_empty() { "nothing made by hand is on" } else { "all is healed" };
    model.ui.overlay = Overlay::None;
    model.ui.notice = Some(said.to_owned());
    effects
}

/// What the engine is to foresee while the list is open: every fault, as its parameters are now.
pub(super) fn deeds(model: &Model) -> Vec<Command> {
    let palette = &model.ui.faults;
    let Some(target) = target(model) else { return Vec::new() };
    (0..offered().len()).map(|at| Command::Do(palette.text(at, &target))).collect()
}
