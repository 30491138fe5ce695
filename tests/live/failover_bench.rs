//! Sixteen faults of a primary endpoint with a fallback behind it, as a public benchmark of gateways has
//! them (Failover Bench 0.1), with its times scaled down: what the client gets, how often each endpoint was
//! asked, and that all ledgers agree.

use plimsoll::balance::{End, Fate};
use plimsoll::live::http::HttpLimits;
use serde_json::{Value, json};

use crate::gate::{DONE, Do, Gate, SSE, Upstream, http, say, word, words};

const WORDS: usize = 60;

/// The answer that every endpoint gives, word by word.
fn answer() -> Vec<String> {
    (0..WORDS).map(|at| format!("w{at} ")).collect()
}

/// Part of the answer as a stream of this model.
fn part(model: &str, words: &[String]) -> String {
    let chunk = format!("data: {{\"model\":\"{model}\",");
    words.iter().map(|text| word(text).replacen("data: {", &chunk, 1)).collect()
}

fn end(model: &str) -> String {
    let usage = "{\"prompt_tokens\":20,\"completion_tokens\":60,\"total_tokens\":80}";
    format!(
        "data: {{\"model\":\"{model}\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n\
         data: {{\"model\":\"{model}\",\"choices\":[],\"usage\":{usage}}}\n\n"
    )
}

fn whole(model: &str) -> Vec<Do> {
    vec![say([SSE, &part(model, &answer()), &end(model), DONE].concat())]
}

fn error(status: &str, headers: &str, code: &str) -> Vec<Do> {
    let body = json!({"error": {"message": code, "type": "x", "code": code}}).to_string();
    vec![say(http(status, headers, &body))]
}

/// The words that a request ends with: the beginning of its answer.
fn shown(said: &str) -> Option<usize> {
    let (_, body) = said.split_once("\r\n\r\n")?;
    let body: Value = serde_json::from_str(body).expect("JSON");
    let last = body["messages"].as_array()?.last()?;
    let text = last["content"].as_str()?.to_owned();
    (last["role"] == "assistant").then(|| text.split_whitespace().count())
}

/// A fallback that goes on from the beginning of an answer, or refuses to.
fn fallback(prefills: bool, said: &str) -> Vec<Do> {
    match shown(said) {
        None => whole("fallback"),
        Some(from) if prefills => {
            vec![say([SSE, &part("fallback", &answer()[from..]), &end("fallback"), DONE].concat())]
        }
        Some(_) => error("400 Bad Request", "", "prefill_not_supported"),
    }
}

const FLEET: &str = r#"
duration = "1h"
[balancer]
retry = { attempts = 4, backoff = { base = "1ms", cap = "5ms" }, budget = 1.0, resume = true, stay = 1 }
timeouts = { connect = "1s", first_token = "700ms", inter_token = "500ms", total = "8s" }
[[pool]]
name = "primary"
strategy = "round_robin"
node = [{ name = "one", model = "m", backend = BACKEND }]
[[pool]]
name = "fallback"
strategy = "round_robin"
node = [{ name = "two", model = "m", backend = BACKEND }]
[[class]]
name = "c"
output_tokens = { constant = 9 }
[workload]
arrivals = { poisson = { rate = 1 } }
"#;

/// What a scenario has to come to.
#[derive(Clone, Copy)]
enum Wanted {
    /// The whole answer.
    Whole,
    /// A clean error with this status.
    Error(u16),
}

/// A fault of the primary endpoint, by the turn of its request, whether the fallback goes on from part of an
/// answer, and what is wanted: of the client's answer, and how often each is asked.
struct BenchCase {
    name: &'static str,
    primary: fn(usize) -> Vec<Do>,
    prefills: bool,
    wanted: Wanted,
    asked: (std::ops::RangeInclusive<usize>, std::ops::RangeInclusive<usize>),
}

fn once(turn: usize, fault: Vec<Do>) -> Vec<Do> {
    if turn == 0 { fault } else { whole("primary") }
}

/// The stream up to this word, and then this.
fn until(word: usize, then: Vec<Do>) -> Vec<Do> {
    let begun = say([SSE, &part("primary", &answer()[..word])].concat());
    std::iter::once(begun).chain(then).collect()
}

fn malformed() -> Vec<Do> {
    let rest = [&part("primary", &answer()[10..]), &*end("primary"), DONE].concat();
    until(10, vec![say("data: {\"choices\":[{\"delta\n\n"), say(rest)])
}

fn case(
    name: &'static str,
    primary: fn(usize) -> Vec<Do>,
    wanted: Wanted,
    asked: (std::ops::RangeInclusive<usize>, std::ops::RangeInclusive<usize>),
) -> BenchCase {
    BenchCase { name, primary, prefills: true, wanted, asked }
}

/// Faults before anything of an answer has come that pass, or do not.
fn refusals() -> Vec<BenchCase> {
    use Wanted::Whole;
    vec![
        case(
            "S01 429 with Retry-After is waited out",
            |turn| {
                once(turn, error("429 Too Many Requests", "retry-after-ms: 200\r\n", "slow_down"))
            },
            Whole,
            (2..=2, 0..=0),
        ),
        case(
            "S02 429 without Retry-After goes elsewhere",
            |_| error("429 Too Many Requests", "", "slow_down"),
            Whole,
            (1..=2, 1..=1),
        ),
        case(
            "S03 one 500 is tried again where it was",
            |turn| once(turn, error("500 Internal Server Error", "", "x")),
            Whole,
            (2..=2, 0..=0),
        ),
        case(
            "S04 503 without end goes elsewhere",
            |_| error("503 Service Unavailable", "", "overloaded"),
            Whole,
            (1..=2, 1..=1),
        ),
        case(
            "S05 a reset before the head",
            |turn| once(turn, vec![Do::Reset]),
            Whole,
            (1..=2, 0..=1),
        ),
    ]
}

/// All the others.
fn silences_cuts_and_limits() -> Vec<BenchCase> {
    use Wanted::{Error, Whole};
    vec![
        case("S06 no answer at all", |_| vec![Do::Hang], Whole, (1..=1, 1..=1)),
        case(
            "S07 a late first token",
            |_| vec![say(SSE), Do::Wait(2_500), say([&part("primary", &answer()), DONE].concat())],
            Whole,
            (1..=1, 1..=1),
        ),
        case(
            "S08 a stream that is cut",
            |_| until(40, vec![Do::Wait(20), Do::Reset]),
            Whole,
            (1..=1, 1..=1),
        ),
        case(
            "S09 a stream that stalls",
            |_| until(20, vec![Do::Wait(3_000)]),
            Whole,
            (1..=1, 1..=1),
        ),
        case("S10 an event that is none", |_| malformed(), Whole, (1..=1, 1..=1)),
        case(
            "S11 no terminal marker",
            |_| vec![say([SSE, &part("primary", &answer()), &end("primary")].concat())],
            Whole,
            (1..=1, 0..=0),
        ),
        case(
            "S12 the context is too long",
            |_| error("400 Bad Request", "", "context_length_exceeded"),
            Whole,
            (1..=1, 1..=1),
        ),
        case(
            "S13 a content filter is against it",
            |_| error("400 Bad Request", "", "content_policy_violation"),
            Error(400),
            (1..=1, 0..=0),
        ),
        BenchCase {
            name: "S14 the fallback goes on from no answer",
            primary: |_| until(40, vec![Do::Wait(20), Do::Reset]),
            prefills: false,
            wanted: Whole,
            asked: (1..=1, 2..=2),
        },
        case(
            "S16 who answers is named, and pays",
            |_| error("503 Service Unavailable", "", "overloaded"),
            Whole,
            (1..=2, 1..=1),
        ),
    ]
}

async fn gate(primary: &Upstream, fallback: &Upstream) -> Gate {
    let backend =
        "{ api = { ttft = { constant = \"1ms\" }, tokens_per_second = { constant = 400 } } }";
    let text = FLEET.replace("BACKEND", backend);
    Gate::of(&text, &[primary.url(), fallback.url()], HttpLimits::default()).await
}

fn ask() -> Value {
    json!({
        "model": "auto", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "sixty words"}],
    })
}

/// The last usage and model that the events of a stream name.
fn named(body: &str) -> (Value, Value) {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.filter_map(|data| serde_json::from_str(data).ok()).collect();
    let usage = events.iter().rev().find(|event| event["usage"].is_object());
    let usage = usage.map_or(Value::Null, |event| event["usage"].clone());
    (usage, events.last().map_or(Value::Null, |event| event["model"].clone()))
}

async fn passes(case: BenchCase) {
    let BenchCase { name, primary, prefills, wanted, asked } = case;
    let one = Upstream::by(move |turn, _| primary(turn)).await;
    let two = Upstream::by(move |_, said| fallback(prefills, said)).await;
    let gate = gate(&one, &two).await;
    let reply = gate.ask(&ask()).await;
    match wanted {
        Wanted::Whole => {
            assert!(reply.status == 200 && reply.whole, "{name}: {reply:?}");
            assert!(reply.body.ends_with(DONE), "{name}: {}", reply.body);
            assert_eq!(words(&reply.body), answer().concat(), "{name}");
            let (usage, model) = named(&reply.body);
            assert_eq!(usage["total_tokens"], 80, "{name}: {usage}");
            let last = if two.seen().is_empty() { "primary" } else { "fallback" };
            assert_eq!(model, last, "{name}: who answered is named");
        }
        Wanted::Error(status) => {
            assert_eq!(reply.status, status, "{name}: {reply:?}");
            assert!(reply.body.contains("content_policy_violation"), "{name}: {reply:?}");
        }
    }
    let (first, second) = (one.seen().len(), two.seen().len());
    assert!(asked.0.contains(&first) && asked.1.contains(&second), "{name}: {first} and {second}");
    // It is alive afterwards.
    assert_eq!(crate::gate::get(gate.address, "/readyz").await.status, 200, "{name}");
    let (ends, fates) = gate.close().await;
    // What an endpoint would not go on from was asked for anew in the same attempt.
    let anew = usize::from(!prefills);
    assert_eq!(ends.len() + anew, first + second, "{name}: {ends:?}");
    let whole = matches!(wanted, Wanted::Whole);
    let won = ends.iter().filter(|end| **end == End::Done).count();
    assert_eq!(won, usize::from(whole), "{name}: one answer is paid for as one: {ends:?}");
    assert_eq!(fates[..] == [Fate::Completed], whole, "{name}: {fates:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_benchmark_ends_as_it_should() {
    let tasks: Vec<_> = refusals()
        .into_iter()
        .chain(silences_cuts_and_limits())
        .map(|case| tokio::spawn(passes(case)))
        .collect();
    let mut failed = Vec::new();
    for task in tasks {
        if let Err(error) = task.await {
            let why = error.into_panic();
            failed.push(why.downcast_ref::<String>().cloned().unwrap_or_default());
        }
    }
    assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_a_primary_that_is_down_for_a_while_is_gone_back_to() {
    let one = Upstream::by(|turn, _| {
        if turn < 8 { error("503 Service Unavailable", "", "overloaded") } else { whole("primary") }
    })
    .await;
    let two = Upstream::by(|_, said| fallback(true, said)).await;
    let gate = gate(&one, &two).await;
    let mut by = Vec::new();
    for _ in 0..40 {
        let reply = gate.ask(&ask()).await;
        assert_eq!(words(&reply.body), answer().concat(), "{reply:?}");
        by.push(named(&reply.body).1);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        if by.last() == Some(&json!("primary")) && by.len() > 10 {
            break;
        }
    }
    assert_eq!(by[0], "fallback", "served all the while");
    assert_eq!(by.last(), Some(&json!("primary")), "{by:?}");
    let (ends, fates) = gate.close().await;
    assert_eq!(ends.len(), one.seen().len() + two.seen().len());
    assert!(fates.iter().all(|fate| *fate == Fate::Completed), "{fates:?}");
}
