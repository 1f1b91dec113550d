//! Layers that are wanted ahead of need, and what goes wrong on their way.

use std::time::Duration;

use gantry_proto::v1::{self, Fetch, FetchState, LayerState};

use crate::{
    containerd::launch,
    crooked::{Crooked, Trick},
    image::Image,
    stage::{MIB, Stage, layers, order, states},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_registry_has_wrong_never_gets_its_name() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, _] = layers();
    let image = Image::new("app", &[&base, &zstd]);
    stage.push(&image);
    let bad = base.digest.clone();
    let crooked = Crooked::start(
        &stage.registry.host,
        move |path, _| if path.ends_with(&bad) { Trick::Lie } else { Trick::Honest },
    )
    .await;
    stage.agent(&[&crooked.host], "", "").await;
    stage.ask(order(1, &crooked.host, &image, &[&base, &zstd]));
    let told = stage.ends(1).await;
    assert_eq!(told.state(), FetchState::Failed);
    assert!(told.reason.contains("the registry sent sha256:") && told.reason.contains(&base.digest), "{}", told.reason);
    assert!(!stage.has(&base.digest));
    stage.cluster.until("collected", |heard| heard.layers.is_empty()).await;
    assert_eq!((stage.writes(), stage.leases()), (String::new(), vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_lies_is_passed_over() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, _] = layers();
    let image = Image::new("app", &[&base, &zstd]);
    stage.push(&image);
    let bad = zstd.digest.clone();
    let rule = move |path: &str, _| if path.ends_with(&bad) { Trick::Lie } else { Trick::Honest };
    let mirror = Crooked::start(&stage.registry.host, rule).await;
    stage.mirrors = vec![mirror.host.clone()];
    stage.agent(&[&mirror.host], "", "").await;
    let host = stage.registry.host.clone();
    stage.ask(order(1, &host, &image, &[&base, &zstd]));
    let told = stage.ends(1).await;
    assert_eq!((told.state(), &*told.reason), (FetchState::Ready, ""));
    assert_eq!((mirror.count(&base.digest), mirror.count(&zstd.digest)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_hangs_is_given_up_and_one_that_is_busy_is_not() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, plain] = layers();
    let image = Image::new("app", &[&base, &zstd, &plain]);
    stage.push(&image);
    let [hangs, busy, cut] = [base.digest.clone(), zstd.digest.clone(), plain.digest.clone()];
    let crooked = Crooked::start(&stage.registry.host, move |path, before| match before {
        _ if path.ends_with(&hangs) => Trick::Hang(MIB / 16),
        0 if path.ends_with(&busy) => Trick::Busy,
        0 if path.ends_with(&cut) => Trick::Cut(MIB / 2),
        _ => Trick::Honest,
    })
    .await;
    stage.agent(&[&crooked.host], "", "read_ms = 300").await;
    stage.ask(Fetch { unpack: false, ..order(1, &crooked.host, &image, &[&zstd, &plain]) });
    let told = stage.ends(1).await;
    assert_eq!((told.state(), &*told.reason), (FetchState::Ready, ""));
    assert_eq!((crooked.count(&zstd.digest), crooked.count(&plain.digest)), (2, 2));
    assert_eq!(crooked.count("range: bytes="), 1, "gone on with where it broke off");
    stage.ask(order(2, &crooked.host, &image, &[&base]));
    let told = stage.ends(2).await;
    assert_eq!(told.state(), FetchState::Failed);
    assert!(told.reason.contains("fell silent") && told.reason.contains(&base.digest), "{}", told.reason);
    assert!(told.present_bytes > 0, "{told:?}");
    assert!(crooked.count(&base.digest) > 3, "it was tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_goes_on_when_containerd_was_killed_in_the_middle() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, plain] = layers();
    let all = [&base, &zstd, &plain];
    let image = Image::new("app", &all);
    stage.push(&image);
    let slow = base.digest.clone();
    let rule = move |path: &str, before| match before {
        0 if path.ends_with(&slow) => Trick::Slow(Duration::from_millis(100)),
        _ => Trick::Honest,
    };
    let crooked = Crooked::start(&stage.registry.host, rule).await;
    stage.agent(&[&crooked.host], "", "").await;
    stage.ask(order(1, &crooked.host, &image, &all));
    let some = |told: &v1::FetchProgress| told.present_bytes > MIB as u64 / 2;
    stage.cluster.until("some of it", |heard| heard.fetched.iter().any(some)).await;
    stage.containerd.process.kill().expect("it runs");
    stage.containerd.process.wait().expect("it was started by the test");
    stage.containerd.process = launch(stage.containerd.dir.path());
    stage.containerd.wait();
    let told = stage.ends(1).await;
    assert_eq!((told.state(), &*told.reason), (FetchState::Ready, ""));
    assert!(crooked.count(&base.digest) >= 2, "it broke off");
    stage.cluster.until("unpacked", |_| stage.cluster.states() == states(&all, LayerState::Unpacked)).await;
    assert_eq!(stage.leases(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_refused_with_a_reason() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, plain] = layers();
    let image = Image::new("app", &[&base, &zstd]);
    stage.push(&image);
    stage.agent(&[], "reserve_bytes = 9000000000000000000", "").await;
    let host = stage.registry.host.clone();
    let good = order(1, &host, &image, &[&base, &zstd]);
    let other = Fetch { id: 2, ..order(2, &host, &image, &[&base, &plain]) };
    let tag = Fetch { id: 3, reference: format!("{host}/team/none:1"), ..good.clone() };
    let nonsense = Fetch { id: 4, reference: "no good name".to_owned(), ..good.clone() };
    for (fetch, named) in
        [(good, "are needed"), (other, "has no layer"), (tag, "does not exist"), (nonsense, "reference")]
    {
        let id = fetch.id;
        stage.ask(fetch);
        let told = stage.ends(id).await;
        assert!(told.state() == FetchState::Failed && told.reason.contains(named), "{told:?}");
    }
    assert_eq!(stage.leases(), [""; 0]);
}
