//! Commands on volumes.

mod create;
mod delete;
mod fork;
mod ls;
mod show;

use clap::Subcommand;

use crate::context::{Context, Outcome};

/// Create, fork, list and delete volumes
#[derive(Debug, Subcommand)]
pub enum Volume {
    Create(Box<create::Create>),
    Fork(Box<fork::Fork>),
    Ls(ls::Ls),
    Show(show::Show),
    Delete(delete::Delete),
}

impl Volume {
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Create(command) => command.run(context).await,
            Self::Fork(command) => command.run(context).await,
            Self::Ls(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
        }
    }
}
