//! What the oracle says of constraints: every number counted from the list of reservations.

use gantry_fleet::Scheduling;
use gantry_types::{Affinity, AppPolicy, Constraints, RegionAlias};

use super::{Check, INVALID, Oracle, OracleHost};

impl Oracle {
    pub fn allows(&self, host: &OracleHost, app: &str, constraints: &Constraints) -> bool {
        let label = |key: &str| host.spec.labels.iter().find(|l| l.key == key).map(|l| &l.value);
        let all_of = |list: &[Affinity], near: bool| list.iter().all(|a| (self.near(host, a) > 0) == near);
        let own = |scope| self.near(host, &Affinity { app: app.to_owned(), group: String::new(), scope }) as u64;
        let owner = if self.level == 0 { None } else { label("dedicated") };
        host.scheduling == Scheduling::Open as i32
            && !host.unreachable
            && (constraints.host.is_empty() || constraints.host == host.spec.name)
            && (constraints.regions.is_empty()
                || constraints.regions.iter().any(|r| *r == host.spec.region || r == "any")
                || constraints.regions.iter().any(|r| self.stands_for(r, &host.spec.region)))
            && constraints.require_labels.iter().all(|l| label(&l.key) == Some(&l.value))
            && constraints.avoid_labels.iter().all(|l| label(&l.key) != Some(&l.value))
            && owner.is_none_or(|owner| {
                let required = constraints.require_labels.iter().any(|l| l.key == "dedicated");
                owner == app || *owner == constraints.group || required
            })
            && (constraints.max_per_host == 0 || own(0) < u64::from(constraints.max_per_host))
            && (constraints.max_per_zone == 0 || own(1) < u64::from(constraints.max_per_zone))
            && all_of(&constraints.affinity, true)
            && all_of(&constraints.anti_affinity, false)
    }

    pub fn set_policy(&mut self, AppPolicy { app, policy }: &AppPolicy) -> Check {
        let weights = [policy.ready_milli, policy.stranded_milli, policy.share_milli, policy.spread_milli];
        if app.is_empty() || !(0..3).contains(&policy.preset) || weights.iter().flatten().any(|&w| w > 100_000) {
            return Err(INVALID);
        }
        self.policies.insert(app.clone(), *policy);
        Ok(())
    }

    fn stands_for(&self, alias: &str, region: &str) -> bool {
        self.aliases.get(alias).is_some_and(|regions| regions.iter().any(|one| one == region))
    }

    pub fn set_alias(&mut self, alias: &RegionAlias) -> Check {
        let RegionAlias { name, regions } = alias;
        let odd = regions
            .iter()
            .any(|r| r.is_empty() || r == name || r == "any" || regions.iter().filter(|o| *o == r).count() > 1);
        if name.is_empty() || name == "any" || odd {
            return Err(INVALID);
        }
        if regions.is_empty() {
            self.aliases.remove(name);
            return Ok(());
        }
        let is_region = self.hosts.iter().any(|host| host.spec.region == *name);
        let is_named = self.aliases.iter().any(|(other, named)| other != name && named.contains(name));
        if is_region || is_named || regions.iter().any(|region| self.aliases.contains_key(region)) {
            return Err(INVALID);
        }
        self.aliases.insert(name.clone(), regions.clone());
        Ok(())
    }

    /// Machines of an app or group on a host, or in its zone.
    fn near(&self, host: &OracleHost, affinity: &Affinity) -> usize {
        let is_one = |app: &str, group: &str| {
            if affinity.group.is_empty() { app == affinity.app } else { group == affinity.group }
        };
        let is_near = |other: &OracleHost| {
            let (here, there) = (&host.spec, &other.spec);
            other.id == host.id || affinity.scope == 1 && (&here.region, &here.zone) == (&there.region, &there.zone)
        };
        let machines = self.reservations.iter().filter(|row| is_one(&row.app, &row.group));
        machines.filter(|row| self.host(row.plan.host).is_some_and(is_near)).count()
    }
}

pub fn constraints_are_sane(app: &str, constraints: &Constraints) -> bool {
    let Constraints { group, affinity, anti_affinity, .. } = constraints;
    let named = |a: &Affinity| a.app.is_empty() != a.group.is_empty();
    let own = |a: &Affinity| a.app == app || !a.group.is_empty() && a.group == *group;
    let contradict =
        |a: &Affinity, b: &Affinity| (&a.app, &a.group) == (&b.app, &b.group) && (a.scope, b.scope) != (1, 0);
    affinity.iter().chain(anti_affinity).all(|a| named(a) && a.scope < 2)
        && !affinity.iter().any(own)
        && !affinity.iter().any(|a| anti_affinity.iter().any(|b| contradict(a, b)))
}
