//! What is said of an image.

use std::cmp::Reverse;

use gantry_fleet::{Fleet, ImageEntry};
use gantry_placement::{Ask, InFlight, Sight, present_bytes, rank};
use gantry_proto::{convert, v1};
use gantry_types::{HostId, LayerId, LayerState, PlaceRequest};
use hashbrown::HashMap;

pub(super) fn summary(fleet: &Fleet, entry: &ImageEntry) -> v1::ImageSummary {
    let mut layers_on: HashMap<HostId, usize> = HashMap::new();
    for layer in entry.layers.iter() {
        for host in fleet.hosts_with(layer.layer).iter() {
            *layers_on.entry(host).or_default() += 1;
        }
    }
    let complete = layers_on.values().filter(|&&layers| layers == entry.layers.len()).count();
    v1::ImageSummary {
        reference: entry.image.reference.clone(),
        digest: convert::image::text(&entry.image.digest),
        platform: entry.image.platform.clone(),
        layers: entry.image.layers.len() as u32,
        size_bytes: entry.size_bytes,
        hosts_complete: complete as u32,
        hosts_partial: (layers_on.len() - complete) as u32,
    }
}

/// Looks at every host: not for a thread that serves other calls.
pub(super) fn shown(fleet: &Fleet, rev: u64, reference: &str, top: usize) -> Option<v1::ShowImageResponse> {
    let entry = fleet.image(reference)?;
    let layers = entry.chain.iter().map(|numbered| {
        let digest = fleet.layer_digest(numbered.layer);
        let listed = entry.image.layers.iter().find(|layer| layer.digest == digest.0);
        v1::LayerShown { layer: listed.map(v1::Layer::from), ..holders(fleet, numbered.layer, top) }
    });
    let request = PlaceRequest { image: reference.to_owned(), count: 1, ..PlaceRequest::default() };
    let ask = Ask::machine(fleet, &request);
    let nothing = InFlight::default();
    let mut ranked = rank(fleet, &nothing, &mut Sight::of(fleet, &nothing), ask);
    ranked.sort_by_key(|ranked| (ranked.estimate.ready_us, ranked.host()));
    let ready = ranked.iter().take(top).filter_map(|ranked| {
        let host = fleet.host(ranked.host())?;
        Some(v1::ReadyHost {
            host: host.spec.name.clone(),
            region: host.spec.region.clone(),
            zone: host.spec.zone.clone(),
            present_bytes: present_bytes(Some(entry), host),
            ready_ms: ranked.estimate.ready_us.div_ceil(1_000),
        })
    });
    let (layers, ready) = (layers.collect(), ready.collect());
    Some(v1::ShowImageResponse { rev, image: Some(summary(fleet, entry)), layers, ready })
}

/// How many hosts have a layer in which state, and the names of some.
fn holders(fleet: &Fleet, layer: LayerId, top: usize) -> v1::LayerShown {
    let mut found: Vec<(LayerState, HostId)> = Vec::new();
    for host in fleet.hosts_with(layer).iter() {
        found.extend(fleet.host(host).and_then(|holder| holder.holds(layer)).map(|held| (held.state, host)));
    }
    let count = |state| found.iter().filter(|(has, _)| *has == state).count() as u32;
    let (unpacked, blob, pulling) = (count(LayerState::Unpacked), count(LayerState::Blob), count(LayerState::Pulling));
    found.sort_unstable_by_key(|&(state, host)| (Reverse(state), host));
    let names = found.iter().take(top).filter_map(|(_, host)| Some(fleet.host_spec(*host)?.name.clone()));
    v1::LayerShown { layer: None, unpacked, blob, pulling, hosts: names.collect() }
}
