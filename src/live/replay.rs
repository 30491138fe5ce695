//! Replay: a workload sent to real endpoints in real time, through the balancer.
//!
//! A request is sent when its time has come, and its latency counts from that time. In an open loop
//! that time is fixed, whatever became of the requests before; a closed loop hears of their ends. Prompts are made up to the wanted number of tokens; equal prefix hashes
//! give equal text, so prefix caches see what the trace says.

use std::fmt::Write as _;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep_until;

use super::driver::{Inbox, Message, Observer, WallClock, drive, inbox};
use super::executor::{
    AttemptTasks, Dispatch, DispatchOrder, LiveRequests, Settlement, first_token, goes_on, send,
    send_noted,
};
use super::upstream::{MockAdmin, MockCall, Outlet, Sending, SharedClient};
use super::wire::{INPUT_TOKENS, KEY, ORDINAL, OUTPUT_TOKENS};
use crate::balance::{Attempt, Balancer, Config, Explain, Fate, Input};
use crate::id_map::IdMap;
use crate::rng::{Rng, mix};
use crate::unit::{NodeId, RequestId, Time, Tokens};
use crate::workload::{Arrival, TraceError, Traffic, Truth};

/// How a node wants to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// The model's name there.
    pub model: String,
    /// Whether it understands `ignore_eos`, which gives exactly the wanted number of tokens. Hosted
    /// APIs refuse what they do not know.
    pub ignore_eos: bool,
}

/// Everything a replay is made of.
#[derive(Debug)]
pub struct ReplayParts {
    /// The balancer's configuration.
    pub config: Config,
    /// Reaches the nodes.
    pub client: SharedClient,
    /// By node.
    pub asks: Vec<Ask>,
}

/// A way to end a replay before its time.
#[derive(Clone, Debug)]
pub struct ReplayHandle {
    inbox: Inbox<ReplayNote>,
    mock: Option<MockAdmin>,
    runtime: Handle,
}

impl ReplayHandle {
    /// Ends it now; attempts under way are dropped.
    pub fn now(&self) {
        let _ = self.inbox.send(Message::Stop);
    }

    /// The mock servers among the endpoints, which can be told of faults.
    #[must_use]
    pub const fn mock(&self) -> Option<&MockAdmin> {
        self.mock.as_ref()
    }

    /// Calls the mock servers, which takes its time; `then` hears what came of it.
    pub fn call_mock(
        &self,
        call: MockCall,
        then: impl FnOnce(Result<(), String>) + Send + 'static,
    ) {
        let mock = self.mock.clone();
        self.runtime.spawn(async move {
            then(match mock {
                Some(mock) => mock.call(&call).await,
                None => Err("these are no mock servers".to_owned()),
            });
        });
    }

    /// Lets the balancer hear a word of the person at the screen.
    pub fn control(&self, control: crate::balance::Control) {
        send(&self.inbox, Input::Control(control));
    }

    /// Lets decisions be explained from now on, or no more.
    pub fn explain(&self, whose: Explain) {
        let _ = self.inbox.send(Message::Explain(whose));
    }
}

/// What a replay came to.
#[derive(Debug)]
pub struct ReplayOutcome {
    /// When the last request was settled.
    pub end: Time,
    /// Requests that arrived, warm-up included.
    pub arrived: u64,
    /// Whether it came to its end.
    pub complete: bool,
    /// Why the workload broke off, if it did.
    pub broken: Vec<TraceError>,
}

/// Replays a workload. `started` is handed a way to stop it.
pub async fn replay(
    parts: ReplayParts,
    traffic: Box<dyn Traffic>,
    observer: &mut impl Observer,
    started: impl FnOnce(ReplayHandle),
) -> ReplayOutcome {
    let (inbox, messages) = inbox();
    let mock = MockAdmin::start(&parts.client).await;
    let clock = WallClock::start();
    started(ReplayHandle { inbox: inbox.clone(), mock, runtime: Handle::current() });
    let (fates, heard) = unbounded_channel();
    let sender = tokio::spawn(play(traffic, clock, inbox.clone(), heard));
    let flights =
        Flights { asks: parts.asks, inbox: inbox.clone(), fates, under_way: IdMap::default() };
    let mut executor = AttemptTasks::new(parts.client, inbox, flights);
    let balancer = Balancer::new(parts.config);
    let (balancer, end) = drive(balancer, clock, messages, &mut executor, observer).await;
    let settled = balancer.under_way() == 0;
    // The sender ends when nobody tells it of fates any more, if it has not already.
    drop(executor);
    let (played, broken) = match sender.await {
        Ok(Ok(played)) => (played, Vec::new()),
        Ok(Err(errors)) => (false, errors),
        Err(_) => (false, Vec::new()),
    };
    let arrived = balancer.totals().arrived;
    ReplayOutcome { end, arrived, complete: settled && played, broken }
}

/// Lets requests arrive when their time has come, and the traffic hear how they ended. Returns
/// whether it was played to its end.
async fn play(
    mut traffic: Box<dyn Traffic>,
    clock: WallClock,
    inbox: Inbox<ReplayNote>,
    mut fates: UnboundedReceiver<(Time, RequestId, Fate)>,
) -> Result<bool, Vec<TraceError>> {
    let mut under_way = 0_u64;
    let ended = loop {
        while let Some(news) = traffic.news(clock.now()) {
            send(&inbox, news.into());
        }
        let at = match traffic.peek() {
            Ok(at) => at,
            Err(errors) => break Err(errors),
        };
        let news_at = traffic.news_at();
        if at.is_none() && news_at.is_none() && under_way == 0 {
            break Ok(true);
        }
        // What is to be said may change every arrival to come.
        let (arrives, due_at) = match (at, news_at) {
            (Some(at), Some(news)) if news <= at => (false, Some(news)),
            (Some(at), _) => (true, Some(at)),
            (None, news) => (false, news),
        };
        let due = async {
            match due_at {
                Some(at) => sleep_until(clock.at(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            fate = fates.recv() => {
                let Some((now, request, fate)) = fate else { break Ok(false) };
                under_way -= 1;
                traffic.settled(now, request, fate);
            }
            () = due => {
                if !arrives {
                    continue;
                }
                let Arrival { request, truth, .. } = traffic.take();
                let flight = ReplayRequest {
                    prompt: request.prompt,
                    prefix: request.prefix.clone(),
                    block: request.prefix_block,
                    truth,
                };
                under_way += 1;
                send_noted(&inbox, (request.id, flight), Input::Arrive(request));
            }
        }
    };
    let _ = inbox.send(Message::Last);
    ended
}

/// A request under way, as only the executor knows it.
#[derive(Debug)]
struct ReplayRequest {
    prompt: Tokens,
    prefix: Box<[u64]>,
    /// Tokens a prefix hash stands for.
    block: u32,
    truth: Truth,
}

/// A request that is about to arrive.
type ReplayNote = (RequestId, ReplayRequest);

/// The requests of a replay.
struct Flights {
    asks: Vec<Ask>,
    inbox: Inbox<ReplayNote>,
    fates: UnboundedSender<(Time, RequestId, Fate)>,
    under_way: IdMap<ReplayRequest>,
}

impl LiveRequests for Flights {
    type Note = ReplayNote;
    type Outlet = FirstTokenOnly;

    fn note(&mut self, (request, flight): ReplayNote) {
        self.under_way.insert(request, flight);
    }

    fn model(&self, node: NodeId) -> &str {
        &self.asks[node.index()].model
    }

    fn dispatch(&mut self, order: DispatchOrder) -> Dispatch<FirstTokenOnly> {
        let DispatchOrder { attempt, node, clamp, resumed } = order;
        let flight = self.under_way.get(attempt.request).expect("it is under way");
        let mut truth = flight.truth;
        truth.output = clamp.map_or(truth.output, |most| most.min(truth.output));
        // What has come ends the prompt, and the answer is so much shorter.
        if resumed > Tokens::ZERO {
            truth.output = truth.output.less(resumed).max(Tokens(1));
        }
        let tokens = flight.prompt + resumed;
        let sending = Sending {
            body: body(&self.asks[node.index()], (flight, tokens), truth.output),
            streams: true,
            figures: vec![
                (INPUT_TOKENS, tokens.to_string()),
                (OUTPUT_TOKENS, truth.output.to_string()),
                (KEY, truth.key.to_string()),
                (ORDINAL, attempt.ordinal.to_string()),
            ],
            ..Sending::default()
        };
        let outlet = FirstTokenOnly { attempt, inbox: self.inbox.clone() };
        Dispatch { prompt: tokens, sending, outlet }
    }

    fn answer(&mut self, now: Time, answer: Settlement, _balancer: &Balancer) {
        self.under_way.remove(answer.request);
        // The sender is gone only when the run is over.
        let _ = self.fates.send((now, answer.request, answer.fate));
    }
}

/// Nobody reads the answers of a replay; only when they begin is of interest.
struct FirstTokenOnly {
    attempt: Attempt,
    inbox: Inbox<ReplayNote>,
}

impl Outlet for FirstTokenOnly {
    type Left = ReplayNote;

    async fn first_token(&mut self) {
        first_token(&self.inbox, self.attempt);
    }

    fn goes_on(&mut self, so_far: Tokens) {
        goes_on(&self.inbox, self.attempt, so_far);
    }
}

fn body(ask: &Ask, (flight, tokens): (&ReplayRequest, Tokens), most: Tokens) -> Bytes {
    let mut body = serde_json::json!({
        "model": ask.model,
        "messages": [{ "role": "user", "content": prompt(flight, tokens) }],
        "stream": true,
        "stream_options": { "include_usage": true },
        "max_tokens": most.0,
    });
    if ask.ignore_eos {
        body["ignore_eos"] = true.into();
    }
    Bytes::from(body.to_string())
}

/// Short common words: with the space before them one token each in the usual vocabularies.
const WORDS: [&str; 64] = [
    "the", "of", "and", "to", "in", "is", "that", "it", "for", "was", "on", "are", "as", "with",
    "they", "be", "at", "one", "have", "this", "from", "or", "had", "by", "not", "but", "some",
    "what", "there", "we", "can", "out", "other", "were", "all", "your", "when", "up", "use",
    "word", "how", "said", "an", "each", "she", "which", "do", "their", "time", "if", "will",
    "way", "about", "many", "then", "them", "would", "like", "so", "these", "her", "long", "make",
    "thing",
];

/// Text of about the wanted number of tokens: block by block from the prefix hashes, the rest from
/// the request's own key.
fn prompt(flight: &ReplayRequest, tokens: Tokens) -> String {
    let mut text = String::new();
    let mut left = tokens.0.max(1);
    for &hash in &flight.prefix {
        let block = left.min(u64::from(flight.block));
        words(&mut text, hash, block);
        left -= block;
    }
    words(&mut text, mix(flight.truth.key, 1), left);
    text
}

fn words(text: &mut String, key: u64, count: u64) {
    let mut rng = Rng::from_key(key);
    for _ in 0..count {
        let word = WORDS[rng.below(WORDS.len())];
        // Writing to a string does not fail.
        let _ = write!(text, " {word}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(prompt: u64, prefix: &[u64]) -> ReplayRequest {
        let truth = Truth { output: Tokens(9), key: 77, text: None };
        ReplayRequest { prompt: Tokens(prompt), prefix: prefix.into(), block: 512, truth }
    }

    #[test]
    fn prompts_have_the_wanted_length_and_share_prefixes() {
        let long = prompt(&flight(1_200, &[1, 2]), Tokens(1_200));
        assert_eq!(long.split_whitespace().count(), 1_200);
        let other = prompt(&flight(1_100, &[1, 3]), Tokens(1_100));
        let shared = long.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let block = prompt(&flight(512, &[1]), Tokens(512));
        assert!(shared >= block.len() && shared < block.len() + 40, "the first block is shared");
        assert_eq!(prompt(&flight(300, &[1, 2]), Tokens(300)).split_whitespace().count(), 300);
    }

    #[test]
    fn bodies_are_what_endpoints_take() {
        let ask = Ask { model: "m".to_owned(), ignore_eos: false };
        let value: serde_json::Value =
            serde_json::from_slice(&body(&ask, (&flight(3, &[]), Tokens(3)), Tokens(9)))
                .expect("JSON");
        assert_eq!(value["max_tokens"], 9);
        assert!(value.get("ignore_eos").is_none());
    }
}
