//! One member as the sample for trying things out starts it: what it says of its health, what it measures, and that the alerts
//! ask for nothing else.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{read, yaml};
use crate::support::gantry;

const PATIENCE: u32 = 400;
const PAUSE: Duration = Duration::from_millis(50);

struct Server {
    process: Child,
    /// For clients, for peers, for metrics.
    ports: Vec<u16>,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// On free ports and in a folder of its own; all else is the sample's.
    fn start() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
        let ports = gantry_bench::cluster::free_ports(3).expect("free ports");
        let data = dir.path().join("data").display().to_string();
        let config = here(&read("dev.toml"), &ports).replace("gantry-dev-data", &data);
        std::fs::write(dir.path().join("dev.toml"), config).expect("it can be written");
        let mut server = Command::new(gantry());
        server.args(["server", "--config"]).arg(dir.path().join("dev.toml")).stderr(Stdio::null());
        Self { process: server.spawn().expect("the binary runs"), ports, _dir: dir }
    }

    /// Runs a command line of the sample here.
    fn run(&self, line: &str) -> (Option<i32>, String) {
        let line = here(line, &self.ports);
        let mut command = Command::new(gantry());
        command.args(line.split_whitespace()).env("GANTRY_ADDR", format!("127.0.0.1:{}", self.ports[0]));
        let output = command.output().expect("the binary runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Waits until the member says so of itself, by the service that Kubernetes asks.
    async fn becomes(&self, wanted: ServingStatus) {
        let uri = format!("http://127.0.0.1:{}", self.ports[0]);
        let channel = tonic::transport::Endpoint::from_shared(uri).expect("an address").connect_lazy();
        let mut health = HealthClient::new(channel);
        let mut seen = None;
        for _ in 0..PATIENCE {
            let asked = health.check(HealthCheckRequest { service: String::new() }).await;
            seen = asked.ok().map(|answer| answer.into_inner().status());
            if seen == Some(wanted) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("it says {seen:?}, not {wanted:?}");
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[2])).expect("metrics are served");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: gantry\r\nConnection: close\r\n\r\n")
            .expect("it can be asked");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page of text");
        page
    }
}

fn here(text: &str, ports: &[u16]) -> String {
    let ports = ["127.0.0.1:7400", "127.0.0.1:7401", "127.0.0.1:7402"].iter().zip(ports);
    ports.fold(text.to_owned(), |text, (port, free)| text.replace(port, &format!("127.0.0.1:{free}")))
}

fn rules() -> Vec<Value> {
    yaml("alerts.yml")[0]["groups"][0]["rules"].as_array().expect("rules are listed").clone()
}

/// The metrics that an expression names.
fn named(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("gantry_")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_says_whether_it_serves_and_measures_what_alerts_ask_for() {
    let server = Server::start();
    server.becomes(ServingStatus::NotServing).await;
    let sample = read("dev.toml");
    let init = sample.lines().find_map(|line| line.strip_prefix("#   gantry ")).expect("the sample says how to begin");
    let (code, said) = server.run(init);
    assert_eq!(code, Some(0), "{said}");
    server.becomes(ServingStatus::Serving).await;
    // Calls are counted by their outcome once there was one.
    let (code, said) = server.run("place --app app --cpu 1");
    assert_eq!(code, Some(3), "there are no hosts: {said}");
    let page = server.metrics();
    let mut asked = BTreeSet::new();
    for rule in rules() {
        let expression = rule["expr"].as_str().expect("an alert has an expression");
        assert_eq!(expression.matches('(').count(), expression.matches(')').count(), "{expression}");
        for name in named(expression) {
            let served = page
                .lines()
                .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{')));
            assert!(served, "{} asks for {name}, which is not in\n{page}", rule["alert"]);
            asked.insert(name.to_owned());
        }
    }
    assert!(asked.len() >= 9, "the alerts were not found: {asked:?}");
}

#[test]
fn the_runbook_says_what_each_alert_means() {
    let runbook = read("README.md");
    let names: Vec<String> = rules().iter().map(|rule| rule["alert"].as_str().expect("a name").to_owned()).collect();
    for name in &names {
        assert_eq!(
            runbook.matches(&format!("| `{name}` |")).count(),
            1,
            "{name} has no row of its own in deploy/README.md"
        );
    }
    let explained = runbook.lines().filter(|line| line.starts_with("| `Gantry")).count();
    assert_eq!(explained, names.len(), "deploy/README.md explains an alert that is not there");
}
