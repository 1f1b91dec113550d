//! The README's tour, line by line, as a new user types it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::gantry;

const README: &str = include_str!("../README.md");
/// Prints what comes and waits for more; the reader stops it.
const WATCH: &str = "gantry watch";
/// An honest no, by its exit code.
const NO_CAPACITY: i32 = 3;

/// `gantry dev`, ended with the test.
struct Dev {
    process: Child,
    addr: String,
    _dir: tempfile::TempDir,
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn every_line_of_the_tour_does_what_it_says() {
    let lines = tour();
    assert!(lines.len() >= 14, "the tour was not found: {lines:?}");
    let dev = start();
    let mut burst = Vec::new();
    for line in &lines {
        if line.starts_with(WATCH) {
            watch(&dev, line);
            continue;
        }
        let output = shell(&dev, line).output().expect("a shell runs");
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let code = output.status.code();
        if line.contains("--app big") {
            assert_eq!(code, Some(NO_CAPACITY), "{line}\n{said}{complaint}");
            assert!(complaint.contains("9") && complaint.contains("hint: "), "{line}\n{complaint}");
            continue;
        }
        assert_eq!(code, Some(0), "{line}\n{said}{complaint}");
        assert!(!said.trim().is_empty() && complaint.is_empty(), "{line}\n{said}{complaint}");
        if line.contains("--request-id burst-1") {
            burst.push(said.into_owned());
        }
    }
    assert_eq!(burst.len(), 2, "the same burst is sent twice");
    let ids =
        |table: &str| table.lines().filter_map(|row| row.split_whitespace().next()?.parse().ok()).collect::<Vec<u64>>();
    assert_eq!(ids(&burst[0]).len(), 20, "{}", burst[0]);
    assert_eq!(ids(&burst[0]), ids(&burst[1]), "the same request id is the same answer");
}

#[test]
fn a_typing_error_is_told_with_what_to_do() {
    let dev = start();
    for (line, code, named) in [
        ("gantry plaec --app a", 2, "place"),
        ("gantry place --app a --cpu one", 2, "--cpu"),
        ("gantry place --app a --memory 16GB --gpu 0.0001 --cpu 1", 2, "--gpu"),
        ("gantry release 4711", 4, "4711"),
        ("gantry host cordon ams-01 nowhere-01", 4, "ams-01 is cordoned"),
        ("gantry --addr 127.0.0.1:1 --timeout 1s ls", 6, "gantry dev"),
        ("gantry volume create data --size 900TiB", 3, "hint: "),
    ] {
        let output = shell(&dev, line).output().expect("a shell runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}\n{complaint}");
        assert!(complaint.contains(named), "{line} should name {named}\n{complaint}");
    }
}

/// The commands of the tour that follow `gantry dev`.
fn tour() -> Vec<String> {
    let section = README.split("\n## ").find(|section| section.starts_with("Five-minute tour")).unwrap_or_default();
    let blocks = section.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).map(str::trim).filter(|line| line.starts_with("gantry "));
    lines.filter(|line| !line.starts_with("gantry dev")).map(str::to_owned).collect()
}

fn start() -> Dev {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
    let port = gantry_bench::cluster::free_ports(1).expect("a free port")[0];
    let addr = format!("127.0.0.1:{port}");
    let mut process = Command::new(gantry())
        .args(["dev", "--listen", &addr, "--dir"])
        .arg(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gantry runs");
    let log = process.stderr.take().expect("it is piped");
    let dev = Dev { process, addr, _dir: dir };
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    let ready = lines.any(|line| line.contains("ready: 24 simulated hosts"));
    assert!(ready, "gantry dev ended before it was ready");
    // The rest of the log goes nowhere, but must be read.
    std::thread::spawn(move || lines.for_each(drop));
    dev
}

fn shell(dev: &Dev, line: &str) -> Command {
    let folder = gantry().parent().expect("a binary lies in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {line}")]);
    command.env("PATH", format!("{}:{path}", folder.display())).env("GANTRY_ADDR", &dev.addr);
    command
}

/// What happened before is told at once.
fn watch(dev: &Dev, line: &str) {
    let mut process = shell(dev, line).stdout(Stdio::piped()).spawn().expect("a shell runs");
    let said = process.stdout.take().expect("it is piped");
    let (told, first) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(BufReader::new(said).lines().next()));
    let first = first.recv_timeout(Duration::from_secs(10));
    process.kill().expect("it runs until it is stopped");
    process.wait().expect("it was killed");
    let first = first.expect("an event within ten seconds").expect("a line").expect("text");
    assert!(first.contains("reserved"), "{line}\n{first}");
}
