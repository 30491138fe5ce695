//! The trace readers over real published traces. They are not part of this package: the tests say
//! so and pass where the files are absent. `PLIMSOLL_TRACES` names their folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use flate2::bufread::MultiGzDecoder;
use plimsoll::balance::{Fate, Priority};
use plimsoll::dist::Dist;
use plimsoll::unit::{Span, Time};
use plimsoll::workload::trace::servegen::{self, ServeGenClient};
use plimsoll::workload::{
    Arrival, ArrivalSource, Begin, ClassSpec, ClosedLoop, Mix, Origin, Process, Recordings, Script,
    ServeGen, SessionPace, TenantLaw, Trace, TraceFormat, Traffic,
};

fn folder() -> PathBuf {
    std::env::var_os("PLIMSOLL_TRACES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/traces"),
        PathBuf::from,
    )
}

fn mix() -> Mix {
    let law = Dist::constant(1.0).expect("one is a length");
    let class = ClassSpec {
        name: "all".to_owned(),
        share: 1.0,
        priority: Priority::Normal,
        prompt: law,
        output: law,
        deadline: None,
        origin: Origin::default(),
        tenants: TenantLaw::default(),
        model: None,
        complexity: None,
        repeat: None,
    };
    Mix::new(vec![class], 7)
}

/// A packed file; `None` if it is not there.
fn packed(name: &str) -> Option<Box<dyn BufRead + Send>> {
    let Ok(file) = File::open(folder().join(name)) else {
        println!("skipped: there is no {name}");
        return None;
    };
    Some(Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file)))))
}

fn open(name: &str, format: TraceFormat) -> Option<Trace> {
    let Ok(file) = File::open(folder().join(name)) else {
        println!("skipped: there is no {name}");
        return None;
    };
    Some(Trace::new(Box::new(BufReader::new(file)), format, 1.0, Time::MAX, u64::MAX, 7, mix()))
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

/// What recorded sessions come to, if every answer takes so long.
struct Sessions {
    requests: BTreeMap<u64, u64>,
    prompts: u64,
    outputs: u64,
    blocks: u64,
    /// Blocks that the request before in this session had as well.
    shared: u64,
}

fn sessions(pace: SessionPace, answer: Span) -> Option<Sessions> {
    let file = packed("claude_code_sessions.jsonl.gz")?;
    let begin = Begin::Process(Process::poisson(0.01).expect("a rate"));
    let script = Script::Recorded(Recordings::new(file, 1.0), pace);
    let mut traffic = ClosedLoop::new(begin, script, Time::MAX, u64::MAX, 7, mix());
    let mut found =
        Sessions { requests: BTreeMap::new(), prompts: 0, outputs: 0, blocks: 0, shared: 0 };
    let mut before: BTreeMap<u64, Box<[u64]>> = BTreeMap::new();
    // All answers take the same time, so they come in order.
    let mut under_way = std::collections::VecDeque::new();
    loop {
        let next = traffic.peek().expect("published sessions have no errors");
        let due = under_way.front().copied();
        match (next, due) {
            (at, Some((done, id))) if at.is_none_or(|at| done <= at) => {
                under_way.pop_front();
                traffic.settled(done, id, Fate::Completed);
            }
            (Some(_), _) => {
                let Arrival { at, request, truth } = traffic.take();
                under_way.push_back((at + answer, request.id));
                let session = request.session.expect("it is of a session");
                *found.requests.entry(session).or_default() += 1;
                found.prompts += request.prompt.0;
                found.outputs += truth.output.0;
                found.blocks += request.prefix.len() as u64;
                let last = before.entry(session).or_default();
                let same = last.iter().zip(&request.prefix).take_while(|(a, b)| a == b).count();
                found.shared += same as u64;
                *last = request.prefix;
            }
            (None, None) => return Some(found),
            (None, Some(_)) => unreachable!("nothing else is due"),
        }
    }
}

#[test]
fn the_claude_code_sessions_read_as_published() {
    for pace in [SessionPace::Think, SessionPace::Recorded] {
        let Some(found) = sessions(pace, Span::from_secs(5)) else {
            return;
        };
        let count: u64 = found.requests.values().sum();
        assert_eq!((found.requests.len(), count), (348, 21_798), "62.6 requests a session");
        assert_eq!(found.requests.values().max(), Some(&561));
        assert_eq!((found.prompts + count / 2) / count, 120_409);
        assert_eq!((found.outputs + count / 2) / count, 434);
        let share = found.shared as f64 / found.blocks as f64;
        assert!((0.9..0.98).contains(&share), "{share} of the blocks were there before");
    }
}

/// The clients of a pool; `None` if they are not there.
fn clients(pool: &str) -> Option<Vec<ServeGenClient>> {
    let mut clients = Vec::new();
    let name = |number: u32, what: &str| format!("servegen/{pool}/chunk-{number}-{what}.gz");
    // A client may be missing, a hundred in a row are not.
    for number in 0..1_000 {
        if !folder().join(name(number, "trace.csv")).exists() {
            continue;
        }
        let windows = servegen::windows(packed(&name(number, "trace.csv"))?);
        let lengths = packed(&name(number, "dataset.json")).map(|mut file| {
            servegen::dataset(&mut file).expect("published lengths have no errors")
        });
        let lengths = lengths.unwrap_or_default();
        let windows = windows.expect("published tables have no errors");
        clients.push(ServeGenClient { number, windows, lengths });
    }
    if clients.is_empty() {
        println!("skipped: there is no servegen/{pool}");
        return None;
    }
    Some(clients)
}

#[test]
fn the_servegen_pools_have_the_published_rates_and_lengths() {
    for (pool, count, bare, rate, input, output) in [
        // 15 have no file, and 46 are idle on the days that the files are of.
        ("m-large_week1", 162, 61, 209.0, None, None),
        ("deepseek-r1", 73, 0, 16.0, Some(1_268.0), Some(1_527.0)),
        ("mm-image", 35, 0, 9.5, Some(572.0 + 650.0), Some(130.0)),
    ] {
        let Some(clients) = clients(pool) else {
            return;
        };
        let without = clients.iter().filter(|client| client.lengths.is_empty()).count();
        assert_eq!((clients.len(), without), (count, bare), "{pool}");
        let mean_rate = ServeGen::mean_rate(&clients);
        assert!((mean_rate / rate - 1.0).abs() < 0.01, "{pool}: {mean_rate}");
        // About a hundred thousand requests in the first day.
        let factor = 100_000.0 / 86_400.0 / mean_rate;
        let day = Time::ZERO + Span::from_secs(86_400);
        let mut source = ServeGen::new(clients, factor, 1.0, day, u64::MAX, 7, mix());
        let arrivals: Vec<Arrival> =
            std::iter::from_fn(|| source.next().expect("laws do not fail")).collect();
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
        let (mean_in, mean_out) = (
            mean(&arrivals, |arrival| arrival.request.prompt.0),
            mean(&arrivals, |arrival| arrival.truth.output.0),
        );
        println!("{pool}: {} requests, {mean_in} in, {mean_out} out", arrivals.len());
        if let Some(input) = input {
            // One day of two pools is all there is; of the other it is the first of seven.
            assert!((arrivals.len() as f64 / 100_000.0 - 1.0).abs() < 0.03, "{pool}");
            assert!((mean_in as f64 / input - 1.0).abs() < 0.1, "{pool}: {mean_in} in");
        }
        if let Some(output) = output {
            assert!((mean_out as f64 / output - 1.0).abs() < 0.1, "{pool}: {mean_out} out");
        }
    }
}
