use std::sync::Arc;

use gantry_types::{AppPolicy, HostOverrides, HostSpec, Image, Layer, PlaceRequest, Plan, RegionAlias, Shape};

use super::*;
use crate::{Grant, HostRow};

/// Two machines of one app on one host, a removed host, and an image.
fn fleet() -> Fleet {
    let mut fleet = Fleet::default();
    for name in ["gone", "h"] {
        let spec = HostSpec {
            name: name.into(),
            region: "region".into(),
            zone: "zone".into(),
            cpu_shared_milli: 1_000,
            ..HostSpec::default()
        };
        fleet.register_host(spec).unwrap();
    }
    fleet.remove_host(1).unwrap();
    let layer = |n: u8| Layer { digest: vec![n; 32], size_bytes: 10, diff_id: Vec::new() };
    let image = Image {
        reference: "image".into(),
        digest: vec![9; 32],
        platform: String::new(),
        layers: vec![layer(1), layer(2), layer(1)],
    };
    fleet.record_image(image).unwrap();
    let request = PlaceRequest {
        request_id: "r".into(),
        app: "app".into(),
        shape: Shape { cpu_milli: 1, ..Shape::default() },
        ..PlaceRequest::default()
    };
    let plan = Plan { host: 2, ..Plan::default() };
    fleet.grant(Grant { request: &request, plan: &plan });
    fleet.grant(Grant { request: &request, plan: &plan });
    fleet
}

fn reservation(fleet: &mut Fleet, id: u64) -> &mut gantry_types::Reservation {
    Arc::make_mut(fleet.reservations.get_mut(&id).unwrap())
}

#[test]
fn each_invariant_notices_what_it_is_for() {
    type Spoil = fn(&mut Fleet);
    let cases: &[(&str, Spoil)] = &[
        ("S10", |fleet| reservation(fleet, 1).fence = 2),
        ("S10", |fleet| reservation(fleet, 2).fence = 3),
        ("machines of an app", |fleet| {
            fleet.apps.added("app");
        }),
        ("machines of an app", |fleet| {
            fleet.apps.added("another");
        }),
        ("a host is there or removed", |fleet| {
            let row = HostRow { host: 2, removed_at: Some(1), ..HostRow::default() };
            fleet.removed_hosts.insert(2, row);
        }),
        ("a host is there or removed", |fleet| fleet.removed_hosts.get_mut(&1).unwrap().removed_at = None),
        ("what counts of a host", |fleet| {
            let overrides = HostOverrides { cpu_overcommit_percent: Some(300), ..HostOverrides::default() };
            fleet.host_mut(2).overrides = Some(Box::new(overrides));
        }),
        ("what counts of a host", |fleet| fleet.host_mut(2).offer = Arc::new(HostSpec::default())),
        ("an image's layers", |fleet| {
            let entry = fleet.images.get_mut("image").unwrap();
            Arc::make_mut(&mut entry.layers)[0].size_bytes = 11;
        }),
        ("an image's layers", |fleet| fleet.images.get_mut("image").unwrap().size_bytes = 30),
        ("an image's layers", |fleet| {
            let entry = fleet.images.get_mut("image").unwrap();
            Arc::make_mut(&mut entry.chain).reverse();
        }),
        ("what a host fetches", |fleet| {
            fleet.host_mut(2).pulls = vec![crate::Pull { layer: 0, progress: None }];
        }),
        ("layers of one content", |fleet| {
            // Of a manifest that is not there.
            let layers = vec![Layer { digest: vec![1; 32], size_bytes: 10, diff_id: vec![6; 32] }];
            fleet.diff_ids_listed(&Image { layers, ..Image::default() });
        }),
        ("an alias stands for regions", |fleet| {
            let alias = |name: &str, region: &str| RegionAlias { name: name.into(), regions: vec![region.into()] };
            for (name, region) in [("a", "b"), ("b", "c")] {
                fleet.region_aliases.insert(name.into(), Arc::new(alias(name, region)));
            }
        }),
        ("a policy is not the default", |fleet| {
            let policy = AppPolicy { app: "app".into(), ..AppPolicy::default() };
            fleet.policies.insert("app".into(), Arc::new(policy));
        }),
    ];
    assert_eq!(fleet().check(), Ok(()));
    for (at, (name, spoil)) in cases.iter().enumerate() {
        let mut fleet = fleet();
        spoil(&mut fleet);
        let broken = fleet.check();
        assert!(broken.as_ref().is_err_and(|what| what.starts_with(name)), "case {at}, {name}: {broken:?}");
    }
}
