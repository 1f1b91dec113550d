//! What a host must satisfy beyond having room.

use gantry_types as types;

use crate::{convert::label::labels, v1};

impl From<v1::Constraints> for types::Constraints {
    /// Takes the fields over; the request that holds the constraints validates them.
    fn from(constraints: v1::Constraints) -> Self {
        Self {
            regions: regions(constraints.regions),
            require_labels: labels(constraints.require_labels),
            avoid_labels: labels(constraints.avoid_labels),
            host: constraints.host,
            volume: constraints.volume_id,
            unique_zone: constraints.unique_zone,
            unique_zone_app_wide: constraints.unique_zone_app_wide,
            max_per_host: constraints.max_per_host,
            max_per_zone: constraints.max_per_zone,
            group: constraints.group,
            affinity: constraints.affinity.into_iter().map(Into::into).collect(),
            anti_affinity: constraints.anti_affinity.into_iter().map(Into::into).collect(),
            volume_name: constraints.volume_name,
        }
    }
}

impl From<v1::Affinity> for types::Affinity {
    fn from(affinity: v1::Affinity) -> Self {
        let scope = match v1::AffinityScope::try_from(affinity.scope) {
            Ok(v1::AffinityScope::Unspecified | v1::AffinityScope::Host) => types::Scope::Host as i32,
            Ok(v1::AffinityScope::Zone) => types::Scope::Zone as i32,
            // Unknown here and there: validation refuses it.
            Err(_) => affinity.scope,
        };
        Self { app: affinity.app, group: affinity.group, scope }
    }
}

impl From<types::Affinity> for v1::Affinity {
    fn from(affinity: types::Affinity) -> Self {
        let scope = match affinity.scope() {
            types::Scope::Host => v1::AffinityScope::Host,
            types::Scope::Zone => v1::AffinityScope::Zone,
        };
        Self { app: affinity.app, group: affinity.group, scope: scope as i32 }
    }
}

/// Takes lists in one string apart: `ams, any` is as good as two strings. An empty name between commas stays, and is
/// refused with the request.
fn regions(lists: Vec<String>) -> Vec<String> {
    if lists.iter().all(|list| !list.contains(',')) {
        return lists;
    }
    lists.iter().flat_map(|list| list.split(',')).map(|region| region.trim().to_owned()).collect()
}

impl From<types::Constraints> for v1::Constraints {
    fn from(constraints: types::Constraints) -> Self {
        Self {
            regions: constraints.regions,
            require_labels: labels(constraints.require_labels),
            avoid_labels: labels(constraints.avoid_labels),
            host: constraints.host,
            volume_id: constraints.volume,
            unique_zone: constraints.unique_zone,
            unique_zone_app_wide: constraints.unique_zone_app_wide,
            max_per_host: constraints.max_per_host,
            max_per_zone: constraints.max_per_zone,
            group: constraints.group,
            affinity: constraints.affinity.into_iter().map(Into::into).collect(),
            anti_affinity: constraints.anti_affinity.into_iter().map(Into::into).collect(),
            volume_name: constraints.volume_name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_regions_may_stand_in_one_string() {
        let regions = |lists: &[&str]| {
            let regions = lists.iter().map(|list| (*list).to_owned()).collect();
            types::Constraints::from(v1::Constraints { regions, ..v1::Constraints::default() }).regions
        };
        assert_eq!(regions(&["ams", "fra"]), ["ams", "fra"]);
        assert_eq!(regions(&["ams, fra,any"]), ["ams", "fra", "any"]);
        assert_eq!(regions(&["ams,,fra", "lhr"]), ["ams", "", "fra", "lhr"]);
        assert_eq!(regions(&[","]), ["", ""]);
    }
}
