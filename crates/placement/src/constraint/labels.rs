//! Labels that a host must carry, and labels that it must not carry.

use super::{Constraint, No};
use crate::{Ask, Room};

pub(super) const REQUIRE: Constraint =
    Constraint { name: "require_labels", since_level: 1, of_zone: false, check: require };
pub(super) const AVOID: Constraint = Constraint { name: "avoid_labels", since_level: 1, of_zone: false, check: avoid };

fn require<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    for label in &ask.constraints.require_labels {
        let have = room.host.offer.label(&label.key);
        if have != Some(label.value.as_str()) {
            let have = have.map_or_else(|| format!("no label {}", label.key), |value| format!("{}={value}", label.key));
            return Err(No::text(format!("{}={}", label.key, label.value), have));
        }
    }
    Ok(())
}

fn avoid<'a>(ask: &Ask<'a>, room: &Room<'a>) -> Result<(), No<'a>> {
    for label in &ask.constraints.avoid_labels {
        if room.host.offer.label(&label.key) == Some(label.value.as_str()) {
            let text = format!("{}={}", label.key, label.value);
            return Err(No::text(format!("not {text}"), text));
        }
    }
    Ok(())
}
