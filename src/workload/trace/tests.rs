//! Tests of the trace readers over small inline files; real ones: `tests/core/traces.rs`.

use std::io::{self, BufReader, Cursor, Read};

use proptest::prelude::*;

use super::*;
use crate::balance::Priority;
use crate::dist::Dist;
use crate::workload::{ClassSpec, Origin, TenantLaw};

const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

fn mix(seed: u64) -> Mix {
    let law = Dist::constant(1.0).unwrap();
    let (name, priority) = ("all".to_owned(), Priority::Normal);
    let class = ClassSpec {
        name,
        share: 1.0,
        priority,
        prompt: law,
        output: law,
        deadline: None,
        origin: Origin::default(),
        tenants: TenantLaw::default(),
        model: None,
        complexity: None,
        repeat: None,
    };
    Mix::new(vec![class], seed)
}

fn open(reader: impl Read + Send + 'static, format: TraceFormat, scale: f64, seed: u64) -> Trace {
    let reader = Box::new(BufReader::new(reader));
    Trace::new(reader, format, scale, Time::MAX, u64::MAX, seed, mix(seed))
}

fn bytes(text: impl Into<Vec<u8>>) -> Cursor<Vec<u8>> {
    Cursor::new(text.into())
}

fn drain(trace: &mut Trace) -> Result<Vec<Arrival>, Vec<TraceError>> {
    std::iter::from_fn(|| trace.next().transpose()).collect()
}

fn azure(text: impl Into<Vec<u8>>) -> Result<Vec<Arrival>, Vec<TraceError>> {
    drain(&mut open(bytes(text), TraceFormat::Azure, 1.0, 1))
}

fn mooncake(text: impl Into<Vec<u8>>) -> Result<Vec<Arrival>, Vec<TraceError>> {
    drain(&mut open(bytes(text), TraceFormat::Mooncake, 1.0, 1))
}

fn nanos(arrivals: &[Arrival]) -> Vec<u64> {
    arrivals.iter().map(|arrival| arrival.at.0).collect()
}

/// The errors of an Azure file with these rows, as (line, column, reason).
fn azure_errors(rows: &str) -> Vec<(u64, u64, String)> {
    let errors = azure(format!("{HEADER}\n{rows}")).unwrap_err();
    errors.into_iter().map(|error| (error.line, error.column, error.reason)).collect()
}

fn ticked(ticks: &[u64], rows: u64) -> String {
    let rest = "\"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, 2]";
    let row = |at| format!("{{\"timestamp\": {at}, {rest}}}\n");
    ticks.iter().flat_map(|at| (0..rows).map(move |_| row(at))).collect()
}

#[test]
fn azure_rows_become_arrivals_after_the_first() {
    let text = format!(
        "{HEADER}\r\n2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,0\r\n\
         2023-11-16 18:15:51,0,7"
    );
    let arrivals = azure(text).unwrap();
    assert_eq!(nanos(&arrivals), [0, 4_314_579_000, 4_319_410_000]);
    let lengths: Vec<_> = arrivals.iter().map(|a| (a.request.prompt.0, a.truth.output.0)).collect();
    assert_eq!(lengths, [(374, 44), (396, 1), (1, 7)]);
}

#[test]
fn midnight_and_the_ends_of_months_are_exact() {
    let text = format!(
        "{HEADER}\n2024-02-28 23:59:59.9999999,1,1\n2024-02-29 00:00:00.0000000,1,1\n\
         2024-02-29 23:59:59,1,1\n2024-03-01 00:00:00,1,1\n2024-12-31 23:59:59,1,1\n\
         2025-01-01 00:00:00,1,1\n"
    );
    let at = nanos(&azure(text).unwrap());
    assert_eq!(at[1], 100);
    assert_eq!(at[3] - at[2], 1_000_000_000);
    assert_eq!(at[5] - at[4], 1_000_000_000);
    assert_eq!(at[4] - at[3], (306 * 86_400 - 1) * 1_000_000_000);
}

#[test]
fn scale_end_and_count_shape_the_stream() {
    let text = format!(
        "{HEADER}\n2023-01-01 00:00:00,1,1\n2023-01-01 00:00:10,1,1\n2023-01-01 00:00:20,1,1\nbad\n"
    );
    let with = |scale, end, count| {
        let reader = Box::new(bytes(text.clone()));
        drain(&mut Trace::new(reader, TraceFormat::Azure, scale, end, count, 1, mix(1)))
    };
    assert_eq!(nanos(&with(0.5, Time(5_000_000_000), u64::MAX).unwrap()), [0, 5_000_000_000]);
    assert_eq!(with(1.0, Time::MAX, 3).unwrap().len(), 3);
    assert!(with(1.0, Time::MAX, 4).is_err());
}

#[test]
fn wrong_rows_are_told_with_line_and_column() {
    let found = azure_errors(
        "2023-01-01 00:00:00,1,1\n2023-01-01 00:00:01,1\n2023-01-01 00:00:02,1,1,1\n\
         2023-01-01 00:00:03,NaN,1\n2023-01-01 00:00:04,1,-1\n2023-01-01 00:00:05,1e999,1\n\
         2023-01-01 00:00:06,99999999999,1\nyesterday,1,1\n2023-01-01 00:00:07,,1\n",
    );
    let places: Vec<_> = found.iter().map(|(line, column, _)| (*line, *column)).collect();
    assert_eq!(places, [(3, 22), (4, 25), (5, 21), (6, 23), (7, 21), (8, 21), (9, 1), (10, 21)]);
    let has = |at: usize, word: &str| assert!(found[at].2.contains(word), "{:?}", found[at]);
    has(0, "2 fields; wanted 3");
    has(1, "4 fields");
    has(2, "`NaN`: wanted a whole number");
    has(5, "a length is at most");
    has(6, "wanted a time such as");
}

#[test]
fn time_that_goes_back_is_told_once_for_each_step_back() {
    let found = azure_errors(
        "2023-01-01 00:00:10,1,1\n2023-01-01 00:00:09,1,1\n2023-01-01 00:00:11,1,1\n\
         2023-01-01 00:00:10.5,1,1\n",
    );
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].2.contains("1s before"), "{found:?}");
    assert!(found[1].2.contains("500ms before"), "{found:?}");
}

#[test]
fn missing_and_wrong_headers_are_told_apart() {
    let missing = azure("2023-01-01 00:00:00,1,1\n2023-01-01 00:00:01,x,1\n").unwrap_err();
    assert!(missing[0].reason.contains("header is missing"), "{missing:?}");
    assert_eq!(missing.len(), 2, "rows are still looked at");
    let wrong = azure("time,in,out\n1,2,3\n4,5,6\n").unwrap_err();
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].reason.contains("`time,in,out`"), "{wrong:?}");
}

#[test]
fn files_without_rows_are_errors() {
    for (text, word) in [("", "empty"), ("\n\n", "no request"), (HEADER, "no request")] {
        let errors = azure(text).unwrap_err();
        assert!(errors.len() == 1 && errors[0].reason.contains(word), "{errors:?}");
    }
    assert!(mooncake("").unwrap_err()[0].reason.contains("empty"));
    assert!(mooncake(" \n").unwrap_err()[0].reason.contains("no request"));
}

#[test]
fn blank_lines_and_a_byte_order_mark_do_no_harm() {
    let rows = "2023-01-01 00:00:00,1,1\n \r\n2023-01-01 00:00:01,1,1\n\n";
    let text = format!("\u{feff}{HEADER}\n\n{rows}");
    assert_eq!(azure(text).unwrap().len(), 2);
}

#[test]
fn a_cut_off_last_line_is_an_error_that_says_so() {
    let cut = azure_errors("2023-01-01 00:00:00,1,1\n2023-01-01 00:0");
    assert!(cut.len() == 1 && cut[0].2.contains("cut off"), "{cut:?}");
    let cut = mooncake("{\"timestamp\": 0, \"input_length\": 1, \"outp").unwrap_err();
    assert!(cut.len() == 1 && cut[0].reason.contains("cut off"), "{cut:?}");
}

#[test]
fn packed_and_binary_files_are_recognised() {
    let packed = azure(b"\x1f\x8b\x08\x00rest\nmore\n".to_vec()).unwrap_err();
    assert_eq!(
        packed,
        [TraceError {
            line: 1,
            column: 1,
            reason: "this is a gzip file: unpack it first".to_owned()
        }]
    );
    let binary: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    assert!(!mooncake(binary.clone()).unwrap_err().is_empty());
    assert!(!azure(binary).unwrap_err().is_empty());
    let mut text = format!("{HEADER}\n2023-01-01 00:00:00,").into_bytes();
    text.extend(b"\xff\xfe,1\n");
    let errors = azure(text).unwrap_err();
    assert_eq!((errors[0].line, errors[0].column), (2, 21));
    assert!(errors[0].reason.contains("UTF-8"));
}

#[test]
fn many_errors_are_counted_and_not_kept() {
    let errors = azure_errors(&"x\n".repeat(1_000));
    assert_eq!(errors.len(), ERRORS_MAX + 1);
    assert_eq!(errors[ERRORS_MAX].2, "and 980 more errors");
}

#[test]
fn an_endless_line_is_skipped_without_being_kept() {
    let long = io::repeat(b'7').take(3 * LINE_MAX as u64);
    let rest = bytes("\n2023-01-01 00:00:00,1,1\nbad\n");
    let text = bytes(format!("{HEADER}\n")).chain(long).chain(rest);
    let mut trace = open(text, TraceFormat::Azure, 1.0, 1);
    let errors = drain(&mut trace).unwrap_err();
    assert!(errors[0].reason.contains("longer than 8 MiB"), "{errors:?}");
    assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 4]);
    let zeros = open(io::repeat(0), TraceFormat::Mooncake, 1.0, 1).next().unwrap_err();
    assert!(zeros[0].reason.contains("not a text file"), "{zeros:?}");
}

#[test]
fn an_unreadable_file_ends_the_search_for_errors() {
    struct BrokenReader;
    impl Read for BrokenReader {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let text = bytes(format!("{HEADER}\n2023-01-01 00:00:00,1,1\n")).chain(BrokenReader);
    let mut trace = open(text, TraceFormat::Azure, 1.0, 1);
    assert!(trace.next().unwrap().is_some());
    let errors = trace.next().unwrap_err();
    assert!(errors.len() == 1 && errors[0].reason.contains("the disk is gone"), "{errors:?}");
    assert_eq!(trace.next(), Ok(None));
}

#[test]
fn mooncake_errors_keep_their_columns() {
    let row = |timestamp: &str, input: &str| {
        format!("{{\"timestamp\": {timestamp}, \"input_length\": {input}, \"output_length\": 1}}\n")
    };
    let text = [
        row("0", "1"),
        row("1e999", "1"),
        row("-1", "1"),
        row("2", "-5"),
        row("3", "999999999"),
        row("NaN", "1"),
        "[1, 2, 3, []]\n".to_owned(),
        "{\"timestamp\": 5}\n".to_owned(),
    ]
    .concat();
    let errors = mooncake(text).unwrap_err();
    let found: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn rows_of_a_tick_are_spread_until_the_next_tick() {
    let text = ticked(&[0, 3_000, 5_999, 9_000, 18_000], 50);
    let mut trace = open(bytes(text), TraceFormat::Mooncake, 1.0, 7);
    let told = "timestamps lie on a 3s grid: requests are spread by a seeded uniform jitter";
    assert_eq!(trace.notes(), [told]);
    let arrivals = drain(&mut trace).unwrap();
    assert_eq!(arrivals.len(), 250);
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
    let in_tick = |tick: usize, from: u64, to: u64| {
        let times = nanos(&arrivals[tick * 50..(tick + 1) * 50]);
        let range = from * 1_000_000..to * 1_000_000;
        assert!(times.iter().all(|at| range.contains(at)), "tick {tick}: {times:?}");
        assert!(times[49] - times[0] > 2_000_000_000, "spread over the tick");
    };
    in_tick(0, 0, 3_000);
    in_tick(1, 3_000, 5_999);
    in_tick(3, 9_000, 12_000);
    in_tick(4, 18_000, 21_000);
}

#[test]
fn jitter_follows_the_seed_and_nothing_else() {
    let text = ticked(&[0, 3_000, 6_000], 5);
    let trace = |seed| open(bytes(text.clone()), TraceFormat::Mooncake, 1.0, seed);
    let play = |seed| nanos(&drain(&mut trace(seed)).unwrap());
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2));
    let mut asked = trace(1);
    asked.notes();
    assert_eq!(nanos(&drain(&mut asked).unwrap()), play(1), "asking for notes changes nothing");
}

#[test]
fn a_trace_without_a_grid_is_left_alone() {
    let text = ticked(&[0, 40, 277, 471, 529], 1);
    let mut trace = open(bytes(text), TraceFormat::Mooncake, 1.0, 1);
    assert!(trace.notes().is_empty());
    let at = nanos(&drain(&mut trace).unwrap());
    assert_eq!(at, [0, 40_000_000, 277_000_000, 471_000_000, 529_000_000]);
}

#[test]
fn a_tick_that_does_not_fit_is_an_error() {
    // the grid is known before the large tick comes.
    let front = ticked(&(0..40).map(|tick| tick * 3_000).collect::<Vec<_>>(), 3);
    let back = ticked(&[120_000], TICK_ROWS_MAX as u64 + 1);
    let errors = mooncake(front + &back).unwrap_err();
    assert!(errors[0].reason.contains("at one time"), "{errors:?}");
}

#[test]
fn errors_found_while_looking_for_a_grid_are_returned_once() {
    let mut trace = open(bytes("{}\n"), TraceFormat::Mooncake, 1.0, 1);
    assert!(trace.notes().is_empty());
    assert!(trace.next().unwrap_err()[0].reason.contains("missing field"));
    assert_eq!(trace.next(), Ok(None));
}

proptest! {
    #[test]
    fn any_bytes_give_arrivals_in_order_or_errors(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        headed in any::<bool>(),
    ) {
        let mut text = if headed { format!("{HEADER}\n").into_bytes() } else { Vec::new() };
        text.extend(bytes);
        for result in [azure(text.clone()), mooncake(text)] {
            match result {
                Ok(arrivals) => prop_assert!(arrivals.is_sorted_by_key(|arrival| arrival.at)),
                Err(errors) => prop_assert!((1..=ERRORS_MAX + 1).contains(&errors.len())),
            }
        }
    }

    #[test]
    fn text_that_is_almost_a_trace_never_panics(
        rows in proptest::collection::vec(almost_azure(), 0..12),
        objects in proptest::collection::vec(almost_mooncake(), 0..12),
    ) {
        let _ = azure(format!("{HEADER}\n{}", rows.join("\n")));
        let _ = mooncake(objects.join("\n"));
    }
}

fn almost_azure() -> &'static str {
    "[0-9]{4}-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-9:]{5}(\\.[0-9]{0,10})?\
     ,[-0-9eN.]{0,12},[0-9]{0,21}\r?"
}

fn almost_mooncake() -> &'static str {
    "\\{\"timestamp\": -?[0-9]{1,22}(e[0-9]{1,3})?, \"input_length\": [0-9]{1,20}\
     , \"output_length\": [0-9]{1,3}\\}?"
}

fn csv(format: TraceFormat, text: &str) -> Result<Vec<Arrival>, Vec<TraceError>> {
    drain(&mut open(bytes(text), format, 1.0, 1))
}

#[test]
fn both_layouts_of_burstgpt_read_and_failures_are_left_out() {
    let short = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
                 5,ChatGPT,472,18,490,Conversation log\n45.5,ChatGPT,10,0,10,API log\n\
                 118,GPT-4,1087,230,1317,Conversation log\n";
    let long = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,\
                Total tokens,Log Type\n5,a,1.5,ChatGPT,472,18,490,Conversation log\n\
                45.5,,,ChatGPT,10,0,10,API log\n118,b,2,GPT-4,1087,230,1317,API log\n";
    for text in [short, long] {
        let mut trace = open(bytes(text), TraceFormat::BurstGpt, 1.0, 1);
        let told = "rows without response tokens failed and are left out (1 in the first rows)";
        assert_eq!(trace.notes(), [told]);
        let arrivals = drain(&mut trace).unwrap();
        assert_eq!(nanos(&arrivals), [0, 113_000_000_000]);
        let lengths: Vec<_> =
            arrivals.iter().map(|a| (a.request.prompt.0, a.truth.output.0)).collect();
        assert_eq!(lengths, [(472, 18), (1_087, 230)]);
        assert_eq!(trace.skipped(), 1);
    }
    let failures = "Timestamp,Request tokens,Response tokens\n1,5,0\n";
    let errors = csv(TraceFormat::BurstGpt, failures).unwrap_err();
    assert!(errors[0].reason.contains("no request"), "{errors:?}");
}

#[test]
fn whole_seconds_of_burstgpt_are_a_grid() {
    let rows: String = (0..20).map(|at| format!("{at},5,5\n").repeat(3)).collect();
    let text = format!("Timestamp,Request tokens,Response tokens\n{rows}");
    let mut trace = open(bytes(text), TraceFormat::BurstGpt, 1.0, 1);
    assert_eq!(trace.notes().len(), 2);
    assert_eq!(trace.grid(), Some(Span::from_secs(1)));
}

#[test]
fn vidur_rows_are_scaled_in_time_and_length() {
    let text = "arrived_at,num_prefill_tokens,num_decode_tokens,pd_ratio\n\
                0.25,100,3,33\n1.5,20000000,1,0\n";
    let errors = csv(TraceFormat::Vidur, text).unwrap_err();
    assert_eq!((errors[0].line, errors[0].column), (3, 5));
    let text = text.replace("20000000", "16000000");
    let scale = TraceScale { time: 2.0, length: 1.5 };
    let reader = Box::new(bytes(text));
    let mut trace = Trace::new(reader, TraceFormat::Vidur, scale, Time::MAX, u64::MAX, 1, mix(1));
    let arrivals = drain(&mut trace).unwrap();
    assert_eq!(nanos(&arrivals), [0, 2_500_000_000]);
    let lengths: Vec<_> = arrivals.iter().map(|a| (a.request.prompt.0, a.truth.output.0)).collect();
    assert_eq!(lengths, [(150, 5), (LENGTH_MAX, 2)]);
}

#[test]
fn what_is_asked_again_in_a_trace_is_asked_again_in_one_whose_lengths_are_scaled() {
    // Long enough that rounding a block's length adds up to more than a block.
    let ids: Vec<String> = (0..1_000).map(|id| id.to_string()).collect();
    let row = |timestamp: u64, input: u64| {
        format!(
            "{{\"timestamp\": {timestamp}, \"input_length\": {input}, \"output_length\": 5, \
             \"hash_ids\": [{}]}}\n",
            ids.join(", ")
        )
    };
    let text = [row(0, 512_000), row(1, 512_000), row(2, 511_900)].concat();
    for length in [1.0, 0.3, 0.999, 1.7] {
        let scale = TraceScale { time: 1.0, length };
        let reader = Box::new(bytes(text.clone()));
        let mut trace =
            Trace::new(reader, TraceFormat::Mooncake, scale, Time::MAX, u64::MAX, 1, mix(1));
        let asked: Vec<_> =
            drain(&mut trace).unwrap().iter().map(|arrival| arrival.request.content).collect();
        assert!(asked[0].is_some(), "{length}");
        assert_eq!(asked[0], asked[1], "{length}");
        assert_ne!(asked[0], asked[2], "{length}");
    }
}

#[test]
fn wrong_columns_and_rows_are_told() {
    let errors = csv(TraceFormat::Vidur, "arrived_at,prefill\n1,2\n").unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].reason.contains("no `num_prefill_tokens`"), "{errors:?}");
    let rows = "nan,1,1\n-1,1,1\n1e999,1,1\n1,x,1\n1,1\n1,1,1,1\n2,1,1\n1,1,1\n";
    let text = format!("arrived_at,num_prefill_tokens,num_decode_tokens\n{rows}");
    let errors = csv(TraceFormat::Vidur, &text).unwrap_err();
    let places: Vec<_> = errors.iter().map(|error| (error.line, error.column)).collect();
    assert_eq!(places, [(2, 1), (3, 1), (4, 1), (5, 3), (6, 1), (7, 1), (9, 1)]);
}

proptest! {
    #[test]
    fn text_that_is_almost_a_table_never_panics(rows in "([-0-9.einfa]{0,6},){0,4}[0-9\\n]{0,40}") {
        let _ = csv(TraceFormat::Vidur, &format!("{}\n{rows}", columns::VIDUR.join(",")));
        let _ = csv(TraceFormat::BurstGpt, &format!("{}\n{rows}", columns::BURSTGPT.join(",")));
    }
}

fn map(unit: TimeUnit) -> CsvMap {
    let name = |text: &str| Some(text.to_owned());
    CsvMap {
        time: "When".to_owned(),
        unit,
        input: "in".to_owned(),
        output: "out".to_owned(),
        session: name("chat"),
        tenant: name("who"),
        class: name("kind"),
        separator: b';',
    }
}

fn table(map: CsvMap, text: &str) -> Result<Vec<Arrival>, Vec<TraceError>> {
    csv(TraceFormat::Csv(Box::new(map)), text)
}

#[test]
fn line_ends_and_separators_stand_in_quotes() {
    let text = "who;kind;out;in;note;when;chat\n\
                acme;all;2;1;\"a; b\n\"\"c\"\"\r\n\nd\";0;x\nacme;all;4;3; 5\" wide;1;x\n\
                acme;all;6;5;\"\";2;x\n";
    let read = |text: &str| table(map(TimeUnit::Seconds), text);
    assert_eq!(nanos(&read(text).unwrap()), [0, 1_000_000_000, 2_000_000_000]);
    // Lines are counted as editors do.
    let errors = read(&text.replace("6;5;", "6;x;")).unwrap_err();
    assert_eq!((errors[0].line, errors[0].column), (7, 12));
    let open = "who;kind;out;in;note;when;chat\nacme;all;2;1;\"a;0;x\nacme;all;2;1;b;1;x\n";
    let errors = read(open).unwrap_err();
    assert!(errors[0].reason.contains("begins in line 2 is not closed"), "{errors:?}");
}

#[test]
fn any_table_reads_by_its_map() {
    let text = "who;kind;\"out\";IN;more;when;chat\n\
                acme;all;5;100;x;\"1700000000.25\";7\n\
                \"b;c\";all;6;101;;1700000001.5;abc\nacme;all;7;102;;1700000001.5;7\n";
    let arrivals = table(map(TimeUnit::Seconds), text).unwrap();
    assert_eq!(nanos(&arrivals), [0, 1_250_000_000, 1_250_000_000]);
    let facts: Vec<_> = arrivals
        .iter()
        .map(|a| (a.request.prompt.0, a.truth.output.0, a.request.tenant.0))
        .collect();
    assert_eq!(facts, [(100, 5, 0), (101, 6, 1), (102, 7, 0)], "names are numbered");
    let sessions: Vec<_> = arrivals.iter().map(|arrival| arrival.request.session).collect();
    assert_eq!((sessions[0], sessions[2]), (Some(7), Some(7)));
    assert_ne!(sessions[1], Some(7));
}

#[test]
fn times_of_a_table_are_in_its_unit() {
    for (unit, first, second) in [
        (TimeUnit::Seconds, "0.5", "2"),
        (TimeUnit::Millis, "500", "2000.0"),
        (TimeUnit::Micros, "500000", "2e6"),
        (TimeUnit::Nanos, "500000000", "2000000000"),
        (TimeUnit::Date, "2023-12-31 23:59:59.5", "2024-01-01T00:00:01Z"),
    ] {
        let bare = CsvMap { session: None, tenant: None, class: None, ..map(unit) };
        let text = format!("when;in;out\n{first};1;1\n{second};1;1\n");
        assert_eq!(nanos(&table(bare, &text).unwrap()), [0, 1_500_000_000], "{unit:?}");
    }
}

#[test]
fn bad_rows_of_a_table_are_told_with_their_place() {
    let text = "when;in;out;chat;who;kind\n1;1;1;a;5;all\n2;-1;1;a;5;all\n2;1;999999999;a;5;all\n\
                2;1;1;a;5;none\n2;1;1;a;bob;all\nsoon;1;1;a;5;all\n2;1;1;a;5\n\
                0.5;1;1;a;5;all\n-3;1;1;a;5;all\n1e40;1;1;a;5;all\n";
    let errors = table(map(TimeUnit::Seconds), text).unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"));
    let wrong = table(map(TimeUnit::Seconds), "when,in,out\n1,1,1\n").unwrap_err();
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].reason.contains("no column `When`"), "{wrong:?}");
}

#[test]
fn bailian_rows_have_conversations_and_small_blocks() {
    let row = |chat, parent, at: f64| {
        format!(
            "{{\"chat_id\": {chat}, \"parent_chat_id\": {parent}, \"timestamp\": {at}, \
             \"input_length\": 33, \"output_length\": 2, \"hash_ids\": [1, 2, {chat}]}}\n"
        )
    };
    let text = [row(5, -1, 61.0), row(6, -1, 61.25), row(9, 5, 70.5)].concat();
    let arrivals = drain(&mut open(bytes(text), TraceFormat::Bailian, 1.0, 1)).unwrap();
    assert_eq!(nanos(&arrivals), [0, 250_000_000, 9_500_000_000]);
    let sessions: Vec<_> = arrivals.iter().map(|arrival| arrival.request.session).collect();
    assert_eq!(sessions, [Some(5), Some(6), Some(5)]);
    let (a, b) = (&arrivals[0].request, &arrivals[2].request);
    assert_eq!((a.prefix_block, a.prefix.len()), (16, 3));
    assert_eq!(a.prefix[..2], b.prefix[..2]);
    assert_ne!(a.prefix[2], b.prefix[2]);
}

proptest! {
    #[test]
    fn text_that_is_almost_any_trace_never_panics(
        rows in "([-0-9.a\";]{0,8};){0,6}[0-9\\n]{0,40}",
        object in "\\{(\"(chat_id|timestamp|input_length|t|in|requests)\": ?[-0-9\\[{}e.]{0,5},?){0,5}\\}?",
    ) {
        let text = format!("when;in;out;chat;who;kind\n{rows}");
        let _ = table(map(TimeUnit::Seconds), &text);
        let _ = drain(&mut open(bytes(object.clone()), TraceFormat::Bailian, 1.0, 1));
        let mut sessions = Recordings::new(Box::new(bytes(object.clone())), 1.0);
        while let Ok(Some(_)) = sessions.next() {}
        let _ = servegen::windows(Box::new(bytes(rows.replace(';', ","))));
        let _ = servegen::dataset(&mut object.as_bytes());
    }
}
