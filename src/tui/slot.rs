//! The place where the engine leaves its newest picture and the screen finds it: one place,
//! newest wins. Publishing never waits for the screen, so a slow terminal loses pictures, not data.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::command::Frame;

type Waker = Box<dyn Fn() + Send>;

/// A one-place, newest-wins hand-over of frames from the engine to the screen.
#[derive(Default)]
pub struct Slot {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    frame: Option<Arc<Frame>>,
    closed: bool,
    waker: Option<Waker>,
}

impl Slot {
    /// An empty slot.
    #[must_use]
    pub fn new() -> Slot {
        Slot::default()
    }

    /// Replaces the frame in the slot. Never waits for the screen.
    pub fn publish(&self, frame: Arc<Frame>) {
        let mut inner = self.lock();
        let was_empty = inner.frame.replace(frame).is_none();
        // One wake-up per untaken frame: the screen's inbox cannot fill up.
        if was_empty {
            inner.wake();
        }
    }

    /// Says that no more frames will come. The screen keeps showing the last one.
    pub fn close(&self) {
        let mut inner = self.lock();
        if !inner.closed {
            inner.closed = true;
            inner.wake();
        }
    }

    /// Takes the newest frame, if one has come since the last call.
    #[must_use]
    pub fn take(&self) -> Option<Arc<Frame>> {
        self.lock().frame.take()
    }

    /// Returns whether the engine has said that no more frames will come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Calls `waker` whenever there is something new; at once if there already is.
    pub(super) fn on_change(&self, waker: impl Fn() + Send + 'static) {
        let mut inner = self.lock();
        inner.waker = Some(Box::new(waker));
        if inner.frame.is_some() || inner.closed {
            inner.wake();
        }
    }

    /// Forgets the waker: the screen is gone.
    pub(super) fn forget(&self) {
        self.lock().waker = None;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A frame is replaced whole, so what a panicking thread left behind is still good.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker();
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        let full = inner.frame.is_some();
        f.debug_struct("Slot").field("full", &full).field("closed", &inner.closed).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::tui::fixture;

    #[test]
    fn the_newest_frame_wins_and_wakes_once() {
        let slot = Slot::new();
        let wakes = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&wakes);
        slot.on_change(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        for seed in 0..5 {
            let mut frame = fixture::frame();
            frame.seed = seed;
            slot.publish(Arc::new(frame));
        }
        assert_eq!(slot.take().unwrap().seed, 4);
        assert!(slot.take().is_none());
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        slot.close();
        slot.close();
        assert!(slot.is_closed());
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
    }
}
