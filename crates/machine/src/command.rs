//! All commands. To add one, write its file, name it as a module, and add its line to `commands!`.

mod confirm;
mod create_volume;
mod delete_volume;
mod end_by_host;
mod expire;
mod observe_pull;
mod record_image;
mod register_host;
mod release;
mod remove_host;
mod renew;
mod report_layers;
mod reserve;
mod set_feature_level;
mod set_policy;
mod set_reachable;
mod set_region_alias;
mod set_scheduling;
mod update_host;

use gantry_fleet::{Answer, Fleet, Recalled};
use gantry_types::{HostId, Refused, Rev, error};
use prost::{Message, Oneof};

use crate::{Admit, Effect, Outcome};

pub use report_layers::LayerPresent;

/// What a command does to the fleet.
trait Apply {
    fn apply(&self, fleet: &mut Fleet, admit: Admit) -> Outcome;
}

/// A command's tag, as a number.
pub(crate) trait Tagged {
    const TAG: u32;
}

macro_rules! commands {
    ($($tag:literal $module:ident::$kind:ident),* $(,)?) => {
        $(pub use $module::$kind;)*

        /// Every command, with the tag that names it in the log for ever.
        #[derive(Clone, PartialEq, Oneof)]
        pub enum Kind {
            $(#[prost(message, tag = $tag)] $kind($kind),)*
        }

        /// One command of an entry. A kind that this code does not know reads as none.
        #[derive(Clone, PartialEq, Message)]
        pub struct Command {
            #[prost(oneof = "Kind", tags($($tag),*))]
            pub kind: Option<Kind>,
        }

        impl Kind {
            pub(crate) fn apply(&self, fleet: &mut Fleet, admit: Admit) -> Outcome {
                match self {
                    $(Self::$kind(command) => command.apply(fleet, admit),)*
                }
            }
        }

        $(impl From<$kind> for Command {
            fn from(command: $kind) -> Self {
                Self { kind: Some(Kind::$kind(command)) }
            }
        }

        impl Tagged for $kind {
            const TAG: u32 = $tag;
        })*
    };
}

commands! {
    1 reserve::Reserve,
    2 release::Release,
    3 renew::Renew,
    4 confirm::Confirm,
    5 end_by_host::EndByHost,
    6 expire::Expire,
    7 create_volume::CreateVolume,
    8 delete_volume::DeleteVolume,
    9 register_host::RegisterHost,
    10 update_host::UpdateHost,
    11 remove_host::RemoveHost,
    12 set_scheduling::SetScheduling,
    13 report_layers::ReportLayers,
    14 record_image::RecordImage,
    15 set_feature_level::SetFeatureLevel,
    16 set_reachable::SetReachable,
    20 set_region_alias::SetRegionAlias,
    21 observe_pull::ObservePull,
    22 set_policy::SetPolicy,
}

impl Kind {
    /// The feature level that a cluster must have before this may be in its log: below it, a member may run code that
    /// would pass over a part of it.
    pub fn feature_level(&self) -> u32 {
        match self {
            Self::Reserve(command) => command.request.feature_level(),
            Self::CreateVolume(command) => {
                let newer = command.hold.is_some() || command.inherited.is_some();
                command.request.feature_level().max(if newer { 2 } else { 1 })
            }
            Self::RegisterHost(command) => command.spec.feature_level(),
            Self::ReportLayers(command) => command.feature_level(),
            Self::SetReachable(_) | Self::ObservePull(_) | Self::SetRegionAlias(_) | Self::SetPolicy(_) => 2,
            _ => 1,
        }
    }
}

/// The answer of a request that was answered before; nothing for a new one, whose answer can be remembered.
fn answered(fleet: &Fleet, request_id: &str, fingerprint: u64) -> Result<Option<(Rev, Answer)>, Refused> {
    let answer = recalled(fleet, request_id, fingerprint)?;
    if answer.is_none() {
        fleet.room_for_request()?;
    }
    Ok(answer)
}

/// As [`answered`], whether there is room for one more answer or not.
fn recalled(fleet: &Fleet, request_id: &str, fingerprint: u64) -> Result<Option<(Rev, Answer)>, Refused> {
    match fleet.recall(request_id, fingerprint) {
        Recalled::New => error::name("request_id", request_id).map(|()| None),
        Recalled::Answered(row) => Ok(Some((row.rev, row.answer.clone().unwrap_or(Answer::Done(true))))),
        Recalled::Reused => Err(reused(request_id)),
    }
}

/// Also where the fingerprints are the same, which chance could do: a command accepts only an answer of its own kind.
fn reused(request_id: &str) -> Refused {
    Refused::RequestReused { request_id: request_id.to_owned() }
}

/// Gives something back once, for a request whose answer is that it was done. It is done and remembered even where no
/// other request is: then nothing new is granted either, so no more such answers can come than there is to give back.
fn give_back(
    fleet: &mut Fleet,
    request_id: &str,
    fingerprint: u64,
    act: impl FnOnce(&mut Fleet) -> Result<(), Refused>,
) -> Outcome {
    match recalled(fleet, request_id, fingerprint)? {
        Some((rev, Answer::Done(_))) => Ok(Effect::Done { rev }),
        Some(_) => Err(reused(request_id)),
        None => {
            act(fleet)?;
            let rev = fleet.remember(request_id, fingerprint, Answer::Done(true));
            Ok(Effect::Done { rev })
        }
    }
}

fn host_named(fleet: &Fleet, name: &str) -> Result<HostId, Refused> {
    fleet.host_named(name).map(|host| host.id).ok_or_else(|| Refused::UnknownHost { host: name.to_owned() })
}
