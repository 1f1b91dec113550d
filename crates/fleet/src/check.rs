//! Every invariant of the state, recomputed from its rows. Run after every command in tests.

use std::collections::{BTreeMap, BTreeSet};

use gantry_types::{HostId, HostSpec, LayerId, WHOLE_GPU_MILLI};

use crate::{Fleet, Host, Usage, host::device_position, image::distinct_layers};

/// An invariant: its name, and a check that says what is wrong.
struct Invariant {
    name: &'static str,
    check: fn(&Fleet) -> Result<(), String>,
}

const INVARIANTS: &[Invariant] = &[
    Invariant { name: "usage is the sum of reservations, volumes and holds", check: usage_is_the_sum },
    Invariant { name: "S1: nothing is promised beyond capacity", check: nothing_beyond_capacity },
    Invariant { name: "host lists name what is on the host", check: host_lists_agree },
    Invariant { name: "leases are those of the reservations", check: leases_agree },
    Invariant { name: "the layer index agrees both ways", check: layer_index_agrees },
    Invariant { name: "volumes and their users agree", check: volume_users_agree },
    Invariant { name: "holds end when their volumes say", check: Fleet::check_holds },
    Invariant { name: "volumes are found by their names", check: Fleet::check_volume_names },
    Invariant { name: "every remembered request is found by its id", check: requests_are_found },
    Invariant { name: "numbers are below the next one", check: numbers_are_below_next },
    Invariant { name: "S10: a fence is of one grant and below the next", check: fences_are_unique },
    Invariant { name: "machines of an app are counted once each", check: apps_are_counted },
    Invariant { name: "machines of a group are counted once each", check: groups_are_counted },
    Invariant { name: "zones count their hosts and machines", check: Fleet::check_zones },
    Invariant { name: "an alias stands for regions", check: Fleet::check_region_aliases },
    Invariant { name: "a policy is not the default", check: Fleet::check_policies },
    Invariant { name: "images of machines are counted once each", check: Fleet::check_image_use },
    Invariant { name: "a host is there or removed, not both", check: hosts_are_there_or_removed },
    Invariant { name: "what counts of a host is its declaration with the overrides", check: overrides_count },
    Invariant { name: "an image's layers are those of its manifest", check: images_match_manifests },
    Invariant { name: "what a host fetches is what it holds so", check: Fleet::check_pulls },
    Invariant { name: "layers of one content are found", check: Fleet::check_twins },
];

impl Fleet {
    /// Checks every invariant and names the first that does not hold.
    pub fn check(&self) -> Result<(), String> {
        INVARIANTS.iter().try_for_each(|invariant| {
            (invariant.check)(self).map_err(|what| format!("{} at rev {}: {what}", invariant.name, self.rev()))
        })
    }
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn usage_is_the_sum(fleet: &Fleet) -> Result<(), String> {
    let mut sums: BTreeMap<HostId, Usage> =
        fleet.hosts.iter().map(|h| (h.id, Usage::empty(h.spec.devices.len()))).collect();
    for row in fleet.reservations.values() {
        let host = fleet.hosts.get(row.plan.host).ok_or_else(|| format!("reservation {} has no host", row.id))?;
        let sum = sums.get_mut(&host.id).ok_or("a host vanished")?;
        sum.add_shape(&row.shape);
        sum.add_shares(&row.plan.devices, &host.spec);
    }
    for volume in fleet.volumes.values() {
        let host = fleet.hosts.get(volume.host).ok_or_else(|| format!("volume {} has no host", volume.id))?;
        let sum = sums.get_mut(&host.id).ok_or("a host vanished")?;
        sum.volume_bytes += volume.size_bytes;
        if let Some(hold) = &volume.hold {
            sum.add_shape(&hold.shape);
            sum.add_shares(&hold.devices, &host.spec);
        }
    }
    fleet.hosts.iter().try_for_each(|host| {
        let sum = &sums[&host.id];
        ensure(host.usage == *sum, || format!("host {} says {:?}, its rows say {sum:?}", host.name, host.usage))
    })
}

fn nothing_beyond_capacity(fleet: &Fleet) -> Result<(), String> {
    fleet.hosts.iter().try_for_each(|host| {
        let (usage, spec) = (&host.usage, &host.spec);
        for (resource, used, offered) in [
            ("shared CPU", usage.cpu_shared_milli, spec.cpu_shared_promisable_milli()),
            ("performance CPU", usage.cpu_performance_milli, spec.cpu_performance_milli),
            ("memory", usage.memory_bytes, spec.memory_bytes),
            ("volume disk", usage.volume_bytes, spec.volume_bytes),
        ] {
            ensure(used <= offered, || format!("host {} promises {used} of {offered} {resource}", host.name))?;
        }
        for (device, &milli) in spec.devices.iter().zip(&usage.devices) {
            ensure(u32::from(milli) <= WHOLE_GPU_MILLI, || {
                format!("host {} promises {milli} thousandths of GPU {}", host.name, device.index)
            })?;
        }
        whole_devices_are_alone(fleet, host)
    })
}

/// Follows from the sums while every share is positive and of a device that is there; stated by itself because it is
/// what users ask about.
fn whole_devices_are_alone(fleet: &Fleet, host: &Host) -> Result<(), String> {
    let mut holders: BTreeMap<u32, (u32, bool)> = BTreeMap::new();
    let reserved = host.reservations.iter().filter_map(|id| fleet.reservations.get(id));
    let reserved = reserved.map(|row| ("reservation", row.id, &row.plan.devices));
    let held = host.volumes.iter().filter_map(|id| fleet.volumes.get(id));
    let held = held.filter_map(|row| Some(("the hold of volume", row.id, &row.hold.as_ref()?.devices)));
    for (what, id, devices) in reserved.chain(held) {
        for share in devices {
            ensure(share.milli > 0 && device_position(&host.spec, share.index).is_some(), || {
                format!("{what} {id} has {} thousandths of GPU {} of host {}", share.milli, share.index, host.name)
            })?;
            let holder = holders.entry(share.index).or_default();
            holder.0 += 1;
            holder.1 |= share.milli == WHOLE_GPU_MILLI;
        }
    }
    holders.into_iter().try_for_each(|(index, (count, whole))| {
        ensure(!whole || count == 1, || format!("whole GPU {index} of host {} has {count} holders", host.name))
    })
}

fn host_lists_agree(fleet: &Fleet) -> Result<(), String> {
    let mut apps: BTreeMap<(HostId, &str), u32> = BTreeMap::new();
    let mut on_host: BTreeMap<HostId, (usize, usize)> = BTreeMap::new();
    for row in fleet.reservations.values() {
        let host = fleet.host_ref(row.plan.host);
        ensure(host.reservations.binary_search(&row.id).is_ok(), || format!("host {} lacks {}", host.name, row.id))?;
        *apps.entry((host.id, row.app.as_str())).or_default() += 1;
        on_host.entry(host.id).or_default().0 += 1;
    }
    for volume in fleet.volumes.values() {
        let host = fleet.host_ref(volume.host);
        ensure(host.volumes.binary_search(&volume.id).is_ok(), || format!("host {} lacks volume", host.name))?;
        on_host.entry(host.id).or_default().1 += 1;
    }
    for host in fleet.hosts.iter() {
        let (reservations, volumes) = on_host.get(&host.id).copied().unwrap_or_default();
        ensure(host.reservations.len() == reservations && host.volumes.len() == volumes, || {
            format!("host {} lists what is not there", host.name)
        })?;
        let listed: u32 = host.apps.iter().map(|app| app.1).sum();
        ensure(listed as usize == reservations, || format!("host {} counts {listed} machines", host.name))?;
        ensure(fleet.host_by_name.get(&*host.name) == Some(&host.id), || format!("{} is not found", host.name))?;
    }
    apps.into_iter().try_for_each(|((host, app), count)| {
        let counted = fleet.apps.find(app).map_or(0, |number| fleet.host_ref(host).machines_of(number));
        ensure(counted == count, || format!("host {host} counts {counted} of app {app}, has {count}"))
    })?;
    ensure(fleet.host_by_name.len() == fleet.hosts.len(), || "a name leads nowhere".to_owned())
}

fn leases_agree(fleet: &Fleet) -> Result<(), String> {
    let expected: BTreeSet<_> =
        fleet.reservations.values().filter(|r| r.expires_at != 0).map(|r| (r.expires_at, r.id)).collect();
    ensure(expected == fleet.leases, || format!("{} leases, expected {}", fleet.leases.len(), expected.len()))
}

fn layer_index_agrees(fleet: &Fleet) -> Result<(), String> {
    let mut hosts: BTreeMap<LayerId, Vec<HostId>> = BTreeMap::new();
    for host in fleet.hosts.iter() {
        ensure(host.layers.windows(2).all(|w| w[0].layer < w[1].layer), || format!("{} unsorted", host.name))?;
        let mut bytes = 0;
        for held in &host.layers {
            hosts.entry(held.layer).or_default().push(host.id);
            bytes += fleet.layers.size_bytes(held.layer);
        }
        ensure(bytes == host.layer_bytes, || format!("host {} counts {} layer bytes", host.name, host.layer_bytes))?;
    }
    let mut images: BTreeMap<LayerId, u32> = BTreeMap::new();
    for entry in fleet.images.values() {
        for layer in entry.layers.iter() {
            *images.entry(layer.layer).or_default() += 1;
        }
    }
    for id in fleet.layers.ids() {
        let on = hosts.get(&id).map_or(&[][..], Vec::as_slice);
        ensure(fleet.layers.hosts(id).iter().eq(on.iter().copied()), || {
            format!("layer {id} is on {on:?}, listed {:?}", fleet.hosts_with(id))
        })?;
        let listed = images.get(&id).copied().unwrap_or_default();
        ensure(fleet.layers.images_of(id) == listed, || format!("layer {id} is in {listed} images"))?;
        ensure(listed > 0 || !on.is_empty(), || format!("layer {id} is kept for nobody"))?;
        ensure(fleet.layers.find(&fleet.layer_digest(id)) == Some(id), || format!("layer {id} is not found"))?;
    }
    ensure(hosts.keys().chain(images.keys()).all(|id| fleet.layers.row(*id).is_some()), || "a layer is missing".into())
}

fn volume_users_agree(fleet: &Fleet) -> Result<(), String> {
    let mut users = BTreeMap::new();
    for row in fleet.reservations.values().filter(|r| r.volume != 0) {
        ensure(users.insert(row.volume, row.id).is_none(), || format!("volume {} has two users", row.volume))?;
        let volume = fleet.volumes.get(&row.volume).ok_or_else(|| format!("volume {} is missing", row.volume))?;
        ensure(volume.host == row.plan.host, || format!("volume {} and its machine are apart", row.volume))?;
    }
    fleet.volumes.values().try_for_each(|volume| {
        let user = users.get(&volume.id).copied().unwrap_or(0);
        ensure(volume.used_by == user, || format!("volume {} says {}, is {user}", volume.id, volume.used_by))
    })
}

fn requests_are_found(fleet: &Fleet) -> Result<(), String> {
    let mut last = 0;
    fleet.requests.rows().try_for_each(|row| {
        ensure(row.stamp >= last, || format!("request {} is older than the one before", row.request_id))?;
        last = row.stamp;
        let found = fleet.requests.find(&row.request_id).map(|r| r.seq);
        ensure(found == Some(row.seq), || format!("request {} is found at {found:?}", row.request_id))
    })
}

fn numbers_are_below_next(fleet: &Fleet) -> Result<(), String> {
    let meta = &fleet.meta;
    let below = |largest: Option<u64>, next: u64| largest.is_none_or(|n| n < next);
    ensure(below(fleet.hosts.iter().next_back().map(|host| u64::from(host.id)), meta.next_host.into()), || {
        "host".into()
    })?;
    ensure(below(fleet.reservations.last_key_value().map(|(id, _)| *id), meta.next_grant), || "grant".into())?;
    ensure(below(fleet.volumes.last_key_value().map(|(id, _)| *id), meta.next_volume), || "volume".into())
}

fn fences_are_unique(fleet: &Fleet) -> Result<(), String> {
    let mut fences = BTreeSet::new();
    fleet.reservations.values().try_for_each(|row| {
        ensure(row.fence < fleet.meta.next_grant, || format!("{} of reservation {}", row.fence, row.id))?;
        ensure(fences.insert(row.fence), || format!("{} of reservation {} is another's too", row.fence, row.id))
    })
}

fn apps_are_counted(fleet: &Fleet) -> Result<(), String> {
    let mut machines: BTreeMap<&str, u64> = BTreeMap::new();
    for row in fleet.reservations.values() {
        *machines.entry(&row.app).or_default() += 1;
    }
    ensure(fleet.apps.len() == machines.len(), || format!("{} apps, expected {}", fleet.apps.len(), machines.len()))?;
    machines.into_iter().try_for_each(|(app, have)| {
        let counted = fleet.apps.find(app).map(|number| fleet.apps.uses(number));
        ensure(counted == Some(have), || format!("app {app} has {have}, counts {counted:?}"))
    })
}

fn groups_are_counted(fleet: &Fleet) -> Result<(), String> {
    let mut machines: BTreeMap<(&str, HostId), u32> = BTreeMap::new();
    for row in fleet.reservations.values().filter(|row| !row.group.is_empty()) {
        *machines.entry((&row.group, row.plan.host)).or_default() += 1;
    }
    let names: BTreeSet<&str> = machines.keys().map(|(group, _)| *group).collect();
    ensure(fleet.groups.len() == names.len(), || format!("{} groups, expected {}", fleet.groups.len(), names.len()))?;
    let listed: u32 = fleet.hosts.iter().flat_map(|host| host.groups.iter()).map(|(_, machines)| machines).sum();
    let total: u32 = machines.values().sum();
    ensure(listed == total, || format!("{listed} machines are counted by group, {total} have one"))?;
    machines.into_iter().try_for_each(|((group, host), have)| {
        let counted = fleet.groups.find(group).map(|number| fleet.host_ref(host).groups.of(number));
        ensure(counted == Some(have), || format!("host {host} has {have} of group {group}, counts {counted:?}"))
    })
}

fn hosts_are_there_or_removed(fleet: &Fleet) -> Result<(), String> {
    fleet.removed_hosts.iter().try_for_each(|(id, row)| {
        ensure(fleet.hosts.get(*id).is_none(), || format!("host {id} is both"))?;
        ensure(row.removed_at.is_some() && row.host == *id, || format!("host {id} has a row of another kind"))?;
        ensure(*id < fleet.meta.next_host, || format!("host {id} was never there"))
    })
}

fn overrides_count(fleet: &Fleet) -> Result<(), String> {
    fleet.hosts.iter().try_for_each(|host| {
        let expected = host.overrides().applied_to(&host.declared);
        let offer = HostSpec { name: String::new(), ..expected.clone() };
        ensure(*host.offer == offer, || format!("host {} offers {:?}, not {offer:?}", host.name, host.offer))?;
        ensure(*host.spec == expected, || format!("host {} has {:?}, not {expected:?}", host.name, host.spec))
    })
}

fn images_match_manifests(fleet: &Fleet) -> Result<(), String> {
    fleet.images.iter().try_for_each(|(reference, entry)| {
        ensure(entry.image.reference == *reference, || format!("{reference} leads to {}", entry.image.reference))?;
        let manifest = distinct_layers(&entry.image).map_err(|refused| format!("{reference}: {refused}"))?;
        let stacked = manifest.iter().map(|(digest, size_bytes)| (fleet.layers.find(digest), *size_bytes));
        ensure(stacked.clone().eq(entry.chain.iter().map(|l| (Some(l.layer), l.size_bytes))), || {
            format!("{reference} stacks {:?}", entry.chain)
        })?;
        let expected: BTreeMap<_, _> = stacked.collect();
        let listed = entry.layers.iter().map(|l| (Some(l.layer), l.size_bytes));
        ensure(listed.eq(expected.iter().map(|(&layer, &size_bytes)| (layer, size_bytes))), || {
            format!("{reference} lists {:?}, its manifest {expected:?}", entry.layers)
        })?;
        let size_bytes: u64 = expected.values().sum();
        ensure(entry.size_bytes == size_bytes, || format!("{reference} weighs {}, not {size_bytes}", entry.size_bytes))
    })
}

#[cfg(test)]
mod tests;
