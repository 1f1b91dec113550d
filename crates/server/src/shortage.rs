//! What is still done when the disks are nearly full.
//!
//! Whatever makes the state larger is refused. What gives something back, keeps what stands, or keeps machines away from a host
//! is done: it takes a few hundred bytes of log each, for which there is the reserve, and refusing it would turn a full disk
//! into lost machines.

use gantry_consensus::Shortage;
use gantry_machine::Kind;

use crate::call::{CallError, What};

/// Refuses what must wait until there is room again.
pub(crate) fn check(what: &What, shortage: Option<&Shortage>) -> Result<(), CallError> {
    match shortage {
        Some(shortage) if shortage.is_complete || !goes_on(what) => Err(CallError::DiskFull(shortage.why.clone())),
        _ => Ok(()),
    }
}

fn goes_on(what: &What) -> bool {
    let What::Command(command) = what else { return false };
    match &command.kind {
        Some(
            Kind::Release(_)
            | Kind::EndByHost(_)
            | Kind::Expire(_)
            | Kind::DeleteVolume(_)
            | Kind::RemoveHost(_)
            | Kind::Renew(_)
            | Kind::Confirm(_)
            | Kind::SetScheduling(_)
            | Kind::SetReachable(_),
        ) => true,
        Some(
            Kind::RegisterHost(_)
            | Kind::UpdateHost(_)
            | Kind::Reserve(_)
            | Kind::CreateVolume(_)
            | Kind::RecordImage(_)
            | Kind::ReportLayers(_)
            | Kind::ObservePull(_)
            | Kind::SetPolicy(_)
            | Kind::SetRegionAlias(_)
            | Kind::SetFeatureLevel(_),
        )
        | None => false,
    }
}

#[cfg(test)]
mod tests {
    use gantry_machine::{Command, Expire, Release, ReportLayers};

    use super::*;

    #[test]
    fn what_gives_back_goes_on_until_nothing_can_be_written() {
        let shortage = |is_complete| Shortage { why: "it is full".to_owned(), is_complete };
        let release = What::Command(Command::from(Release::default()));
        let report = What::Command(Command::from(ReportLayers::default()));
        let expire = What::Command(Command::from(Expire {}));
        assert!([&release, &report, &expire].iter().all(|what| check(what, None).is_ok()));
        let little = shortage(false);
        assert!(check(&release, Some(&little)).is_ok() && check(&expire, Some(&little)).is_ok());
        assert!(matches!(check(&report, Some(&little)), Err(CallError::DiskFull(why)) if why == "it is full"));
        assert!(check(&release, Some(&shortage(true))).is_err());
    }
}
