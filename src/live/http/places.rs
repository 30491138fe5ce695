//! Places for connections: so many at a time. Who comes when all are taken gets that of the connection that
//! has been idle longest, so that clients which keep connections shut nobody out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::gauge::Gauge;

/// Who waits for a place asks again after so long whether a connection has become idle.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// All places.
#[derive(Debug)]
pub(super) struct ConnectionPlaces {
    max: usize,
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

/// The connections that have places, by number.
#[derive(Debug, Default)]
struct Taken {
    next: u64,
    connections: BTreeMap<u64, (Arc<Gauge>, Arc<Notify>)>,
}

/// A place that a connection has.
#[derive(Debug)]
pub(super) struct TakenPlace {
    number: u64,
    gauge: Arc<Gauge>,
    wanted: Arc<Notify>,
    places: Arc<ConnectionPlaces>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionPlaces {
    pub(super) fn new(max: usize) -> ConnectionPlaces {
        ConnectionPlaces { max, free: Arc::new(Semaphore::new(max)), taken: Mutex::default() }
    }

    /// Takes a free place, if there is one.
    pub(super) fn try_take(self: &Arc<ConnectionPlaces>) -> Option<TakenPlace> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(self.give(permit))
    }

    /// Takes a place, if need be that of another connection.
    pub(super) async fn take(self: &Arc<ConnectionPlaces>) -> TakenPlace {
        if let Some(place) = self.try_take() {
            return place;
        }
        loop {
            self.ask_for_one();
            let freed = Arc::clone(&self.free).acquire_owned();
            // The semaphore is never closed.
            if let Ok(Ok(permit)) = timeout(ASK_EVERY, freed).await {
                return self.give(permit);
            }
        }
    }

    /// Waits until nobody has a place any more.
    pub(super) async fn all_free(&self) {
        let all = u32::try_from(self.max).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }

    fn give(self: &Arc<ConnectionPlaces>, permit: OwnedSemaphorePermit) -> TakenPlace {
        let (gauge, wanted) = (Arc::new(Gauge::new()), Arc::new(Notify::new()));
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.connections.insert(number, (Arc::clone(&gauge), Arc::clone(&wanted)));
        TakenPlace { number, gauge, wanted, places: Arc::clone(self), _permit: permit }
    }

    /// Asks the connection that can best be spared to close.
    fn ask_for_one(&self) {
        let taken = self.taken();
        let spare = taken
            .connections
            .values()
            .filter_map(|(gauge, wanted)| gauge.spare_since().map(|since| (since, wanted)));
        if let Some((_, wanted)) = spare.min_by_key(|(since, _)| *since) {
            wanted.notify_one();
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TakenPlace {
    pub(super) const fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// Ends when the connection should close for the sake of another one.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

impl Drop for TakenPlace {
    fn drop(&mut self) {
        self.places.taken().connections.remove(&self.number);
    }
}
