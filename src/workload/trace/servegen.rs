//! Client windows of ServeGen: requests drawn by each client's law of arrival, window by window.
//!
//! Source: Xiang et al., "ServeGen: Workload Characterization and Generation of Large Language
//! Model Serving in Production", 2025. A client has a table (`chunk-N-trace.csv`, no header: start
//! of a window in s, requests a second, CV, `Gamma` or `Weibull` or nothing, shape, scale) and
//! distributions of lengths (`chunk-N-dataset.json`: by start of a window in s, by field, a string
//! `{value: probability, ...}`). Client N becomes tenant N.
//!
//! In a window a client's arrivals are a *stationary* renewal process of the fitted family and
//! shape, with gaps of mean 1/rate: so the mean number of arrivals is exactly rate times length,
//! whatever the shape (Cox, "Renewal Theory", 1962: the first gap has the law of what is left of a
//! gap at any moment). The fitted scale is not used: over the published windows, mean gap times
//! rate lies between 0.04 and 3.0 (1 % and 99 %). A window without a family is idle. Lengths come
//! from the nearest earlier distribution that is not empty; multimodal prompts are the sum of a
//! draw for each kind of tokens. A client without distributions draws its class's laws.
//!
//! Every client has a generator of its own, merged by a heap, so leaving one out changes no other.
//! All windows and distributions are held: the memory is that of the folder, whatever the run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::BufRead;

use rand_distr::{Distribution, Exp1, Gamma, Weibull};
use serde::Deserialize;

use super::lines::LineReader;
use super::mooncake::flaw;
use super::{ERRORS_MAX, Flaw, LENGTH_MAX, TraceError, TraceScale, not_text, shown, stretched};
use crate::rng::{Rng, mix};
use crate::unit::{Span, TenantId, Time, Tokens};
use crate::workload::length::{Mix, RequestDraft};
use crate::workload::process::RATE_MAX;
use crate::workload::{Arrival, ArrivalSource};

/// A folder has at most so many clients.
pub const CLIENTS_MAX: usize = 10_000;
/// A client has at most so many windows.
pub const WINDOWS_MAX: usize = 1_000_000;
/// A client's distributions have at most so many values.
pub const VALUES_MAX: usize = 4_000_000;
/// A file of distributions has at most so many bytes.
pub const DATASET_MAX: u64 = 256 * 1024 * 1024;

/// Windows of a table with a single row are so long, in seconds.
const WINDOW_DEFAULT: f64 = 600.0;
/// Seconds beyond this (500 years) are not a time.
const SECONDS_MAX: f64 = 1.6e10;
/// Shapes of the gaps: outside of this draws lose their meaning.
const SHAPES: std::ops::RangeInclusive<f64> = 0.001..=10_000.0;

/// The law of the gaps in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Family {
    Idle,
    Gamma,
    Weibull,
}

/// What a client does for a while.
#[derive(Clone, Copy, Debug)]
struct RateWindow {
    start: f64,
    rate: f64,
    family: Family,
    shape: f64,
}

/// The arrivals of a client, window by window.
#[derive(Clone, Debug)]
pub struct Windows(Vec<RateWindow>);

/// Reads a client's table.
///
/// # Errors
/// If a row cannot be read or is not later than the one before: all of them.
pub fn windows(reader: Box<dyn BufRead + Send>) -> Result<Windows, Vec<TraceError>> {
    let mut lines = LineReader::new(reader);
    let mut windows: Vec<RateWindow> = Vec::new();
    let mut errors = Vec::new();
    loop {
        let before = windows.last().map(|window| window.start);
        let window = match lines.advance() {
            Ok(true) => window(lines.line(), before),
            Ok(false) => break,
            Err(flaw) => Err(flaw),
        };
        match window {
            Ok(window) if windows.len() < WINDOWS_MAX => windows.push(window),
            Ok(_) => {
                let reason = format!("a client has at most {WINDOWS_MAX} windows");
                errors.push(TraceError { line: lines.number(), column: 1, reason });
                break;
            }
            Err(Flaw { column, reason, last }) => {
                errors.push(TraceError { line: lines.number().max(1), column, reason });
                if last || errors.len() >= ERRORS_MAX {
                    break;
                }
            }
        }
    }
    if errors.is_empty() && windows.is_empty() {
        let reason = "there is no window in this file".to_owned();
        errors.push(TraceError { line: 1, column: 1, reason });
    }
    if errors.is_empty() { Ok(Windows(windows)) } else { Err(errors) }
}

fn window(line: &[u8], before: Option<f64>) -> Result<RateWindow, Flaw> {
    std::str::from_utf8(line).map_err(not_text)?;
    let mut starts = [0_usize; 6];
    let mut cells: [&[u8]; 6] = [&[]; 6];
    let (mut count, mut start) = (0, 0);
    for cell in line.split(|byte| *byte == b',') {
        if count < cells.len() {
            (starts[count], cells[count]) = (start, cell.trim_ascii());
        }
        count += 1;
        start += cell.len() + 1;
    }
    if count != cells.len() {
        let plural = if count == 1 { "" } else { "s" };
        let wanted = "wanted 6: start, rate, CV, family, shape, scale";
        return Err(Flaw::new(1, format!("{count} field{plural}; {wanted}")));
    }
    let number = |place: usize, what: &str, most: f64| {
        let text = std::str::from_utf8(cells[place]).unwrap_or_default();
        let number = text.parse().ok().filter(|number| (0.0..=most).contains(number));
        number.ok_or_else(|| {
            let reason = format!("`{}`: {what} is a number from 0 to {most}", shown(cells[place]));
            Flaw::new(starts[place] as u64 + 1, reason)
        })
    };
    let start = number(0, "the start of a window, in seconds,", SECONDS_MAX)?;
    let rate = number(1, "the rate", RATE_MAX)?;
    let family = match cells[3] {
        b"" => Family::Idle,
        b"Gamma" => Family::Gamma,
        b"Weibull" => Family::Weibull,
        other => {
            let wanted = "wanted `Gamma`, `Weibull` or nothing";
            let reason = format!("`{}`: {wanted}", shown(other));
            return Err(Flaw::new(starts[3] as u64 + 1, reason));
        }
    };
    let mut shape = 1.0;
    if family != Family::Idle {
        shape = number(4, "the shape", f64::MAX)?;
        if shape <= 0.0 {
            return Err(Flaw::new(starts[4] as u64 + 1, "the shape must be above 0".to_owned()));
        }
        shape = shape.clamp(*SHAPES.start(), *SHAPES.end());
        if family == Family::Weibull {
            // As for the laws of a scenario: below, the mean is made up by one gap in a million.
            shape = shape.max(0.1);
        }
    }
    if before.is_some_and(|before| start <= before) {
        let reason = "not later than the window above; wanted windows in order of time";
        return Err(Flaw::new(1, reason.to_owned()));
    }
    Ok(RateWindow { start, rate, family, shape })
}

/// Values and their cumulated probabilities.
#[derive(Clone, Debug, Default)]
struct LengthTable(Vec<(f64, u32)>);

impl LengthTable {
    fn draw(&self, rng: &mut Rng) -> u64 {
        let Some((total, _)) = self.0.last() else {
            return 0;
        };
        let point = rng.unit() * total;
        let place = self.0.partition_point(|(sum, _)| *sum <= point).min(self.0.len() - 1);
        u64::from(self.0[place].1)
    }
}

/// How long a client's prompts and answers are in a window.
#[derive(Clone, Debug)]
struct Lengths {
    start: f64,
    /// The prompt is the sum of a draw from each.
    prompt: Vec<LengthTable>,
    output: LengthTable,
}

/// A client's distributions of lengths, by window; windows without any are left out.
#[derive(Clone, Debug, Default)]
pub struct Dataset(Vec<Lengths>);

impl Dataset {
    /// Returns whether it has no distribution.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Fields that add up to the prompt, and the field of the answer.
const PROMPT: [&str; 5] =
    ["input_tokens", "text_tokens", "image_tokens", "audio_tokens", "video_tokens"];
const OUTPUT: &str = "output_tokens";

#[derive(Deserialize)]
struct DatasetFields(BTreeMap<String, BTreeMap<String, String>>);

/// Reads a client's distributions.
///
/// # Errors
/// If the file is not JSON of this shape, or a distribution cannot be read.
pub fn dataset(reader: &mut dyn BufRead) -> Result<Dataset, Vec<TraceError>> {
    let told = |line, column, reason| vec![TraceError { line, column, reason }];
    let mut text = String::new();
    let mut limited = std::io::Read::take(reader, DATASET_MAX);
    if let Err(error) = std::io::Read::read_to_string(&mut limited, &mut text) {
        return Err(told(1, 1, format!("the file cannot be read: {error}")));
    }
    let fields: DatasetFields = serde_json::from_str(&text).map_err(|error| {
        let Flaw { column, reason, .. } = flaw(&error);
        told((error.line() as u64).max(1), column, reason)
    })?;
    let mut windows = Vec::new();
    let mut values = 0;
    for (window, fields) in fields.0 {
        let wrong = |reason: String| told(1, 1, format!("window \"{window}\": {reason}"));
        let start = window.parse().ok().filter(|start| (0.0..=SECONDS_MAX).contains(start));
        let start = start.ok_or_else(|| wrong("wanted its start in seconds".to_owned()))?;
        let table = |key: &str| {
            let text = fields.get(key).map_or("", String::as_str);
            table(text).map_err(|reason| wrong(format!("`{key}`: {reason}")))
        };
        let prompt = PROMPT.iter().map(|key| table(key)).collect::<Result<Vec<_>, _>>()?;
        let prompt: Vec<LengthTable> =
            prompt.into_iter().filter(|table| !table.0.is_empty()).collect();
        let output = table(OUTPUT)?;
        values += output.0.len() + prompt.iter().map(|table| table.0.len()).sum::<usize>();
        if values > VALUES_MAX {
            return Err(wrong(format!("more than {VALUES_MAX} values up to here")));
        }
        if !prompt.is_empty() && !output.0.is_empty() {
            windows.push(Lengths { start, prompt, output });
        }
    }
    windows.sort_by(|a, b| a.start.total_cmp(&b.start));
    Ok(Dataset(windows))
}

/// Reads `{143: 0.25, 148: 0.75}`. Probabilities need not add up to one.
fn table(text: &str) -> Result<LengthTable, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(LengthTable::default());
    }
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let inner = inner.ok_or_else(|| "wanted `{value: probability, ...}`".to_owned())?.trim();
    let mut sum = 0.0;
    let mut pairs = Vec::new();
    for pair in inner.split(',').filter(|pair| !pair.trim().is_empty()) {
        let read = |pair: &str| {
            let (value, share) = pair.split_once(':')?;
            let value: f64 = value.trim().parse().ok()?;
            let share: f64 = share.trim().parse().ok()?;
            let fits = (0.0..=LENGTH_MAX as f64).contains(&value) && (0.0..=1e9).contains(&share);
            fits.then_some((value.round() as u32, share))
        };
        let (value, share) = read(pair).ok_or_else(|| {
            let found = shown(pair.trim().as_bytes());
            format!("`{found}`: wanted a length from 0 to {LENGTH_MAX} and its probability")
        })?;
        sum += share;
        pairs.push((sum, value));
    }
    Ok(if sum > 0.0 { LengthTable(pairs) } else { LengthTable::default() })
}

/// A client of the folder.
#[derive(Clone, Debug)]
pub struct ServeGenClient {
    /// The number in the names of its files.
    pub number: u32,
    /// When it sends.
    pub windows: Windows,
    /// What it sends; empty where there is no file.
    pub lengths: Dataset,
}

/// A client at work.
#[derive(Debug)]
struct Sender {
    client: ServeGenClient,
    rng: Rng,
    length_rng: Rng,
    /// The window that holds, and when the last arrival in it was, in seconds.
    window: usize,
    clock: f64,
    /// Whether an arrival of this window has been drawn.
    inside: bool,
}

/// Requests of the clients of a folder.
#[derive(Debug)]
pub struct ServeGen {
    senders: Vec<Sender>,
    heap: BinaryHeap<Reverse<(Time, usize)>>,
    /// What rates are multiplied by.
    rate: f64,
    scale: TraceScale,
    end: Time,
    left: u64,
    mix: Mix,
}

impl ServeGen {
    /// Draws requests until `end` or the end of the last window, at most `count`. `rate`
    /// multiplies the rates of all clients; the scale stretches the time, windows included, and
    /// the lengths.
    ///
    /// # Panics
    /// If the rate or a scale is not a finite number above zero.
    #[must_use]
    pub fn new(
        clients: Vec<ServeGenClient>,
        rate: f64,
        scale: impl Into<TraceScale>,
        end: Time,
        count: u64,
        seed: u64,
        mixture: Mix,
    ) -> ServeGen {
        let scale = scale.into();
        for factor in [rate, scale.time, scale.length] {
            assert!(factor.is_finite() && factor > 0.0, "a factor is a finite number above zero");
        }
        let key = Rng::stream(seed, "servegen").bits();
        // As with all traces, time counts from the first row, whatever week that was in.
        let first = |client: &ServeGenClient| client.windows.0.first().map(|first| first.start);
        let origin = clients.iter().filter_map(first).fold(f64::INFINITY, f64::min);
        let senders = clients.into_iter().map(|mut client| {
            client.windows.0.iter_mut().for_each(|window| window.start -= origin);
            client.lengths.0.iter_mut().for_each(|lengths| lengths.start -= origin);
            let key = mix(key, u64::from(client.number));
            Sender {
                rng: Rng::from_key(mix(key, 0)),
                length_rng: Rng::from_key(mix(key, 1)),
                clock: 0.0,
                client,
                window: 0,
                inside: false,
            }
        });
        let mut source = ServeGen {
            senders: senders.collect(),
            heap: BinaryHeap::new(),
            rate,
            scale,
            end,
            left: count,
            mix: mixture,
        };
        for place in 0..source.senders.len() {
            source.schedule(place);
        }
        source
    }

    /// Requests a second in the mean over all windows, before any scale.
    #[must_use]
    pub fn mean_rate(clients: &[ServeGenClient]) -> f64 {
        let of = |client: &ServeGenClient| {
            let windows = &client.windows.0;
            let active = |window: &&RateWindow| window.family != Family::Idle;
            windows.iter().filter(active).map(|window| window.rate).sum::<f64>()
                / windows.len() as f64
        };
        clients.iter().map(of).sum()
    }

    fn schedule(&mut self, place: usize) {
        let sender = &mut self.senders[place];
        let last = self.end.seconds() / self.scale.time;
        if let Some(seconds) = sender.advance(self.rate, last) {
            let at = Time::ZERO + Span::from_seconds(seconds * self.scale.time);
            if at <= self.end {
                self.heap.push(Reverse((at, place)));
            }
        }
    }
}

impl Sender {
    /// When the next request comes, in seconds of the table; `None` after `last` or all windows.
    fn advance(&mut self, rate: f64, last: f64) -> Option<f64> {
        let windows = &self.client.windows.0;
        loop {
            let window = windows.get(self.window)?;
            if window.start > last {
                return None;
            }
            let rate = window.rate * rate;
            if window.family != Family::Idle && rate > 0.0 {
                let gap = if self.inside { self.clock } else { window.start }
                    + gap(window, !self.inside, &mut self.rng) / rate;
                if gap < end_of(windows, self.window) {
                    self.inside = true;
                    self.clock = gap;
                    return Some(gap);
                }
            }
            self.window += 1;
            self.inside = false;
        }
    }

    /// Draws the lengths of a request at a moment, if the client has distributions.
    fn lengths(&mut self) -> Option<(u64, u64)> {
        let sets = &self.client.lengths.0;
        let after = sets.partition_point(|set| set.start <= self.clock);
        let set = sets.get(after.saturating_sub(1))?;
        let prompt = set.prompt.iter().map(|table| table.draw(&mut self.length_rng)).sum();
        Some((prompt, set.output.draw(&mut self.length_rng)))
    }
}

/// When a window ends: where the next begins; the last is as long as the one before.
fn end_of(windows: &[RateWindow], place: usize) -> f64 {
    if let Some(next) = windows.get(place + 1) {
        return next.start;
    }
    let length = match place.checked_sub(1) {
        Some(before) => windows[place].start - windows[before].start,
        None => WINDOW_DEFAULT,
    };
    windows[place].start + length
}

/// A gap of mean one, or what is left of one at any moment: a uniform share of a gap drawn with
/// its length as weight.
fn gap(window: &RateWindow, left: bool, rng: &mut Rng) -> f64 {
    let shape = window.shape;
    let share = if left { rng.unit() } else { 1.0 };
    match window.family {
        Family::Gamma => {
            // Weighting by length raises the shape by one.
            let shape = if left { shape + 1.0 } else { shape };
            let law = Gamma::new(shape, 1.0 / window.shape);
            share * law.map_or(1.0, |law| law.sample(rng))
        }
        Family::Weibull => {
            let scale = 1.0 / crate::dist::ln_gamma(1.0 + 1.0 / shape).exp();
            if !left {
                return Weibull::new(scale, shape).map_or(1.0, |law| law.sample(rng));
            }
            // The power of a Weibull draw is exponential; weighted by length, it is gamma.
            let power = Gamma::new(1.0 + 1.0 / shape, 1.0).map_or(1.0, |law| law.sample(rng));
            share * scale * power.powf(1.0 / shape)
        }
        Family::Idle => Exp1.sample(rng),
    }
}

impl ArrivalSource for ServeGen {
    fn next(&mut self) -> Result<Option<Arrival>, Vec<TraceError>> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(Reverse((at, place))) = self.heap.pop() else {
            return Ok(None);
        };
        self.left -= 1;
        let sender = &mut self.senders[place];
        let lengths = sender.lengths();
        let length = |count| -> Tokens { stretched(count, self.scale.length) };
        let draft = RequestDraft {
            prompt: lengths.map(|(prompt, _)| length(prompt)),
            output: lengths.map(|(_, output)| length(output)),
            tenant: Some(TenantId(sender.client.number)),
            ..RequestDraft::default()
        };
        self.schedule(place);
        Ok(Some(self.mix.make(at, draft)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::balance::Priority;
    use crate::dist::Dist;
    use crate::workload::{ClassSpec, TenantLaw};

    fn mixture() -> Mix {
        let law = Dist::constant(77.0).unwrap();
        let class = ClassSpec {
            name: "all".to_owned(),
            share: 1.0,
            priority: Priority::Normal,
            prompt: law,
            output: law,
            deadline: None,
            tenants: TenantLaw::default(),
            model: None,
            complexity: None,
            repeat: None,
            origin: crate::workload::Origin::default(),
        };
        Mix::new(vec![class], 1)
    }

    fn table_of(text: &str) -> Windows {
        windows(Box::new(Cursor::new(text.to_owned()))).unwrap()
    }

    fn lengths_of(text: &str) -> Dataset {
        dataset(&mut text.as_bytes()).unwrap()
    }

    fn play(clients: Vec<ServeGenClient>, rate: f64, end: Time, seed: u64) -> Vec<Arrival> {
        let mut source = ServeGen::new(clients, rate, 1.0, end, u64::MAX, seed, mixture());
        std::iter::from_fn(|| source.next().unwrap()).collect()
    }

    fn client(number: u32, table: &str) -> ServeGenClient {
        ServeGenClient { number, windows: table_of(table), lengths: Dataset::default() }
    }

    #[test]
    fn the_mean_number_of_arrivals_is_rate_times_length() {
        for row in ["Gamma,0.05,9", "Gamma,4,9", "Weibull,0.4,9", "Weibull,2.5,9"] {
            let table: String = (0..400).map(|at| format!("{},0.5,1,{row}\n", at * 100)).collect();
            let seeds = 1..=10;
            let total: usize =
                seeds.map(|seed| play(vec![client(0, &table)], 2.0, Time::MAX, seed).len()).sum();
            // A million seconds... 400 windows of 100 s, ten times, at one a second.
            let off = total as f64 / 400_000.0 - 1.0;
            // At shape 0.05 the counts of a window have a deviation of about 40 around 100.
            assert!(off.abs() < 0.03, "{row}: {total}");
        }
    }

    #[test]
    fn a_folder_that_begins_later_plays_as_if_it_began_now() {
        let week = 604_800;
        let rows = |from: u64| format!("{from},2,1,Gamma,1,1\n{},4,1,Weibull,0.8,1\n", from + 600);
        let lengths = |from: u64| {
            lengths_of(&format!(
                "{{\"{from}\": {{\"input_tokens\": \"{{10: 1}}\", \"output_tokens\": \"{{1: 1}}\"}},
                  \"{}\": {{\"input_tokens\": \"{{20: 1}}\", \"output_tokens\": \"{{2: 1}}\"}}}}",
                from + 600
            ))
        };
        let client = |number, from| ServeGenClient {
            number,
            windows: table_of(&rows(from)),
            lengths: lengths(from),
        };
        let end = Time::ZERO + Span::from_secs(1_000);
        let now = play(vec![client(1, 0), client(2, 60)], 1.0, end, 4);
        let later = play(vec![client(1, week), client(2, week + 60)], 1.0, end, 4);
        assert!(now.len() > 1_000);
        assert_eq!(now, later);
    }

    #[test]
    fn clients_are_tenants_and_do_not_disturb_each_other() {
        let (busy, rare) = ("0,5,1,Gamma,1,1\n600,0,0,,0,0\n", "0,0.5,1,Weibull,0.7,1\n");
        let end = Time::ZERO + Span::from_secs(900);
        let both = play(vec![client(3, busy), client(8, rare)], 1.0, end, 5);
        assert!(both.is_sorted_by_key(|arrival| arrival.at));
        let of = |arrivals: &[Arrival], tenant| -> Vec<Time> {
            let mine = arrivals.iter().filter(|one| one.request.tenant == TenantId(tenant));
            mine.map(|arrival| arrival.at).collect()
        };
        let alone = play(vec![client(8, rare)], 1.0, end, 5);
        assert_eq!(of(&both, 8), of(&alone, 8));
        assert!(of(&both, 3).last().unwrap().seconds() < 600.0, "then it is idle");
        assert!(both.iter().all(|arrival| arrival.request.prompt == Tokens(77)));
        assert_eq!(both, play(vec![client(3, busy), client(8, rare)], 1.0, end, 5));
    }

    #[test]
    fn lengths_come_from_the_nearest_earlier_window() {
        let lengths = lengths_of(
            "{\"0\": {\"input_tokens\": \"{10: 1.0}\", \"output_tokens\": \"{1: 1.0}\"},
              \"400\": {\"input_tokens\": \"{}\", \"output_tokens\": \"{}\"},
              \"500\": {\"text_tokens\": \"{20: 0.5, 21: 0.5}\", \"image_tokens\": \"{100: 1}\",
                      \"image_count\": \"{1: 1.0}\", \"output_tokens\": \"{2: 1.0}\"}}",
        );
        let windows = table_of("0,3,1,Gamma,1,1\n600,3,1,Gamma,1,1\n");
        let arrivals =
            play(vec![ServeGenClient { number: 0, windows, lengths }], 1.0, Time::MAX, 1);
        for arrival in &arrivals {
            let (prompt, output) = (arrival.request.prompt.0, arrival.truth.output.0);
            if arrival.at.seconds() < 500.0 {
                assert_eq!((prompt, output), (10, 1));
            } else {
                assert!(matches!((prompt, output), (120 | 121, 2)), "{prompt} {output}");
            }
        }
        assert!(arrivals.last().unwrap().at.seconds() > 1_100.0);
    }

    #[test]
    fn bad_files_are_told_with_their_place() {
        let text = "0,1,1,Gamma,1,1\n600,-1,1,Gamma,1,1\n1200,1,1,Normal,1,1\n600,1\n\
                    0,1,1,Gamma,1,1\n1800,1,1,Gamma,0,1\n1800,nan,1,Gamma,1,1\n";
        let errors = windows(Box::new(Cursor::new(text))).unwrap_err();
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let empty = windows(Box::new(Cursor::new("\n"))).unwrap_err();
        let wrong = ["{\"0\": 5}", "{\"x\": {}}", "{\"0\": {\"input_tokens\": \"{5: -1}\"}}", "{"];
        let wrong = wrong.map(|text| dataset(&mut text.as_bytes()).unwrap_err()[0].to_string());
        insta::assert_snapshot!(format!("{}\n{}\n{}", told.join("\n"), empty[0], wrong.join("\n")));
    }
}
