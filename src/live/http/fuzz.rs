//! What fuzzers call of the edge: the bytes of a connection, as the server reads them.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::gauge::{Gauge, Metered};
use super::{BodyRoom, HttpLimits, Shutdown, TakenRoom, answer, converse, read_body};

/// A request as it was taken: method and body. Targets are written in several ways.
type TakenRequest = (String, Bytes);

/// Whatever pieces they come in, the same requests are taken, and they are the first of those that somebody
/// reads who knows one way to tell where a body ends: nobody smuggles one in. The first byte says how large
/// the pieces are.
pub fn edge(bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return;
    };
    let strict = strictly(bytes);
    for size in [bytes.len(), 1 + usize::from(size)] {
        let taken = runtime.block_on(taken(bytes, size));
        assert!(strict.starts_with(&taken), "{size} at a time: {taken:?} of {strict:?}");
    }
}

/// The requests that the server takes of these bytes.
async fn taken(bytes: &[u8], size: usize) -> Vec<TakenRequest> {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let limits = HttpLimits { body_max: 1 << 20, ..HttpLimits::default() };
    let gauge = Arc::new(Gauge::new());
    let metered = Metered::new(ours, Arc::clone(&gauge), limits.write);
    let all = Arc::new(Mutex::new(Vec::new()));
    let (service, room) = (Arc::clone(&all), BodyRoom::new(limits.bodies_max));
    let service = move |request: Request<Incoming>| {
        let (all, room) = (Arc::clone(&service), room.clone());
        async move {
            let (head, body) = request.into_parts();
            // Here bodies are compared, not what is packed in them.
            let headers = hyper::HeaderMap::new();
            let mut taken = TakenRoom::default();
            match read_body(body, &headers, &limits, (&room, &mut taken)).await {
                Ok(body) => {
                    let one = (head.method.to_string(), body);
                    all.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                    answer(StatusCode::OK, "text/plain", "")
                }
                Err(error) => answer(error.status(), "text/plain", ""),
            }
        }
    };
    let (_stop, stopping) = watch::channel(Shutdown::No);
    let connection = converse(TokioIo::new(metered), &gauge, limits, Arc::new(service), stopping);
    let client = async {
        for piece in bytes.chunks(size.max(1)) {
            if theirs.write_all(piece).await.is_err() {
                return;
            }
            // The server sees this piece before the next one.
            tokio::task::yield_now().await;
        }
        let _ = theirs.shutdown().await;
        let _ = theirs.read_to_end(&mut Vec::new()).await;
    };
    let _ = tokio::join!(connection, client);
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *all)
}

/// The requests that these bytes are to a reader who takes a body only if its end is told once and in one way.
fn strictly(mut bytes: &[u8]) -> Vec<TakenRequest> {
    let mut all = Vec::new();
    while let Some((one, rest)) = one_strictly(bytes) {
        all.push(one);
        bytes = rest;
    }
    all
}

fn one_strictly(bytes: &[u8]) -> Option<(TakenRequest, &[u8])> {
    let mut bytes = bytes;
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    let (first, mut bytes) = line(bytes)?;
    let mut words = std::str::from_utf8(first).ok()?.split(' ').filter(|word| !word.is_empty());
    let (method, _target) = (words.next()?.to_owned(), words.next()?);
    let (mut lengths, mut chunked) = (Vec::new(), 0);
    loop {
        let (field, rest) = line(bytes)?;
        bytes = rest;
        if field.is_empty() {
            break;
        }
        let colon = field.iter().position(|byte| *byte == b':')?;
        let value = field[colon + 1..].trim_ascii();
        match field[..colon].to_ascii_lowercase().as_slice() {
            b"content-length" => lengths.push(std::str::from_utf8(value).ok()?.parse().ok()?),
            b"transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") => chunked += 1,
            b"transfer-encoding" => return None,
            _ => {}
        }
    }
    let (body, rest) = match (&lengths[..], chunked) {
        ([], 0) => (Bytes::new(), bytes),
        (&[length], 0) => {
            let (body, rest) = bytes.split_at_checked(length)?;
            (Bytes::copy_from_slice(body), rest)
        }
        ([], 1) => chunks(bytes)?,
        _ => return None,
    };
    Some(((method, body), rest))
}

fn chunks(mut bytes: &[u8]) -> Option<(Bytes, &[u8])> {
    let mut body = Vec::new();
    loop {
        let (size, rest) = line(bytes)?;
        let digits = size.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = usize::from_str_radix(std::str::from_utf8(&size[..digits]).ok()?, 16).ok()?;
        bytes = rest;
        if size == 0 {
            break;
        }
        let (data, rest) = bytes.split_at_checked(size)?;
        body.extend_from_slice(data);
        bytes = rest.strip_prefix(b"\r\n")?;
    }
    loop {
        let (trailer, rest) = line(bytes)?;
        bytes = rest;
        if trailer.is_empty() {
            return Some((body.into(), bytes));
        }
    }
}

/// A line, which ends in CR and LF, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((bytes[..end].strip_suffix(b"\r")?, &bytes[end + 1..]))
}
