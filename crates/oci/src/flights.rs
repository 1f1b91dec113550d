//! One piece of work for all who want the same at the same time.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

/// What is under way, by what it is for. Work that began is finished, even when nobody waits any more.
#[derive(Debug)]
pub struct Flights<K, T> {
    limit: usize,
    under_way: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
}

/// Why there is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFlight {
    /// As much is under way as may be.
    Full,
    /// The work ended without an outcome: the runtime is being shut down.
    Lost,
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub fn new(limit: usize) -> Self {
        Self { limit, under_way: Arc::default() }
    }

    /// The outcome of the work for `key`: of that which is under way, or else of `work`.
    pub async fn join<W>(&self, key: K, work: impl FnOnce() -> W) -> Result<T, NoFlight>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let mut outcome = self.board(key, work)?;
        let landed = outcome.wait_for(Option::is_some).await.map_err(|_| NoFlight::Lost)?;
        landed.clone().ok_or(NoFlight::Lost)
    }

    fn board<W>(&self, key: K, work: impl FnOnce() -> W) -> Result<watch::Receiver<Option<T>>, NoFlight>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let mut under_way = self.under_way.lock();
        if let Some(outcome) = under_way.get(&key) {
            return Ok(outcome.clone());
        }
        if under_way.len() >= self.limit {
            return Err(NoFlight::Full);
        }
        let (tell, outcome) = watch::channel(None);
        under_way.insert(key.clone(), outcome.clone());
        let landing = Landing { key, under_way: Arc::clone(&self.under_way) };
        let work = work();
        tokio::spawn(async move {
            let result = work.await;
            // Who comes now begins anew; who waited is told.
            drop(landing);
            tell.send_replace(Some(result));
        });
        Ok(outcome)
    }
}

/// Takes work off the list when it ends, in whatever way.
struct Landing<K: Eq + Hash, T> {
    key: K,
    under_way: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn work_goes_on_without_those_who_wanted_it_and_is_counted_until_it_ends() {
        let flights = Arc::new(Flights::<u32, u32>::new(1));
        let (go, wait) = tokio::sync::oneshot::channel::<u32>();
        let first = tokio::spawn({
            let flights = Arc::clone(&flights);
            async move { flights.join(1, || async { wait.await.unwrap_or(0) }).await }
        });
        while flights.under_way.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        first.abort();
        assert!(first.await.is_err());
        assert_eq!(flights.join(2, || async { 2 }).await, Err(NoFlight::Full));
        let second = flights.join(1, || async { 0 });
        go.send(7).unwrap();
        assert_eq!(second.await, Ok(7), "the first one's work");
        assert_eq!(flights.join(2, || async { 2 }).await, Ok(2));
    }

    #[tokio::test]
    async fn work_that_panics_is_forgotten() {
        let flights = Flights::<u32, u32>::new(1);
        let tries = AtomicU32::new(0);
        let lost = flights.join(1, || async { panic!("this panic is part of the test") }).await;
        assert_eq!(lost, Err(NoFlight::Lost));
        let again = flights.join(1, || {
            tries.fetch_add(1, Ordering::Relaxed);
            async { 3 }
        });
        assert_eq!(again.await, Ok(3));
        assert_eq!(tries.load(Ordering::Relaxed), 1);
    }
}
