//! How much of an image lies on which hosts.

use gantry_fleet::{Fleet, ImageEntry};

/// Fills in the bytes of an image that each host has, by host number. Walks the layers' hosts instead of the hosts'
/// layers: only hosts that have something are visited.
pub fn bytes_by_host(fleet: &Fleet, image: Option<&ImageEntry>, bytes: &mut Vec<u64>) {
    bytes.clear();
    bytes.resize(fleet.host_numbers_end() as usize, 0);
    for layer in image.into_iter().flat_map(|image| image.layers.iter()) {
        fleet.hosts_with(layer.layer).for_each(|host| bytes[host as usize] += layer.size_bytes);
    }
}
