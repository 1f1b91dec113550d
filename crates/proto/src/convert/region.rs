//! Names that stand for lists of regions.

use gantry_types::{self as types, Refused};

use crate::v1;

/// An alias, checked.
pub fn region_alias(message: v1::SetRegionAliasRequest) -> Result<types::RegionAlias, Refused> {
    let alias = types::RegionAlias { name: message.name, regions: message.regions };
    alias.validate()?;
    Ok(alias)
}
