//! Flags for where a machine or volume may go.

use clap::Args;
use gantry_proto::v1;

use crate::unit::label;

#[derive(Clone, Debug, Args)]
pub struct ConstraintArgs {
    /// Regions that will do, the most wanted first, `any` for every one; without it any
    #[arg(long = "region", value_name = "REGION", value_delimiter = ',')]
    regions: Vec<String>,

    /// Labels that the host must have
    #[arg(long = "require", value_name = "KEY=VALUE", value_parser = label::parse)]
    require_labels: Vec<v1::Label>,

    /// Labels that the host must not have
    #[arg(long = "avoid", value_name = "KEY=VALUE", value_parser = label::parse)]
    avoid_labels: Vec<v1::Label>,

    /// Only this host
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
}

impl From<ConstraintArgs> for v1::Constraints {
    fn from(args: ConstraintArgs) -> Self {
        Self {
            regions: args.regions,
            require_labels: args.require_labels,
            avoid_labels: args.avoid_labels,
            host: args.on.unwrap_or_default(),
            ..Self::default()
        }
    }
}
