//! Hashes of this node's state at revs that somebody asked for beforehand.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use gantry_store::Hashing;
use gantry_store::watch;
use gantry_types::Rev;
use parking_lot::Mutex;

/// Revs that may be asked for at a time, and results that are remembered.
const KEPT: usize = 8;
/// How long a rev may take to be applied and hashed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// Changes with every result.
    results: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Everything up to here is applied, or about to be.
    passed: Rev,
    wanted: BTreeSet<Rev>,
    done: VecDeque<(Rev, Result<u128, String>)>,
}

impl Checkpoints {
    pub(crate) fn new(applied: Rev) -> Self {
        let inner = Mutex::new(Inner { passed: applied, ..Inner::default() });
        Self { shared: Arc::new(Shared { inner, results: watch::Sender::new(0) }) }
    }

    /// Asks for the hash at `rev`. False where that is past, or where too much is asked for.
    pub(crate) fn want(&self, rev: Rev) -> bool {
        let mut inner = self.shared.inner.lock();
        if rev <= inner.passed || (inner.wanted.len() >= KEPT && !inner.wanted.contains(&rev)) {
            return false;
        }
        inner.wanted.insert(rev);
        true
    }

    /// Tells that `rev` is applied next, and says whether the state is to be hashed right after it.
    pub(crate) fn passes(&self, rev: Rev) -> bool {
        let mut inner = self.shared.inner.lock();
        inner.passed = inner.passed.max(rev);
        // Of what a snapshot skipped there is no state.
        inner.wanted.retain(|wanted| *wanted >= rev);
        inner.wanted.remove(&rev)
    }

    /// Notes the hash once it is computed.
    pub(crate) fn follow(&self, rev: Rev, hashing: impl Future<Output = Hashed> + Send + 'static) {
        let checkpoints = self.clone();
        tokio::spawn(async move {
            let result = hashing.await.and_then(|(found, hash)| {
                if found == rev { Ok(hash) } else { Err(format!("the rows are those of rev {found}")) }
            });
            let mut inner = checkpoints.shared.inner.lock();
            inner.done.push_back((rev, result));
            while inner.done.len() > KEPT {
                inner.done.pop_front();
            }
            drop(inner);
            checkpoints.shared.results.send_modify(|results| *results += 1);
        });
    }

    /// The hash at `rev`, where it is known.
    pub(crate) fn at(&self, rev: Rev) -> Option<Result<u128, String>> {
        let inner = self.shared.inner.lock();
        inner.done.iter().find(|(done, _)| *done == rev).map(|(_, result)| result.clone())
    }

    /// Waits for the hash at `rev`, which was asked for.
    pub(crate) async fn fetch(&self, rev: Rev) -> Result<u128, String> {
        let mut results = self.shared.results.subscribe();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(result) = self.at(rev) {
                    return result;
                }
                if results.changed().await.is_err() {
                    return Err("it is shutting down".to_owned());
                }
            }
        });
        found.await.unwrap_or_else(|_| Err(format!("rev {rev} was not hashed in {} s", PATIENCE.as_secs())))
    }
}

/// A position and its hash, or what went wrong.
pub(crate) type Hashed = Result<(Rev, u128), String>;

/// Waits for a hash that was begun.
pub(crate) async fn finished(begun: Result<Hashing, gantry_store::StoreError>) -> Hashed {
    match begun {
        Ok(hashing) => hashing.finish().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_asked_for_in_time_is_told() {
        let checkpoints = Checkpoints::new(5);
        assert!(!checkpoints.want(5), "rev 5 is past");
        assert!(checkpoints.want(7) && checkpoints.want(9));
        assert!(!checkpoints.passes(6) && checkpoints.passes(7) && !checkpoints.want(7));
        checkpoints.follow(7, async { Ok((7, 0xabc)) });
        assert_eq!(checkpoints.fetch(7).await, Ok(0xabc));
        assert!(!checkpoints.passes(20), "a snapshot skipped rev 9");
        checkpoints.follow(20, async { Ok((19, 1)) });
        assert!(checkpoints.fetch(20).await.unwrap_err().contains("rev 19"));
    }

    #[test]
    fn the_number_of_wishes_is_bounded() {
        let checkpoints = Checkpoints::new(0);
        assert_eq!((1..100).filter(|rev| checkpoints.want(*rev)).count(), KEPT);
    }
}
