//! Compares a fleet with the oracle.

#[path = "compare_pulls.rs"]
mod compare_pulls;

use std::collections::BTreeMap;

use gantry_fleet::{Fleet, Pull, Row};
use gantry_placement::present_bytes;
use gantry_types::Image;

use crate::oracle::{Free, Oracle, OracleHost};

impl Oracle {
    /// Compares everything that can be seen of a fleet.
    pub fn agrees_with(&self, fleet: &Fleet) -> Result<(), String> {
        same(
            "reservations",
            &fleet.reservations_after(0).map(|r| (**r).clone()).collect::<Vec<_>>(),
            &self.reservations,
        )?;
        same("volumes", &fleet.volumes_after(0).map(|v| (**v).clone()).collect::<Vec<_>>(), &self.volumes)?;
        same(
            "images",
            &fleet.images_after("").map(|e| &*e.image).collect::<Vec<_>>(),
            &self.images.values().collect(),
        )?;
        let held = self.volumes.iter().filter_map(|v| v.hold.as_ref()).map(|hold| hold.expires_at);
        let lease_end = self.reservations.iter().map(|r| r.expires_at).filter(|at| *at != 0).chain(held).min();
        same("next lease end", &fleet.next_lease_end(), &lease_end)?;
        let rows = |is_one: fn(&Row) -> bool| fleet.rows().filter(is_one).count();
        same("requests", &rows(|row| matches!(row, Row::Request(_))), &self.requests.len())?;
        same("layers known", &rows(|row| matches!(row, Row::Layer(_))), &self.layer_sizes.len())?;
        same("hosts", &fleet.hosts().map(|h| h.id).collect::<Vec<_>>(), &self.hosts.iter().map(|h| h.id).collect())?;
        fleet.rows().try_for_each(|row| match row {
            Row::Layer(row) => {
                let twins = fleet.twins(row.layer).iter().map(|&twin| fleet.layer_digest(twin).0.to_vec());
                same("twins", &twins.collect(), &self.twins(&row.digest))
            }
            _ => Ok(()),
        })?;
        let nameable = (1..=self.hosts_ever).filter(|id| fleet.host_spec(*id).is_some()).count();
        same("hosts that can be named", &nameable, &(self.hosts.len() + self.removed.len()))?;
        let aliases = fleet.region_aliases().map(|alias| (alias.name.clone(), alias.regions.clone()));
        same("aliases", &aliases.collect(), &self.aliases)?;
        for (app, policy) in &self.policies {
            same("policy", fleet.policy(app), policy)?;
        }
        self.hosts.iter().try_for_each(|host| self.agrees_on(fleet, host))
    }

    fn agrees_on(&self, fleet: &Fleet, expected: &OracleHost) -> Result<(), String> {
        let host = fleet.host_named(&expected.spec.name).ok_or("a host is not found by its name")?;
        same("declaration", &*host.spec, &expected.spec)?;
        same("scheduling", &(host.scheduling as i32), &expected.scheduling)?;
        same("unreachable", &host.unreachable, &expected.unreachable)?;
        let (usage, spec) = (host.usage(), &host.spec);
        let free = Free {
            cpu: [
                i128::from(spec.cpu_shared_promisable_milli()) - i128::from(usage.cpu_shared_milli),
                i128::from(spec.cpu_performance_milli) - i128::from(usage.cpu_performance_milli),
            ],
            memory: i128::from(spec.memory_bytes) - i128::from(usage.memory_bytes),
            disk: i128::from(spec.volume_bytes) - i128::from(usage.volume_bytes),
            gpus: (0..).zip(&spec.devices).map(|(at, d)| (d.index, usage.free_device_milli(at).into())).collect(),
        };
        same("free room", &free, &self.free(expected.id, &expected.spec))?;
        let layers = host.layers().iter().map(|held| (fleet.layer_digest(held.layer).0.to_vec(), held.state as i32));
        same("layers", &layers.collect(), &expected.layers)?;
        let pull = |pull: &Pull| {
            (fleet.layer_digest(pull.layer).0.to_vec(), pull.progress.map(|known| (known.fetched_bytes, known.at)))
        };
        let mut pulled: Vec<_> = host.pulls().iter().map(pull).collect();
        pulled.sort();
        same("pulls", &pulled, &expected.pulled())?;
        same("rates", &host.rates(), &expected.rates())?;
        let bytes: u64 = expected.layers.keys().map(|digest| self.layer_sizes[digest]).sum();
        same("layer bytes", &host.layer_bytes(), &bytes)?;
        for (reference, image) in &self.images {
            let sizes = manifest_sizes(image);
            let entry = fleet.image(reference).ok_or("an image is not found")?;
            same("image bytes", &entry.size_bytes, &sizes.values().sum())?;
            let present = sizes.iter().filter(|(digest, _)| expected.layers.contains_key(**digest));
            same("present bytes", &present_bytes(Some(entry), host), &present.map(|(_, size)| size).sum())?;
        }
        self.reservations.iter().filter(|r| r.plan.host == expected.id).try_for_each(|r| {
            let machines = self.reservations.iter().filter(|o| o.plan.host == expected.id && o.app == r.app).count();
            same("machines of an app", &fleet.app_number(&r.app).map(|n| host.machines_of(n) as usize), &Some(machines))
        })
    }
}

/// Each layer once, with its first size.
fn manifest_sizes(image: &Image) -> BTreeMap<&[u8], u64> {
    let mut sizes = BTreeMap::new();
    for layer in &image.layers {
        sizes.entry(layer.digest.as_slice()).or_insert(layer.size_bytes);
    }
    sizes
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, fleet: &T, oracle: &T) -> Result<(), String> {
    if fleet == oracle { Ok(()) } else { Err(format!("{what}: the fleet says {fleet:?}, the oracle {oracle:?}")) }
}
