//! Devices from readings of known machines.

use std::collections::BTreeMap;

use gantry_types::{Device, HostSpec};

use super::*;

fn gpu(index: u32, name: &str, links: &[&str]) -> GpuReading {
    GpuReading {
        index,
        name: name.to_owned(),
        uuid: format!("GPU-{index}"),
        bus_id: format!("00000000:{:02X}:00.0", 0x19 + index),
        memory_bytes: 80 << 30,
        links: links.iter().map(|end| LinkEnd::At((*end).to_owned())).collect(),
        ..GpuReading::default()
    }
}

fn found(gpus: Vec<GpuReading>) -> Vec<Found> {
    let found = devices(&Reading { driver: "550.90".to_owned(), gpus }, &BTreeMap::new());
    accepted(&found);
    found
}

/// The cluster takes every list of devices that is made here.
fn accepted(found: &[Found]) {
    let devices: Vec<Device> = found.iter().map(Device::from).collect();
    let spec = HostSpec { name: "h".into(), region: "r".into(), zone: "z".into(), devices, ..HostSpec::default() };
    spec.validate().unwrap();
}

fn groups(gpus: Vec<GpuReading>) -> Vec<u32> {
    found(gpus).iter().map(|device| device.nvlink_group).collect()
}

#[test]
fn gpus_behind_switches_are_one_group() {
    let switches = ["00000000:05:00.0", "00000000:06:00.0"];
    let hgx = (0..8).map(|index| gpu(index, "NVIDIA H100 80GB HBM3", &switches)).collect();
    assert_eq!(groups(hgx), [1; 8]);
}

#[test]
fn pairs_with_bridges_are_groups_of_two() {
    // Bus ids are written in either case.
    let gpus = vec![
        gpu(0, "NVIDIA A100 80GB PCIe", &["00000000:1b:00.0"]),
        gpu(1, "NVIDIA A100 80GB PCIe", &["00000000:1c:00.0"]),
        gpu(2, "NVIDIA A100 80GB PCIe", &["00000000:19:00.0"]),
        gpu(3, "NVIDIA A100 80GB PCIe", &["00000000:1A:00.0"]),
        gpu(4, "NVIDIA A100 80GB PCIe", &[]),
    ];
    assert_eq!(groups(gpus), [1, 2, 1, 2, 0]);
}

#[test]
fn a_chain_of_links_is_one_group_in_any_order_of_gpus() {
    // Each is linked with the next one only.
    let mut gpus: Vec<GpuReading> = (0..4)
        .map(|index| gpu(index, "Tesla V100-SXM2-16GB", &[&format!("00000000:{:02x}:00.0", 0x1a + index)]))
        .collect();
    gpus[3].links.clear();
    assert_eq!(groups(gpus.clone()), [1; 4]);
    gpus.reverse();
    assert_eq!(groups(gpus), [1; 4]);
}

#[test]
fn a_gpu_whose_links_reach_no_other_gpu_is_in_no_group() {
    let mut alone = gpu(0, "NVIDIA H100 80GB HBM3", &["00000000:05:00.0"]);
    assert_eq!(groups(vec![alone.clone()]), [0]);
    alone.links = vec![LinkEnd::Hidden];
    assert_eq!(groups(vec![alone.clone()]), [0]);
    let second = GpuReading { links: vec![LinkEnd::Hidden], ..gpu(1, "NVIDIA H100 80GB HBM3", &[]) };
    assert_eq!(groups(vec![alone, second]), [1, 1]);
}

#[test]
fn a_gpu_in_mig_mode_is_offered_as_its_slices() {
    let mut cut = gpu(1, "NVIDIA H100 80GB HBM3", &["00000000:05:00.0"]);
    cut.mig_enabled = true;
    let slice = |index, profile: &str, gib: u64| SliceReading {
        index,
        name: format!("NVIDIA H100 80GB HBM3 MIG {profile}"),
        uuid: format!("MIG-{index}"),
        memory_bytes: gib << 30,
    };
    cut.slices = vec![slice(0, "3g.40gb", 40), slice(2, "1g.10gb+me", 10)];
    let whole = gpu(0, "NVIDIA H100 80GB HBM3", &["00000000:05:00.0"]);
    let seen: Vec<_> = found(vec![whole, cut.clone()])
        .into_iter()
        .map(|device| (device.index, device.kind, device.parent, device.nvlink_group))
        .collect();
    let expected = [
        (0, "H100".to_owned(), None, 1),
        (2_000, "H100.3g.40gb".to_owned(), Some(1), 0),
        (2_002, "H100.1g.10gb+me".to_owned(), Some(1), 0),
    ];
    assert_eq!(seen, expected);
    cut.slices.clear();
    assert_eq!(found(vec![cut]), [], "nobody can use a GPU that is to be cut");
}

#[test]
fn the_config_names_kinds_of_products() {
    let reading = Reading { driver: String::new(), gpus: vec![gpu(0, "NVIDIA A100-SXM4-40GB", &[])] };
    let kinds = BTreeMap::from([("NVIDIA A100-SXM4-40GB".to_owned(), "A100-40GB".to_owned())]);
    assert_eq!(devices(&reading, &kinds)[0].kind, "A100-40GB");
}
