//! Every word of every format: of journals, decision logs, results as JSON and CSV.
//!
//! `tests/golden/words.txt` is written by the program's own tables. Whoever reads these formats relies on
//! every word of it; a word that changes or goes needs a new version of its format. `PLIMSOLL_WORDS=write cargo test --test cli words`
//! writes the file anew.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use plimsoll::balance::{
    Cause, End, Failure, Fate, LimitCause, MarkBy, MarkPhase, Reject, TimeoutStage,
};
use plimsoll::journal;
use plimsoll::report;
use plimsoll::report::reference::log::KINDS;
use plimsoll::unit::{Ratio, Span};

fn run(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(arguments).stdin(Stdio::null()).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.stdout.is_empty(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

fn tables() -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().to_string_lossy();
    run(&["run", "tests/golden/mixed.toml", "--quiet", "--export", &to]);
    let files = fs::read_dir(folder.path()).expect("the export").map(|file| file.expect("a file"));
    let mut lines: Vec<String> = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("text");
            let name = path.file_name().expect("a name").to_string_lossy();
            format!("{name}: {}", text.lines().next().expect("a header"))
        })
        .collect();
    lines.sort();
    lines
}

/// Words of the decision log that stand as values. Those that have data have any.
fn reasons() -> Vec<String> {
    let (ratio, span) = (Ratio::ONE, Span::ZERO);
    let mut ends = vec![End::Done, End::RateLimited, End::Cancelled, End::Outrun];
    ends.extend(Failure::ALL.map(End::Failed));
    ends.extend([TimeoutStage::FirstToken, TimeoutStage::Total].map(End::TimedOut));
    let rejections = [
        Reject::QueueFull,
        Reject::WaitedTooLong,
        Reject::NoNode,
        Reject::NotAtHome,
        Reject::TooLate,
        Reject::Displaced,
        Reject::TenantRate(span),
        Reject::Budget(span),
        Reject::RetryBudget,
        Reject::Shed,
        Reject::Resting(span),
    ];
    let fates =
        [Fate::Completed, Fate::Failed(End::Done), Fate::Rejected(Reject::Shed), Fate::Cancelled];
    let causes = [
        Cause::Failures(0),
        Cause::Probes(0),
        Cause::Recovered(0),
        Cause::Probing,
        Cause::RateLimited(span),
        Cause::LimitOver,
        Cause::Operator,
        Cause::Scaled,
        Cause::Started,
        Cause::SuccessRate(ratio, ratio),
        Cause::FailureShare(ratio),
        Cause::SlowShare(ratio, ratio),
        Cause::Silent(span),
        Cause::Credential(span),
        Cause::NoToken(0),
        Cause::Busy(span),
        Cause::Refusals(0),
        Cause::RefusalShare(ratio, ratio),
    ];
    let limits = [LimitCause::Ratio(ratio), LimitCause::Pressed(End::Done)];
    let line = |title: &str, words: Vec<&str>| format!("log, {title}: {}", words.join(" | "));
    // A journal calls them alike, and its table is whole.
    let whole = |title: &str, words: &[&str]| {
        let table = journal::words().into_iter().find(|(found, _)| *found == title);
        assert_eq!(table.expect("a table").1, words, "{title}");
    };
    let words = fates.map(Fate::word);
    whole("fate", &words);
    let mut lines = vec![line("fates", words.to_vec())];
    let words = causes.map(Cause::word);
    whole("cause", &words);
    lines.push(line("causes", words.to_vec()));
    let words = limits.map(LimitCause::word);
    whole("limit cause", &words);
    lines.push(line("causes of limits", words.to_vec()));
    lines.push(line("ends", ends.iter().map(|end| end.words()).collect()));
    lines.push(line("rejections", rejections.iter().map(|reason| reason.words()).collect()));
    let marks = [MarkBy::Scenario.word(), MarkBy::Person.word(), MarkPhase::Begin.word()];
    lines.push(line("marks", [&marks[..], &[MarkPhase::End.word()]].concat()));
    lines
}

#[test]
fn every_word_of_every_format_is_known() {
    let mut lines = vec![format!("journal, version {}", journal::VERSION)];
    for (title, words) in journal::words() {
        lines.push(format!("journal, {title}: {}", words.join(" ")));
    }
    lines.push(format!("decision log, version {}", report::decisions::VERSION));
    for kind in KINDS {
        let fields: Vec<&str> = kind.fields.iter().map(|(field, _)| *field).collect();
        lines.push(format!("log, {}: {}", kind.word, fields.join(" ")));
    }
    lines.extend(reasons());
    for (title, keys) in report::keys() {
        lines.push(format!("result, {title}: {}", keys.join(" ")));
    }
    lines.extend(tables());
    let found = lines.join("\n") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/words.txt");
    if std::env::var_os("PLIMSOLL_WORDS").is_some_and(|what| what == "write") {
        fs::write(path, found).expect("the file is written");
        return;
    }
    let kept = fs::read_to_string(path).expect("the kept words");
    let (kept, found): (Vec<&str>, Vec<&str>) = (kept.lines().collect(), found.lines().collect());
    let gone: Vec<_> = kept.iter().filter(|line| !found.contains(line)).collect();
    let new: Vec<_> = found.iter().filter(|line| !kept.contains(line)).collect();
    assert!(gone.is_empty() && new.is_empty(), "words changed:\ngone {gone:#?}\nnew {new:#?}");
    assert_eq!(found, kept, "their order");
}
