//! The Kubernetes manifests: that they hang together, and that a pod's script writes a config that a server takes.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use gantry_server::Config;
use serde_json::Value;

use super::{container, texts, yaml};

fn of_kind(kind: &str, name: &str) -> Value {
    let mut all = yaml("kubernetes.yaml");
    let at = all.iter().position(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    all.swap_remove(at.unwrap_or_else(|| panic!("there is no {kind} {name}")))
}

fn container() -> Value {
    of_kind("StatefulSet", "gantry")["spec"]["template"]["spec"]["containers"][0].clone()
}

#[test]
fn everything_that_is_named_is_there() {
    let set = of_kind("StatefulSet", "gantry");
    let (spec, pod) = (&set["spec"], &set["spec"]["template"]);
    let labels = &pod["metadata"]["labels"];
    assert!(labels.is_object());
    assert_eq!(&spec["selector"]["matchLabels"], labels);
    let budget = of_kind("PodDisruptionBudget", "gantry");
    assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
    assert_eq!((&budget["spec"]["maxUnavailable"], &spec["replicas"]), (&1.into(), &3.into()), "two of three stay");
    let apart = &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(&apart["labelSelector"]["matchLabels"], labels);

    let container = container();
    let ports = container["ports"].as_array().expect("ports are listed");
    for service in ["gantry", "gantry-peers"] {
        let service = of_kind("Service", service);
        assert_eq!(&service["spec"]["selector"], labels);
        for port in service["spec"]["ports"].as_array().expect("ports are listed") {
            let target = ports.iter().find(|one| one["name"] == port["targetPort"]);
            assert_eq!(target.map(|one| &one["containerPort"]), Some(&port["port"]), "{port}");
        }
    }
    let peers = of_kind("Service", spec["serviceName"].as_str().expect("pods have names by a service"));
    assert_eq!(
        (&peers["spec"]["clusterIP"], &peers["spec"]["publishNotReadyAddresses"]),
        (&"None".into(), &true.into())
    );

    let claimed =
        spec["volumeClaimTemplates"].as_array().expect("claims").iter().map(|claim| &claim["metadata"]["name"]);
    let given = pod["spec"]["volumes"].as_array().expect("volumes").iter().map(|volume| &volume["name"]);
    let mut volumes: Vec<&Value> = claimed.chain(given).collect();
    let mut mounts: Vec<&Value> =
        container["volumeMounts"].as_array().expect("mounts").iter().map(|m| &m["name"]).collect();
    volumes.sort_by_key(|name| name.to_string());
    mounts.sort_by_key(|name| name.to_string());
    assert_eq!(volumes, mounts);
    assert_eq!(pod["spec"]["volumes"][0]["configMap"]["name"], "gantry");
    let bootstrap = &container["env"][1]["valueFrom"]["configMapKeyRef"];
    assert!(
        of_kind("ConfigMap", bootstrap["name"].as_str().expect("a name"))["data"]
            [bootstrap["key"].as_str().expect("a key")]
        .is_string()
    );
}

#[test]
fn probes_and_stops_are_as_the_server_wants_them() {
    let set = of_kind("StatefulSet", "gantry");
    let container = container();
    assert_eq!(container["readinessProbe"]["grpc"]["port"], 7400, "the health service is on the clients' port");
    assert_eq!(container["livenessProbe"]["tcpSocket"]["port"], "client");
    assert_eq!(container["ports"][0]["containerPort"], 7400);
    assert_eq!(set["spec"]["podManagementPolicy"], "Parallel", "no member is ready before all are there");
    let seconds = set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
    let unit = super::unit::value("TimeoutStopSec").parse().ok();
    assert_eq!(seconds, unit, "as long as systemd waits");
    let user = &set["spec"]["template"]["spec"]["securityContext"];
    assert_eq!((&user["runAsNonRoot"], &user["runAsUser"]), (&true.into(), &10001.into()));
}

/// Runs the script as pod `pod` would, in a folder, and gives the server's command line and config.
fn start(pod: &str, bootstrap: &str, has_data: bool) -> (Vec<String>, Config) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = |name: &str| folder.path().join(name);
    for name in ["etc", "run", "data", "bin"] {
        fs::create_dir(at(name)).expect("it can be made");
    }
    if has_data {
        fs::write(at("data").join("identity"), "").expect("it can be written");
    }
    let map = of_kind("ConfigMap", "gantry");
    let file = |name: &str| map["data"][name].as_str().expect("the map has it").to_owned();
    fs::write(at("etc").join("server.toml"), file("server.toml")).expect("it can be written");
    let mut script = file("start.sh");
    for (from, to) in [("/etc/gantry", "etc"), ("/run/gantry", "run"), ("/var/lib/gantry", "data")] {
        assert!(script.contains(from), "{from} is not in the script");
        script = script.replace(from, at(to).to_str().expect("paths here are text"));
    }
    fs::write(at("etc").join("start.sh"), script).expect("it can be written");
    stand_in(&at("bin").join("getent"), "test \"$1 $2\" = \"hosts $POD_NAME.gantry-peers\"");
    stand_in(&at("bin").join("gantry"), "printf '%s\\n' \"$@\"");
    let command = texts(&container()["command"]);
    assert_eq!(command, ["/bin/sh", "/etc/gantry/start.sh"]);
    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap_or_default());
    let ran = Command::new(&command[0])
        .arg(at("etc").join("start.sh"))
        .env("PATH", path)
        .env("POD_NAME", pod)
        .env("BOOTSTRAP", bootstrap)
        .output()
        .expect("there is a shell");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let arguments: Vec<String> = String::from_utf8_lossy(&ran.stdout).lines().map(str::to_owned).collect();
    let text = fs::read_to_string(at("run").join("server.toml")).expect("the script wrote it");
    (arguments, toml::from_str(&text).unwrap_or_else(|error| panic!("{text}\n{error}")))
}

fn stand_in(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).expect("it can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
}

#[test]
fn a_pod_starts_as_who_it_is() {
    let joins = |arguments: &[String]| arguments.windows(2).any(|two| two == ["--join", "gantry:7400"]);
    for (pod, bootstrap, has_data, id) in [
        ("gantry-0", "yes", false, Some(1)),
        ("gantry-2", "yes", false, Some(3)),
        // Scaled up, or a volume was lost: a new member, with an id that nobody had.
        ("gantry-3", "yes", false, None),
        ("gantry-0", "no", false, None),
        // Its directory says who it is.
        ("gantry-1", "yes", true, None),
        ("gantry-1", "no", true, None),
    ] {
        let (arguments, config) = start(pod, bootstrap, has_data);
        assert_eq!(arguments[..2], ["server", "--config"], "{pod}");
        super::lines::taken(&arguments);
        assert_eq!(
            (config.node_id, joins(&arguments)),
            (id, id.is_none()),
            "{pod}, bootstrap {bootstrap}, data {has_data}"
        );
        assert_eq!(config.client_addr, format!("{pod}.gantry-peers:7400"));
        assert_eq!(config.raft_addr, format!("{pod}.gantry-peers:7401"));
        assert_eq!(config.client_listen.as_deref(), Some("0.0.0.0:7400"));
        let mounts = container()["volumeMounts"].clone();
        assert_eq!(mounts[0]["mountPath"].as_str(), config.data_dir.to_str());
    }
}

#[test]
fn the_image_is_the_one_that_the_container_file_makes() {
    assert_eq!(container()["image"], yaml("compose.yaml")[0]["services"]["node1"]["image"]);
    assert_eq!(container::entry_point(), ["/usr/local/bin/gantry"], "the script finds it by its name");
}
