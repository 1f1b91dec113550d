//! Layers that the cluster wants on a host before a machine needs them: from Debian's registry into a real containerd.

use std::time::Duration;

use gantry_proto::v1::{self, CancelFetch, Fetch, FetchState, LayerState, agent_event::Event};

use crate::{
    cluster::Heard,
    crooked::{Crooked, Trick},
    image::Image,
    stage::{MIB, Stage, end, layers, order, states},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_image_is_there_for_whoever_pulls_or_runs_it() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, plain] = layers();
    let all = [&base, &zstd, &plain];
    let image = Image::new("app", &all);
    stage.push(&image);
    stage.agent(&[], "", "").await;
    let host = stage.registry.host.clone();
    stage.ask(order(7, &host, &image, &all));
    let told = stage.ends(7).await;
    let total: u64 = all.iter().map(|layer| layer.size()).sum();
    assert_eq!((told.state(), &*told.reason), (FetchState::Ready, ""));
    assert_eq!((told.present_bytes, told.total_bytes), (total, total));
    let name = format!("{host}/team/app:1");
    let checked = stage.containerd.ctr(&["image", "check", &format!("name=={name}")]);
    let line = checked.lines().find(|line| line.contains(&name)).expect("it is listed");
    assert!(line.contains("complete (4/4)") && line.trim_end().ends_with("true"), "{checked}");
    assert!(line.contains(&image.index), "the name stands for the index, as after a pull: {line}");
    assert_eq!(stage.containerd.ctr(&["snapshot", "ls"]).lines().filter(|line| line.contains("Committed")).count(), 3);
    assert_eq!(stage.leases(), [""; 0], "an image keeps itself");
    stage.cluster.until("it is told", |_| stage.cluster.states() == states(&all, LayerState::Unpacked)).await;
    stage.cluster.until("it is taught", |heard| heard.images.contains_key(&name)).await;
    let labels = stage.containerd.ctr(&["content", "ls"]);
    let source = format!("containerd.io/distribution.source.{host}=team/app");
    assert_eq!(labels.lines().filter(|line| line.contains(&source)).count(), 6, "{labels}");

    // Garbage collection takes nothing, a pull has nothing to do, and the image runs as any other.
    stage.collect();
    assert!(all.iter().all(|layer| stage.has(&layer.digest)));
    stage.containerd.ctr(&["image", "pull", "--plain-http", &name]);
    stage.ask(order(8, &host, &image, &all));
    assert_eq!(stage.ends(8).await.state(), FetchState::Ready);
    stage.containerd.remove(&name);
    stage.cluster.until("collected", |heard| heard.layers.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn base_layers_alone_have_no_name_and_are_kept_for_as_long_as_wanted() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, plain] = layers();
    let image = Image::new("app", &[&base, &zstd, &plain]);
    stage.push(&image);
    stage.agent(&[], "", "").await;
    let host = stage.registry.host.clone();
    let ordered = order(1, &host, &image, &[&base, &zstd]);
    stage.ask(Fetch { keep_ms: 8_000, ..ordered.clone() });
    let told = stage.ends(1).await;
    let begun = std::time::Instant::now();
    assert_eq!((told.state(), &*told.reason), (FetchState::Ready, ""));
    let both = states(&[&base, &zstd], LayerState::Unpacked);
    stage.cluster.until("unpacked", |_| stage.cluster.states() == both).await;
    assert_eq!(stage.containerd.ctr(&["image", "ls", "-q"]), "");
    assert!(!stage.has(&plain.digest), "it was not asked for");
    assert_eq!(stage.leases().len(), 1);
    stage.collect();
    assert!(stage.has(&base.digest) && begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());

    tokio::time::sleep(Duration::from_secs(10).saturating_sub(begun.elapsed())).await;
    stage.collect();
    stage.cluster.until("collected", |heard| heard.layers.is_empty()).await;
    assert_eq!((stage.leases(), stage.containerd.ctr(&["content", "ls", "-q"])), (vec![], String::new()));

    // Not kept at all, it is garbage at once.
    stage.ask(Fetch { id: 2, unpack: false, ..ordered });
    assert_eq!(stage.ends(2).await.state(), FetchState::Ready);
    stage.collect();
    assert!(!stage.has(&base.digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_is_cancelled_leaves_nothing() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, _] = layers();
    let image = Image::new("app", &[&base, &zstd]);
    stage.push(&image);
    let big = base.digest.clone();
    let slow =
        move |path: &str, _| if path.ends_with(&big) { Trick::Slow(Duration::from_millis(300)) } else { Trick::Honest };
    let crooked = Crooked::start(&stage.registry.host, slow).await;
    stage.agent(&[&crooked.host], "at_once = 1", "").await;
    stage.ask(order(1, &crooked.host, &image, &[&base, &zstd]));
    stage.ask(order(2, &crooked.host, &image, &[&base]));
    let pulling = |heard: &Heard| {
        heard
            .layers
            .get(&base.digest)
            .is_some_and(|layer| layer.state() == LayerState::Pulling && layer.fetched_bytes > Some(0))
    };
    let heard = stage.cluster.until("a pull", pulling).await;
    let of = |id| heard.fetched.iter().filter(move |told| told.id == id).map(v1::FetchProgress::state);
    assert!(of(1).any(|state| state == FetchState::Fetching));
    assert_eq!(of(2).collect::<Vec<_>>(), [FetchState::Waiting], "one at a time");
    let progress =
        |told: &v1::FetchProgress| told.id == 1 && told.present_bytes > 0 && told.present_bytes < told.total_bytes;
    stage.cluster.until("progress", |heard| heard.fetched.iter().any(progress)).await;
    for id in [2, 1, 3] {
        stage.cluster.say(Event::CancelFetch(CancelFetch { id }));
    }
    assert_eq!(
        (stage.ends(2).await.state(), stage.ends(1).await.state()),
        (FetchState::Cancelled, FetchState::Cancelled)
    );
    stage.cluster.until("all collected", |heard| heard.layers.is_empty()).await;
    assert_eq!((stage.writes(), stage.leases()), (String::new(), vec![]));
    assert!(!stage.has(&zstd.digest), "what it had is garbage");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_asked_for_twice_is_fetched_once_also_on_another_connection() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, plain] = layers();
    let all = [&base, &zstd, &plain];
    let image = Image::new("app", &all);
    stage.push(&image);
    let slow = base.digest.clone();
    let rule =
        move |path: &str, _| if path.ends_with(&slow) { Trick::Slow(Duration::from_millis(50)) } else { Trick::Honest };
    let crooked = Crooked::start(&stage.registry.host, rule).await;
    stage.agent(&[&crooked.host], "", "").await;
    stage.ask(order(1, &crooked.host, &image, &all));
    stage.ask(order(2, &crooked.host, &image, &all));
    stage
        .cluster
        .until("both are told", |heard| [1, 2].iter().all(|id| heard.fetched.iter().any(|told| told.id == *id)))
        .await;
    stage.cluster.cut();
    stage.cluster.until("back", |heard| heard.registered.len() == 2).await;
    stage.ask(order(3, &crooked.host, &image, &all));
    assert_eq!(stage.ends(3).await.state(), FetchState::Ready);
    let heard = stage.cluster.heard();
    assert!(end(&heard, 1).is_none() && end(&heard, 2).is_none(), "their connection is gone");
    assert!(all.iter().all(|layer| crooked.count(&layer.digest) == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_kept_and_says_nothing_of_the_link() {
    let Some(mut stage) = Stage::start().await else { return };
    let [_, zstd, plain] = layers();
    let both = [&zstd, &plain];
    let image = Image::new("app", &both);
    stage.push(&image);
    // An agent that died left this one.
    let left = ["leases", "create", "--id", "gantry-fetch-left-0", "gantry.fetching=left"];
    stage.containerd.ctr(&left);
    let limits = format!("reserve_bytes = 1\nbytes_per_s = {}", 2 * MIB);
    stage.agent(&[], &limits, "").await;
    let begun = std::time::Instant::now();
    let host = stage.registry.host.clone();
    stage.ask(Fetch { bytes_per_s: MIB as u64 / 2, ..order(1, &host, &image, &both) });
    assert_eq!(stage.ends(1).await.state(), FetchState::Ready);
    let took = begun.elapsed().as_secs_f64();
    assert!((3.5..8.0).contains(&took), "2 MiB at half a MiB a second: {took} s");
    let heard = stage.cluster.until("measured", |heard| !heard.pulled.is_empty()).await;
    assert_eq!(heard.pulled[0].fetched_bytes, 0, "the limit was measured, and not the link");
    assert_eq!(heard.pulled[0].unpacked_bytes, zstd.size() + plain.size());
    let told = heard.fetched.len();
    assert!((4..=20).contains(&told), "{told} messages in {took} s");
    assert_eq!(stage.leases(), [""; 0], "what is left over is ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_machine_waits_for_is_not_held_back() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, ..] = layers();
    let image = Image::new("app", &[&base]);
    stage.push(&image);
    stage.agent(&[], "reserve_bytes = 1\nbytes_per_s = 100000", "").await;
    let host = stage.registry.host.clone();
    let ordered = order(1, &host, &image, &[&base]);
    stage.ask(Fetch { bytes_per_s: 50_000, ..ordered.clone() });
    let progress = |told: &v1::FetchProgress| told.present_bytes > 0;
    let begun = std::time::Instant::now();
    stage.cluster.until("progress", |heard| heard.fetched.iter().any(progress)).await;
    stage.cluster.grant(v1::Reservation {
        id: 7,
        fence: 7,
        image: ordered.reference,
        shape: Some(v1::Shape { memory_bytes: 1, ..v1::Shape::default() }),
        phase: v1::Phase::Reserved.into(),
        ..v1::Reservation::default()
    });
    assert_eq!(stage.ends(1).await.state(), FetchState::Ready);
    assert!(begun.elapsed() < Duration::from_secs(20), "a minute at its limit: {:?}", begun.elapsed());
}
