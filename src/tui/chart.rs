//! Line charts on a grid of braille dots: a linear or logarithmic axis, vertical markers and
//! labels at the ends of the lines. A column of the screen holds two columns of dots, so however
//! long the history is, no more than two points a column are drawn.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::unit::{Span, Time};

use super::theme::{Role, Theme};

/// A grid of dots, two by four to a cell. A cell has one colour: the last line through it wins.
#[derive(Debug)]
pub(super) struct Dots {
    columns: u16,
    rows: u16,
    cells: Vec<(u8, Role)>,
}

/// Of few samples every so many columns have a dot.
const FEW_EVERY: u16 = 3;

/// A dash has so many columns of dots, of so many with the gap after it.
const DASH: (u16, u16) = (2, 4);

/// Bits of a braille cell by row and column of the dot.
const BRAILLE: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

impl Dots {
    pub(super) fn new(columns: u16, rows: u16) -> Dots {
        let cells = vec![(0, Role::Text); usize::from(columns) * usize::from(rows)];
        Dots { columns, rows, cells }
    }

    pub(super) fn width(&self) -> u16 {
        self.columns * 2
    }

    pub(super) fn height(&self) -> u16 {
        self.rows * 4
    }

    fn set(&mut self, x: u16, y: u16, role: Role) {
        if x >= self.width() || y >= self.height() {
            return;
        }
        let place = usize::from(y / 4) * usize::from(self.columns) + usize::from(x / 2);
        let cell = &mut self.cells[place];
        cell.0 |= BRAILLE[usize::from(y % 4)][usize::from(x % 2)];
        cell.1 = role;
    }

    /// Draws a straight line between two dots.
    fn line(&mut self, from: (u16, u16), to: (u16, u16), role: Role) {
        let (dx, dy) = (i32::from(to.0) - i32::from(from.0), i32::from(to.1) - i32::from(from.1));
        let steps = dx.abs().max(dy.abs()).max(1);
        for step in 0..=steps {
            // Rounded to the nearest dot; both ends are hit exactly.
            let along = |start: u16, d: i32| {
                i32::from(start) + (2 * d * step + d.signum() * steps) / (2 * steps)
            };
            self.set(along(from.0, dx) as u16, along(from.1, dy) as u16, role);
        }
    }

    /// Draws a line through values by column of dots; nothing where there is no value. What is known of few
    /// samples only is dots with room between them, and no line.
    pub(super) fn trace(
        &mut self,
        values: impl Iterator<Item = (u16, Option<f64>, bool)>,
        scale: &Scale,
        role: Role,
    ) {
        let mut last: Option<(u16, u16)> = None;
        for (x, value, few) in values {
            let here = value.and_then(|value| scale.place(value, self.height())).map(|y| (x, y));
            match here {
                Some((x, y)) if few && x.is_multiple_of(FEW_EVERY) => self.set(x, y, role),
                Some(here) if !few => self.line(last.unwrap_or(here), here, role),
                _ => {}
            }
            last = here.filter(|_| !few);
        }
    }

    /// Draws a dashed line through values by column of dots: what is foreseen, and not so yet.
    pub(super) fn dash(
        &mut self,
        values: impl Iterator<Item = (u16, Option<f64>)>,
        scale: &Scale,
        role: Role,
    ) {
        let mut whole = Dots::new(self.columns, self.rows);
        whole.trace(values.map(|(x, value)| (x, value, false)), scale, role);
        for x in (0..self.width()).filter(|x| x % DASH.1 < DASH.0) {
            for y in 0..self.height() {
                if whole.has(x, y) {
                    self.set(x, y, role);
                }
            }
        }
    }

    fn has(&self, x: u16, y: u16) -> bool {
        let place = usize::from(y / 4) * usize::from(self.columns) + usize::from(x / 2);
        self.cells[place].0 & BRAILLE[usize::from(y % 4)][usize::from(x % 2)] != 0
    }

    /// Puts the dots on the screen, over whatever is there.
    pub(super) fn draw(&self, area: Rect, buf: &mut Buffer, theme: Theme, braille: bool) {
        for (place, (bits, role)) in self.cells.iter().enumerate() {
            if *bits == 0 {
                continue;
            }
            let (x, y) = (place % usize::from(self.columns), place / usize::from(self.columns));
            if let Some(cell) = buf.cell_mut((area.x + x as u16, area.y + y as u16)) {
                cell.set_char(character(*bits, braille)).set_style(theme.style(*role));
            }
        }
    }
}

fn character(bits: u8, braille: bool) -> char {
    if braille {
        return char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
    }
    let (upper, lower) = (bits & 0b0001_1011 != 0, bits & 0b1110_0100 != 0);
    match (upper, lower) {
        (true, true) => '|',
        (true, false) => '\'',
        _ => '.',
    }
}

/// Labels of times are at least so many columns apart.
const TICK_COLUMNS: f64 = 12.0;

/// A value axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    step: f64,
}

impl Scale {
    /// A logarithmic axis around the values, from and to 1, 2 or 5 times a power of ten, at least
    /// a factor of five long. Values must be above zero to count.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Option<Scale> {
        let (min, max) = bounds(values.filter(|value| *value > 0.0))?;
        let (mut low, mut high) = (nice_below(min), nice_above(max));
        if high / low < 4.9 {
            (low, high) = (nice_below(low / 1.5), nice_above(high * 1.5));
        }
        Some(Scale { low, high, log: true, step: 0.0 })
    }

    /// A linear axis around the values between round numbers.
    pub(super) fn linear(values: impl Iterator<Item = f64>) -> Option<Scale> {
        let (min, max) = bounds(values)?;
        if min == 0.0 && max == 0.0 {
            return Some(Scale { low: 0.0, high: 1.0, log: false, step: 1.0 });
        }
        // At least a tenth of the value in height: noise is not drawn as drama.
        let range = (max - min).max(max.abs() * 0.1).max(1e-6);
        let step = nice_above(range / 4.0);
        let (low, high) = ((min / step).floor() * step, (max / step).ceil() * step);
        let high = if high > low { high } else { low + step };
        (low.is_finite() && high.is_finite()).then_some(Scale { low, high, log: false, step })
    }

    /// Returns whether a value is within the axis.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Returns the row of dots of a value, from the top; values outside go to the edge.
    pub(super) fn place(&self, value: f64, dots: u16) -> Option<u16> {
        if !value.is_finite() || dots == 0 {
            return None;
        }
        let share = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        let rows = f64::from(dots - 1);
        share.is_finite().then(|| ((1.0 - share.clamp(0.0, 1.0)) * rows).round() as u16)
    }

    /// Returns the values worth a label, the two ends first.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let mut ticks = vec![self.high, self.low];
        let mut value = self.low;
        for _ in 0..40 {
            value = if self.log { nice_above(value * 1.01) } else { value + self.step };
            if value >= self.high * 0.999 {
                break;
            }
            ticks.push(value);
        }
        ticks
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |bounds, value| {
        let (min, max): (f64, f64) = bounds.unwrap_or((value, value));
        Some((min.min(value), max.max(value)))
    })
}

/// Returns the greatest of 1, 2, 5 times a power of ten that is at most `value`.
fn nice_below(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    match value / power {
        v if v >= 5.0 => 5.0 * power,
        v if v >= 2.0 => 2.0 * power,
        _ => power,
    }
}

/// Returns the least of 1, 2, 5 times a power of ten that is at least `value`.
fn nice_above(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    match value / power {
        v if v <= 1.000_001 => power,
        v if v <= 2.0 => 2.0 * power,
        v if v <= 5.0 => 5.0 * power,
        _ => 10.0 * power,
    }
}

/// The stretch of time a chart shows, in columns of dots. Columns begin at multiples of their
/// length, so the picture moves by whole columns and does not shimmer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChartWindow {
    last: u64,
    column: u64,
    columns: u16,
    /// So many of them, at the right, are ahead of now.
    ahead: u16,
}

impl ChartWindow {
    pub(super) fn new(now: Time, range: Span, columns: u16) -> ChartWindow {
        let column = (range.0 / u64::from(columns.max(1))).max(1);
        ChartWindow { last: now.0 / column, column, columns, ahead: 0 }
    }

    /// Leaves the last third of the columns to what is ahead of now.
    pub(super) const fn foreseeing(self) -> ChartWindow {
        ChartWindow { ahead: self.columns / 3, ..self }
    }

    /// Returns how many columns of dots are ahead of now.
    pub(super) const fn ahead(&self) -> u16 {
        self.ahead
    }

    /// Returns the times worth a label on an axis of so many columns, as seconds before now.
    pub(super) fn ticks(range: Span, columns: u16) -> Vec<f64> {
        const STEPS: [f64; 14] = [
            1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0,
            21_600.0,
        ];
        let (range, room) = (range.seconds(), f64::from(columns));
        let wide = |step: &&f64| **step / range * room >= TICK_COLUMNS;
        let Some(step) = STEPS.iter().find(wide) else { return Vec::new() };
        let whole = |place: i32| f64::from(place) * step;
        // The two ends have labels of their own.
        let inside = |back: &f64| (range - back) / range * room >= TICK_COLUMNS * 0.7;
        (1..100).map(whole).take_while(inside).collect()
    }

    /// Returns the column of dots of a time, if it is in sight.
    pub(super) fn place(&self, at: Time) -> Option<u16> {
        let column = at.0 / self.column;
        let back = self.last.saturating_sub(column);
        let on = column.saturating_sub(self.last);
        let now = u64::from(self.columns - self.ahead);
        // What has no room ahead is the last column, as what comes a little late is without one.
        let on = on.min(u64::from(self.ahead) + 1);
        let on = if self.ahead == 0 { 0 } else { on };
        let x = (now + on).checked_sub(back + 1)?;
        u16::try_from(x).ok().filter(|x| *x < self.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let scale = Scale::log([0.47, 2.31].into_iter()).unwrap();
        assert_eq!((scale.low, scale.high), (0.2, 5.0));
        let scale = Scale::linear([38.1, 47.9].into_iter()).unwrap();
        assert_eq!((scale.low, scale.high), (35.0, 50.0));
        assert_eq!(Scale::linear([0.0].into_iter()).map(|s| (s.low, s.high)), Some((0.0, 1.0)));
        assert_eq!(Scale::log([0.0, f64::NAN].into_iter()), None);
    }

    #[test]
    fn values_are_placed_within_the_axis() {
        let scale = Scale::log([0.5, 5.0].into_iter()).unwrap();
        assert_eq!(scale.place(scale.high, 40), Some(0));
        assert_eq!(scale.place(scale.low, 40), Some(39));
        assert_eq!(scale.place(1e300, 40), Some(0));
        assert_eq!(scale.place(0.0, 40), Some(39));
        assert_eq!(scale.place(f64::NAN, 40), None);
    }

    #[test]
    fn time_moves_by_whole_columns() {
        let range = Span::from_secs(60);
        let early = ChartWindow::new(Time(100_100_000_000), range, 60);
        let late = ChartWindow::new(Time(100_900_000_000), range, 60);
        let mark = Time(70_500_000_000);
        assert_eq!(early.place(mark), Some(29));
        assert_eq!(early.place(mark), late.place(mark));
        assert_eq!(early.place(Time(1_000_000_000)), None);
    }

    #[test]
    fn what_is_ahead_has_the_last_third() {
        let (range, now) = (Span::from_secs(60), Time(100_000_000_000));
        let window = ChartWindow::new(now, range, 60).foreseeing();
        let at = |seconds: u64| window.place(Time(seconds * 1_000_000_000));
        assert_eq!((at(100), at(61), at(60)), (Some(39), Some(0), None), "forty seconds back");
        assert_eq!((at(101), at(120), at(121)), (Some(40), Some(59), None), "and twenty on");
        let without = ChartWindow::new(now, range, 60);
        assert_eq!(without.place(Time(130_000_000_000)), Some(59));
    }

    #[test]
    fn what_is_foreseen_is_a_line_with_gaps() {
        let scale = Scale::linear([0.0, 10.0].into_iter()).unwrap();
        let mut dots = Dots::new(20, 4);
        dots.dash((0..40).map(|x| (x, Some(5.0))), &scale, Role::Text);
        let drawn: Vec<bool> = (0..40).map(|x| (0..16).any(|y| dots.has(x, y))).collect();
        assert!(drawn.chunks(4).all(|four| four == [true, true, false, false]), "{drawn:?}");
    }

    #[test]
    fn what_is_known_of_few_samples_is_no_line() {
        let scale = Scale::linear([0.0, 10.0].into_iter()).unwrap();
        let drawn = |few: bool| {
            let mut dots = Dots::new(30, 4);
            let value = |x: u16| Some(f64::from(x % 11));
            dots.trace((0..60).map(|x| (x, value(x), few)), &scale, Role::Text);
            dots.cells.iter().map(|(bits, _)| bits.count_ones()).sum::<u32>()
        };
        assert_eq!(drawn(true), 20, "every third of sixty columns has one dot");
        assert!(drawn(false) > 60, "{}", drawn(false));
    }

    #[test]
    fn lines_hit_both_ends() {
        let mut dots = Dots::new(4, 2);
        dots.line((0, 7), (7, 0), Role::Text);
        assert_ne!(dots.cells[3].0 & BRAILLE[0][1], 0);
        assert_ne!(dots.cells[4].0 & BRAILLE[3][0], 0);
    }
}
