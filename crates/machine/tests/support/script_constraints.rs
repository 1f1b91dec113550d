//! Random constraints of the scripts' requests.

use gantry_types::{Affinity, AppPolicy, Constraints, Label, Policy, RegionAlias};
use proptest::{collection::vec, option, prelude::*, sample::select};

pub fn label() -> impl Strategy<Value = Label> {
    prop_oneof![
        6 => (0..3u8, 0..2u8).prop_map(|(key, value)| Label { key: format!("k{key}"), value: format!("v{value}") }),
        1 => select(vec!["app-0", "app-1", "group-0"])
            .prop_map(|owner| Label { key: "dedicated".into(), value: owner.into() }),
    ]
}

/// Of apps and groups that the scripts have, so that most mean something.
fn affinity() -> impl Strategy<Value = Affinity> {
    let party = select(vec![("app-0", ""), ("app-1", ""), ("app-2", ""), ("", "group-0"), ("", "group-1")]);
    (party, 0..2i32).prop_map(|((app, group), scope)| Affinity { app: app.into(), group: group.into(), scope })
}

/// What counts machines of apps and groups, on hosts and in zones.
fn counted() -> impl Strategy<Value = Constraints> {
    let most = || prop_oneof![3 => Just(0u32), 1 => 1..4u32];
    let group = select(vec!["", "group-0", "group-1"]);
    (most(), most(), group, vec(affinity(), 0..2), vec(affinity(), 0..3), any::<bool>()).prop_map(
        |(max_per_host, max_per_zone, group, affinity, anti_affinity, unique_zone_app_wide)| Constraints {
            max_per_host,
            max_per_zone,
            group: group.into(),
            affinity,
            anti_affinity,
            unique_zone_app_wide,
            ..Constraints::default()
        },
    )
}

pub fn policy() -> impl Strategy<Value = AppPolicy> {
    let app = select(vec!["app-0", "app-0", "app-1", "app-2", ""]);
    let weight = || prop_oneof![8 => Just(None), 4 => (0..3u32).prop_map(Some), 1 => Just(Some(100_001))];
    (app, 0..4i32, weight(), weight()).prop_map(|(app, preset, ready_milli, spread_milli)| AppPolicy {
        app: app.to_owned(),
        policy: Policy { preset, ready_milli, spread_milli, ..Policy::DEFAULT },
    })
}

pub fn alias() -> impl Strategy<Value = RegionAlias> {
    let name =
        || prop_oneof![6 => Just("both"), 6 => Just("one"), 1 => select(vec!["region-0", "region-2", "any", ""])];
    let region = prop_oneof![20 => select(vec!["region-0", "region-1", "region-2"]), 1 => name()];
    (name(), vec(region.prop_map(str::to_owned), 0..3))
        .prop_map(|(name, regions)| RegionAlias { name: name.to_owned(), regions })
}

pub fn constraints(unique_zone: f64) -> impl Strategy<Value = Constraints> {
    let region = || select(vec!["region-0", "region-1", "region-2", "any", "both", "one"]).prop_map(str::to_owned);
    let some = (
        vec(region(), 0..2),
        vec(label(), 0..2),
        vec(label(), 0..2),
        option::weighted(0.3, (0..4u8).prop_map(|n| format!("host-{n}"))),
        proptest::bool::weighted(unique_zone),
    )
        .prop_map(|(regions, require_labels, avoid_labels, host, unique_zone)| Constraints {
            regions,
            require_labels,
            avoid_labels,
            host: host.unwrap_or_default(),
            volume: 0,
            unique_zone,
            ..Constraints::default()
        });
    let counted = counted().prop_map(move |counted| Constraints {
        unique_zone_app_wide: counted.unique_zone_app_wide && unique_zone > 0.1,
        ..counted
    });
    prop_oneof![6 => Just(Constraints::default()), 1 => some, 1 => counted]
}
