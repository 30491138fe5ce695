//! Closed loops and conversations: what theory says of them, and what must not depend on the fleet.

use crate::common::{class, config, constant, exponential, labels, slots};
use plimsoll::balance::{Config, Event, Input, Request};
use plimsoll::dist::Dist;
use plimsoll::metrics::{Collector, Summary, Watch};
use plimsoll::node::BackendSpec;
use plimsoll::sim::{Sim, SimSpec, Step};
use plimsoll::unit::{Span, TenantId, Time, Tokens};
use plimsoll::workload::{
    Begin, ClassSpec, ClosedLoop, Mix, Process, Recordings, Script, SessionPace, SessionSpec,
    TenantLaw, Traffic, Users,
};

fn users(count: u32, think: Dist) -> Begin {
    Begin::Users(Users { count, think, ramp: Span::ZERO })
}

fn poisson(rate: f64) -> Begin {
    Begin::Process(Process::poisson(rate).expect("a rate"))
}

fn closed(begin: Begin, script: Script, end: Time, count: u64, class: ClassSpec) -> ClosedLoop {
    ClosedLoop::new(begin, script, end, count, 7, Mix::new(vec![class], 7))
}

/// What arrived, how it went and what it came to.
struct Played {
    requests: Vec<Request>,
    summary: Summary,
    end: Time,
    settled: u64,
}

fn play(traffic: ClosedLoop, config: &Config, backends: &[BackendSpec], keep: bool) -> Played {
    let parts = SimSpec::new(config.clone(), backends.to_vec());
    let mut sim = Sim::new(parts, Box::new(traffic)).expect("a loop that is made up");
    let mut collector = Collector::new(labels(config, backends), config, Watch::Report);
    let (mut requests, mut settled) = (Vec::new(), 0);
    loop {
        let mut record = |_: Time, input: &Input| {
            if let (Input::Arrive(request), true) = (input, keep) {
                requests.push(request.clone());
            }
        };
        let mut sink = |now: Time, event: &Event| {
            settled += u64::from(matches!(event, Event::Settled(_)));
            collector.fold(now, event);
        };
        if sim.step(&mut record, &mut sink).expect("no trace") == Step::Done {
            break;
        }
    }
    let end = sim.now();
    Played { requests, summary: collector.summary(end, true), end, settled }
}

fn one_server(traffic: ClosedLoop) -> Played {
    let backend = slots(1, exponential(1.0));
    play(traffic, &config(1, "round_robin", 7), &[backend], false)
}

/// The machine repairman: N users who think for an exponential time of mean z around one server of
/// rate one. With `p0` the chance that the server is idle, throughput is `X = 1 - p0` and, by
/// Little's law, the response time `R = N / X - z`.
#[test]
fn users_around_one_server_are_the_machine_repairman() {
    for (count, throughput, response) in [(20, 0.998_131, 10.037_451), (10, 0.785_418, 2.732_079)] {
        let begin = users(count, exponential(10.0));
        let played = one_server(closed(begin, Script::Single, Time::MAX, 400_000, class()));
        let x = played.settled as f64 / played.end.seconds();
        let r = played.summary.latency_s.mean.expect("answers");
        println!("N {count}: X {x:.6} (exact {throughput}), R {r:.6} (exact {response})");
        assert!((x / throughput - 1.0).abs() < 0.01, "N {count}: {x}");
        assert!((r / response - 1.0).abs() < 0.02, "N {count}: {r}");
        assert_eq!(played.settled, 400_000, "every request has one fate");
    }
}

#[test]
fn the_duration_ends_the_sending_and_ids_count_up() {
    let end = Time::ZERO + Span::from_secs(500);
    let begin =
        Begin::Users(Users { count: 8, think: exponential(3.0), ramp: Span::from_secs(100) });
    let traffic = closed(begin, Script::Single, end, u64::MAX, class());
    let backends = [slots(1, exponential(1.0))];
    let played = play(traffic, &config(1, "round_robin", 7), &backends, true);
    assert!(played.requests.iter().enumerate().all(|(at, one)| one.id.0 == at as u64));
    assert!(played.requests.is_sorted_by_key(|request| request.arrived));
    let last = played.requests.last().expect("requests").arrived;
    assert!(last <= end && last.seconds() > 490.0, "{last:?}");
    // In the first quarter of the ramp only two users are there.
    let early = played.requests.iter().filter(|one| one.arrived.seconds() < 25.0).count();
    let late = played.requests.iter().filter(|one| one.arrived.seconds() >= 475.0).count();
    assert!(early < late, "{early} before, {late} at the end");
}

#[test]
fn whoever_is_refused_thinks_as_well() {
    // No room to wait anywhere: most requests are refused at once, and time still goes on.
    let mut tight = config(1, "round_robin", 7);
    tight.queue.max = 0;
    tight.retry.attempts = 1;
    let backend = BackendSpec::Slots(plimsoll::node::SlotsSpec {
        servers: 1,
        queue: 0,
        service: constant(1.0),
        per_item: Span::ZERO,
    });
    let end = Time::ZERO + Span::from_secs(20);
    let traffic = closed(users(5, constant(0.0)), Script::Single, end, 1_000_000, class());
    let played = play(traffic, &tight, &[backend], true);
    assert_eq!(played.settled, played.requests.len() as u64);
    assert!(played.requests.len() > 1_000, "{} requests", played.requests.len());
    assert!(played.requests.len() < 1_000_000, "time goes on");
    assert!(played.requests.last().expect("requests").arrived.seconds() > 19.0);
}

fn chats() -> SessionSpec {
    SessionSpec {
        turns: Dist::uniform(3.0, 7.0).expect("a law"),
        think: exponential(2.0),
        system: 1_000,
        context_max: 131_072,
    }
}

fn chat_requests(spec: &SessionSpec, strategy: &str, service: f64) -> Vec<Request> {
    let class = ClassSpec { tenants: TenantLaw::zipf(5, 1.0).expect("a law"), ..class() };
    let end = Time::ZERO + Span::from_secs(300);
    let traffic = closed(poisson(1.0), Script::Session(spec.clone()), end, u64::MAX, class);
    let backends = vec![slots(4, exponential(service)); 3];
    play(traffic, &config(3, strategy, 7), &backends, true).requests
}

/// The requests of every conversation, in order of its turns.
fn by_session(requests: &[Request]) -> Vec<Vec<&Request>> {
    let mut sessions: Vec<Vec<&Request>> = Vec::new();
    for request in requests {
        let session = request.session.expect("a conversation") as usize;
        sessions.resize(sessions.len().max(session + 1), Vec::new());
        sessions[session].push(request);
    }
    sessions
}

#[test]
fn prompts_of_a_conversation_grow_and_share_what_was_said() {
    let requests = chat_requests(&chats(), "round_robin", 0.5);
    let sessions = by_session(&requests);
    assert!(sessions.len() > 200);
    let whole = sessions.iter().filter(|turns| turns.len() >= 3).count();
    assert!(whole * 10 > sessions.len() * 8, "{whole} of {}", sessions.len());
    for turns in &sessions {
        assert!((1..=7).contains(&turns.len()));
        for turn in turns {
            assert_eq!((turn.prefix_block, turn.tenant), (64, turns[0].tenant));
            assert_eq!(turn.prefix.len() as u64, turn.prompt.0 / 64, "whole blocks");
            // The system's part is the same everywhere, what follows is not.
            assert_eq!(turn.prefix[..15], requests[0].prefix[..15]);
        }
        for pair in turns.windows(2) {
            assert!(pair[1].prompt > pair[0].prompt);
            assert!(pair[1].prefix.starts_with(&pair[0].prefix));
            assert!(pair[1].arrived > pair[0].arrived);
        }
    }
    let differ = sessions.windows(2).all(|two| {
        let (a, b) = (&two[0][0].prefix, &two[1][0].prefix);
        a.len() < 16 || b.len() < 16 || a[15] != b[15]
    });
    assert!(differ, "conversations share the system's part only");
    let most = requests.iter().map(|request| request.tenant).max();
    assert_eq!(most, Some(TenantId(4)));
}

#[test]
fn what_is_said_does_not_depend_on_the_fleet() {
    type Said = (Tokens, TenantId, Box<[u64]>);
    let facts = |strategy, service| -> Vec<Vec<Said>> {
        let requests = chat_requests(&chats(), strategy, service);
        let sessions = by_session(&requests);
        let fact = |turn: &&Request| (turn.prompt, turn.tenant, turn.prefix.clone());
        sessions.iter().map(|turns| turns.iter().map(fact).collect()).collect()
    };
    let (a, b) = (facts("round_robin", 0.5), facts("random", 1.5));
    assert_eq!(a.len(), b.len(), "as many visitors");
    let mut same = 0;
    for (a, b) in a.iter().zip(&b) {
        // The end of the run cuts conversations at different turns.
        let turns = a.len().min(b.len());
        assert_eq!(a[..turns], b[..turns]);
        same += usize::from(a.len() == b.len());
    }
    assert!(same * 2 > a.len(), "{same} of {} have as many turns", a.len());
    assert_eq!(facts("random", 1.5), b, "and the same run is the same");
}

#[test]
fn a_full_context_ends_a_conversation() {
    let spec = SessionSpec { turns: constant(1_000.0), context_max: 3_000, ..chats() };
    let requests = chat_requests(&spec, "round_robin", 0.01);
    assert!(requests.iter().all(|request| request.prompt.0 <= 3_000));
    let longest = by_session(&requests).iter().map(Vec::len).max().unwrap_or(0);
    assert!((3..200).contains(&longest), "{longest}");
}

const RECORDED: &str = "{\"requests\": [\
    {\"t\": 0, \"type\": \"n\", \"in\": 64, \"out\": 2, \"hash_ids\": [1], \"api_time\": 1},\
    {\"t\": 1, \"type\": \"subagent\", \"requests\": [\
      {\"t\": 0, \"type\": \"n\", \"in\": 128, \"out\": 1, \"hash_ids\": [1, 5]},\
      {\"t\": 4, \"type\": \"n\", \"in\": 130, \"out\": 1, \"hash_ids\": [1, 5], \"think_time\": 3}]},\
    {\"t\": 11, \"type\": \"n\", \"in\": 200, \"out\": 3, \"hash_ids\": [1, 2, 3], \
     \"think_time\": 10}]}\n";

fn recorded(pace: SessionPace, begin: Begin, sessions: usize, service: f64) -> Vec<Request> {
    let file = Box::new(std::io::Cursor::new(RECORDED.repeat(sessions)));
    let script = Script::Recorded(Recordings::new(file, 1.0), pace);
    let traffic = closed(begin, script, Time::MAX, u64::MAX, class());
    let backends = [slots(9, constant(service))];
    play(traffic, &config(1, "round_robin", 7), &backends, true).requests
}

#[test]
fn recorded_sessions_are_played_by_think_time_or_by_the_clock() {
    let times = |pace, service| -> Vec<(f64, u64)> {
        let requests = recorded(pace, users(1, constant(0.0)), 1, service);
        requests.iter().map(|one| (one.arrived.seconds(), one.prompt.0)).collect()
    };
    // Answers take 5 s instead of one: think times count from them.
    let think = [(0.0, 64), (5.0, 128), (13.0, 130), (15.0, 200)];
    assert_eq!(times(SessionPace::Think, 5.0), think);
    let clock = [(0.0, 64), (1.0, 128), (5.0, 130), (11.0, 200)];
    assert_eq!(times(SessionPace::Recorded, 5.0), clock);
    let one = recorded(SessionPace::Think, users(1, constant(0.0)), 1, 1.0);
    assert!(one.iter().all(|request| request.session == Some(0) && request.prefix_block == 64));
    let (first, agent, last) = (&one[0].prefix, &one[1].prefix, &one[3].prefix);
    assert_eq!((first[0], first[0]), (agent[0], last[0]));
    assert_ne!(agent[1], last[1]);
}

#[test]
fn sessions_at_a_time_are_as_many_as_users() {
    let requests = recorded(SessionPace::Think, users(2, constant(0.0)), 6, 1.0);
    assert_eq!(requests.len(), 24);
    let starts = requests.iter().filter(|one| one.prompt == Tokens(64));
    let starts: Vec<f64> = starts.map(|one| one.arrived.seconds()).collect();
    // A main line takes 1 + 10 + 1 s, then its user takes the next session.
    assert_eq!(starts, [0.0, 0.0, 12.0, 12.0, 24.0, 24.0]);
    let other = requests.iter().find(|one| one.session == Some(1)).expect("a second session");
    assert_ne!(other.prefix[0], requests[0].prefix[0], "ids are comparable inside a session");
    let visited = recorded(SessionPace::Think, poisson(1.0), 6, 1.0);
    assert_eq!(visited.len(), 24, "the file ends the run");
}

#[test]
fn a_bad_session_ends_the_run_with_its_line() {
    let text = format!("{RECORDED}{{\"requests\": 5}}\n");
    let file = Box::new(std::io::Cursor::new(text));
    let script = Script::Recorded(Recordings::new(file, 1.0), SessionPace::Think);
    let mut traffic = closed(poisson(1.0), script, Time::MAX, u64::MAX, class());
    let errors = loop {
        match traffic.peek() {
            Ok(Some(now)) => {
                let id = traffic.take().request.id;
                traffic.settled(now + Span(1), id, plimsoll::balance::Fate::Completed);
            }
            Ok(None) => panic!("the second session is bad"),
            Err(errors) => break errors,
        }
    };
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].line, 2);
    assert_eq!(traffic.peek(), Ok(None));
}
