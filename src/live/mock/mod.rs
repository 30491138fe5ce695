//! Mock nodes: the nodes of a scenario as real OpenAI-compatible servers on loopback.
//!
//! Every node listens on a port of its own and answers as its simulated twin would: the same draws,
//! the same limits, the same faults at the same times, but over real sockets. Requests that carry the
//! headers of [`super::wire`] get exactly the tokens and the service draws that the simulation gives
//! them.
//!
//! On each node's port: `POST /v1/chat/completions`, `GET /v1/models`, `GET /health`, and, as long
//! as the node has not crashed, the admin calls. On the admin port, which never fails:
//! `POST /admin/start`, `/admin/fault`, `/admin/heal`, and `GET /admin/stats`. Time zero of the fault
//! schedule is the start of the mock, or the last `/admin/start`, with which a replay makes both
//! clocks agree: then all nodes are fresh, faults by hand are forgotten and counts are zero.
//!
//! Every fault of the catalogue can be carried out here, with three differences: a mock cannot drop
//! packets, so behind a black hole it accepts and is silent; it says nothing of itself but in headers,
//! so reports are as ever; and prices and drains are the balancer's business, so nothing happens.
//!
//! A crash resets every connection and closes the listener, so that new connections are refused; the
//! port stays reserved and opens again when the node is healed.

mod admin;
mod answer;
mod owner;
mod refusal;
mod streamed;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::http::{self, HttpLimits, Shutdown, shutdown};
use crate::dist::Dist;
use crate::node::{BackendSpec, FaultRule, FaultSpec};
use crate::unit::NodeId;
use answer::MockState;
pub use owner::NodeCounts;
use owner::{Owner, Power};

/// A mock serves at most so many nodes: each needs a port and two descriptors.
pub const NODES_MAX: usize = 1_000;

/// Connections the kernel holds for a node before they are accepted.
const BACKLOG: u32 = 1_024;

/// Pause before a listener that cannot be opened again is tried again.
const LISTEN_PAUSE: Duration = Duration::from_millis(50);

/// The limits of a mock's servers.
const LIMITS: HttpLimits = HttpLimits {
    write: http::WRITE_TIMEOUT,
    head: http::HEAD_TIMEOUT,
    idle: http::IDLE_TIMEOUT,
    body: Duration::from_secs(10),
    body_max: 4 << 20,
    bodies_max: http::BODIES_MAX,
    answers_max: http::ANSWERS_MAX,
    head_max: http::HEAD_MAX,
    headers_max: http::HEADERS_MAX,
    connections_max: http::CONNECTIONS_MAX,
    address_max: http::CONNECTIONS_MAX,
    drain: Duration::from_secs(1),
};

/// What mock nodes are made of.
#[derive(Clone, Debug)]
pub struct MockParts {
    /// The seed of the simulation.
    pub seed: u64,
    /// By node.
    pub backends: Vec<BackendSpec>,
    /// By node: what they are called.
    pub names: Vec<NodeName>,
    /// Names of nodes and of groups of nodes, for admin calls.
    pub groups: Vec<(String, Vec<NodeId>)>,
    /// Faults on the schedule.
    pub faults: Vec<FaultSpec>,
    /// Faults that happen again and again.
    pub fault_rules: Vec<FaultRule>,
    /// Tokens of answers whose request says nothing of them.
    pub output: Dist,
    /// See [`HttpLimits`]; [`MockParts::LIMITS`] as a rule.
    pub limits: HttpLimits,
}

impl MockParts {
    /// The limits that suit mock servers.
    pub const LIMITS: HttpLimits = LIMITS;
}

/// What a node is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeName {
    /// Its own name.
    pub node: String,
    /// The model it serves; may be empty.
    pub model: String,
}

/// Mock servers that are running. Dropping it resets every connection.
#[derive(Debug)]
pub struct Mock {
    nodes: Vec<(String, SocketAddr)>,
    admin: SocketAddr,
    stop: watch::Sender<Shutdown>,
    tasks: Vec<JoinHandle<()>>,
}

impl Mock {
    /// Starts one server a node on `port`, `port + 1` and so on, or on free ports, and the admin
    /// server after them. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If there are too many nodes or none, or if a port cannot be had.
    ///
    /// # Panics
    /// If there is not exactly one name a back end.
    pub fn start(parts: MockParts, port: Option<u16>) -> io::Result<Mock> {
        assert!(parts.names.len() == parts.backends.len(), "one name a node");
        let count = parts.backends.len();
        if count == 0 || count > NODES_MAX {
            let message = format!("a mock serves 1 to {NODES_MAX} nodes, not {count}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut ports = Vec::new();
        for offset in 0..=count {
            ports.push(ReservedPort::take(port, offset)?);
        }
        let (admin_port, admin_listener) = ports.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let limits = parts.limits;
        let names = parts.names.clone();
        let (state, inbox) = MockState::new(&parts, admin_port.address);
        let (power, switches): (Vec<_>, Vec<_>) =
            (0..count).map(|_| watch::channel(Power::default())).unzip();
        let mut tasks = vec![tokio::spawn(Owner::new(parts, power).run(inbox))];
        let (stop, stopped) = watch::channel(Shutdown::No);
        let (admin, serving) = (admin_port.address, Arc::clone(&state));
        let service = move |request| admin::answer(Arc::clone(&serving), request);
        tasks.push(http::serve(admin_listener, limits, service, stopped.clone()));
        let mut nodes = Vec::new();
        for (((id, (reserved, listener)), power), name) in (0..).zip(ports).zip(switches).zip(names)
        {
            nodes.push((name.node, reserved.address));
            let server =
                NodeServer { node: NodeId(id), reserved, state: Arc::clone(&state), limits };
            tasks.push(tokio::spawn(server.attend(listener, power, stopped.clone())));
        }
        Ok(Mock { nodes, admin, stop, tasks })
    }

    /// Returns the name and the address of every node, in file order.
    #[must_use]
    pub fn nodes(&self) -> &[(String, SocketAddr)] {
        &self.nodes
    }

    /// Returns the base address of every node as scenarios write it, in file order.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|(_, address)| format!("http://{address}/v1")).collect()
    }

    /// Returns the address of the admin server.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Stops: running requests get a second to finish, then they are reset.
    pub async fn stop(self) {
        let _ = self.stop.send(Shutdown::Gently);
        for task in self.tasks {
            // A task that panicked has stopped as well.
            let _ = task.await;
        }
    }
}

/// A port that stays ours while nobody listens on it: a second socket is bound to it and never
/// listens, so connects are refused and nobody else is given the port.
#[derive(Debug)]
struct ReservedPort {
    address: SocketAddr,
    /// `None` where the system does not let two sockets share a port; then there is no reserve.
    _reserve: Option<TcpSocket>,
}

impl ReservedPort {
    /// Takes a port and listens on it.
    fn take(port: Option<u16>, offset: usize) -> io::Result<(ReservedPort, TcpListener)> {
        let port = match port {
            None => 0,
            Some(first) => u16::try_from(usize::from(first) + offset)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "ports end at 65535"))?,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        let reserve = bind(address).map_err(named)?;
        let address = reserve.local_addr()?;
        match listen(address) {
            Ok(listener) => Ok((ReservedPort { address, _reserve: Some(reserve) }, listener)),
            Err(_) => {
                drop(reserve);
                Ok((ReservedPort { address, _reserve: None }, listen(address).map_err(named)?))
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen(BACKLOG)
}

/// The server of a node: it listens, except while the node is crashed.
struct NodeServer {
    node: NodeId,
    reserved: ReservedPort,
    state: Arc<MockState>,
    limits: HttpLimits,
}

impl NodeServer {
    async fn attend(
        self,
        listener: TcpListener,
        mut power: watch::Receiver<Power>,
        mut stop: watch::Receiver<Shutdown>,
    ) {
        let mut listener = Some(listener);
        let mut crashes = 0;
        loop {
            let open = self.open(listener.take(), &mut power, &mut stop);
            let Some(listener) = open.await else { return };
            let (cut, cutting) = watch::channel(Shutdown::No);
            let (state, node) = (Arc::clone(&self.state), self.node);
            let service = move |request| answer::answer(Arc::clone(&state), node, request);
            let server = http::serve(listener, self.limits, service, cutting);
            let how = tokio::select! {
                how = shutdown(&mut stop) => Some(how),
                seen = power.wait_for(|power| power.crashes != crashes) => {
                    seen.map_or(Some(Shutdown::Now), |power| { crashes = power.crashes; None })
                }
            };
            let _ = cut.send(how.unwrap_or(Shutdown::Now));
            let _ = server.await;
            if how.is_some() {
                return;
            }
        }
    }

    /// Waits until the node is up and its port is open. Returns `None` if it is to stop.
    async fn open(
        &self,
        listener: Option<TcpListener>,
        power: &mut watch::Receiver<Power>,
        stop: &mut watch::Receiver<Shutdown>,
    ) -> Option<TcpListener> {
        if listener.is_some() {
            return listener;
        }
        let reopened = async {
            power.wait_for(|power| !power.down).await.ok()?;
            loop {
                match listen(self.reserved.address) {
                    Ok(listener) => return Some(listener),
                    // Someone took the port while the node was down: it may come back.
                    Err(_) => sleep(LISTEN_PAUSE).await,
                }
            }
        };
        tokio::select! {
            _ = shutdown(stop) => None,
            listener = reopened => listener,
        }
    }
}
