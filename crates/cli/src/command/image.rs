//! Commands on the catalogue of images.

mod ls;
mod record;
mod show;
mod warm;

use clap::Subcommand;

pub use warm::word as fetch_state;

use crate::context::{Context, Outcome};

/// See and record images, and have hosts fetch them
#[derive(Debug, Subcommand)]
pub enum Image {
    Ls(ls::Ls),
    Record(record::Record),
    Show(show::Show),
    Warm(warm::Warm),
}

impl Image {
    pub async fn run(self, context: Context) -> Outcome {
        match self {
            Self::Ls(command) => command.run(context).await,
            Self::Record(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Warm(command) => command.run(context).await,
        }
    }
}
