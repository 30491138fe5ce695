//! The terminal: which modes have been entered, and leaving them again whatever happens. Every
//! mode is recorded when entered and undone in reverse, from the normal path, from a drop, from
//! the panic hook; undoing twice does nothing.

use std::io::{self, Write};
use std::panic;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rustix::process::{Signal, kill_current_process_group};

const RAW: u8 = 1;
const SCREEN: u8 = 2;
const CURSOR: u8 = 4;
const MOUSE: u8 = 8;

/// The modes that are on now.
static MODES: AtomicU8 = AtomicU8::new(0);

/// What other threads said when they panicked while the screen was up: told afterwards.
static LATE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// At most so many panics are told afterwards.
const LATE_MAX: usize = 8;

/// Buffers beyond this many cells are not made: a terminal that claims more is lying.
const CELLS_MAX: u32 = 1_000_000;

/// The terminal while it belongs to the screen.
#[derive(Debug)]
pub struct Terminal {
    shown: Buffer,
    /// Nothing on the terminal can be relied on.
    stale: bool,
    mouse: bool,
}

impl Terminal {
    /// Takes the terminal over: raw mode, alternate screen, hidden cursor, the mouse if wanted, panic hook.
    ///
    /// # Errors
    /// When the terminal cannot be written.
    pub fn enter(mouse: bool) -> io::Result<Terminal> {
        // Our themes do without colour themselves; crossterm's filter would also eat bold.
        crossterm::style::force_color_output(true);
        hook_panics();
        let terminal = Terminal { shown: Buffer::empty(Rect::ZERO), stale: true, mouse };
        enter_modes(mouse)?;
        Ok(terminal)
    }

    /// Returns columns and rows of the terminal.
    pub(super) fn size() -> io::Result<(u16, u16)> {
        let (columns, rows) = size()?;
        let fits = u32::from(columns) * u32::from(rows) <= CELLS_MAX;
        Ok(if fits { (columns, rows) } else { (columns.min(1_000), rows.min(1_000)) })
    }

    /// Draws every cell next time.
    pub(super) fn redraw(&mut self) {
        self.stale = true;
    }

    /// Sends what has changed since the last time, in one write.
    ///
    /// # Errors
    /// When the terminal cannot be written.
    pub fn show(&mut self, picture: Buffer) -> io::Result<()> {
        if !self.stale && self.shown == picture {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(16_384);
        queue!(bytes, BeginSynchronizedUpdate)?;
        if self.stale || self.shown.area != picture.area {
            queue!(bytes, crossterm::style::ResetColor, Clear(ClearType::All), MoveTo(0, 0))?;
            self.shown = Buffer::empty(picture.area);
        }
        let changes = self.shown.diff(&picture);
        CrosstermBackend::new(&mut bytes).draw(changes.into_iter())?;
        queue!(bytes, EndSynchronizedUpdate)?;
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()?;
        self.shown = picture;
        self.stale = false;
        Ok(())
    }

    /// Gives the terminal back, stops the process, and takes the terminal over when continued.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        leave_modes();
        // The whole group, as the terminal itself would: a script that waits for us stops too.
        kill_current_process_group(Signal::STOP)?;
        self.stale = true;
        enter_modes(self.mouse)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave_modes();
        let mut late = LATE.lock().unwrap_or_else(PoisonError::into_inner);
        for message in late.drain(..) {
            // A closed stderr is no reason to fail on the way out.
            let _ = writeln!(io::stderr(), "{message}");
        }
    }
}

fn enter_modes(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    MODES.fetch_or(RAW, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen)?;
    MODES.fetch_or(SCREEN, Ordering::SeqCst);
    execute!(io::stdout(), Hide)?;
    MODES.fetch_or(CURSOR, Ordering::SeqCst);
    if mouse {
        execute!(io::stdout(), EnableMouseCapture)?;
        MODES.fetch_or(MOUSE, Ordering::SeqCst);
    }
    Ok(())
}

/// Undoes the modes that are on, in reverse. Errors are ignored: there is nobody to tell.
fn leave_modes() {
    let modes = MODES.swap(0, Ordering::SeqCst);
    let mut out = io::stdout();
    if modes != 0 {
        let _ = execute!(out, EndSynchronizedUpdate, crossterm::style::ResetColor);
    }
    if modes & MOUSE != 0 {
        let _ = execute!(out, DisableMouseCapture);
    }
    if modes & CURSOR != 0 {
        let _ = execute!(out, Show);
    }
    if modes & SCREEN != 0 {
        let _ = execute!(out, LeaveAlternateScreen);
    }
    if modes & RAW != 0 {
        let _ = disable_raw_mode();
    }
}

/// A panic of this thread gives the terminal back before it is told; one of another thread must
/// not tear the screen, so it is told when the screen is gone.
fn hook_panics() {
    let mine: ThreadId = thread::current().id();
    let before = Arc::new(panic::take_hook());
    panic::set_hook(Box::new(move |info| {
        let shown = MODES.load(Ordering::SeqCst) != 0;
        if shown && thread::current().id() != mine {
            let mut late = LATE.lock().unwrap_or_else(PoisonError::into_inner);
            if late.len() < LATE_MAX {
                late.push(info.to_string());
            }
            return;
        }
        leave_modes();
        before(info);
    }));
}

/// Copies a text where the terminal takes it (OSC 52); others take no notice.
///
/// # Errors
/// When the terminal cannot be written.
pub(super) fn copy(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "\x1b]52;c;{}\x07", base64(text.as_bytes()))?;
    out.flush()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3)
            .fold(0_u32, |number, at| number << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// Returns a picture as terminal bytes, one row after the other.
#[cfg(test)]
pub(super) fn bytes(picture: &Buffer) -> io::Result<Vec<u8>> {
    crossterm::style::force_color_output(true);
    let mut out = Vec::new();
    let width = usize::from(picture.area.width);
    for row in picture.content.chunks(width) {
        let cells = row.iter().enumerate().map(|(x, cell)| (x as u16, 0, cell));
        let mut line = Vec::new();
        CrosstermBackend::new(&mut line).draw(cells)?;
        // The row is drawn from the left: the jump to its start is left out.
        let jump = line.iter().position(|byte| *byte == b'H').map_or(0, |end| end + 1);
        out.extend_from_slice(&line[jump..]);
        out.extend_from_slice(b"\x1b[0m\n");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn texts_are_copied_in_letters_of_base_64() {
        for (text, letters) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), letters);
        }
    }
}
