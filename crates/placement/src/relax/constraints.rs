//! Fewer wishes of where a machine goes.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Display};

use gantry_types::{Affinity, Constraints, Label, Scope};

use super::{CHANGES, Near, Relaxation, Tiers};
use crate::Quantity;

/// Regions told in one change, those with the most hosts.
const REGIONS_TOLD: usize = 8;

pub(super) const HOST: Relaxation = Relaxation {
    constraint: "host",
    field: "constraints.host",
    show: |request| listed([&request.constraints.host].into_iter().filter(|host| !host.is_empty())),
    less: |near| near.with_value(Some(String::new()), |request, any| request.constraints.host = any),
};
pub(super) const REGIONS: Relaxation = Relaxation {
    constraint: "region",
    field: "constraints.regions",
    show: |request| listed(&request.constraints.regions),
    less: other_regions,
};
pub(super) const REQUIRE_LABELS: Relaxation = Relaxation {
    constraint: "require_labels",
    field: "constraints.require_labels",
    show: |request| listed(request.constraints.require_labels.iter().map(label)),
    less: |near| fewer(near, |constraints| &mut constraints.require_labels, |_| true),
};
pub(super) const AVOID_LABELS: Relaxation = Relaxation {
    constraint: "avoid_labels",
    field: "constraints.avoid_labels",
    show: |request| listed(request.constraints.avoid_labels.iter().map(label)),
    less: |near| fewer(near, |constraints| &mut constraints.avoid_labels, |_| true),
};
pub(super) const MAX_PER_ZONE: Relaxation = Relaxation {
    constraint: "max_per_zone",
    field: "constraints.max_per_zone",
    show: |request| request.constraints.max_per_zone.to_string(),
    less: |near| near.with_value(one_more(near), |request, most| request.constraints.max_per_zone = most),
};
pub(super) const MAX_PER_HOST: Relaxation = Relaxation {
    constraint: "max_per_host",
    field: "constraints.max_per_host",
    show: |request| request.constraints.max_per_host.to_string(),
    less: |near| near.with_value(one_more(near), |request, most| request.constraints.max_per_host = most),
};
pub(super) const AFFINITY: Relaxation = Relaxation {
    constraint: "affinity",
    field: "constraints.affinity",
    show: |request| listed(request.constraints.affinity.iter().map(affinity)),
    less: |near| fewer(near, |constraints| &mut constraints.affinity, |one| one.scope() == Scope::Host),
};
pub(super) const ZONE_AFFINITY: Relaxation = Relaxation {
    constraint: "zone_affinity",
    less: |near| fewer(near, |constraints| &mut constraints.affinity, |one| one.scope() == Scope::Zone),
    ..AFFINITY
};
pub(super) const ANTI_AFFINITY: Relaxation = Relaxation {
    constraint: "anti_affinity",
    field: "constraints.anti_affinity",
    show: |request| listed(request.constraints.anti_affinity.iter().map(affinity)),
    less: |near| fewer(near, |constraints| &mut constraints.anti_affinity, |one| one.scope() == Scope::Host),
};
pub(super) const ZONE_ANTI_AFFINITY: Relaxation = Relaxation {
    constraint: "zone_anti_affinity",
    less: |near| fewer(near, |constraints| &mut constraints.anti_affinity, |one| one.scope() == Scope::Zone),
    ..ANTI_AFFINITY
};

fn other_regions(near: &Near<'_>) -> Tiers {
    let mut hosts: BTreeMap<&str, usize> = BTreeMap::new();
    for host in near.hosts() {
        *hosts.entry(&host.spec.region).or_default() += 1;
    }
    let mut regions: Vec<(&str, usize)> = hosts.into_iter().collect();
    regions.sort_by_key(|&(_, hosts)| Reverse(hosts));
    let regions = regions.into_iter().take(REGIONS_TOLD).map(|(region, _)| region.to_owned()).collect();
    near.with_value(Some(regions), |request, regions| request.constraints.regions = regions)
}

/// Without one of the items that may go, and only then without all of them.
fn fewer<T: Clone>(near: &Near<'_>, list: fn(&mut Constraints) -> &mut Vec<T>, may_go: fn(&T) -> bool) -> Tiers {
    let items = list(&mut near.request.constraints.clone()).clone();
    let going = (0..items.len()).filter(|&at| may_go(&items[at])).take(CHANGES);
    let without_one = |at| near.with(|request| drop(list(&mut request.constraints).remove(at)));
    let without_all = near.with(|request| list(&mut request.constraints).retain(|item| !may_go(item)));
    vec![going.map(without_one).collect(), vec![without_all]]
}

/// One machine above the fewest that there are.
fn one_more(near: &Near<'_>) -> Option<u32> {
    let fewest = near.have(|have| if let Quantity::Machines(machines) = have { Some(*machines) } else { None }).min();
    fewest.map(|fewest| fewest.saturating_add(1))
}

fn label(label: &Label) -> String {
    format!("{}={}", label.key, label.value)
}

fn affinity(affinity: &Affinity) -> String {
    let place = match affinity.scope() {
        Scope::Host => "on the host",
        Scope::Zone => "in the zone",
    };
    format!("{} {place}", affinity.party())
}

fn listed<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
