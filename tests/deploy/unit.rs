//! The systemd unit.

use std::{path::Path, process::Command};

use gantry_server::Config;

use super::{dir, lines, read};
use crate::support::gantry;

const BINARY: &str = "/usr/local/bin/gantry";
/// Ten times what `systemd-analyze security` may come to: below 2 it says "OK".
const EXPOSURE: &str = "20";

/// The values of a key, in order.
pub fn values(key: &str) -> Vec<String> {
    let text = read("gantry.service");
    let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(str::to_owned).collect()
}

pub fn value(key: &str) -> String {
    let mut values = values(key);
    assert_eq!(values.len(), 1, "{key} is there once: {values:?}");
    values.remove(0)
}

#[test]
fn it_starts_a_server_as_the_samples_say() {
    let start = value("ExecStart");
    let words: Vec<&str> = start.split(' ').collect();
    assert_eq!((words[0], words.last()), (BINARY, Some(&"$GANTRY_JOIN")));
    let arguments: Vec<String> = words[1..words.len() - 1].iter().map(|&word| word.to_owned()).collect();
    lines::taken(&arguments);
    let joining = ["--join", "10.0.0.1:7400"].map(str::to_owned);
    lines::taken(&[&arguments[..], &joining].concat());
    let sample = Config::load(&dir().join("server.toml")).expect("the sample is a config");
    assert_eq!(
        sample.data_dir,
        Path::new("/var/lib").join(value("StateDirectory")),
        "it may write there and nowhere else"
    );
    assert_eq!(sample.data_dir.to_str(), Some(value("RequiresMountsFor").as_str()));
    assert_eq!(value("ProtectSystem"), "strict");
}

/// What is wrong with the config is told by the exit code that the unit does not restart after.
#[test]
fn a_wrong_config_is_not_started_again_and_again() {
    let output = Command::new(gantry()).args(["server", "--config", "/nowhere/server.toml"]).output().expect("it runs");
    assert_eq!(output.status.code().map(|code| code.to_string()), Some(value("RestartPreventExitStatus")));
    assert_eq!(value("Restart"), "on-failure");
}

#[test]
fn systemd_finds_nothing_wrong_with_it() {
    let has_systemd =
        Command::new("systemd-analyze").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has_systemd {
        // Its sections and keys are at least of the right form.
        let text = read("gantry.service");
        let is_section = |line: &str| ["[Unit]", "[Service]", "[Install]"].contains(&line);
        let settings = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#') && !is_section(line));
        settings.for_each(|line| assert!(line.split_once('=').is_some_and(|(key, _)| !key.contains(' ')), "{line}"));
        eprintln!("systemd-analyze is not installed: the unit was only read");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let unit = folder.path().join("gantry.service");
    let binary = gantry().to_str().expect("paths of builds are text");
    std::fs::write(&unit, read("gantry.service").replace(BINARY, binary)).expect("it can be written");
    let analyze = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze").args(arguments).arg(&unit).output().expect("it runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "systemd-analyze {arguments:?}\n{out}{err}");
        // Of units that the machine has itself nothing is asked here.
        let ours: Vec<&str> = err.lines().filter(|line| line.contains("gantry.service")).collect();
        assert!(ours.is_empty(), "systemd-analyze {arguments:?}\n{err}");
    };
    analyze(&["verify", "--man=no"]);
    analyze(&["security", "--offline=true", &format!("--threshold={EXPOSURE}")]);
}
