//! What the oracle makes of pulls: how far they are, how fast hosts are, and which layers are the same.

use std::collections::BTreeSet;

use gantry_types::{HostRates, PullObservation};

use crate::oracle::{Oracle, OracleHost};

/// A digest, and what is there of the layer and since when that is known.
pub type Pulled = (Vec<u8>, Option<(u64, u64)>);

impl Oracle {
    /// The layers that are known to contain what a layer contains, itself among them; none where no other does.
    pub fn twins(&self, digest: &[u8]) -> BTreeSet<Vec<u8>> {
        let Some(diff_id) = self.diff_id(digest) else { return BTreeSet::new() };
        let same: BTreeSet<Vec<u8>> =
            self.layer_sizes.keys().filter(|other| self.diff_id(other).as_ref() == Some(&diff_id)).cloned().collect();
        if same.len() > 1 { same } else { BTreeSet::new() }
    }

    /// Nothing where sources differ.
    fn diff_id(&self, digest: &[u8]) -> Option<Vec<u8>> {
        let listed = self.images.values().flat_map(|image| &image.layers);
        let listed = listed.filter(|l| l.digest == digest && !l.diff_id.is_empty()).map(|l| l.diff_id.clone());
        let said: BTreeSet<Vec<u8>> = listed.chain(self.diff_ids.get(digest).cloned()).collect();
        if said.len() == 1 { said.into_iter().next() } else { None }
    }
}

impl OracleHost {
    pub fn pulled(&self) -> Vec<Pulled> {
        let pulling = self.layers.iter().filter(|(_, state)| **state == 0);
        pulling.map(|(digest, _)| (digest.clone(), self.progress.get(digest).copied())).collect()
    }

    /// From all observations anew.
    pub fn rates(&self) -> HostRates {
        let published = HostRates::PUBLISHED;
        let mut stream = Mean(i128::from(published.stream_bytes_per_s), 2);
        let mut link = Mean(i128::from(published.link_bytes_per_s), 2);
        let mut unpack = Mean(i128::from(published.unpack_bytes_per_s), 2);
        for seen in &self.observed {
            let PullObservation { fetched_bytes, fetch_ms, streams, unpacked_bytes, unpack_ms } = *seen;
            if let Some(all) = per_second(fetched_bytes, fetch_ms) {
                let streams = i128::from(streams.max(1));
                let (one_before, all_before) = (stream.0, link.0.max(stream.0));
                let one = (all / streams).max(1);
                if streams < 4 || one > one_before {
                    stream.add(one_before, one);
                }
                if streams >= 4 || all > all_before {
                    link.add(all_before, all);
                }
            }
            if let Some(rate) = per_second(unpacked_bytes, unpack_ms) {
                unpack.add(unpack.0, rate);
            }
        }
        let whole = |rate: i128| u64::try_from(rate).unwrap();
        HostRates {
            stream_bytes_per_s: whole(stream.0),
            link_bytes_per_s: whole(link.0.max(stream.0)),
            unpack_bytes_per_s: whole(unpack.0),
        }
    }
}

/// A rate, and the part of it that the next observation is.
struct Mean(i128, i128);

impl Mean {
    fn add(&mut self, before: i128, seen: i128) {
        let seen = seen.min(before * 4).max(before / 4).max(1);
        *self = Self(before + (seen - before) / self.1, (self.1 + 1).min(8));
    }
}

fn per_second(bytes: u64, ms: u64) -> Option<i128> {
    (bytes >= 1 << 20 && ms >= 20).then(|| (i128::from(bytes) * 1_000 / i128::from(ms)).max(1))
}
