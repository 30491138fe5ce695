//! A pipe is written to by a thread of its own: a reader that does not keep up must not hold up a gateway.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::FileTypeExt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So many pieces wait for a slow reader, each of what a buffer holds.
const PIECES_MAX: usize = 4_096;
/// At the end a reader has so long to take the rest.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Writes to a file whose reader may be slow, without waiting.
#[derive(Debug)]
pub(super) struct PipeWriter {
    /// `None` once nothing follows.
    to: Option<SyncSender<Vec<u8>>>,
    /// What went wrong in the thread, until it is told.
    failed: Arc<Mutex<Option<io::Error>>>,
    done: Receiver<()>,
}

/// Returns a writer to a file that never waits for whoever reads it.
pub(super) fn unblocked(file: File) -> Box<dyn Write + Send> {
    let kind = file.metadata().map(|meta| meta.file_type());
    let waits = kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket()) || file.is_terminal();
    if waits { Box::new(PipeWriter::new(file)) } else { Box::new(file) }
}

impl PipeWriter {
    fn new(mut file: File) -> PipeWriter {
        let (to, pieces) = sync_channel::<Vec<u8>>(PIECES_MAX);
        let (end, done) = sync_channel(1);
        let failed = Arc::new(Mutex::new(None));
        let tells = Arc::clone(&failed);
        std::thread::spawn(move || {
            for piece in pieces {
                if let Err(error) = file.write_all(&piece) {
                    *tells.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    break;
                }
            }
            let _ = end.send(());
        });
        PipeWriter { to: Some(to), failed, done }
    }

    fn failure(&self) -> io::Result<()> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or(Ok(()), Err)
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.failure()?;
        let sent = self.to.as_ref().map(|to| to.try_send(bytes.to_vec()));
        match sent {
            Some(Ok(())) => Ok(bytes.len()),
            Some(Err(TrySendError::Full(_))) => {
                Err(io::Error::other("whoever reads it does not keep up"))
            }
            Some(Err(TrySendError::Disconnected(_))) | None => {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure()
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.done.recv_timeout(LAST_PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_reader_that_sleeps_holds_nobody_up_and_one_that_reads_gets_all() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let mut out = unblocked(File::from(OwnedFd::from(writer)));
        let piece = vec![b'x'; 8 << 10];
        let took = (0..3 * PIECES_MAX).position(|_| out.write_all(&piece).is_err());
        assert!(took.is_some_and(|took| took >= PIECES_MAX), "it is told: {took:?}");
        let mut reader = reader;
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all.len())
        });
        drop(out);
        let read = reading.join().expect("no panic").expect("bytes");
        assert_eq!(read % piece.len(), 0, "whole pieces: {read}");
        assert!(read >= PIECES_MAX * piece.len());
    }

    #[test]
    fn a_reader_that_is_gone_is_told() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut out = unblocked(File::from(OwnedFd::from(writer)));
        let told = (0..1_000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(1));
            out.write_all(b"x").and_then(|()| out.flush()).err()
        });
        assert_eq!(told.map(|error| error.kind()), Some(io::ErrorKind::BrokenPipe));
    }
}
