//! Closed loops: whoever sends a request waits for its answer, thinks, and goes on.
//!
//! Somebody *begins* (a number of users, for ever, or visitors whose arrivals are a process) and
//! plays a *script*: single requests, a made-up conversation, or a recorded session. An answer is
//! an answer whatever it says: after a refusal or a failure one thinks as well. A loop slows down
//! with the fleet, where an open one piles up requests.
//!
//! What is sent is drawn from generators of the user or the visitor, counted in its own steps: a
//! change of strategy changes when things are sent, never what. One exception: users who play
//! recorded sessions take the next one of the file when they are ready for it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::length::{Mix, Prefix, RequestDraft};
use super::session::{Chat, SessionSpec};
use super::trace::{Agent, Recorded, RecordedStep, Recordings};
use super::{Arrival, Generated, Process, TraceError, Traffic};
use crate::balance::Fate;
use crate::dist::Dist;
use crate::id_map::IdMap;
use crate::rng::{Rng, mix};
use crate::unit::{RequestId, Span, TenantId, Time, Tokens};

/// A loop has at most so many users.
pub const USERS_MAX: u32 = 1_000_000;

/// Whoever is refused at once and does not think takes a breath before it goes on: otherwise time
/// would stand still.
const REFUSED_PAUSE: Span = Span::from_millis(1);

/// Who begins, and when.
#[expect(clippy::large_enum_variant, reason = "one a run")]
#[derive(Clone, Debug, PartialEq)]
pub enum Begin {
    /// Visitors at the times of a process, each for one script.
    Process(Process),
    /// Users who play script after script.
    Users(Users),
}

/// Users of a closed loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Users {
    /// How many; at least one, at most [`USERS_MAX`].
    pub count: u32,
    /// Seconds before each script.
    pub think: Dist,
    /// They come evenly over this time; then they think for the first time.
    pub ramp: Span,
}

/// What is played.
#[expect(clippy::large_enum_variant, reason = "one a run")]
#[derive(Debug)]
pub enum Script {
    /// One request.
    Single,
    /// A conversation that is made up.
    Session(SessionSpec),
    /// The next session of a recording.
    Recorded(Recordings, SessionPace),
}

/// When the requests of a recorded session are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionPace {
    /// Each after the answer to the one before and the recorded think time.
    #[default]
    Think,
    /// At the recorded times, whatever became of those before.
    Recorded,
}

/// A closed loop as traffic.
#[derive(Debug)]
pub struct ClosedLoop {
    begin: Begin,
    script: Script,
    mix: Mix,
    end: Time,
    left: u64,
    /// Makes what users and visitors draw.
    key: u64,
    /// When visitors come, and the next of them.
    visitors: Option<Generated>,
    visitor: Option<Time>,
    visits: u64,
    /// When places are due: time, then in the order in which that became known.
    agenda: BinaryHeap<Reverse<(Time, u64, usize)>>,
    entered: u64,
    places: Vec<Seat>,
    free: Vec<usize>,
    /// Places that wait for an answer, and since when.
    waiting: IdMap<(usize, Time)>,
}

/// Where a user or a visitor is.
#[derive(Debug, Default)]
struct Seat {
    user: Option<User>,
    play: Option<ScriptState>,
}

#[derive(Debug)]
struct User {
    number: u32,
    rng: Rng,
    /// Scripts begun.
    begun: u64,
}

/// A script being played.
#[derive(Debug)]
enum ScriptState {
    Single { key: u64 },
    Chat(Box<Chat>),
    RecordedLine(Box<RecordedLine>),
}

/// A line of requests of a recorded session.
#[derive(Debug)]
struct RecordedLine {
    /// The rest of the recording; its agents only with the main line.
    session: Recorded,
    class: usize,
    tenant: TenantId,
    key: u64,
    /// When it began.
    began: Time,
    /// The step that comes next.
    step: usize,
    /// Agents that have begun.
    agents: usize,
    /// Ids of the prompt sent last.
    ids: Vec<u32>,
}

impl ClosedLoop {
    /// A loop until `end`, of at most `count` requests.
    #[must_use]
    pub fn new(
        begin: Begin,
        script: Script,
        end: Time,
        count: u64,
        seed: u64,
        requests: Mix,
    ) -> ClosedLoop {
        let visitors = match &begin {
            Begin::Process(process) => {
                Some(Generated::new(*process, end, u64::MAX, seed, requests.clone()))
            }
            Begin::Users(_) => None,
        };
        let mut traffic = ClosedLoop {
            begin,
            script,
            mix: requests,
            end,
            left: count,
            key: Rng::stream(seed, "closed loop").bits(),
            visitors,
            visitor: None,
            visits: 0,
            agenda: BinaryHeap::new(),
            entered: 0,
            places: Vec::new(),
            free: Vec::new(),
            waiting: IdMap::default(),
        };
        traffic.visitor = traffic.visitors.as_mut().and_then(Generated::next_at);
        traffic.seat_users();
        traffic
    }

    fn seat_users(&mut self) {
        let Begin::Users(users) = self.begin else {
            return;
        };
        for number in 0..users.count.min(USERS_MAX) {
            let rng = Rng::from_key(mix(mix(self.key, 0), u64::from(number)));
            let mut user = User { number, rng, begun: 0 };
            let share = f64::from(number) / f64::from(users.count);
            let think = Span::from_seconds(users.think.sample(&mut user.rng));
            let place = self.seat(Seat { user: Some(user), play: None });
            self.enter(Time::ZERO + users.ramp.scale(share) + think, place);
        }
    }

    fn seat(&mut self, place: Seat) -> usize {
        match self.free.pop() {
            Some(at) => {
                self.places[at] = place;
                at
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        }
    }

    fn enter(&mut self, at: Time, place: usize) {
        self.agenda.push(Reverse((at, self.entered, place)));
        self.entered += 1;
    }

    fn leave(&mut self, place: usize) {
        self.places[place] = Seat::default();
        self.free.push(place);
    }

    /// Begins the script of the `number`-th visit; `None` if there is none left.
    fn play(
        &mut self,
        at: Time,
        number: u64,
        key: u64,
    ) -> Result<Option<ScriptState>, Vec<TraceError>> {
        Ok(match &mut self.script {
            Script::Single => Some(ScriptState::Single { key }),
            Script::Session(spec) => {
                Some(ScriptState::Chat(Box::new(Chat::begin(spec, number, key, &self.mix))))
            }
            Script::Recorded(file, _) => {
                let Some(session) = file.next()? else { return Ok(None) };
                // What a session is like is its own affair, not that of whoever plays it.
                let key = mix(mix(self.key, 2), session.number);
                let mut rng = Rng::from_key(mix(key, 0));
                let (class, tenant) = self.mix.cast(&mut rng, &mut Rng::from_key(mix(key, 1)));
                let (step, agents, ids) = (0, 0, Vec::new());
                let line =
                    RecordedLine { session, class, tenant, key, began: at, step, agents, ids };
                Some(ScriptState::RecordedLine(Box::new(line)))
            }
        })
    }

    /// Lets whoever is due next begin, until what comes next is a request.
    fn settle_front(&mut self) -> Result<Option<Time>, Vec<TraceError>> {
        loop {
            let due = self.agenda.peek().map(|Reverse((at, _, place))| (*at, *place));
            if let Some(at) = self.visitor.filter(|at| due.is_none_or(|(due, _)| *at <= due)) {
                let number = self.visits;
                let key = mix(mix(self.key, 1), number);
                let Some(play) = self.play(at, number, key)? else {
                    self.visitor = None;
                    continue;
                };
                self.visits += 1;
                self.visitor = self.visitors.as_mut().and_then(Generated::next_at);
                let place = self.seat(Seat { user: None, play: Some(play) });
                self.enter(at, place);
                self.send_agents(place, at);
                continue;
            }
            let Some((at, place)) = due else { return Ok(None) };
            if at > self.end {
                return Ok(None);
            }
            if self.places[place].play.is_some() {
                return Ok(Some(at));
            }
            self.user_begins(at, place)?;
        }
    }

    /// Gives the user who is due the next script, or lets it go if there is none.
    fn user_begins(&mut self, at: Time, place: usize) -> Result<(), Vec<TraceError>> {
        let (mut number, mut key) = (0, 0);
        if let Some(user) = &mut self.places[place].user {
            let count = match &self.begin {
                Begin::Users(users) => u64::from(users.count),
                Begin::Process(_) => 1,
            };
            number = user.begun * count + u64::from(user.number);
            key = mix(mix(self.key, 1), number);
            user.begun += 1;
        }
        let play = self.play(at, number, key)?;
        if play.is_some() {
            self.places[place].play = play;
            self.send_agents(place, at);
        } else {
            self.agenda.pop();
            self.leave(place);
        }
        Ok(())
    }

    /// Lets agents begin whose time in the main line has come: all of them at recorded times,
    /// otherwise those that follow the answers so far.
    fn send_agents(&mut self, place: usize, now: Time) {
        let Script::Recorded(_, pace) = self.script else { return };
        loop {
            let Some(ScriptState::RecordedLine(line)) = &mut self.places[place].play else {
                return;
            };
            let due = |agent: &Agent| pace == SessionPace::Recorded || agent.after <= line.step;
            if !line.session.agents.first().is_some_and(due) {
                return;
            }
            let agent = line.session.agents.remove(0);
            line.agents += 1;
            let at = match pace {
                SessionPace::Think => now + agent.delay,
                SessionPace::Recorded => line.began + agent.at,
            };
            let beside = RecordedLine {
                session: Recorded {
                    number: line.session.number,
                    block: line.session.block,
                    steps: agent.steps,
                    agents: Vec::new(),
                },
                class: line.class,
                tenant: line.tenant,
                key: mix(line.key, 1 << 32 | line.agents as u64),
                began: at,
                step: 0,
                agents: 0,
                ids: Vec::new(),
            };
            let play = Some(ScriptState::RecordedLine(Box::new(beside)));
            let place = self.seat(Seat { user: None, play });
            self.enter(at, place);
        }
    }
}

impl RecordedLine {
    /// The next request.
    fn request(&mut self) -> RequestDraft {
        let RecordedStep { prompt, output, shared, fresh, .. } = &self.session.steps[self.step];
        self.step += 1;
        self.ids.truncate(*shared as usize);
        self.ids.extend_from_slice(fresh);
        let mut hash = mix(self.session.number, 4);
        let hashes = self.ids.iter().map(|id| {
            hash = mix(hash, u64::from(*id));
            hash
        });
        RequestDraft {
            prompt: Some(*prompt),
            output: Some(*output),
            prefix: Prefix { hashes: hashes.collect(), block: self.session.block },
            class: Some(self.class),
            tenant: Some(self.tenant),
            session: Some(self.session.number),
            content: None,
            text: None,
            key: Some(mix(self.key, 2 + self.step as u64)),
        }
    }

    fn next(&self) -> Option<&RecordedStep> {
        self.session.steps.get(self.step)
    }
}

impl Traffic for ClosedLoop {
    fn set_load(&mut self, factor: f64) -> bool {
        self.visitors.as_mut().is_some_and(|visitors| visitors.set_load(factor))
    }

    fn peek(&mut self) -> Result<Option<Time>, Vec<TraceError>> {
        if self.left == 0 {
            return Ok(None);
        }
        let at = self.settle_front();
        if at.is_err() {
            self.left = 0;
        }
        at
    }

    fn take(&mut self) -> Arrival {
        let Reverse((at, _, place)) = self.agenda.pop().expect("an arrival was told of");
        self.left = self.left.saturating_sub(1);
        let paced = matches!(self.script, Script::Recorded(_, SessionPace::Recorded));
        let mut again = None;
        let draft = match self.places[place].play.as_mut().expect("a script is played here") {
            ScriptState::Single { key } => {
                let mut rng = Rng::from_key(mix(*key, 0));
                let (class, tenant) = self.mix.cast(&mut rng, &mut Rng::from_key(mix(*key, 1)));
                let (prompt, output): (Tokens, Tokens) = self.mix.lengths(class, &mut rng);
                let repeated = self.mix.repeated(class, &mut Rng::from_key(mix(*key, 3)));
                RequestDraft {
                    prompt: Some(repeated.map_or(prompt, |repeated| repeated.tokens)),
                    content: repeated.map(|repeated| repeated.content),
                    output: Some(output),
                    class: Some(class),
                    tenant: Some(tenant),
                    key: Some(mix(*key, 2)),
                    ..RequestDraft::default()
                }
            }
            ScriptState::Chat(chat) => chat.request(),
            ScriptState::RecordedLine(line) => {
                let draft = line.request();
                again = line.next().filter(|_| paced).map(|next| line.began + next.at);
                draft
            }
        };
        let arrival = self.mix.make(at, draft);
        match again {
            Some(at) => self.enter(at, place),
            None => {
                self.waiting.insert(arrival.request.id, (place, at));
            }
        }
        arrival
    }

    fn settled(&mut self, now: Time, request: RequestId, _: Fate) {
        let Some((place, sent)) = self.waiting.remove(request) else {
            return;
        };
        let rest = if now > sent { Span::ZERO } else { REFUSED_PAUSE };
        self.send_agents(place, now);
        let next = match (&mut self.places[place].play, &self.script) {
            (Some(ScriptState::Chat(chat)), Script::Session(spec)) => {
                chat.go_on(spec, &self.mix).map(Span::from_seconds)
            }
            (Some(ScriptState::RecordedLine(line)), _) => line.next().map(|step| step.think),
            _ => None,
        };
        if let Some(think) = next {
            self.enter(now + think.max(rest), place);
            return;
        }
        self.places[place].play = None;
        match (&mut self.places[place].user, &self.begin) {
            (Some(user), Begin::Users(users)) => {
                let think = Span::from_seconds(users.think.sample(&mut user.rng));
                self.enter(now + think.max(rest), place);
            }
            _ => self.leave(place),
        }
    }
}
