//! Places for connections: so many at a time. Who comes when all are taken gets that of the connection that
//! has been idle longest, so that clients which keep connections shut nobody out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
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
    /// So many may come from one address.
    address_max: usize,
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

/// The connections that have places, by number.
#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// How many there are of an address.
    of: BTreeMap<IpAddr, usize>,
    connections: BTreeMap<u64, (Arc<Gauge>, Arc<Notify>)>,
}

/// A place that a connection has.
#[derive(Debug)]
pub(super) struct TakenPlace {
    number: u64,
    /// Where its limit counts it.
    of: Option<IpAddr>,
    gauge: Arc<Gauge>,
    wanted: Arc<Notify>,
    places: Arc<ConnectionPlaces>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionPlaces {
    pub(super) fn new(max: usize, address_max: usize) -> ConnectionPlaces {
        let free = Arc::new(Semaphore::new(max));
        ConnectionPlaces { max, address_max, free, taken: Mutex::default() }
    }

    /// Takes a free place, if there is one.
    pub(super) fn try_take(self: &Arc<ConnectionPlaces>, of: Option<IpAddr>) -> Option<TakenPlace> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(self.give(permit, of))
    }

    /// Takes a place for a connection from this address, if need be that of another connection. `None` if the
    /// address has as many as it may.
    pub(super) async fn take(self: &Arc<ConnectionPlaces>, from: IpAddr) -> Option<TakenPlace> {
        let of = counted_as(from);
        if of.is_some_and(|of| self.taken().of.get(&of) >= Some(&self.address_max)) {
            return None;
        }
        if let Some(place) = self.try_take(of) {
            return Some(place);
        }
        loop {
            self.ask_for_one();
            let freed = Arc::clone(&self.free).acquire_owned();
            // The semaphore is never closed.
            if let Ok(Ok(permit)) = timeout(ASK_EVERY, freed).await {
                return Some(self.give(permit, of));
            }
        }
    }

    /// Waits until nobody has a place any more.
    pub(super) async fn all_free(&self) {
        let all = u32::try_from(self.max).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }

    fn give(
        self: &Arc<ConnectionPlaces>,
        permit: OwnedSemaphorePermit,
        of: Option<IpAddr>,
    ) -> TakenPlace {
        let (gauge, wanted) = (Arc::new(Gauge::new()), Arc::new(Notify::new()));
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        if let Some(of) = of {
            *taken.of.entry(of).or_default() += 1;
        }
        taken.connections.insert(number, (Arc::clone(&gauge), Arc::clone(&wanted)));
        TakenPlace { number, of, gauge, wanted, places: Arc::clone(self), _permit: permit }
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
        let mut taken = self.places.taken();
        taken.connections.remove(&self.number);
        if let Some(of) = self.of
            && let Some(count) = taken.of.get_mut(&of)
        {
            *count -= 1;
            if *count == 0 {
                taken.of.remove(&of);
            }
        }
    }
}

/// Returns what a connection from an address is counted as: of IPv6 whoever has one address has its network.
/// `None` for this machine.
fn counted_as(from: IpAddr) -> Option<IpAddr> {
    match from.to_canonical() {
        here if here.is_loopback() => None,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
        v4 => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_no_more_connections_than_it_may_and_this_machine_has() {
        let places = Arc::new(ConnectionPlaces::new(16, 2));
        let take = async |from: &str| places.take(from.parse().expect("an address")).await;
        let (first, second) = (take("192.0.2.7").await, take("::ffff:192.0.2.7").await);
        assert!(first.is_some() && second.is_some());
        assert!(take("192.0.2.7").await.is_none(), "it has two");
        let other = take("192.0.2.8").await.expect("another one");
        drop(first);
        assert!(take("192.0.2.7").await.is_some(), "one was given back");
        let (one, two) = (take("2001:db8::1").await, take("2001:db8::2").await);
        assert!(one.is_some() && two.is_some() && take("2001:db8::3").await.is_none());
        assert!(take("2001:db8:0:1::1").await.is_some(), "another network");
        let here: Vec<_> =
            [take("127.0.0.1").await, take("::1").await, take("127.0.0.1").await].into();
        assert!(here.iter().all(Option::is_some));
        drop((second, other, one, two, here));
        assert!(places.taken().of.is_empty(), "nothing is left");
    }
}
