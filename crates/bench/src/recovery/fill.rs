//! A fleet with many machines.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use gantry_client::Client;
use gantry_proto::v1;
use gantry_types::limits;

/// Requests on their way.
const IN_FLIGHT: usize = 4;
/// Requests in one entry of the count.
const SAY_EVERY: u64 = 100;

/// Places so many machines of a quarter of a GPU, in the largest requests there are.
pub(super) async fn run(client: &Client, machines: u64, say: &dyn Fn(&str)) -> Result<()> {
    let most = u64::from(limits::MACHINES_PER_REQUEST);
    let requests = machines.div_ceil(most);
    let placed = AtomicU64::new(0);
    stream::iter(0..requests)
        .map(|number| {
            let count = most.min(machines - number * most) as u32;
            let request = v1::PlaceRequest {
                request_id: format!("fill-{number}"),
                app: format!("app-{}", number % 100),
                count,
                lease_ms: limits::LEASE_MS,
                ..super::callers::request(String::new())
            };
            let (client, placed) = (client.clone(), &placed);
            async move {
                let answer = client.place(request).await.with_context(|| format!("request {number}"))?;
                ensure!(answer.missing == 0, "the fleet has no room for {machines} machines");
                let all = placed.fetch_add(1, Relaxed) + 1;
                if all.is_multiple_of(SAY_EVERY) {
                    say(&format!("{} machines stand", crate::report::grouped(all * most)));
                }
                anyhow::Ok(())
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}
