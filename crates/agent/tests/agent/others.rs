//! Layers that are wanted ahead of need on a containerd that has other clients, too.

use std::{
    io::Write,
    process::Stdio,
    time::{Duration, Instant},
};

use gantry_proto::v1::{self, Fetch, FetchState, LayerState};

use crate::{
    crooked::{Crooked, Trick},
    image::Image,
    stage::{MIB, Stage, layers, order, states},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_client_fetches_is_waited_for() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, _] = layers();
    let image = Image::new("app", &[&base, &zstd]);
    stage.push(&image);
    let crooked = Crooked::start(&stage.registry.host, |_, _| Trick::Honest).await;
    stage.agent(&[&crooked.host], "", "").await;
    let (reference, size) = (format!("layer-{}", base.digest), base.size().to_string());
    let args = ["content", "ingest", "--expected-digest", &base.digest, "--expected-size", &size, &reference];
    let mut writer =
        stage.containerd.command(&args).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ctr runs");
    let mut stdin = writer.stdin.take().expect("it was asked for");
    let (half, rest) = base.blob.split_at(base.blob.len() / 2);
    stdin.write_all(half).expect("ctr reads");
    let pulling = |layer: &v1::LayerOnHost| layer.state() == LayerState::Pulling && layer.fetched_bytes > Some(0);
    stage.cluster.until("its pull", |heard| heard.layers.get(&base.digest).is_some_and(pulling)).await;
    stage.ask(Fetch { keep_ms: 60_000, ..order(1, &crooked.host, &image, &[&base]) });
    let progress = |told: &v1::FetchProgress| told.present_bytes >= MIB as u64;
    stage.cluster.until("its progress", |heard| heard.fetched.iter().any(progress)).await;
    stdin.write_all(rest).expect("ctr reads");
    drop(stdin);
    assert!(writer.wait().expect("ctr was started above").success());
    let told = stage.ends(1).await;
    assert_eq!((told.state(), &*told.reason), (FetchState::Ready, ""));
    assert_eq!(crooked.count(&base.digest), 0, "it came from elsewhere");
    stage.cluster.until("unpacked", |_| stage.cluster.states() == states(&[&base], LayerState::Unpacked)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_at_the_same_time_fetches_nothing_twice() {
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
    let progress = |told: &v1::FetchProgress| told.present_bytes > 0;
    stage.cluster.until("progress", |heard| heard.fetched.iter().any(progress)).await;
    let name = format!("{}/team/app:1", crooked.host);
    let mut pull = stage.containerd.command(&["image", "pull", "--plain-http", &name]);
    let pulled = tokio::task::spawn_blocking(move || pull.output()).await.expect("no panic").expect("ctr runs");
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    let told = stage.ends(1).await;
    assert_eq!((told.state(), &*told.reason), (FetchState::Ready, ""));
    assert_eq!(crooked.count(&base.digest), 1);
    stage.cluster.until("unpacked", |_| stage.cluster.states() == states(&all, LayerState::Unpacked)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unpacked_already_is_not_fetched_and_a_layer_may_come_twice() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, _] = layers();
    let twice = Image::new("app", &[&base, &zstd, &base]);
    stage.push(&twice);
    stage.containerd.import(&Image::new("registry.example/base:1", &[&base]), &[]);
    stage.containerd.ctr(&["content", "rm", &base.digest]);
    let crooked = Crooked::start(&stage.registry.host, |_, _| Trick::Honest).await;
    stage.agent(&[&crooked.host], "", "").await;
    stage.ask(Fetch { keep_ms: 60_000, ..order(1, &crooked.host, &twice, &[&base]) });
    let told = stage.ends(1).await;
    assert_eq!((told.state(), told.present_bytes), (FetchState::Ready, base.size()));
    assert_eq!((crooked.count(&base.digest), stage.has(&base.digest)), (0, false));
    stage.containerd.remove("registry.example/base:1");
    stage.collect();
    assert_eq!(stage.containerd.ctr(&["snapshot", "ls"]).lines().count(), 2, "a head line, and what is kept");

    stage.ask(order(2, &crooked.host, &twice, &[&base, &zstd, &base]));
    let told = stage.ends(2).await;
    assert_eq!((told.state(), &*told.reason), (FetchState::Ready, ""));
    assert_eq!(told.total_bytes, 2 * base.size() + zstd.size());
    assert_eq!((crooked.count(&base.digest), crooked.count(&zstd.digest)), (1, 1));
    assert_eq!(stage.containerd.ctr(&["snapshot", "ls"]).lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_given_only_to_what_it_stands_for() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, zstd, plain] = layers();
    let (before, after) = (Image::new("app", &[&base, &plain]), Image::new("app", &[&base, &zstd]));
    stage.push(&before);
    stage.agent(&[], "", "").await;
    let host = stage.registry.host.clone();
    stage.ask(order(1, &host, &before, &[&base, &plain]));
    assert_eq!(stage.ends(1).await.state(), FetchState::Ready);
    stage.push(&after);
    stage.ask(order(2, &host, &after, &[&base, &zstd]));
    assert_eq!(stage.ends(2).await.state(), FetchState::Ready);
    let images = stage.containerd.ctr(&["image", "ls"]);
    assert!(images.contains(&after.index) && !images.contains(&before.index), "moved, as a pull moves it: {images}");
    stage.ask(order(3, &host, &before, &[&base, &plain]));
    let told = stage.ends(3).await;
    assert!(told.state() == FetchState::Failed && told.reason.contains("does not stand for"), "{told:?}");
    assert!(stage.containerd.ctr(&["image", "ls"]).contains(&after.index));
    // For base layers it does not matter what the name stands for.
    stage.ask(order(4, &host, &before, &[&base]));
    assert_eq!(stage.ends(4).await.state(), FetchState::Ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_containerd_or_switched_off_it_is_said_why() {
    let Some(mut stage) = Stage::start().await else { return };
    let [base, ..] = layers();
    let image = Image::new("app", &[&base]);
    stage.agent(&[], "", "").await;
    let host = stage.registry.host.clone();
    stage.containerd.process.kill().expect("it runs");
    stage.containerd.process.wait().expect("it was started by the test");
    let begun = Instant::now();
    stage.ask(order(1, &host, &image, &[&base]));
    let told = stage.ends(1).await;
    assert!(told.state() == FetchState::Failed && told.reason.contains("cannot be connected to"), "{told:?}");
    assert!(begun.elapsed() < Duration::from_secs(15));
    stage.cluster.cut();
    if let Some(agent) = stage.agent.take() {
        agent.abort();
    }
    stage.containerd.process = crate::containerd::launch(stage.containerd.dir.path());
    stage.containerd.wait();
    let connections = stage.cluster.heard().connections;
    stage.agent(&[], "enabled = false", "").await;
    stage.cluster.until("back", |heard| heard.connections > connections).await;
    stage.cluster.until("registered", |heard| heard.registered.len() >= 2).await;
    stage.ask(order(2, &host, &image, &[&base]));
    let told = stage.ends(2).await;
    assert!(told.state() == FetchState::Failed && told.reason.contains("fetch.enabled is false"), "{told:?}");
}
