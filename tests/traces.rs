//! The trace readers over real published traces. They are not part of this package: the tests say
//! so and pass where the files are absent. `PLIMSOLL_TRACES` names their folder.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use plimsoll::balance::Priority;
use plimsoll::dist::Dist;
use plimsoll::unit::{Span, Time};
use plimsoll::workload::{Arrival, ClassSpec, Mix, Origin, Source, Trace, TraceFormat};

fn folder() -> PathBuf {
    std::env::var_os("PLIMSOLL_TRACES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/traces"),
        PathBuf::from,
    )
}

fn open(name: &str, format: TraceFormat) -> Option<Trace> {
    let Ok(file) = File::open(folder().join(name)) else {
        println!("skipped: there is no {name}");
        return None;
    };
    let law = Dist::constant(1.0).expect("one is a length");
    let class = ClassSpec {
        name: "all".to_owned(),
        share: 1.0,
        priority: Priority::Normal,
        prompt: law,
        output: law,
        deadline: None,
        origin: Origin::default(),
    };
    let mix = Mix::new(vec![class], 7);
    Some(Trace::new(Box::new(BufReader::new(file)), format, 1.0, Time::MAX, u64::MAX, 7, mix))
}

fn drain(trace: &mut Trace) -> Vec<Arrival> {
    std::iter::from_fn(|| trace.next().expect("published traces have no errors")).collect()
}

/// The mean, rounded to the nearest whole number.
fn mean(arrivals: &[Arrival], of: impl Fn(&Arrival) -> u64) -> u64 {
    let count = arrivals.len() as u64;
    (arrivals.iter().map(of).sum::<u64>() + count / 2) / count
}

#[test]
fn the_azure_conversation_trace_reads_as_published() {
    let Some(mut trace) = open("azure_llm_2023_conv.csv", TraceFormat::Azure) else {
        return;
    };
    let arrivals = drain(&mut trace);
    assert_eq!(arrivals.len(), 19_366);
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
    assert_eq!(mean(&arrivals, |arrival| arrival.request.prompt.0), 1_155);
    assert_eq!(mean(&arrivals, |arrival| arrival.truth.output.0), 211);
    assert_eq!(arrivals[arrivals.len() - 1].at.0 / 1_000_000_000, 3_501);
    assert!(trace.notes().is_empty());
}

#[test]
fn the_azure_code_trace_reads_as_published() {
    let name = "azure_llm_2023_code_first40min.csv";
    let Some(mut trace) = open(name, TraceFormat::Azure) else {
        return;
    };
    let arrivals = drain(&mut trace);
    assert_eq!(arrivals.len(), 7_491);
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
}

#[test]
fn the_mooncake_conversation_trace_has_a_grid_that_is_spread() {
    let name = "mooncake_fast25_conversation_first45min.jsonl";
    let Some(mut trace) = open(name, TraceFormat::Mooncake) else {
        return;
    };
    assert_eq!(trace.notes().len(), 1);
    let step = trace.grid().expect("there is a grid");
    assert!(step.0.abs_diff(Span::from_secs(3).0) < 1_000_000, "{step}");
    let arrivals = drain(&mut trace);
    assert_eq!(arrivals.len(), 8_940);
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
    let shared = arrivals.windows(2).filter(|pair| pair[0].at == pair[1].at).count();
    assert!(shared < 10, "{shared} neighbours at one time");
    assert!(arrivals[8_939].at > Time(2_699_999_000_000));
    // Block 0 is common to every request of this trace.
    let first = arrivals[0].request.prefix[0];
    assert!(arrivals.iter().all(|arrival| arrival.request.prefix[0] == first));
}

#[test]
fn the_mooncake_synthetic_trace_has_no_grid() {
    let name = "mooncake_fast25_synthetic.jsonl";
    let Some(mut trace) = open(name, TraceFormat::Mooncake) else {
        return;
    };
    assert!(trace.notes().is_empty());
    assert_eq!(trace.grid(), None);
    let arrivals = drain(&mut trace);
    assert_eq!(arrivals.len(), 3_993);
    assert_eq!(arrivals[3_992].at.0 % 1_000_000, 0, "times are left as they are");
}
