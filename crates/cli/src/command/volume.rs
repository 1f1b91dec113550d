//! Commands on volumes.

mod create;
mod delete;
mod ls;

use clap::Subcommand;

use crate::context::{Context, Outcome};

/// Create, list and delete volumes
#[derive(Debug, Subcommand)]
pub enum Volume {
    Create(Box<create::Create>),
    Ls(ls::Ls),
    Delete(delete::Delete),
}

impl Volume {
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Create(command) => command.run(context).await,
            Self::Ls(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
        }
    }
}
