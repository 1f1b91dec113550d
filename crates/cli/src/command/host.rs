//! Commands on hosts.

mod cordon;
mod label;
mod ls;
mod remove;
mod show;

use clap::Subcommand;
use gantry_proto::v1::Scheduling;

use crate::context::{Context, Outcome};

/// See hosts and keep them in order
#[derive(Debug, Subcommand)]
pub enum Host {
    Ls(ls::Ls),
    Show(show::Show),
    /// Place nothing new on hosts
    Cordon(cordon::Hosts),
    /// Place on hosts again
    Uncordon(cordon::Hosts),
    /// Place nothing new on hosts, and let what is there move away
    Drain(cordon::Hosts),
    Label(label::Label),
    Remove(remove::Remove),
}

impl Host {
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Ls(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Cordon(hosts) => hosts.set(context, Scheduling::Cordoned).await,
            Self::Uncordon(hosts) => hosts.set(context, Scheduling::Open).await,
            Self::Drain(hosts) => hosts.set(context, Scheduling::Draining).await,
            Self::Label(command) => command.run(context).await,
            Self::Remove(command) => command.run(context).await,
        }
    }
}
