//! A state that somebody reads for long.

use std::{sync::mpsc, time::Duration};

use crate::node::{PATIENCE, cluster, propose};

const READERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(50);

/// Whoever plans over a large fleet holds the state for long. Apply waits for it, and so do all who want to read after that: but
/// the threads of the runtime, which heartbeats need too, must come back in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_held_for_long_stops_nobody_else() {
    let (_dir, nodes) = cluster(&[1]).await;
    let state = nodes[0].consensus.state();
    let ((holds, is_held), (goes_on, did_go_on)) = (mpsc::channel(), mpsc::channel());
    let holding = std::thread::spawn({
        let state = state.clone();
        move || {
            let held = state.read();
            holds.send(()).unwrap();
            let went_on = did_go_on.recv_timeout(PATIENCE / 3).is_ok();
            drop(held);
            went_on
        }
    });
    is_held.recv().unwrap();
    let others = tokio::spawn(async move {
        // Apply asks for the state before the readers do: they queue behind it.
        tokio::time::sleep(PAUSE).await;
        let readers = (0..READERS).map(|_| {
            let state = state.clone();
            tokio::spawn(async move { state.read().rev() })
        });
        let readers: Vec<_> = readers.collect();
        tokio::time::sleep(PAUSE).await;
        for reader in readers {
            reader.await.unwrap();
        }
        // Gone where the one who holds the state has given up.
        let _ = goes_on.send(());
    });
    let applied = propose(&nodes[0], 1).await.unwrap();
    others.await.unwrap();
    let went_on = tokio::task::spawn_blocking(|| holding.join().unwrap()).await.unwrap();
    assert!(went_on, "all threads of the runtime waited for one reader");
    assert!(applied.outcomes[0].is_ok());
}
