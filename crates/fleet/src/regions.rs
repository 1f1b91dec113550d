//! The regions that hosts are in, and the names that stand for several of them.

use std::sync::Arc;

use gantry_types::{ANY_REGION, Constraints, Refused, RegionAlias};

use crate::{Change, Fleet, bounds::room};

impl Fleet {
    /// Lets a name stand for a list of regions in place of what it stood for before; an empty list takes it away.
    pub fn set_region_alias(&mut self, alias: RegionAlias) -> Result<(), Refused> {
        alias.validate()?;
        if alias.regions.is_empty() {
            if self.region_aliases.remove(&alias.name).is_some() {
                self.rules_changed(Change::RegionAlias(alias.name));
            }
            return Ok(());
        }
        self.alias_is_unambiguous(&alias)?;
        match self.region_aliases.get(&alias.name) {
            Some(known) if **known == alias => return Ok(()),
            Some(_) => {}
            None => room("region aliases", self.region_aliases.len(), 1, self.bounds.region_aliases)?,
        }
        let name = alias.name.clone();
        self.region_aliases.insert(name.clone(), Arc::new(alias));
        self.rules_changed(Change::RegionAlias(name));
        Ok(())
    }

    /// An alias stands for regions and for no alias, so that what a name stands for is read in one step.
    fn alias_is_unambiguous(&self, alias: &RegionAlias) -> Result<(), Refused> {
        if self.zones.has_region(&alias.name) {
            let why = format!("is {:?}, a region that hosts are in: choose another name", alias.name);
            return Err(Refused::invalid("name", why));
        }
        if let Some(other) = alias.regions.iter().find(|region| self.region_aliases.contains_key(*region)) {
            let why = format!("name {other:?}, which is an alias: name the regions that it stands for");
            return Err(Refused::invalid("regions", why));
        }
        let mut others = self.region_aliases.values();
        if let Some(other) = others.find(|other| other.regions.contains(&alias.name)) {
            let why = format!("is {:?}, a region that alias {:?} stands for", alias.name, other.name);
            return Err(Refused::invalid("name", why));
        }
        Ok(())
    }

    pub fn region_alias(&self, name: &str) -> Option<&RegionAlias> {
        self.region_aliases.get(name).map(|alias| &**alias)
    }

    /// By name.
    pub fn region_aliases(&self) -> impl Iterator<Item = &RegionAlias> {
        self.region_aliases.values().map(|alias| &**alias)
    }

    /// The regions that hosts are in, by name.
    pub fn regions(&self) -> impl ExactSizeIterator<Item = &str> {
        self.zones.regions()
    }

    /// Where a host's region is accepted first in a request's list of regions, in which every alias is replaced by what
    /// it stands for: 0 is the most wanted. Nothing where it is not accepted.
    pub fn region_place(&self, constraints: &Constraints, region: &str) -> Option<usize> {
        if constraints.regions.is_empty() {
            return Some(0);
        }
        let mut before = 0;
        for wanted in &constraints.regions {
            if wanted == region || wanted == ANY_REGION {
                return Some(before);
            }
            match self.region_aliases.get(wanted) {
                None => before += 1,
                Some(alias) => match alias.regions.iter().position(|one| one == region) {
                    Some(at) => return Some(before + at),
                    None => before += alias.regions.len(),
                },
            }
        }
        None
    }

    /// Whether a request names regions and no host is in any of them.
    pub fn names_no_region(&self, constraints: &Constraints) -> bool {
        let is_there = |region: &String| region == ANY_REGION || self.zones.has_region(region);
        !constraints.regions.is_empty()
            && !constraints.regions.iter().any(|wanted| {
                is_there(wanted) || self.region_alias(wanted).is_some_and(|alias| alias.regions.iter().any(is_there))
            })
    }

    /// What the rules say of every host may have changed: whoever keeps something derived from them begins anew.
    pub(crate) fn rules_changed(&mut self, change: Change) {
        self.changes.push(change);
        self.journal.reset();
    }

    pub(crate) fn load_region_alias(&mut self, alias: Arc<RegionAlias>) {
        self.region_aliases.insert(alias.name.clone(), alias);
    }

    /// Whether aliases are well formed and stand for no aliases.
    pub(crate) fn check_region_aliases(&self) -> Result<(), String> {
        self.region_aliases.iter().try_for_each(|(name, alias)| {
            alias.validate().map_err(|refused| format!("{name}: {refused}"))?;
            if *name != alias.name || alias.regions.is_empty() {
                return Err(format!("{name} leads to {alias:?}"));
            }
            match alias.regions.iter().find(|region| self.region_aliases.contains_key(*region)) {
                Some(other) => Err(format!("{name} stands for alias {other}")),
                None => Ok(()),
            }
        })
    }
}
