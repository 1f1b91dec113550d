//! Volumes over the API: what is held for their machines, forks, and volumes by their names.

use gantry_proto::{WireError, v1};
use tonic::Code;

use super::member::{Member, place};

/// At the level that knows holds.
async fn member() -> Member {
    let member = Member::start().await;
    member.cluster().set_feature_level(v1::SetFeatureLevelRequest { level: 2 }).await.unwrap();
    member
}

fn request(id: &str, compute: Option<v1::Shape>) -> v1::CreateVolumeRequest {
    v1::CreateVolumeRequest {
        request_id: id.to_owned(),
        app: "app".to_owned(),
        name: "data".to_owned(),
        size_bytes: 1 << 30,
        compute,
        ..v1::CreateVolumeRequest::default()
    }
}

fn gpus(count: u32) -> Option<v1::Shape> {
    let shape = place("", 1).shape.unwrap();
    let gpu = v1::GpuShape { count, ..shape.gpu.clone().unwrap() };
    Some(v1::Shape { cpu_kind: v1::CpuKind::Shared as i32, gpu: Some(gpu), ..shape })
}

async fn create(member: &Member, request: v1::CreateVolumeRequest) -> v1::Volume {
    member.volumes().create(request).await.unwrap().into_inner().volume.unwrap()
}

async fn listed(member: &Member) -> Vec<v1::Volume> {
    member.volumes().list(v1::ListVolumesRequest::default()).await.unwrap().into_inner().volumes
}

fn using(volume_id: u64, request: v1::PlaceRequest) -> v1::PlaceRequest {
    v1::PlaceRequest { constraints: Some(v1::Constraints { volume_id, ..v1::Constraints::default() }), ..request }
}

fn by_name(request: v1::PlaceRequest) -> v1::PlaceRequest {
    let volume_name = "data".to_owned();
    v1::PlaceRequest { constraints: Some(v1::Constraints { volume_name, ..v1::Constraints::default() }), ..request }
}

/// The field that a refusal names, and its reason.
fn field(status: &tonic::Status) -> (String, String) {
    let error = WireError::from(status);
    assert!(!error.detail.indefinite, "{status:?}");
    (error.field, error.detail.reason)
}

#[tokio::test]
async fn what_a_volume_holds_is_for_its_machine_until_the_lease_ends() {
    let member = member().await;
    let _agents = member.hosts(1).await;
    let volume = create(&member, request("v", gpus(8))).await;
    let hold = volume.hold.clone().unwrap();
    assert_eq!((hold.devices.len(), hold.until_ms - volume.created_at_ms, &hold.shape), (8, 60_000, &gpus(8)));
    assert_eq!(listed(&member).await, std::slice::from_ref(&volume));
    let refused = member.placement().place(place("other", 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");

    let machine = using(volume.id, v1::PlaceRequest { shape: gpus(2), ..place("m", 1) });
    let placed = member.placement().place(machine).await.unwrap().into_inner();
    let devices = |shares: &[v1::DeviceShare]| shares.iter().map(|share| share.index).collect::<Vec<_>>();
    assert_eq!(devices(&placed.reservations[0].devices), [0, 1]);
    assert_eq!((&listed(&member).await[0].hold, listed(&member).await[0].used_by), (&None, placed.reservations[0].id));
    assert_eq!(member.placement().place(place("rest", 6)).await.unwrap().into_inner().missing, 0);

    // By itself: nobody comes for this one.
    let release = v1::ReleaseRequest { request_id: "r".to_owned(), reservation_ids: vec![placed.reservations[0].id] };
    member.placement().release(release).await.unwrap();
    let short = v1::CreateVolumeRequest { hold_ms: 300, ..request("w", gpus(2)) };
    assert!(create(&member, short).await.hold.is_some());
    let watch = v1::WatchRequest { after_rev: Some(0), ..v1::WatchRequest::default() };
    let mut events = member.watcher().watch(watch).await.unwrap().into_inner();
    let expired = async {
        loop {
            let response = events.message().await.unwrap().unwrap();
            let expired = response.events.into_iter().find_map(|event| match event.event {
                Some(v1::event::Event::VolumeHoldExpired(volume)) => Some(volume),
                _ => None,
            });
            if let Some(volume) = expired {
                return volume;
            }
        }
    };
    let volume = tokio::time::timeout(super::member::PATIENCE, expired).await.unwrap();
    assert_eq!((volume.id, volume.hold), (2, None));
    assert_eq!(member.placement().place(place("freed", 2)).await.unwrap().into_inner().missing, 0);
}

#[tokio::test]
async fn a_fork_is_refused_by_the_field_that_is_wrong_and_lies_elsewhere() {
    let member = member().await;
    let _agents = member.hosts(2).await;
    let source = create(&member, request("v", None)).await;
    let machine = using(source.id, v1::PlaceRequest { image: "image".to_owned(), ..place("m", 1) });
    member.placement().place(machine).await.unwrap();
    let fork = |id: &str| v1::CreateVolumeRequest { fork_of: source.id, size_bytes: 0, ..request(id, None) };
    for (expected, bad) in [
        ("fork_of", v1::CreateVolumeRequest { fork_of: 99, ..fork("a") }),
        ("fork_of", v1::CreateVolumeRequest { app: "other".to_owned(), ..fork("b") }),
        ("size_bytes", v1::CreateVolumeRequest { size_bytes: 1, ..fork("c") }),
        ("hold_ms", v1::CreateVolumeRequest { hold_ms: u64::MAX, ..fork("d") }),
    ] {
        let refused = member.volumes().create(bad).await.unwrap_err();
        assert_eq!((refused.code(), field(&refused).0.as_str()), (Code::InvalidArgument, expected), "{refused:?}");
    }
    let forked = create(&member, fork("f")).await;
    assert_ne!(forked.host, source.host);
    assert_eq!((forked.forked_from, forked.size_bytes), (source.id, source.size_bytes));
    let hold = forked.hold.clone().unwrap();
    assert_eq!((hold.shape, hold.image.as_str()), (gpus(1), "image"));
    assert_eq!(create(&member, fork("f")).await, forked, "the same request, the same answer");
    let everywhere = v1::Constraints { regions: vec!["any".to_owned()], ..v1::Constraints::default() };
    let third = v1::CreateVolumeRequest { constraints: Some(everywhere), fork_of: forked.id, ..fork("g") };
    assert_eq!(create(&member, third).await.host, source.host);
}

#[tokio::test]
async fn machines_get_the_unattached_volumes_of_a_name_and_hear_when_there_are_none() {
    let member = member().await;
    let _agents = member.hosts(3).await;
    let none = member.placement().place(by_name(place("none", 1))).await.unwrap_err();
    assert_eq!(field(&none), ("constraints.volume_name".to_owned(), "VOLUMES_ATTACHED".to_owned()));
    assert!(none.message().contains("has no volume named"), "{none:?}");
    for id in ["v1", "v2", "v3"] {
        create(&member, request(id, None)).await;
    }
    // As one batch of the decider: plans in flight never choose the same.
    let calls = [by_name(place("one", 1)), by_name(place("two", 2))];
    let placed = super::placing::batch(&member, calls.to_vec()).await;
    let mut volumes: Vec<u64> =
        placed.iter().flat_map(|placed| &placed.as_ref().unwrap().reservations).map(|row| row.volume).collect();
    volumes.sort_unstable();
    assert_eq!(volumes, [1, 2, 3]);

    let refused = member.placement().place(by_name(place("more", 1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(field(&refused), ("constraints.volume_name".to_owned(), "VOLUMES_ATTACHED".to_owned()));
    assert!(refused.message().contains("has 3 named \"data\", and all are attached"), "{refused:?}");
    let both = v1::Constraints { volume_id: 1, volume_name: "data".to_owned(), ..v1::Constraints::default() };
    let both = v1::PlaceRequest { constraints: Some(both), ..place("both", 1) };
    assert_eq!(field(&member.placement().place(both).await.unwrap_err()).0, "constraints.volume_name");

    // One that is there and has no room is told by the constraint.
    create(&member, request("v4", None)).await;
    let large = v1::PlaceRequest { shape: gpus(9), ..place("large", 1) };
    let refused = member.placement().place(by_name(large)).await.unwrap_err();
    let error = WireError::from(&refused);
    assert_eq!(error.detail.reason, "NO_CAPACITY", "{refused:?}");
    assert_eq!(error.detail.rejections.iter().map(|group| group.hosts).sum::<u64>(), 3, "{refused:?}");
}
