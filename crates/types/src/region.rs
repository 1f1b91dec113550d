//! Names that stand for lists of regions.

use prost::Message;

use crate::{ANY_REGION, Refused, error::name, limits};

/// A name that may stand in a request's list of regions, in place of the regions that it stands for.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RegionAlias {
    #[prost(string, tag = "1")]
    pub name: String,
    /// The most wanted first; none takes the alias away.
    #[prost(string, repeated, tag = "2")]
    pub regions: Vec<String>,
}

impl RegionAlias {
    /// Whether the alias is well formed by itself. That it names no other alias only the table of them can tell.
    pub fn validate(&self) -> Result<(), Refused> {
        name("name", &self.name)?;
        if self.name == ANY_REGION {
            return Err(Refused::invalid("name", "is \"any\", which stands for every region already"));
        }
        // Lists of regions are written with commas between, and spaces around a name are dropped there.
        if self.name.contains(',') || self.name.trim() != self.name {
            return Err(Refused::invalid("name", format!("is {:?}: no commas, no spaces around it", self.name)));
        }
        if self.regions.len() > limits::REGIONS_PER_ALIAS {
            return Err(Refused::over("regions", self.regions.len() as u64, limits::REGIONS_PER_ALIAS as u64));
        }
        for (at, region) in self.regions.iter().enumerate() {
            name("regions", region)?;
            if region == ANY_REGION {
                return Err(Refused::invalid("regions", "name \"any\": name the regions that the alias stands for"));
            }
            if *region == self.name {
                return Err(Refused::invalid("regions", format!("name the alias itself, {region:?}")));
            }
            if self.regions[..at].contains(region) {
                return Err(Refused::invalid("regions", format!("name {region:?} twice")));
            }
        }
        Ok(())
    }
}
