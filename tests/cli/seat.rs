//! A pseudo terminal with the program on it.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// The program on a terminal of its own.
pub(crate) struct Seat {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    bytes: Arc<Mutex<Vec<u8>>>,
    size: (u16, u16),
}

/// Nothing here takes so long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

impl Seat {
    pub(crate) fn take(program: &str, arguments: &[&str], size: (u16, u16)) -> Seat {
        // What the person has settled whose machine this is, is no matter either.
        let nowhere = std::env::temp_dir().join("plimsoll-has-no-settings-here");
        Seat::with_settings(program, arguments, size, &nowhere)
    }

    /// The same with settings in this file.
    pub(crate) fn with_settings(
        program: &str,
        arguments: &[&str],
        (columns, rows): (u16, u16),
        settings: &Path,
    ) -> Seat {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo terminal");
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        command.env("PLIMSOLL_CONFIG", settings);
        // What the test's own surroundings speak is no matter.
        command.env("LC_ALL", "C.UTF-8");
        let child = pair.slave.spawn_command(command).expect("the program starts");
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        std::thread::spawn(move || {
            let mut chunk = [0; 4_096];
            while let Ok(count) = reader.read(&mut chunk) {
                if count == 0 {
                    return;
                }
                sink.lock().expect("no panic").extend_from_slice(&chunk[..count]);
            }
        });
        let keys = pair.master.take_writer().expect("a writer");
        Seat { child, master: pair.master, keys, bytes, size: (columns, rows) }
    }

    pub(crate) fn play(arguments: &[&str], size: (u16, u16)) -> Seat {
        let arguments = [&["play"], arguments].concat();
        Seat::take(env!("CARGO_BIN_EXE_plimsoll"), &arguments, size)
    }

    /// Which process it is.
    pub(crate) fn id(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    /// How many bytes it has written.
    pub(crate) fn written(&self) -> usize {
        self.bytes.lock().expect("no panic").len()
    }

    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no panic")).into_owned()
    }

    pub(crate) fn screen(&self) -> String {
        let cells = |count| std::num::NonZero::new(count).expect("a size above zero");
        let mut parser = vt100::Parser::new(cells(self.size.1), cells(self.size.0), 0);
        parser.process(&self.bytes.lock().expect("no panic"));
        parser.screen().contents()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) {
        let start = Instant::now();
        while !self.screen().contains(words) {
            assert!(start.elapsed() < PATIENCE, "no `{words}` on:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it listens");
        self.keys.flush().expect("it listens");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.process_id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for the end and returns exit code and everything that was written.
    pub(crate) fn leave(mut self) -> (u32, String) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                // What was written last may still be on its way.
                std::thread::sleep(Duration::from_millis(200));
                drop(self.master);
                let raw =
                    String::from_utf8_lossy(&self.bytes.lock().expect("no panic")).into_owned();
                return (status.exit_code(), raw);
            }
            if start.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
