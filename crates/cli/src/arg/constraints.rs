//! Flags for where a machine or volume may go.

use clap::Args;
use gantry_proto::v1;

use crate::unit::{label, party};

#[derive(Clone, Debug, Args)]
pub struct ConstraintArgs {
    /// Regions and aliases of regions that will do, the most wanted first, `any` for every one; without it any
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

    /// A group that the machine is in, which several apps may share
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,

    /// The most machines that the app may have on one host
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_per_host: Option<u32>,

    /// The most machines that the app may have in one zone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_per_zone: Option<u32>,

    /// Only on hosts with a machine of this app, or of group=NAME
    #[arg(long, value_name = "APP", value_parser = party::parse)]
    near: Vec<v1::Affinity>,

    /// Only in zones with a machine of this app, or of group=NAME
    #[arg(long, value_name = "APP", value_parser = party::parse)]
    near_in_zone: Vec<v1::Affinity>,

    /// Only on hosts without a machine of this app, or of group=NAME
    #[arg(long, value_name = "APP", value_parser = party::parse)]
    apart: Vec<v1::Affinity>,

    /// Only in zones without a machine of this app, or of group=NAME
    #[arg(long, value_name = "APP", value_parser = party::parse)]
    apart_in_zone: Vec<v1::Affinity>,
}

/// What is meant on the host, and what in its zone.
fn scoped(on_host: Vec<v1::Affinity>, in_zone: Vec<v1::Affinity>) -> Vec<v1::Affinity> {
    let with = |scope: v1::AffinityScope| move |affinity| v1::Affinity { scope: scope as i32, ..affinity };
    let on_host = on_host.into_iter().map(with(v1::AffinityScope::Host));
    on_host.chain(in_zone.into_iter().map(with(v1::AffinityScope::Zone))).collect()
}

impl From<ConstraintArgs> for v1::Constraints {
    fn from(args: ConstraintArgs) -> Self {
        Self {
            regions: args.regions,
            require_labels: args.require_labels,
            avoid_labels: args.avoid_labels,
            host: args.on.unwrap_or_default(),
            group: args.group.unwrap_or_default(),
            max_per_host: args.max_per_host.unwrap_or_default(),
            max_per_zone: args.max_per_zone.unwrap_or_default(),
            affinity: scoped(args.near, args.near_in_zone),
            anti_affinity: scoped(args.apart, args.apart_in_zone),
            ..Self::default()
        }
    }
}
