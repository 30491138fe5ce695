//! What is wrong with a scenario, and how it is shown: all of it at once, in file order, each with
//! the line it is on, as rustc does.
//!
//! A problem belongs to a stretch of the file, to an override of the command line, or to the file
//! as a whole. Drawing cuts the one line out of the source first, so the cost of a drawing does not
//! grow with the file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// No more problems than this are drawn.
pub const DRAWN_MAX: usize = 50;

/// No more problems than this are kept: enough to say how many more there are.
pub(super) const KEPT_MAX: usize = 10_000;

/// Quotations of values are cut after so many characters.
const QUOTE_MAX: usize = 60;

/// Where a value of a scenario was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    #[default]
    File,
    /// These bytes of the file.
    Span(Range<usize>),
    /// These bytes of the file, which may be a secret: only the position is shown.
    Hidden(Range<usize>),
    /// An override of the command line, as it was given there: `--set seed=9`.
    Override(Arc<str>),
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, in one line.
    pub message: String,
    /// A few words under the place.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// How bad it is.
    pub level: ProblemLevel,
    /// Its name, if it is one that scenarios may allow.
    pub name: Option<&'static str>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProblemLevel {
    /// It must be mended.
    #[default]
    Error,
    /// It should be.
    Warning,
}

impl Problem {
    /// A problem without label and help.
    #[must_use]
    pub fn new(place: Place, message: impl Into<String>) -> Problem {
        Problem { place, message: message.into(), ..Problem::default() }
    }

    /// Adds the words under the place.
    pub fn label(&mut self, label: impl Into<String>) -> &mut Problem {
        self.label = Some(label.into());
        self
    }

    /// Adds what to do about it.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Problem {
        self.help = Some(help.into());
        self
    }
}

/// Everything that is wrong with one scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    /// Its name for people to see.
    shown: String,
    source: Arc<str>,
    list: Vec<Problem>,
}

impl Problems {
    /// The problems of a text, named as the user named it, put into file order.
    #[must_use]
    pub fn new(file: &str, source: Arc<str>, mut list: Vec<Problem>) -> Problems {
        list.sort_by_key(|problem| match &problem.place {
            Place::File => (0, 0),
            Place::Span(span) | Place::Hidden(span) => (1, span.start),
            Place::Override(_) => (2, 0),
        });
        Problems { file: file.to_owned(), shown: printable(file), source, list }
    }

    /// Returns the problems in file order, those of overrides last.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Returns the file, as the user named it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns line and column of a problem, from one, the column in characters; `None` if it does
    /// not belong to a place in the file.
    #[must_use]
    pub fn position(&self, problem: &Problem) -> Option<(usize, usize)> {
        let (Place::Span(span) | Place::Hidden(span)) = &problem.place else {
            return None;
        };
        let window = ExcerptWindow::of(&self.source, span);
        let before = &window.text[..window.span.start];
        Some((window.line, before.chars().count() + 1))
    }

    /// Draws all problems, at most [`DRAWN_MAX`] of them, with or without colour.
    #[must_use]
    pub fn draw(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let drawn = self.list.iter().take(DRAWN_MAX);
        let mut parts: Vec<String> =
            drawn.map(|problem| self.draw_one(problem, &renderer)).collect();
        if self.list.len() > DRAWN_MAX {
            parts.push(format!("and {} more", self.list.len() - DRAWN_MAX));
        }
        parts.join("\n\n")
    }

    fn draw_one(&self, problem: &Problem, renderer: &Renderer) -> String {
        let level = match problem.level {
            ProblemLevel::Error => Level::ERROR,
            ProblemLevel::Warning => Level::WARNING,
        };
        let title = level.primary_title(&problem.message);
        let title = match problem.name {
            Some(name) => title.id(name),
            None => title,
        };
        let mut groups = vec![match &problem.place {
            Place::File => title.element(Origin::path(&self.shown)),
            Place::Hidden(_) => {
                let (line, column) = self.position(problem).unwrap_or((1, 1));
                title.element(Origin::path(&self.shown).line(line).char_column(column))
            }
            Place::Override(given) => title.element(Origin::path(&**given)),
            Place::Span(span) => title.element(self.snippet(span, problem.label.as_deref())),
        }];
        if let Some(help) = &problem.help {
            groups.push(Group::with_title(Level::HELP.secondary_title(printable(help))));
        }
        renderer.render(&groups)
    }

    fn snippet<'a>(
        &'a self,
        span: &Range<usize>,
        label: Option<&'a str>,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let window = ExcerptWindow::of(&self.source, span);
        Snippet::source(window.text)
            .line_start(window.line)
            .path(&self.shown)
            .annotation(AnnotationKind::Primary.span(window.span).label(label))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.draw(false))
    }
}

impl std::error::Error for Problems {}

/// The line a span begins on, and the part of the span on it.
struct ExcerptWindow<'a> {
    /// From one.
    line: usize,
    text: &'a str,
    span: Range<usize>,
}

impl ExcerptWindow<'_> {
    fn of<'a>(source: &'a str, span: &Range<usize>) -> ExcerptWindow<'a> {
        let start = floor(source, span.start);
        let end = floor(source, span.end).max(start);
        let from = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let to = source[start..].find('\n').map_or(source.len(), |newline| start + newline);
        let text = source[from..to].trim_end_matches('\r');
        let last = text.len();
        let span = (start - from).min(last)..(end - from).min(last);
        ExcerptWindow { line: source[..from].matches('\n').count() + 1, text, span }
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Escapes what a terminal would obey instead of show.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control() && c != '\n';
            let plain = (!escape).then_some(c);
            plain.into_iter().chain(escape.then(|| c.escape_default()).into_iter().flatten())
        })
        .collect()
}

/// A value in backquotes, without control characters and not too long.
pub(super) fn quote(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTE_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{}`", printable(&short))
}
