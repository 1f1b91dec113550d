//! How many requests go to one host at a time, and when it wants none.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

/// Hosts remembered; over it those that nobody is at, and that want no pause, are forgotten.
const HOSTS: usize = 1_024;

#[derive(Debug)]
pub(super) struct Gates {
    /// Requests to one host at a time.
    width: usize,
    hosts: Mutex<HashMap<String, Arc<Gate>>>,
}

#[derive(Debug)]
pub(super) struct Gate {
    semaphore: Arc<Semaphore>,
    /// Until when the host wants to be left alone.
    paused: Mutex<Option<Instant>>,
}

/// One request may go; dropped with its answer.
#[derive(Debug)]
pub(super) struct Pass {
    _permit: Option<OwnedSemaphorePermit>,
    /// Keeps the gate from being forgotten.
    _gate: Arc<Gate>,
}

impl Gates {
    pub(super) fn new(width: usize) -> Self {
        Self { width: width.min(Semaphore::MAX_PERMITS), hosts: Mutex::default() }
    }

    /// Waits for a place at a host; the pause that it wants, where that lasts beyond `patience`.
    pub(super) async fn enter(&self, host: &str, patience: Instant) -> Result<Pass, Duration> {
        let gate = self.of(host);
        loop {
            let permit = Arc::clone(&gate.semaphore).acquire_owned().await.ok();
            let paused = *gate.paused.lock();
            match paused.filter(|until| *until > Instant::now()) {
                None => return Ok(Pass { _permit: permit, _gate: gate }),
                Some(until) if until > patience => return Err(until - Instant::now()),
                Some(until) => {
                    drop(permit);
                    sleep_until(until).await;
                }
            }
        }
    }

    /// Nobody goes to this host until then.
    pub(super) fn pause(&self, host: &str, until: Instant) {
        let gate = self.of(host);
        let mut paused = gate.paused.lock();
        *paused = Some(paused.map_or(until, |known| known.max(until)));
    }

    fn of(&self, host: &str) -> Arc<Gate> {
        let mut hosts = self.hosts.lock();
        if let Some(gate) = hosts.get(host) {
            return Arc::clone(gate);
        }
        if hosts.len() >= HOSTS {
            let now = Instant::now();
            hosts.retain(|_, gate| Arc::strong_count(gate) > 1 || gate.paused.lock().is_some_and(|until| until > now));
        }
        let gate = Arc::new(Gate { semaphore: Arc::new(Semaphore::new(self.width)), paused: Mutex::default() });
        hosts.insert(host.to_owned(), Arc::clone(&gate));
        gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_is_left_alone_as_long_as_it_wants_and_one_that_wants_too_much_is_given_up() {
        let gates = Gates::new(2);
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        gates.pause("a", later(5));
        assert_eq!(gates.enter("a", later(4)).await.err(), Some(Duration::from_secs(5)));
        assert!(gates.enter("b", now).await.is_ok(), "another host");
        assert_eq!(Instant::now(), now);
        assert!(gates.enter("a", later(6)).await.is_ok());
        assert_eq!(Instant::now(), later(5));
    }

    #[tokio::test(start_paused = true)]
    async fn more_requests_than_a_host_gets_at_a_time_wait() {
        let gates = Gates::new(2);
        let now = Instant::now();
        let first = gates.enter("a", now).await;
        let _second = gates.enter("a", now).await;
        let third = tokio::time::timeout(Duration::from_secs(9), gates.enter("a", now));
        assert!(third.await.is_err(), "three at a time");
        drop(first);
        assert!(gates.enter("a", now).await.is_ok());
    }

    #[tokio::test]
    async fn hosts_that_nobody_is_at_are_forgotten() {
        let gates = Gates::new(1);
        let held = gates.enter("held", Instant::now()).await;
        gates.pause("paused", Instant::now() + Duration::from_secs(3_600));
        for host in 0..3 * HOSTS {
            drop(gates.enter(&host.to_string(), Instant::now()).await);
        }
        let hosts = gates.hosts.lock();
        assert!(hosts.len() <= HOSTS && hosts.contains_key("paused"), "{} hosts", hosts.len());
        drop((held, hosts));
    }
}
