//! Flags for a request to place machines, which `place` and `explain` share.

use clap::Args;
use gantry_proto::v1;

use super::{constraints::ConstraintArgs, shape::ShapeArgs};

#[derive(Clone, Debug, Args)]
pub struct PlacementArgs {
    /// Whose machines they are
    #[arg(long, default_value = "default")]
    app: String,

    /// Image reference, as in `docker pull`; without it images play no part
    #[arg(long, value_name = "REFERENCE")]
    image: Option<String>,

    #[command(flatten)]
    shape: ShapeArgs,

    #[command(flatten)]
    constraints: ConstraintArgs,

    /// A volume that the machine uses, and whose host it goes to
    #[arg(long, value_name = "ID")]
    volume: Option<u64>,

    /// A volume of the app with this name that no machine uses: the one on the best host
    #[arg(long, value_name = "NAME", conflicts_with = "volume")]
    volume_name: Option<String>,

    /// How many machines
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    count: u32,

    /// Rank as if nothing were known of images
    #[arg(long)]
    image_blind: bool,
}

impl From<PlacementArgs> for v1::PlaceRequest {
    fn from(args: PlacementArgs) -> Self {
        let constraints = v1::Constraints {
            volume_id: args.volume.unwrap_or_default(),
            volume_name: args.volume_name.unwrap_or_default(),
            ..v1::Constraints::from(args.constraints)
        };
        Self {
            app: args.app,
            image: args.image.unwrap_or_default(),
            shape: Some(args.shape.into()),
            constraints: Some(constraints),
            count: args.count,
            image_blind: args.image_blind,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        placement: PlacementArgs,
    }

    fn parse(line: &str) -> Result<v1::PlaceRequest, clap::Error> {
        let words = std::iter::once("place").chain(line.split_whitespace());
        Flags::try_parse_from(words).map(|flags| flags.placement.into())
    }

    #[test]
    fn flags_become_a_request() {
        let request = parse(
            "--app web --image redis:7 --cpu 500m --cpu-kind performance --memory 16GiB --gpu 2 --gpu-kind H100,A100 --gpu-linked \
             --region ams,fra --require disk=ssd --avoid spot --on h1 --volume 9 --count 3 --group g --max-per-host 1 \
             --max-per-zone 2 --near db --near-in-zone group=cache --apart web --apart-in-zone group=noisy",
        )
        .unwrap();
        let label = |key: &str, value: &str| v1::Label { key: key.into(), value: value.into() };
        let near = |app: &str, group: &str, scope: v1::AffinityScope| v1::Affinity {
            app: app.into(),
            group: group.into(),
            scope: scope as i32,
        };
        let (host, zone) = (v1::AffinityScope::Host, v1::AffinityScope::Zone);
        assert_eq!(
            request,
            v1::PlaceRequest {
                app: "web".into(),
                image: "redis:7".into(),
                shape: Some(v1::Shape {
                    cpu_kind: v1::CpuKind::Performance as i32,
                    cpu_milli: 500,
                    memory_bytes: 16 << 30,
                    gpu: Some(v1::GpuShape {
                        kinds: vec!["H100".into(), "A100".into()],
                        count: 2,
                        milli: 1_000,
                        same_nvlink_group: true
                    }),
                }),
                constraints: Some(v1::Constraints {
                    regions: vec!["ams".into(), "fra".into()],
                    require_labels: vec![label("disk", "ssd")],
                    avoid_labels: vec![label("spot", "")],
                    host: "h1".into(),
                    volume_id: 9,
                    max_per_host: 1,
                    max_per_zone: 2,
                    group: "g".into(),
                    affinity: vec![near("db", "", host), near("", "cache", zone)],
                    anti_affinity: vec![near("web", "", host), near("", "noisy", zone)],
                    ..v1::Constraints::default()
                }),
                count: 3,
                ..v1::PlaceRequest::default()
            }
        );
    }

    #[test]
    fn a_volume_is_named_or_numbered() {
        let constraints = parse("--volume-name data --count 2").unwrap().constraints.unwrap();
        assert_eq!((constraints.volume_id, constraints.volume_name.as_str()), (0, "data"));
    }

    #[test]
    fn a_part_of_a_gpu_is_of_one() {
        let shape = parse("--gpu 0.25").unwrap().shape.unwrap();
        assert_eq!(shape.gpu, Some(v1::GpuShape { kinds: vec![], count: 1, milli: 250, ..v1::GpuShape::default() }));
    }

    #[test]
    fn bad_flags_are_refused() {
        for line in [
            "--gpu 1.5",
            "--gpu 0",
            "--gpu-kind H100",
            "--memory 16G",
            "--memory lots",
            "--cpu -1",
            "--cpu 1.0001",
            "--cpu-kind fast",
            "--count x",
            "--count 0",
            "--count 1001",
            "--volume x",
            "--volume 1 --volume-name data",
            "--max-per-host 0",
            "--near group=",
            "--require =x",
            "--nonsense",
        ] {
            assert!(parse(line).is_err(), "{line:?} was accepted");
        }
    }
}
