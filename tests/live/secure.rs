//! Endpoints by TLS, over real sockets: who is trusted, and what is told of a certificate that is not in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use plimsoll::balance::{End, Failure, Fate};
use plimsoll::live::http::HttpLimits;
use plimsoll::live::upstream::{Dialect, Endpoint, PrefillKind, StreamPace, UpstreamClient};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::gate::{Gate, PATIENCE, SETTINGS, chat, http, read_request, text, whole};

/// A file of a private authority, a certificate of it, or its key.
fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/tls").join(name);
    path.to_str().expect("a path of text").to_owned()
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    let read = CertificateDer::pem_file_iter(file(name)).expect("a file");
    read.map(|certificate| certificate.expect("a certificate")).collect()
}

/// How a server meets those who connect.
#[derive(Clone, Copy)]
enum Meets {
    /// With this certificate, by this version.
    With(&'static str, &'static SupportedProtocolVersion),
    /// It wants to know who they are.
    Suspicious,
    /// It knows no TLS.
    Plainly,
    /// It closes at the first word.
    Shut,
    /// It says nothing.
    Silent,
}

fn acceptor(
    certificate: &str,
    version: &'static SupportedProtocolVersion,
    asks: bool,
) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_protocol_versions(&[version]);
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        certificates("ca.pem").into_iter().for_each(|one| roots.add(one).expect("an authority"));
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
        builder.with_client_cert_verifier(verifier.expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
    let config = builder.with_single_cert(certificates(certificate), key).expect("a server");
    TlsAcceptor::from(Arc::new(config))
}

/// Starts a server that answers every request.
async fn server(meets: Meets) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}/v1", listener.local_addr().expect("an address"));
    let acceptor = match meets {
        Meets::With(certificate, version) => Some(acceptor(certificate, version, false)),
        Meets::Suspicious => Some(acceptor("good.pem", &TLS12, true)),
        Meets::Plainly | Meets::Shut | Meets::Silent => None,
    };
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let answer = http("200 OK", "", &whole(""));
                if let Some(acceptor) = acceptor {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    if read_request(&mut stream).await.is_some() {
                        let _ = stream.write_all(answer.as_bytes()).await;
                        let _ = stream.shutdown().await;
                    }
                    return;
                }
                match meets {
                    Meets::Plainly => {
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                    Meets::Silent => std::future::pending().await,
                    _ => {
                        let mut some = [0; 1024];
                        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut some).await;
                    }
                }
            });
        }
    });
    (url, task)
}

/// Asks a server once; those of the private authority are trusted or not.
async fn asked(meets: Meets, trusts: bool) -> (Vec<End>, Vec<Fate>) {
    let (url, task) = server(meets).await;
    let ca = if trusts { format!("ca_file = {:?}", file("ca.pem")) } else { String::new() };
    let gate = Gate::of(&text(1, &ca, SETTINGS), &[url], HttpLimits::default()).await;
    let reply = gate.ask(&chat(false)).await;
    let (ends, fates) = gate.close().await;
    let done = fates == [Fate::Completed];
    assert_eq!(reply.status, if done { 200 } else { 502 }, "{reply:?}");
    task.abort();
    (ends, fates)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_is_trusted_where_the_scenario_says_so() {
    for version in [&TLS12, &TLS13] {
        let (ends, fates) = asked(Meets::With("good.pem", version), true).await;
        assert_eq!((ends, fates), (vec![End::Done], vec![Fate::Completed]), "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_certificate_is_told_as_that() {
    for (meets, trusts, failure, words) in [
        (Meets::With("good.pem", &TLS13), false, Failure::CertificateUntrusted, "not trusted"),
        (Meets::With("expired.pem", &TLS12), true, Failure::CertificateExpired, "expired"),
        (Meets::With("other.pem", &TLS13), true, Failure::CertificateName, "another name"),
        (Meets::Suspicious, true, Failure::Handshake, "handshake"),
        (Meets::Plainly, true, Failure::Handshake, "handshake"),
        (Meets::Shut, true, Failure::Handshake, "handshake"),
    ] {
        let (ends, fates) = asked(meets, trusts).await;
        let end = End::Failed(failure);
        assert!(ends.iter().all(|other| *other == end), "{words}: {ends:?}");
        assert_eq!(fates, [Fate::Failed(end)], "{words}");
        assert!(end.words().contains(words), "{}", end.words());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_goes_nowhere_ends_with_the_time_of_a_connection() {
    let began = Instant::now();
    let (ends, fates) = asked(Meets::Silent, true).await;
    let refused = End::Failed(Failure::Refused);
    assert!(!ends.is_empty() && ends.iter().all(|end| *end == refused), "{ends:?}");
    assert_eq!(fates, [Fate::Failed(refused)]);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn a_file_of_no_certificates_is_told_before_anything_is_served() {
    for (name, why) in [("nowhere.pem", "nowhere.pem"), ("make", "there is none")] {
        let endpoint = Endpoint {
            url: "https://api.example.com/v1".to_owned(),
            key: None,
            dialect: Dialect::Openai,
            prefill: PrefillKind::default(),
            ca_file: Some(file(name).into()),
        };
        let bad = UpstreamClient::new(&[endpoint], None, StreamPace::default());
        let bad = bad.expect_err("nobody is trusted");
        assert!(bad[0].reason.contains(why), "{}", bad[0].reason);
    }
}
