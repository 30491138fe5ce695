//! Connections to endpoints: made within a limit, kept for a while, and known to have served before. A kept
//! connection may be closed by the endpoint at the very moment a request is sent into it; that says nothing
//! of the endpoint, so the request is sent once more on a fresh connection. A descriptor that we have not
//! is no fault of theirs either. What is wrong with a certificate is told as that.

use std::collections::HashSet;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::Extensions;
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::Error as ClientError;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{
    CaptureConnection, HttpConnector, HttpInfo, capture_connection,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tower_service::Service;

use crate::balance::Failure;

/// Idle connections kept to one endpoint.
const IDLE_MAX: usize = 256;
/// Idle connections are kept so long: less than the five seconds after which small servers close
/// theirs, because a request sent into a closing connection is lost.
const IDLE: Duration = Duration::from_secs(4);
/// A kept connection that was closed says so within this time; an endpoint that dies over a request
/// may take longer.
const STALE: Duration = Duration::from_secs(1);

/// Before its answer an endpoint may say so often that it is at work. Who says it without end answers never.
const INFORMATIONAL_MAX: u32 = 64;

type BoxError = Box<dyn Error + Send + Sync>;
type Connections = HyperClient<TimedConnector, Full<Bytes>>;

/// The connections to all endpoints.
#[derive(Debug)]
pub(super) struct UpstreamConnections {
    /// Kept ones.
    kept: Connections,
    /// Connections that serve one request each.
    fresh: Connections,
    /// Our ends of connections that have served a request. As many as there are ports at most.
    served: Mutex<HashSet<SocketAddr>>,
}

impl UpstreamConnections {
    /// Connections that stand within this limit: the name is resolved, the connection accepted and the
    /// handshake of TLS over. Trusted are those whom browsers trust, or who is in this file instead.
    ///
    /// # Errors
    /// If nobody in the file can be trusted, in words.
    pub(super) fn new(
        limit: Option<Duration>,
        ca_file: Option<&Path>,
    ) -> Result<UpstreamConnections, String> {
        let resolver = BoundedResolver(GaiResolver::new());
        let mut connector = HttpConnector::new_with_resolver(resolver);
        connector.enforce_http(false);
        connector.set_nodelay(true);
        // Among several addresses each has its part of the time.
        connector.set_connect_timeout(limit);
        let builder = HttpsConnectorBuilder::new();
        let builder = match ca_file {
            None => builder.with_webpki_roots(),
            Some(path) => builder.with_tls_config(
                ClientConfig::builder()
                    .with_root_certificates(authorities(path)?)
                    .with_no_client_auth(),
            ),
        };
        let inner = builder.https_or_http().enable_http1().wrap_connector(connector);
        let connector = TimedConnector { inner, limit };
        let build = |idle_max| {
            HyperClient::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(idle_max)
                .build(connector.clone())
        };
        let (kept, fresh) = (build(IDLE_MAX), build(0));
        Ok(UpstreamConnections { kept, fresh, served: Mutex::new(HashSet::new()) })
    }

    /// Sends a request and waits for the head of the answer. `request` makes it, once more where the kept
    /// connection it went out on was closed.
    pub(super) async fn send(
        &self,
        request: impl Fn() -> Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut first = request();
        let connection = capture_connection(&mut first);
        let began = Instant::now();
        match answered(&self.kept, first).await? {
            Ok(response) => {
                if let Some(ours) = ours(response.extensions()) {
                    self.served().insert(ours);
                }
                Ok(response)
            }
            Err(error) if began.elapsed() < STALE && self.was_kept(&error, &connection) => {
                answered(&self.fresh, request()).await?.map_err(|error| failure(&error))
            }
            Err(error) => Err(failure(&error)),
        }
    }

    /// Sends a request that is not to be sent twice: on a connection of its own, which nobody closes meanwhile.
    pub(super) async fn send_once(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        answered(&self.fresh, request).await?.map_err(|error| failure(&error))
    }

    /// Returns whether a request failed on a connection that had served before. It has served its last.
    fn was_kept(&self, error: &ClientError, connection: &CaptureConnection) -> bool {
        if error.is_connect() {
            return false;
        }
        let mut extras = Extensions::new();
        if let Some(connected) = &*connection.connection_metadata() {
            connected.get_extras(&mut extras);
        }
        ours(&extras).is_some_and(|ours| self.served().remove(&ours))
    }

    fn served(&self) -> std::sync::MutexGuard<'_, HashSet<SocketAddr>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a request and waits for the head of its answer, but not through endless preliminaries.
async fn answered(
    connections: &Connections,
    mut request: Request<Full<Bytes>>,
) -> Result<Result<Response<Incoming>, ClientError>, Failure> {
    let endless = Arc::new(Notify::new());
    let (said, told) = (AtomicU32::new(0), Arc::clone(&endless));
    hyper::ext::on_informational(&mut request, move |_| {
        if said.fetch_add(1, Ordering::Relaxed) == INFORMATIONAL_MAX {
            told.notify_one();
        }
    });
    tokio::select! {
        answered = connections.request(request) => Ok(answered),
        // Its connection closes with the request.
        () = endless.notified() => Err(Failure::Malformed),
    }
}

/// Returns whether nobody serves models at an address: it is that of no host, of many, or of what a cloud
/// tells its machines of themselves, keys among it.
pub(super) fn is_out_of_bounds(address: IpAddr) -> bool {
    /// Where clouds tell it beside the usual place.
    const TELLS: [IpAddr; 3] = [
        IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
        IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    ];
    let address = address.to_canonical();
    let odd = match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_unicast_link_local(),
    };
    odd || address.is_multicast() || TELLS.contains(&address)
}

/// Finds the addresses of names, every time a connection is made: who owns a name may point it elsewhere.
#[derive(Clone, Debug)]
struct BoundedResolver(GaiResolver);

impl Service<Name> for BoundedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = self.0.call(name);
        Box::pin(async move {
            let found = found.await?.filter(|address| !is_out_of_bounds(address.ip()));
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok(found.into_iter())
        })
    }
}

/// Returns our end of the connection that an answer came on.
fn ours(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<HttpInfo>().map(HttpInfo::local_addr)
}

/// Returns what it means that a request got no answer.
fn failure(error: &ClientError) -> Failure {
    if out_of_descriptors(error) {
        // Ours have run out: the endpoint is not to blame, and another one would not do better.
        Failure::Overloaded
    } else if let Some(failure) = insecure(error, error.is_connect()) {
        failure
    } else if error.is_connect() {
        Failure::Refused
    } else {
        Failure::Reset
    }
}

/// Returns whether there was no descriptor for a connection, in the process or in the system.
fn out_of_descriptors(error: &(dyn Error + 'static)) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    let ours = |error: &io::Error| matches!(error.raw_os_error(), Some(EMFILE | ENFILE));
    told_of(error, &|error| error.downcast_ref().is_some_and(ours).then_some(())).is_some()
}

/// Looks for something in an error and in all that it tells of.
fn told_of<T>(
    error: &(dyn Error + 'static),
    look: &impl Fn(&(dyn Error + 'static)) -> Option<T>,
) -> Option<T> {
    let told = error.downcast_ref::<io::Error>();
    // What an error of input and output wraps is not its source: that is the source of what it wraps.
    let wrapped = told.and_then(io::Error::get_ref).map(|inner| inner as &(dyn Error + 'static));
    let mut inner = wrapped.into_iter().chain(error.source());
    look(error).or_else(|| inner.find_map(|inner| told_of(inner, look)))
}

/// Returns why there is no connection on which nobody else listens, if that is what is wrong. Once there is
/// one, it only counts that the other side wants none.
fn insecure(error: &(dyn Error + 'static), connecting: bool) -> Option<Failure> {
    use CertificateError as Bad;
    told_of(error, &|error| match error.downcast_ref::<rustls::Error>() {
        // It wants to know who we are, and says so after our end of the handshake.
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        )) => Some(Failure::Handshake),
        _ if !connecting => None,
        Some(rustls::Error::InvalidCertificate(bad)) => Some(match bad {
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. } => Failure::CertificateExpired,
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Failure::CertificateName,
            _ => Failure::CertificateUntrusted,
        }),
        Some(_) => Some(Failure::Handshake),
        // A connection stood, and the other side ended it without a word.
        None => match error.downcast_ref::<io::Error>()?.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Some(Failure::Handshake),
            _ => None,
        },
    })
}

/// Reads who is to be trusted.
fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let told = |why: &dyn fmt::Display| {
        format!("the certificates in {} cannot be used: {why}", path.display())
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|why| told(&why))? {
        let certificate = certificate.map_err(|why| told(&why))?;
        store.add(certificate).map_err(|why| told(&why))?;
    }
    if store.is_empty() { Err(told(&"there is none")) } else { Ok(store) }
}

/// A connector whose every step together has one limit.
#[derive(Clone, Debug)]
struct TimedConnector {
    inner: HttpsConnector<HttpConnector<BoundedResolver>>,
    limit: Option<Duration>,
}

impl Service<Uri> for TimedConnector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(uri), self.limit);
        Box::pin(async move {
            match limit {
                Some(limit) => match timeout(limit, connecting).await {
                    Ok(connected) => connected,
                    Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                },
                None => connecting.await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_that_ran_out_are_found_however_deep_they_are_told() {
        for (code, ours) in [(24, true), (23, true), (111, false)] {
            let error = io::Error::other(io::Error::from_raw_os_error(code));
            assert_eq!(out_of_descriptors(&error), ours, "{code}: {error}");
        }
    }
}
