//! The container file and the compose file. Nothing is built here: what they name is looked up.

use std::{collections::BTreeSet, path::Path};

use gantry_server::Config;
use serde_json::Value;

use super::{dir, lines, read, texts, yaml};

/// The instructions of the container file, each with its continuation lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("Containerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            (name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

/// What the instruction of that name says, last one first.
fn instruction(name: &str) -> String {
    let mut all: Vec<String> =
        instructions().into_iter().filter(|(found, _)| found == name).map(|(_, rest)| rest).collect();
    all.pop().unwrap_or_else(|| panic!("there is no {name}"))
}

fn words(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json} is no list of words: {error}"))
}

/// What the container runs when it is told nothing.
pub fn entry_point() -> Vec<String> {
    words(&instruction("ENTRYPOINT"))
}

#[test]
fn the_stages_make_and_take_the_same_files() {
    let build = instructions().into_iter().map(|(_, rest)| rest).find(|rest| rest.contains("cargo build"));
    let build = build.expect("a stage compiles");
    let package = build.split("-p ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a package is named");
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("it is there");
    let manifest: toml::Table = manifest.parse().expect("it is a manifest");
    assert_eq!(manifest["package"]["name"].as_str(), Some(package));
    let binary = manifest["bin"][0]["name"].as_str().expect("a binary has a name");
    let made = format!("target/release/{binary} /out{}", entry_point()[0]);
    assert!(build.contains(&made), "{build} lacks {made}");
    assert!(build.contains("--locked") && build.contains("--release"), "{build}");
    assert_eq!(instruction("COPY"), "--from=build /out/ /");
    assert!(instructions().iter().any(|(name, rest)| name == "FROM" && rest.ends_with("AS build")));

    let workspace: toml::Table =
        std::fs::read_to_string(dir().join("../Cargo.toml")).expect("it is there").parse().unwrap();
    let rust = workspace["workspace"]["package"]["rust-version"].as_str().expect("the workspace says it").to_owned();
    assert!(
        instructions().iter().any(|(name, rest)| name == "FROM" && rest.contains(&format!("rust:{rust}-"))),
        "{rust}"
    );
}

/// As `cargo xtask` installs them.
#[test]
fn it_has_the_packages_that_a_build_needs() {
    let setup = std::fs::read_to_string(dir().join("../crates/xtask/src/setup.rs")).expect("it is there");
    let needs = setup.lines().filter_map(|line| line.trim().strip_prefix("package: \"")?.strip_suffix("\","));
    // What only tests start is no part of a build.
    let started = ["containerd", "docker-registry"];
    let needs: BTreeSet<&str> = needs.filter(|need| !started.contains(need)).collect();
    assert!(needs.contains("libclang-dev"), "{needs:?}");
    let installs = instructions().into_iter().map(|(_, rest)| rest).find(|rest| rest.contains("apt-get install"));
    let installs = installs.expect("a stage installs packages");
    assert!(
        needs.iter().all(|need| installs.split(' ').any(|word| word == *need)),
        "{installs} lacks some of {needs:?}"
    );
}

#[test]
fn it_runs_a_server_as_the_samples_say() {
    let arguments = words(&instruction("CMD"));
    lines::taken(&arguments);
    let sample = Config::load(&dir().join("server.toml")).expect("the sample is a config");
    assert_eq!(sample.data_dir.to_str(), Some(instruction("VOLUME").as_str()));
    assert_eq!(instruction("VOLUME"), instruction("WORKDIR"));
    for addr in [&sample.client_addr, &sample.raft_addr] {
        let port = addr.rsplit(':').next().expect("an address has a port");
        assert!(instruction("EXPOSE").split(' ').any(|exposed| exposed == port), "{port}");
    }
    assert_eq!(instruction("STOPSIGNAL"), "SIGTERM");
    let (user, group) = instruction("USER").split_once(':').map(|(u, g)| (u.to_owned(), g.to_owned())).expect("both");
    let directory = format!("-o {user} -g {group} /out{}", instruction("VOLUME"));
    assert!(instructions().iter().any(|(_, rest)| rest.contains(&directory)), "its user cannot write: {directory}");
}

#[test]
fn three_containers_are_one_cluster() {
    let compose = yaml("compose.yaml").remove(0);
    let services = compose["services"].as_object().expect("services");
    let mut members = Vec::new();
    for (name, service) in services.iter().filter(|(name, _)| *name != "init") {
        let config = config_of(&compose, service);
        assert_eq!(config.client_addr, format!("{name}:7400"), "it is reached by its service's name");
        assert_eq!(config.raft_addr, format!("{name}:7401"));
        assert_eq!(texts(&service["volumes"]), [format!("{name}:{}", config.data_dir.display())]);
        assert!(compose["volumes"].as_object().expect("volumes").contains_key(name));
        assert!(texts(&service["ports"])[0].ends_with(":7400"));
        assert_eq!(service["stop_grace_period"], "30s");
        assert_eq!(service["read_only"], true);
        let id = config.node_id.expect("a first member is numbered");
        members.push(format!("--member={id}={},{}", config.raft_addr, config.client_addr));
    }
    assert_eq!(members.len(), 3);
    let init = &services["init"];
    let command = texts(&init["command"]);
    assert!(members.iter().all(|member| command.contains(member)), "{command:?} lacks some of {members:?}");
    assert_eq!(texts(&init["depends_on"]), ["node1", "node2", "node3"]);
    let quick: Vec<String> = command
        .iter()
        .map(|word| if word.starts_with("--timeout") { "--timeout=100ms".to_owned() } else { word.clone() })
        .collect();
    lines::taken(&quick);
    for service in services.values() {
        let build = dir().join(service["build"]["context"].as_str().expect("a context"));
        assert!(build.join(service["build"]["dockerfile"].as_str().expect("a file")).is_file());
    }
}

/// The config that a service finds where the container's command reads it.
fn config_of(compose: &Value, service: &Value) -> Config {
    let mount = &service["configs"][0];
    assert_eq!(mount["target"].as_str(), words(&instruction("CMD")).last().map(String::as_str));
    let source = mount["source"].as_str().expect("a config is named");
    let text = compose["configs"][source]["content"].as_str().expect("it has a content");
    toml::from_str(text).unwrap_or_else(|error| panic!("{source}: {error}"))
}
