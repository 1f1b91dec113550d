//! What counts for an app when hosts are ranked.

use prost::{Enumeration, Message};

use crate::{Refused, error::name, limits};

/// A set of weights that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Preset {
    Default = 0,
    /// Few hosts, filled well.
    Pack = 1,
    /// Machines far from each other.
    Spread = 2,
}

/// How one app's machines are ranked: the weights of a preset, some of them replaced. Weights are in thousandths of
/// what they are by default.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Policy {
    #[prost(enumeration = "Preset", tag = "1")]
    pub preset: i32,
    /// Of the time until the machine is ready.
    #[prost(uint32, optional, tag = "2")]
    pub ready_milli: Option<u32>,
    /// Of resources that nobody can use afterwards.
    #[prost(uint32, optional, tag = "3")]
    pub stranded_milli: Option<u32>,
    /// Of what a fetched image is worth to the machines that come after; more than that of `ready` counts as that.
    #[prost(uint32, optional, tag = "4")]
    pub share_milli: Option<u32>,
    /// Of machines of the app on the host already.
    #[prost(uint32, optional, tag = "5")]
    pub spread_milli: Option<u32>,
}

/// An app that does not go by the default.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AppPolicy {
    #[prost(string, tag = "1")]
    pub app: String,
    /// The default takes what was set before away.
    #[prost(message, required, tag = "2")]
    pub policy: Policy,
}

impl Policy {
    /// Of an app of which nothing is said.
    pub const DEFAULT: Self = Self {
        preset: Preset::Default as i32,
        ready_milli: None,
        stranded_milli: None,
        share_milli: None,
        spread_milli: None,
    };

    fn validate(&self) -> Result<(), Refused> {
        if Preset::try_from(self.preset).is_err() {
            let why = format!("is {}, which is not known: use default, pack or spread", self.preset);
            return Err(Refused::invalid("policy.preset", why));
        }
        let Self { preset: _, ready_milli, stranded_milli, share_milli, spread_milli } = *self;
        for (field, weight) in [
            ("policy.ready_milli", ready_milli),
            ("policy.stranded_milli", stranded_milli),
            ("policy.share_milli", share_milli),
            ("policy.spread_milli", spread_milli),
        ] {
            if let Some(milli) = weight.filter(|&milli| milli > limits::WEIGHT_MILLI) {
                return Err(Refused::over(field, milli.into(), limits::WEIGHT_MILLI.into()));
            }
        }
        Ok(())
    }
}

impl AppPolicy {
    pub fn validate(&self) -> Result<(), Refused> {
        name("app", &self.app)?;
        self.policy.validate()
    }
}
