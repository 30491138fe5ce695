//! What is said to mock servers beside requests: that a run begins, and faults by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, Uri};
use serde::Deserialize;
use tokio::time::timeout;

use super::{ERROR_PATIENCE, SharedClient, UpstreamClient};

/// No answer of a mock is longer.
const SAID_MAX: usize = 4 << 20;

/// A call of the admin server of mock servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MockCall {
    /// Makes a fault: an object of the nodes, and of its kind with what is said of it.
    Fault(String),
    /// Ends what was made so with these nodes.
    Heal(String),
}

/// The admin server of the mock servers that a replay is sent to.
#[derive(Clone, Debug)]
pub struct MockAdmin {
    client: SharedClient,
    at: SocketAddr,
    /// Names of its nodes.
    nodes: Arc<[String]>,
}

/// What a mock says of itself when a run begins.
#[derive(Deserialize)]
struct Started {
    admin: SocketAddr,
    nodes: Vec<String>,
}

/// What it says of a call that it refuses.
#[derive(Deserialize)]
struct Refused {
    error: RefusedWhy,
}

#[derive(Deserialize)]
struct RefusedWhy {
    message: String,
}

impl MockAdmin {
    /// Tells a mock server that the run begins, so that its fault schedule counts from now. Returns where
    /// it can be told more; nothing if no endpoint on this machine is a mock.
    pub(in crate::live) async fn start(client: &SharedClient) -> Option<MockAdmin> {
        let target = client.targets.iter().find(|target| target.loopback)?;
        let (_, body) = client.tell(target.start.as_ref()?, Bytes::new()).await.ok()?;
        let Started { admin: at, nodes } = serde_json::from_slice(&body).ok()?;
        // Whoever listens there cannot send us to somebody else.
        let mock = || MockAdmin { client: client.clone(), at, nodes: nodes.into() };
        at.ip().is_loopback().then(mock)
    }

    /// Returns the names of its nodes.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// Makes a call.
    ///
    /// # Errors
    /// What the mock says against it, or that it says nothing.
    pub async fn call(&self, call: &MockCall) -> Result<(), String> {
        let (path, said) = match call {
            MockCall::Fault(said) => ("fault", said),
            MockCall::Heal(said) => ("heal", said),
        };
        let uri: Uri = format!("http://{}/admin/{path}", self.at)
            .parse()
            .map_err(|_| "the mock has no address".to_owned())?;
        let silent = || "the mock does not answer".to_owned();
        let answer = self.client.tell(&uri, Bytes::from(said.clone())).await;
        let (well, body) = answer.map_err(|()| silent())?;
        match serde_json::from_slice::<Refused>(&body) {
            _ if well => Ok(()),
            Ok(refused) => Err(refused.error.message),
            Err(_) => Err(silent()),
        }
    }
}

impl UpstreamClient {
    /// Posts to a mock. Returns whether that went well, and what it said.
    async fn tell(&self, uri: &Uri, said: Bytes) -> Result<(bool, Bytes), ()> {
        let request = || {
            let mut request = Request::new(Full::new(said.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = uri.clone();
            request
        };
        let asked = async {
            // Mocks speak no TLS: whom who trusts does not matter.
            let connections = self.connections.first().ok_or(())?;
            let response: Response<_> = connections.send(request).await.map_err(|_| ())?;
            let well = response.status().is_success();
            let body = Limited::new(response.into_body(), SAID_MAX).collect().await;
            Ok((well, body.map_err(|_| ())?.to_bytes()))
        };
        timeout(ERROR_PATIENCE, asked).await.map_err(|_| ())?
    }
}
