//! All commands.

mod confirm;
mod create_volume;
mod delete_volume;
mod end_by_host;
mod expire;
mod record_image;
mod register_host;
mod release;
mod remove_host;
mod renew;
mod report_layers;
mod reserve;
mod set_feature_level;
mod set_scheduling;
mod update_host;

use gantry_fleet::{Answer, Fleet, Recalled};
use gantry_types::{HostId, Refused, Rev, error};
use prost::{Message, Oneof};

use crate::{Admit, Effect, Outcome};

pub use confirm::Confirm;
pub use create_volume::CreateVolume;
pub use delete_volume::DeleteVolume;
pub use end_by_host::EndByHost;
pub use expire::Expire;
pub use record_image::RecordImage;
pub use register_host::RegisterHost;
pub use release::Release;
pub use remove_host::RemoveHost;
pub use renew::Renew;
pub use report_layers::{LayerPresent, ReportLayers};
pub use reserve::Reserve;
pub use set_feature_level::SetFeatureLevel;
pub use set_scheduling::SetScheduling;
pub use update_host::UpdateHost;

/// What a command does to the fleet.
trait Apply {
    fn apply(&self, fleet: &mut Fleet, admit: Admit) -> Outcome;
}

macro_rules! commands {
    ($($tag:literal $kind:ident),* $(,)?) => {
        /// Every command, with the tag that names it in the log for ever.
        #[derive(Clone, PartialEq, Oneof)]
        pub enum Kind {
            $(#[prost(message, tag = $tag)] $kind($kind),)*
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
        })*
    };
}

commands! {
    "1" Reserve,
    "2" Release,
    "3" Renew,
    "4" Confirm,
    "5" EndByHost,
    "6" Expire,
    "7" CreateVolume,
    "8" DeleteVolume,
    "9" RegisterHost,
    "10" UpdateHost,
    "11" RemoveHost,
    "12" SetScheduling,
    "13" ReportLayers,
    "14" RecordImage,
    "15" SetFeatureLevel,
}

/// One command of an entry. A kind that this code does not know reads as none.
#[derive(Clone, PartialEq, Message)]
pub struct Command {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15")]
    pub kind: Option<Kind>,
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

/// Also where the contents have the same fingerprint: commands of different kinds can encode to the same bytes, so each
/// accepts only an answer of its own kind.
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
