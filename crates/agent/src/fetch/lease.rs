//! Leases of containerd: what one of them names, garbage collection leaves alone.

use std::time::{Duration, SystemTime};

use containerd_client::{
    services::v1::{
        AddResourceRequest, CreateRequest, DeleteRequest, Lease, ListRequest, Resource, leases_client::LeasesClient,
    },
    tonic::transport::Channel,
};
use gantry_types::Digest;
use prost_types::Timestamp;

use super::{
    error::FetchError,
    order::Key,
    store::{Labels, Store, call, there},
};

const EXPIRE: &str = "containerd.io/gc.expire";
/// On leases of fetches that are under way, with which run of the agent has them.
const WORKING: &str = "gantry.fetching";
/// On leases of what is kept, with what that is.
const KEPT: &str = "gantry.kept";

/// A thing that a lease can hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    /// With all that its labels refer to.
    Content(Digest),
    /// With all below it.
    Snapshot(Digest),
}

impl Store {
    fn leases(&self) -> LeasesClient<Channel> {
        LeasesClient::new(self.channel.clone())
    }

    /// The lease of a fetch: from here on it holds what is written. It ends by itself where nobody ends it.
    pub(super) async fn hold(&mut self, run: &str, name: &str, at_most: Duration) -> Result<(), FetchError> {
        let labels = Labels::from([(EXPIRE.to_owned(), after(at_most)), (WORKING.to_owned(), run.to_owned())]);
        self.create(name, labels).await?;
        self.lease = Some(name.to_owned());
        Ok(())
    }

    async fn create(&self, id: &str, labels: Labels) -> Result<(), FetchError> {
        let wanted = CreateRequest { id: id.to_owned(), labels };
        call("a lease cannot be made", self.leases().create(self.request(wanted))).await.map(drop)
    }

    pub(super) async fn add(&self, lease: &str, held: Held) -> Result<(), FetchError> {
        let (id, r#type) = match held {
            Held::Content(digest) => (digest.to_string(), "content".to_owned()),
            Held::Snapshot(chain) => (chain.to_string(), format!("snapshots/{}", self.snapshotter)),
        };
        let wanted = AddResourceRequest { id: lease.to_owned(), resource: Some(Resource { id, r#type }) };
        call("a lease cannot be added to", self.leases().add_resource(self.request(wanted))).await.map(drop)
    }

    /// The lease of this fetch has done its work. What only it held is garbage then, and is collected right away where `sync`
    /// is set.
    pub(super) async fn release(&mut self, sync: bool) -> Result<(), FetchError> {
        let Some(lease) = self.lease.take() else { return Ok(()) };
        self.delete(&lease, sync).await
    }

    async fn delete(&self, lease: &str, sync: bool) -> Result<(), FetchError> {
        let wanted = DeleteRequest { id: lease.to_owned(), sync };
        there(call("a lease cannot be ended", self.leases().delete(self.request(wanted))).await).map(drop)
    }

    async fn labelled(&self, filter: String) -> Result<Vec<Lease>, FetchError> {
        let wanted = ListRequest { filters: vec![filter] };
        let listed = call("leases cannot be listed", self.leases().list(self.request(wanted))).await?;
        Ok(listed.leases)
    }

    /// Holds things for so long, in place of what held the same for less.
    pub(super) async fn keep(&self, name: &str, key: Key, held: &[Held], keep: Duration) -> Result<(), FetchError> {
        let (expire, kept) = (after(keep), key.0.to_string());
        let before = self.labelled(format!("labels.{KEPT:?}=={kept:?}")).await?;
        if before.iter().any(|lease| lease.labels.get(EXPIRE).is_some_and(|known| *known >= expire)) {
            return Ok(());
        }
        self.create(name, Labels::from([(EXPIRE.to_owned(), expire), (KEPT.to_owned(), kept)])).await?;
        for held in held {
            self.add(name, *held).await?;
        }
        for lease in before {
            self.delete(&lease.id, false).await?;
        }
        Ok(())
    }

    /// Ends what an earlier run of the agent left under way.
    pub(super) async fn sweep(&self, run: &str) -> Result<(), FetchError> {
        for lease in self.labelled(format!("labels.{WORKING:?}")).await? {
            if lease.labels.get(WORKING).is_some_and(|of| of != run) {
                tracing::info!(lease = lease.id, "an earlier fetch was left unfinished: what it held is given up");
                self.delete(&lease.id, false).await?;
            }
        }
        Ok(())
    }
}

/// So long from now, as containerd reads times, and in an order that is that of time.
fn after(time: Duration) -> String {
    let mut moment = Timestamp::from(SystemTime::now() + time);
    moment.nanos = 0;
    moment.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_so_that_later_ones_sort_later() {
        let (soon, late) = (after(Duration::from_secs(1)), after(Duration::from_secs(400 * 24 * 3_600)));
        assert!(soon < late && soon.len() == late.len(), "{soon} {late}");
        assert!(soon.ends_with('Z') && soon.as_bytes()[10] == b'T', "{soon}");
    }
}
