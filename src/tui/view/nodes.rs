//! The nodes table: a list of columns with minimum, maximum and importance, of which as many are
//! shown as fit. Only rows in sight are drawn, so thousands of nodes cost no more than ten.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::balance::NodeState;
use crate::metrics::NodeRow;
use crate::tui::format::{
    count, cut, cut_name, dollars, percent, percent_fine, rate, seconds_or, width,
};
use crate::tui::glyph::Set;
use crate::tui::model::{Model, Panel, SortKey};
use crate::tui::theme::{Role, Theme};
use crate::unit::Span;

use super::pen::{self, piece};
use super::plot::is_few;

/// A column of the table.
struct Column {
    title: &'static str,
    sort: SortKey,
    min: u16,
    /// Wider than this it does not get; for names it is also the widest of them.
    max: u16,
    /// Columns of lower rank go first when room is short.
    rank: u8,
    right: bool,
    cell: fn(&mut Cell<'_>, &NodeRow),
}

impl Column {
    const fn left(
        title: &'static str,
        sort: SortKey,
        size: (u16, u16),
        rank: u8,
        cell: fn(&mut Cell<'_>, &NodeRow),
    ) -> Column {
        Column { title, sort, min: size.0, max: size.1, rank, right: false, cell }
    }

    const fn right(
        title: &'static str,
        sort: SortKey,
        size: u16,
        rank: u8,
        cell: fn(&mut Cell<'_>, &NodeRow),
    ) -> Column {
        Column { title, sort, min: size, max: size, rank, right: true, cell }
    }
}

static COLUMNS: [Column; 13] = [
    Column::left("NODE", SortKey::Name, (8, 24), 250, |cell, row| {
        let name = cut_name(&row.name, usize::from(cell.area.width), cell.glyphs.more);
        cell.text(&name, Role::Text);
    }),
    Column::left("KIND", SortKey::File, (8, 18), 45, |cell, row| {
        cell.text(&row.kind, Role::Dim);
    }),
    Column::left("STATE", SortKey::State, (10, 10), 240, state),
    Column { max: 9, ..Column::right("IN-FL", SortKey::InFlight, 6, 230, in_flight) },
    Column::right("Q", SortKey::Queue, 3, 150, queue),
    Column::left("UTIL", SortKey::Utilisation, (9, 21), 160, utilisation),
    Column::left("SHARE", SortKey::Share, (9, 21), 170, share),
    Column::right("REQ/S", SortKey::Rate, 5, 50, |cell, row| {
        cell.text(&rate(row.requests_per_s), Role::Text);
    }),
    Column::right("p50", SortKey::P50, 5, 140, |cell, row| {
        let role = if is_few(row.samples) { Role::Dim } else { Role::Text };
        cell.text(&seconds_or(row.p50, cell.glyphs.none), role);
    }),
    Column::right("p99", SortKey::P99, 5, 220, p99),
    Column::right("ERR%", SortKey::Errors, 5, 210, errors),
    Column::right("TOK/S", SortKey::Tokens, 5, 40, |cell, row| {
        cell.text(&count(row.tokens_per_s), Role::Text);
    }),
    Column::right("$/h", SortKey::Dollars, 5, 130, |cell, row| {
        cell.text(&dollars(row.dollars_per_hour), Role::Text);
    }),
];

/// From these shares of failed attempts on, look, and act.
const ERRORS_WARN: f64 = 0.01;
const ERRORS_BAD: f64 = 0.05;
/// A node this busy has no room to spare.
pub(super) const BUSY: f64 = 0.95;
/// Where no node has a larger share than this, shares have a decimal.
const SHARE_FINE: f64 = 0.0995;
/// The selection mark, and the sign of a fault.
const MARGIN: u16 = 2;

pub(super) fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    let rows = model.order.len();
    let title = [piece(format!("Nodes {rows}"), Role::Title), piece(which(model), Role::Dim)];
    let inner = pen::panel(model, Panel::Nodes, area, buf, &title, &aside(model, area));
    let places = places(model, inner.width.saturating_sub(1));
    header(model, inner, &places, buf);
    let body = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
    let Some(snapshot) = model.snapshot().filter(|_| rows > 0) else {
        empty(model, body, buf);
        return;
    };
    let visible = model.order.iter().skip(model.ui.top).zip(0..body.height);
    for (&index, line) in visible {
        let row = &snapshot.nodes[index];
        let line = Rect { y: body.y + line, height: 1, ..body };
        draw_row(model, row, line, &places, buf);
    }
    more_below(model, body, area, buf);
}

/// Over which time the figures are. When the run is over that is not what stands above the table.
fn which(model: &Model) -> String {
    let length = model.snapshot().map_or(Span::ZERO, |snapshot| snapshot.window_length).seconds();
    if model.is_done() { format!("  the last {length:.0}s of the run") } else { String::new() }
}

/// What the rows are filtered and sorted by, and which of them are in sight.
fn aside(model: &Model, area: Rect) -> String {
    let sort = order(model);
    let glyphs = model.glyphs();
    let height = usize::from(area.height.saturating_sub(3));
    if model.order.len() <= height {
        return sort;
    }
    let last = (model.ui.top + height).min(model.order.len());
    format!("{}-{last} of {} {} {sort}", model.ui.top + 1, model.order.len(), glyphs.dot)
}

/// What the nodes are filtered and sorted by.
pub(super) fn order(model: &Model) -> String {
    let key = model.ui.sort;
    let down = key.descends() != model.ui.reversed;
    let glyphs = model.glyphs();
    let way = if down { glyphs.falling } else { glyphs.rising };
    let filter = match model.ui.filter.trim() {
        "" => String::new(),
        filter => format!("filter {} {} ", cut(filter, 24, glyphs.more), glyphs.dot),
    };
    format!("{filter}sort {} {way}", key.name())
}

pub(super) fn empty(model: &Model, body: Rect, buf: &mut Buffer) {
    let middle = Rect { y: body.y + body.height.saturating_sub(1) / 2, height: 1, ..body };
    let text = match &model.frame {
        None => "waiting for the first picture",
        Some(_) if !model.ui.filter.is_empty() => "the filter means no node: Esc clears it",
        Some(_) => "no nodes yet",
    };
    pen::centred(buf, middle.intersection(body), text, model.theme().style(Role::Dim));
}

/// Says on the frame that there are rows below.
fn more_below(model: &Model, body: Rect, area: Rect, buf: &mut Buffer) {
    let below = model.order.len().saturating_sub(model.ui.top + usize::from(body.height));
    if below > 0 && area.height > 1 {
        let text = format!(" {below} more {} ", model.glyphs().falling);
        let place = Rect { width: area.width.saturating_sub(2), ..area };
        pen::right(buf, place, area.height - 1, &text, model.theme().style(Role::Dim));
    }
}

/// A column and where it stands.
type RowPlace = (&'static Column, u16, u16);

/// Chooses the columns that fit and gives them their widths.
fn places(model: &Model, room: u16) -> Vec<RowPlace> {
    let mut shown: Vec<(&Column, u16)> = Vec::new();
    let mut left = room.saturating_sub(MARGIN);
    let priced = model.has_prices();
    let wanted = COLUMNS.iter().filter(|column| priced || column.sort != SortKey::Dollars);
    let mut ranked: Vec<&'static Column> = wanted.collect();
    ranked.sort_by_key(|column| std::cmp::Reverse(column.rank));
    for column in ranked {
        let needed = column.min + 1;
        if left < needed {
            break;
        }
        left -= needed;
        shown.push((column, column.min));
    }
    left += 1;
    shown.sort_by_key(|(column, _)| COLUMNS.iter().position(|c| std::ptr::eq(c, *column)));
    grow(model, &mut shown, &mut left);
    spread(&shown, left)
}

/// Widens first names, then kinds, then bars.
fn grow(model: &Model, shown: &mut [(&Column, u16)], left: &mut u16) {
    for (column, size) in shown.iter_mut() {
        let longest = match column.title {
            "NODE" => model.widths.name,
            "KIND" => model.widths.kind,
            "IN-FL" => model.widths.in_flight,
            _ => continue,
        };
        let wanted = column.max.min(longest.min(100) as u16).saturating_sub(*size);
        let more = wanted.min(*left);
        *size += more;
        *left -= more;
    }
    // A column of air between columns first, where that can be had.
    let air = shown.len().saturating_sub(1) as u16;
    let spare = if *left > air { *left - air } else { *left };
    let mut bars = spare;
    for _ in 0..12 {
        for (column, size) in shown.iter_mut().filter(|(c, _)| matches!(c.title, "UTIL" | "SHARE"))
        {
            if bars > 0 && *size < column.max {
                *size += 1;
                bars -= 1;
                *left -= 1;
            }
        }
    }
}

/// Spreads what is left over the gaps and says where each column begins.
fn spread(shown: &[(&'static Column, u16)], left: u16) -> Vec<RowPlace> {
    let gaps = shown.len().saturating_sub(1).max(1) as u16;
    let gap = 1 + (left / gaps).min(2);
    let mut x = MARGIN;
    let mut places = Vec::new();
    for (column, size) in shown {
        places.push((*column, x, *size));
        x += size + gap;
    }
    places
}

fn header(model: &Model, inner: Rect, places: &[RowPlace], buf: &mut Buffer) {
    for (column, x, size) in places {
        let sorted = column.sort == model.ui.sort && model.ui.sort != SortKey::File;
        let role = if sorted { Role::Strong } else { Role::Dim };
        let place = Rect { x: inner.x + x, y: inner.y, width: *size, height: 1 };
        let style = model.theme().style(role);
        if column.right {
            pen::right(buf, place.intersection(inner), 0, column.title, style);
        } else {
            pen::put(buf, place.intersection(inner), place.x, place.y, column.title, style);
        }
    }
}

fn draw_row(model: &Model, row: &NodeRow, line: Rect, places: &[RowPlace], buf: &mut Buffer) {
    let (theme, glyphs) = (model.theme(), model.glyphs());
    let selected = model.ui.selected == Some(row.id);
    if selected {
        buf.set_style(line.intersection(buf.area), theme.style(Role::Selected));
        pen::put(buf, line, line.x, line.y, glyphs.cursor, theme.on_selected(Role::Key));
    }
    if row.fault {
        let style = if selected { theme.on_selected(Role::You) } else { theme.style(Role::You) };
        pen::put(buf, line, line.x + 1, line.y, glyphs.fault, style);
    }
    for (column, x, size) in places {
        let area = Rect { x: line.x + x, width: *size, ..line }.intersection(line);
        let share_max = model.widths.share;
        let mut cell = Cell { area, right: column.right, selected, theme, glyphs, share_max, buf };
        (column.cell)(&mut cell, row);
    }
}

/// Where a column writes.
struct Cell<'a> {
    area: Rect,
    right: bool,
    selected: bool,
    theme: Theme,
    glyphs: &'static Set,
    share_max: f64,
    buf: &'a mut Buffer,
}

impl Cell<'_> {
    fn style(&self, role: Role) -> Style {
        if self.selected { self.theme.on_selected(role) } else { self.theme.style(role) }
    }

    fn text(&mut self, text: &str, role: Role) {
        let style = self.style(role);
        let text = cut(text, usize::from(self.area.width), self.glyphs.more);
        if self.right {
            pen::right(self.buf, self.area, 0, &text, style);
        } else {
            pen::put(self.buf, self.area, self.area.x, self.area.y, &text, style);
        }
    }

    /// A bar and its percentage. Whatever is above zero shows at least half a cell.
    fn bar(&mut self, filled: Option<f64>, text: &str, role: Role) {
        let length = self.area.width.saturating_sub(5);
        let share = filled.filter(|v| v.is_finite()).unwrap_or(0.0).clamp(0.0, 1.0);
        let least = if share > 0.0 { 1.0 } else { 0.0 };
        let halves = (share * f64::from(length) * 2.0).round().max(least) as u16;
        let [full, half, rest] = self.glyphs.bar;
        let mut x = self.area.x;
        let (solid, thin) = (self.style(role), self.style(Role::BarRest));
        for place in 0..length {
            let (glyph, style) = match halves.saturating_sub(place * 2) {
                0 => (rest, thin),
                1 => (half, solid),
                _ => (full, solid),
            };
            x = pen::put(self.buf, self.area, x, self.area.y, glyph, style);
        }
        let style = self.style(if role == Role::BarHot { Role::Warn } else { Role::Dim });
        pen::right(self.buf, self.area, 0, text, style);
    }
}

/// The glyph, the word and the role of a node's state.
pub(super) fn state_of(row: &NodeRow, glyphs: &Set) -> (&'static str, &'static str, Role) {
    match row.state {
        NodeState::Up if row.kept_in => (glyphs.failed, "failing", Role::Down),
        NodeState::Up if row.slow => (glyphs.slow, "slow", Role::Warn),
        NodeState::Up => (glyphs.up, "up", Role::Up),
        NodeState::CoolingDown => (glyphs.limited, "limited", Role::Warn),
        NodeState::Ejected => (glyphs.down, "DOWN", Role::Down),
        NodeState::Probing => (glyphs.probing, "probing", Role::Note),
        NodeState::Draining => (glyphs.draining, "draining", Role::Note),
        NodeState::Starting => (glyphs.probing, "starting", Role::Note),
        NodeState::Off => (glyphs.gone, "off", Role::Dim),
        NodeState::Gone => (glyphs.gone, "gone", Role::Dim),
    }
}

fn state(cell: &mut Cell<'_>, row: &NodeRow) {
    let (glyph, word, role) = state_of(row, cell.glyphs);
    cell.text(&format!("{glyph} {word}"), role);
}

/// Attempts in flight and how many may be.
fn load_of(row: &NodeRow) -> String {
    let now = count(f64::from(row.in_flight));
    row.capacity.map_or(now.clone(), |most| format!("{now}/{}", count(f64::from(most))))
}

fn in_flight(cell: &mut Cell<'_>, row: &NodeRow) {
    let (now, text) = (count(f64::from(row.in_flight)), load_of(row));
    // Rather no limit than a cut number.
    let fits = width(&text) <= usize::from(cell.area.width);
    cell.text(if fits { &text } else { &now }, Role::Text);
}

fn queue(cell: &mut Cell<'_>, row: &NodeRow) {
    let role = if row.queued >= 10 { Role::Warn } else { Role::Text };
    let text = if row.queued > 999 { "999".to_owned() } else { row.queued.to_string() };
    cell.text(&text, role);
}

fn utilisation(cell: &mut Cell<'_>, row: &NodeRow) {
    let hot = row.utilisation.is_some_and(|busy| busy >= BUSY);
    let role = if hot { Role::BarHot } else { Role::BarFull };
    let text = row.utilisation.map_or_else(|| cell.glyphs.none.to_owned(), percent);
    cell.bar(row.utilisation, &text, role);
}

fn share(cell: &mut Cell<'_>, row: &NodeRow) {
    // The longest bar is the greatest share; the number says how much that is.
    let length = row.share / cell.share_max.max(f64::MIN_POSITIVE);
    // In a large fleet whole per cents say nothing.
    let fine = (f64::MIN_POSITIVE..SHARE_FINE).contains(&cell.share_max);
    let text = if fine { share_fine(row.share) } else { percent(row.share) };
    cell.bar(Some(length), &text, Role::BarShare);
}

/// A share of less than ten per cent in at most four columns.
fn share_fine(share: f64) -> String {
    let value = share * 100.0;
    if value > 0.0 && value < 0.095 { "<.1%".to_owned() } else { format!("{value:.1}%") }
}

fn p99(cell: &mut Cell<'_>, row: &NodeRow) {
    let role = match row.slow {
        true => Role::Down,
        false if is_few(row.samples) => Role::Dim,
        false => Role::Text,
    };
    cell.text(&seconds_or(row.p99, cell.glyphs.none), role);
}

fn errors(cell: &mut Cell<'_>, row: &NodeRow) {
    if row.requests_per_s <= 0.0 && row.error_share <= 0.0 {
        cell.text(cell.glyphs.none, Role::Text);
        return;
    }
    cell.text(&percent_fine(row.error_share), error_role(row.error_share));
}

/// What such a share of errors looks like.
pub(super) fn error_role(share: f64) -> Role {
    match share {
        share if share >= ERRORS_BAD => Role::Down,
        share if share >= ERRORS_WARN => Role::Warn,
        _ => Role::Text,
    }
}
