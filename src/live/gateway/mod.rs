//! The gateway: an OpenAI-compatible front to a fleet, through the balancer.
//!
//! The point of no return of a stream is its first content: until then a failed attempt is tried
//! again elsewhere and the client sees nothing of it; from then on its bytes come from one attempt
//! only. Content leaves only after the balancer has acknowledged the first token, so a timeout that
//! races with it is settled by the balancer alone. A stream ends with `[DONE]` only if the upstream's
//! own end was seen; otherwise the client gets an error event and an abnormal end, since a clean one
//! would look like a shorter answer. Of two attempts of a hedged request only the one acknowledged first
//! says anything. A client that goes away cancels its request in every phase.
//!
//! Four rooms: `edge` and `respond` are HTTP, in and out, a task a connection; `session` is what the task that owns
//! the balancer keeps of a request, one record from its arrival to its answer; `words` is what a client
//! is told of each fate. `names` are what clients may ask for. Between them go `request`, what a client wrote, and `answer`, the way of an
//! answer from the task of an attempt to the connection.

mod answer;
mod cors;
mod edge;
mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod names;
mod plain;
mod request;
mod respond;
mod seam;
mod session;
mod translate;
mod words;
mod written;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use self::edge::GatewayState;
use self::session::{NodeSpeech, Readiness, Sessions};
use super::driver::{Message, Observer, drive, inbox};
use super::executor::AttemptTasks;
use super::hints::RequestHints;
use super::http::{self, HttpLimits, Shutdown};
use super::upstream::SharedClient;
use crate::balance::{Balancer, Config, Priority};
use crate::unit::{ModelId, Span, Time};

/// At the stop, what has been aborted has so long to say so.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// The header that names a class.
pub const CLASS: &str = "x-plimsoll-class";
/// The header with the number of a request.
pub const REQUEST_ID: &str = "x-plimsoll-request-id";
/// The header with the name of a request: its client's, or one that no other run gives.
pub const X_REQUEST_ID: &str = "x-request-id";
/// The header with the number of the node that answers.
pub const NODE_ID: &str = "x-plimsoll-node-id";
/// The header with the pool of the node that answers.
pub const POOL: &str = "x-plimsoll-pool";
/// The header with the strategy of that pool.
pub const STRATEGY: &str = "x-plimsoll-strategy";
/// The header with the number of attempts that were made by then.
pub const ATTEMPTS: &str = "x-plimsoll-attempts";
/// The header with the time from the arrival to the first attempt.
pub const QUEUE_MS: &str = "x-plimsoll-queue-ms";
/// The header with the time that the gateway itself took.
pub const OVERHEAD_MS: &str = "x-plimsoll-overhead-ms";
/// The model name that leaves everything to the routes.
pub const AUTO: &str = "auto";

/// A class as clients may name it.
#[derive(Clone, Debug)]
pub struct ClassOption {
    /// Its name, which is also a model name.
    pub name: String,
    /// How much its requests matter.
    pub priority: Priority,
    /// How long an answer is of use.
    pub deadline: Option<Span>,
    /// The model that its requests mean, where they name none.
    pub model: Option<ModelId>,
}

/// When streams that wait get comments, so that nobody in between takes them for dead.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepAlive {
    /// Nothing came for so long.
    pub every: Option<Duration>,
    /// The first token is awaited for so long. The answer has then begun: what fails is told in an event, no
    /// longer by a status.
    pub begin_after: Option<Duration>,
}

/// Everything a gateway is made of.
#[derive(Debug)]
pub struct GatewayParts {
    /// The balancer's configuration.
    pub config: Config,
    /// Reaches the nodes.
    pub client: SharedClient,
    /// By node: the model's name there; empty to pass on what the client said.
    pub models: Vec<String>,
    /// Pools of agents and tools, which are asked by plain HTTP: their names, and the models that stand for
    /// them in routes.
    pub plain: Vec<(String, ModelId)>,
    /// Classes, by id. Not empty.
    pub classes: Vec<ClassOption>,
    /// Origins whose pages may call; `*` for any.
    pub cors_origins: Vec<String>,
    /// When streams that wait get comments.
    pub keep_alive: KeepAlive,
    /// What clients may say of their requests.
    pub hints: RequestHints,
    /// The limits of connections.
    pub limits: HttpLimits,
}

/// Serves until `stop` says otherwise, then lets running requests finish within the drain limit. Returns
/// when it ended.
pub async fn serve(
    parts: GatewayParts,
    listener: TcpListener,
    observer: &mut impl Observer,
    stop: watch::Receiver<Shutdown>,
) -> Time {
    let (inbox, messages) = inbox();
    let ready = Arc::new(AtomicU8::new(Readiness::Ready as u8));
    let state = Arc::new(GatewayState::new(&parts, inbox.clone(), Arc::clone(&ready)));
    let clock = state.clock;
    let shared = Arc::clone(&state);
    let service = move |request| edge::answer(Arc::clone(&shared), request);
    let server = http::serve(listener, parts.limits, service, stop.clone());
    let mut stop = stop;
    let last = inbox.clone();
    tokio::spawn(async move {
        // A controller that is gone means the end as well.
        let _ = stop.wait_for(|stop| *stop != Shutdown::No).await;
        state.stopping.store(true, Ordering::Relaxed);
        let _ = server.await;
        // Every connection is closed, so every request is settled or cancelled: what is left is that
        // aborted attempts say what they used.
        let _ = last.send(Message::Last);
        tokio::time::sleep(LAST_PATIENCE).await;
        let _ = last.send(Message::Stop);
    });
    let speech = |(node, model)| NodeSpeech {
        model,
        dialect: parts.client.dialect(node),
        prefill: parts.client.prefill(node),
    };
    let nodes = parts.models.into_iter().enumerate().map(speech).collect();
    let routes = parts.config.routes.iter();
    let resumes = parts.config.retry.resume || routes.into_iter().any(|it| it.resume == Some(true));
    let sessions = Sessions::new(inbox.clone(), nodes, resumes, ready);
    let mut executor = AttemptTasks::new(parts.client, inbox, sessions);
    let balancer = Balancer::new(parts.config);
    let (_, end) = drive(balancer, clock, messages, &mut executor, observer).await;
    end
}
