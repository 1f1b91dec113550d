//! The commands, one file each. To add one, write its file and add its line to [`Alone`] or [`Call`] and below.

mod agent;
mod backup;
mod cluster;
mod completions;
mod dev;
mod explain;
mod get;
mod host;
mod image;
mod inspect;
mod ls;
mod place;
mod policy;
mod rebuild;
mod recover;
mod region;
mod release;
mod renew;
mod restore;
mod server;
mod volume;
mod watch;
mod word;

use clap::Subcommand;

use crate::{
    context::{Context, Outcome},
    output::Output,
};

pub use image::fetch_state;
pub use policy::preset;
pub use word::{end_reason, host_state, phase, scheduling};

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Alone(Alone),
    #[command(flatten)]
    Call(Box<Call>),
}

/// Commands that need no running service.
#[derive(Debug, Subcommand)]
pub enum Alone {
    Server(server::Server),
    Agent(agent::Agent),
    Dev(dev::Dev),
    Inspect(inspect::Inspect),
    Restore(restore::Restore),
    Recover(recover::Recover),
    Rebuild(rebuild::Rebuild),
    Completions(completions::Completions),
}

/// Commands that call the service.
#[derive(Debug, Subcommand)]
pub enum Call {
    Place(place::Place),
    Explain(explain::Explain),
    Release(release::Release),
    Renew(renew::Renew),
    Get(get::Get),
    Ls(ls::Ls),
    #[command(subcommand)]
    Host(host::Host),
    #[command(subcommand)]
    Volume(volume::Volume),
    #[command(subcommand)]
    Image(image::Image),
    #[command(subcommand)]
    Region(region::Region),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    Backup(backup::Backup),
    Watch(watch::Watch),
}

impl Alone {
    pub async fn run(self, output: Output) -> Outcome {
        match self {
            // Large, and as old as the process.
            Self::Server(command) => Box::pin(command.run()).await,
            Self::Agent(command) => command.run(output).await,
            Self::Dev(command) => command.run().await,
            Self::Inspect(command) => command.run(output),
            Self::Restore(command) => command.run(output),
            Self::Recover(command) => command.run(output),
            Self::Rebuild(command) => command.run(output),
            Self::Completions(command) => command.run(output),
        }
    }
}

impl Call {
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Place(command) => command.run(context).await,
            Self::Explain(command) => command.run(context).await,
            Self::Release(command) => command.run(context).await,
            Self::Renew(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Ls(command) => command.run(context).await,
            Self::Host(command) => command.run(context).await,
            Self::Volume(command) => command.run(context).await,
            Self::Image(command) => command.run(context).await,
            Self::Region(command) => command.run(context).await,
            Self::Policy(command) => command.run(context).await,
            Self::Cluster(command) => command.run(context).await,
            Self::Backup(command) => command.run(context).await,
            Self::Watch(command) => command.run(context).await,
        }
    }
}
