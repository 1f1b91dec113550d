//! Commands on regions.

mod alias;
mod ls;

use clap::Subcommand;

use crate::context::{Context, Outcome};

/// See regions, and give names to lists of them
#[derive(Debug, Subcommand)]
pub enum Region {
    #[command(visible_alias = "list")]
    Ls(ls::Ls),
    Alias(alias::Alias),
}

impl Region {
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Ls(command) => command.run(context).await,
            Self::Alias(command) => command.run(context).await,
        }
    }
}
