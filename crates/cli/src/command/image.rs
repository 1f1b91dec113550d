//! Commands on the catalogue of images.

mod ls;
mod record;
mod show;

use clap::Subcommand;

use crate::context::{Context, Outcome};

/// See and record images
#[derive(Debug, Subcommand)]
pub enum Image {
    Ls(ls::Ls),
    Record(record::Record),
    Show(show::Show),
}

impl Image {
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Ls(command) => command.run(context).await,
            Self::Record(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
        }
    }
}
