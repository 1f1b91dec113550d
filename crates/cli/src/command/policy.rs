//! Commands on the policies of apps.

mod ls;
mod set;
mod show;

use clap::{Subcommand, ValueEnum};
use gantry_proto::v1;

use crate::context::{Context, Outcome};

/// See and set how machines of an app are ranked
#[derive(Debug, Subcommand)]
pub enum Policy {
    #[command(visible_alias = "list")]
    Ls(ls::Ls),
    Show(show::Show),
    Set(set::Set),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Preset {
    Default,
    /// Few hosts, filled well
    Pack,
    /// Machines far from each other
    Spread,
}

impl Policy {
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Ls(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Set(command) => command.run(context).await,
        }
    }
}

impl From<Preset> for v1::Preset {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Default => Self::Default,
            Preset::Pack => Self::Pack,
            Preset::Spread => Self::Spread,
        }
    }
}

/// A policy in one line: `pack, spread 2000`.
fn format(policy: &v1::Policy) -> String {
    let mut parts = vec![preset(policy).to_owned()];
    parts.extend(weights(policy).iter().filter_map(|(name, milli)| milli.map(|milli| format!("{name} {milli}"))));
    parts.join(", ")
}

/// A preset as programs and people call it.
pub fn preset(policy: &v1::Policy) -> &'static str {
    match policy.preset() {
        v1::Preset::Pack => "pack",
        v1::Preset::Spread => "spread",
        v1::Preset::Default | v1::Preset::Unspecified => "default",
    }
}

fn weights(policy: &v1::Policy) -> [(&'static str, Option<u32>); 4] {
    let v1::Policy { preset: _, ready_milli, stranded_milli, share_milli, spread_milli } = *policy;
    [("ready", ready_milli), ("stranded", stranded_milli), ("share", share_milli), ("spread", spread_milli)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_one_line() {
        let policy = v1::Policy {
            preset: v1::Preset::Pack as i32,
            ready_milli: Some(0),
            spread_milli: Some(2_000),
            ..v1::Policy::default()
        };
        assert_eq!(format(&policy), "pack, ready 0, spread 2000");
        assert_eq!(format(&v1::Policy::default()), "default");
    }
}
