//! What a list of regions may name.

use std::{collections::BTreeMap, ops::Bound};

use gantry_fleet::{Fleet, Scheduling};
use gantry_proto::v1;

/// One page of regions and aliases, by name. Looks at every host.
pub(super) fn page(fleet: &Fleet, rev: u64, page: usize, after_name: &str) -> v1::ListRegionsResponse {
    let mut regions = regions(fleet);
    let of_alias = |stands_for: &[String]| {
        let hosts = stands_for.iter().filter_map(|region| regions.get(region.as_str()));
        hosts.fold(v1::Region::default(), |sum, region| v1::Region {
            hosts: sum.hosts + region.hosts,
            open_hosts: sum.open_hosts + region.open_hosts,
            ..sum
        })
    };
    let aliases: Vec<(&str, v1::Region)> = fleet
        .region_aliases()
        .map(|alias| {
            let (name, stands_for) = (alias.name.clone(), alias.regions.clone());
            (alias.name.as_str(), v1::Region { name, stands_for, ..of_alias(&alias.regions) })
        })
        .collect();
    // Hosts may have come to a region of the name later: then they count too.
    for (name, alias) in aliases {
        let region = regions.entry(name).or_default();
        let (hosts, open_hosts) = (region.hosts + alias.hosts, region.open_hosts + alias.open_hosts);
        *region = v1::Region { hosts, open_hosts, ..alias };
    }
    let mut listed = regions.range::<str, _>((Bound::Excluded(after_name), Bound::Unbounded)).map(|(_, region)| region);
    let shown: Vec<v1::Region> = listed.by_ref().take(page).cloned().collect();
    let last = listed.next().and(shown.last());
    let next_after_name = last.map_or_else(String::new, |last| last.name.clone());
    v1::ListRegionsResponse { rev, regions: shown, next_after_name }
}

/// The regions that hosts are in, by name.
fn regions(fleet: &Fleet) -> BTreeMap<&str, v1::Region> {
    let mut regions: BTreeMap<&str, v1::Region> = BTreeMap::new();
    for host in fleet.hosts() {
        let region = regions.entry(&host.spec.region).or_default();
        if region.name.is_empty() {
            region.name.clone_from(&host.spec.region);
        }
        region.hosts += 1;
        region.open_hosts += u32::from(host.scheduling == Scheduling::Open && !host.unreachable);
    }
    regions
}
