//! `plimsoll top`: the dashboard of a gateway that runs elsewhere, from the pictures it sends.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use hyper::Uri;

use super::failure::{CliFailure, FailureKind};
use super::looks::Looks;
use super::play::has_terminal;
use crate::report::frames::{FrameReader, LINE_MAX};
use crate::tui::{self, Slot};

/// A gateway is reached within this, and sends a picture at least so often.
const PATIENCE: Duration = Duration::from_secs(10);
/// No head of an answer is longer.
const HEAD_MAX: u64 = 64 << 10;

#[derive(Clone, Debug, Args)]
pub(super) struct Top {
    /// Where a gateway answers its operator: `serve --admin ADDRESS` says it, such as http://127.0.0.1:9901
    url: String,
    #[command(flatten)]
    looks: Looks,
}

impl Top {
    pub(super) fn run(&self) -> Result<u8, CliFailure> {
        if !has_terminal() {
            let failure = CliFailure::new(FailureKind::Usage, "top needs a terminal");
            return Err(failure.hint("GET /metrics and GET /frames of that address need none"));
        }
        let looks = self.looks.open()?;
        let failed = |why: String| CliFailure::new(FailureKind::Unexpected, why);
        let mut lines = FrameLines::open(&self.url).map_err(failed)?;
        // The first picture shows that it is a gateway, before the screen is touched.
        let first = lines.next().ok_or("it sends no pictures".to_owned()).and_then(|line| line);
        let first = first.map_err(|why| failed(format!("{}: {why}", self.url)))?;
        let slot = Arc::new(Slot::new());
        slot.publish(Arc::new(first));
        let feed = Arc::clone(&slot);
        thread::spawn(move || {
            for frame in lines.map_while(Result::ok) {
                feed.publish(Arc::new(frame));
            }
            feed.close();
        });
        // Nobody listens to what is asked for: a screen elsewhere only watches.
        let (commands, _) = std::sync::mpsc::channel();
        let left = tui::run(slot, commands, &looks.options)
            .map_err(|error| failed(format!("the terminal failed: {error}")))?;
        looks.left(&left);
        Ok(left.exit.code() as u8)
    }
}

/// The pictures of a gateway.
struct FrameLines {
    body: BufReader<Box<dyn Read + Send>>,
    reader: FrameReader,
}

impl FrameLines {
    /// Asks for them, in plain HTTP/1.0: so the body is what comes, without pieces.
    fn open(url: &str) -> Result<FrameLines, String> {
        let said: Uri = url.parse().map_err(|_| format!("`{url}` is no address"))?;
        let scheme = said.scheme_str().unwrap_or("http");
        let host = said.host().filter(|_| scheme == "http");
        let host = host.ok_or_else(|| format!("`{url}`: an address is http://HOST:PORT"))?;
        let port = said.port_u16().unwrap_or(80);
        let unreached = |why: std::io::Error| format!("cannot reach {url}: {why}");
        let mut addresses = (host, port).to_socket_addrs().map_err(unreached)?;
        let address = addresses.next().ok_or_else(|| format!("{host} has no address"))?;
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE).map_err(unreached)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(unreached)?;
        let ask = format!("GET /frames HTTP/1.0\r\nhost: {host}:{port}\r\n\r\n");
        std::io::Write::write_all(&mut socket, ask.as_bytes()).map_err(unreached)?;
        let mut body = BufReader::new(Box::new(socket) as Box<dyn Read + Send>);
        let mut head = (&mut body).take(HEAD_MAX);
        let mut status = String::new();
        head.read_line(&mut status).map_err(unreached)?;
        if !status.starts_with("HTTP/1.") || status.split(' ').nth(1) != Some("200") {
            let told = status.trim();
            return Err(format!(
                "{url} has no pictures: it answers `{told}`; is it the admin address?"
            ));
        }
        loop {
            let mut line = String::new();
            head.read_line(&mut line).map_err(unreached)?;
            if matches!(line.as_str(), "\r\n" | "\n") {
                break;
            }
            if line.is_empty() {
                return Err(format!("{url} has no whole answer"));
            }
        }
        Ok(FrameLines { body, reader: FrameReader::default() })
    }
}

impl Iterator for FrameLines {
    type Item = Result<crate::command::Frame, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = String::new();
            let most = LINE_MAX as u64;
            match (&mut self.body).take(most).read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) if !line.ends_with('\n') => return None,
                Ok(_) if line.trim().is_empty() => {}
                Ok(_) => return Some(self.reader.read(&line)),
                Err(error) => return Some(Err(error.to_string())),
            }
        }
    }
}
