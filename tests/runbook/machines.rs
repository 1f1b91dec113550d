//! Machines that an operator reaches by `ssh`, with an init system: a folder for each, and one for the operator.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use crate::support::gantry;

/// As the page has them.
const NETWORK: &str = "10.0.0.";
/// No command of the page takes longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs a command on another machine: absolute paths are that machine's.
const SSH: &str = r##"#!/bin/sh
export HOST=$1; shift
root=$ROOT/$HOST
mkdir -p "$root/etc/gantry" "$root/etc/systemd/system" "$root/var/lib" "$root/var/tmp"
command=$(printf '%s' "$*" | sed "s#\(^\|[ =]\)/\(etc\|var\)/#\1$root/\2/#g")
exec sh -c "$command"
"##;

/// Starts and stops what the unit file of the machine says.
const SYSTEMCTL: &str = r##"#!/bin/sh
set -eu
root=$ROOT/$HOST
running() {
  [ -e "$root/pid" ] || return 1
  state=$(sed 's/.*) //; s/ .*//' "/proc/$(cat "$root/pid")/stat" 2>/dev/null || echo gone)
  [ "$state" != gone ] && [ "$state" != Z ] && [ -n "$state" ]
}
start() {
  running && return
  GANTRY_JOIN=
  [ -e "$root/etc/gantry/env" ] && . "$root/etc/gantry/env"
  sed "s#/var/lib/gantry#$root/var/lib/gantry#" "$root/etc/gantry/server.toml" > "$root/server.toml"
  line=$(sed -n 's/^ExecStart=//p' "$root/etc/systemd/system/gantry.service")
  line=$(printf '%s' "$line" | sed "s#/usr/local/bin/##; s#/etc/gantry/server.toml#$root/server.toml#; s#[$]GANTRY_JOIN#$GANTRY_JOIN#")
  $line >> "$root/log" 2>&1 < /dev/null &
  echo $! > "$root/pid"
}
stop() {
  running && kill -TERM "$(cat "$root/pid")"
  while running; do sleep 0.05; done
  rm -f "$root/pid"
}
case "$*" in
"enable --now gantry" | "start gantry") start ;;
"disable --now gantry" | "stop gantry") stop ;;
"restart gantry") stop; start ;;
*) echo "systemctl $*: not known here" >&2; exit 1 ;;
esac
"##;

pub struct Machines {
    root: Option<tempfile::TempDir>,
    /// What the page's network is here.
    network: String,
    exported: BTreeMap<String, String>,
}

impl Machines {
    pub fn new() -> Self {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
        // Every address that begins with 127 is this machine's own; two runs at once rarely draw the same.
        let drawn = std::process::id();
        let network = format!("127.{}.{}.", 1 + drawn / 250 % 250, 1 + drawn % 250);
        let machines = Self { root: Some(root), network, exported: BTreeMap::new() };
        for (name, script) in [("ssh", SSH), ("systemctl", SYSTEMCTL)] {
            let path = machines.path("bin").join(name);
            fs::create_dir_all(machines.path("bin")).expect("it can be made");
            fs::write(&path, script).expect("it can be written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
        }
        machines.copy(&crate::deploy::dir(), &machines.path("operator/deploy"));
        machines
    }

    /// A copy of a folder for the operator, with addresses that there are here.
    fn copy(&self, from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("it can be made");
        for entry in fs::read_dir(from).expect("it can be listed") {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("it can be listed");
            if path.is_dir() {
                self.copy(&path, &to.join(name));
            } else {
                let text = fs::read_to_string(&path).expect("all of it is text");
                fs::write(to.join(name), self.here(&text)).expect("it can be written");
            }
        }
    }

    fn root(&self) -> &Path {
        self.root.as_ref().expect("it is there until the end").path()
    }

    fn path(&self, of: &str) -> PathBuf {
        self.root().join(of)
    }

    /// An address of the page as it is here.
    pub fn here(&self, text: &str) -> String {
        text.replace(NETWORK, &self.network)
    }

    /// What `export NAME=VALUE` gave the name.
    pub fn exported(&self, name: &str) -> &str {
        self.exported.get(name).map_or("", String::as_str)
    }

    /// Types a line on the operator's machine.
    pub async fn run(&mut self, line: &str) -> Output {
        let line = self.here(line);
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|rest| rest.split_once('=')) {
            self.exported.insert(name.to_owned(), value.to_owned());
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let binary = gantry().parent().expect("a binary lies in a folder").display();
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &line]).current_dir(self.path("operator")).kill_on_drop(true).stdin(Stdio::null());
        shell.env("PATH", format!("{}:{binary}:{path}", self.path("bin").display()));
        shell.env("ROOT", self.root()).envs(&self.exported);
        let output = tokio::time::timeout(PATIENCE, shell.output()).await;
        output.unwrap_or_else(|_| panic!("`{line}` does not end")).expect("there is a shell")
    }

    /// The power fails on a machine that runs.
    pub fn kill(&self, host: &str) {
        let machine = self.path(&self.here(host));
        assert!(self.running().contains(&machine), "no server runs on {host}");
        kill(&machine);
    }

    /// Those that have a server now.
    fn running(&self) -> Vec<PathBuf> {
        let listed = fs::read_dir(self.root()).expect("it can be listed").filter_map(|entry| Some(entry.ok()?.path()));
        listed.filter(|machine| pid(machine).is_some()).collect()
    }

    pub fn kill_all(&self) {
        self.running().iter().for_each(|machine| kill(machine));
    }

    /// The end of each server's log.
    fn logs(&self) -> String {
        const SHOWN: usize = 3_000;
        let listed = fs::read_dir(self.root()).expect("it can be listed").filter_map(|entry| Some(entry.ok()?.path()));
        let log = |machine: PathBuf| {
            let text = fs::read_to_string(machine.join("log")).ok()?;
            Some(format!(
                "\n{}:\n{}",
                machine.display(),
                &text[text.floor_char_boundary(text.len().saturating_sub(SHOWN))..]
            ))
        };
        listed.filter_map(log).collect()
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.kill_all();
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
            let kept = self.root.take().map(tempfile::TempDir::keep);
            eprintln!("the machines' folders stay in {kept:?}");
        }
    }
}

/// The server of a machine, where one runs: a process that was started with that machine's config.
fn pid(machine: &Path) -> Option<String> {
    let pid = fs::read_to_string(machine.join("pid")).ok()?.trim().to_owned();
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let config = machine.join("server.toml");
    String::from_utf8_lossy(&command).contains(config.to_str()?).then_some(pid)
}

fn kill(machine: &Path) {
    let Some(pid) = pid(machine) else { return };
    let killed = Command::new("kill").args(["-KILL", &pid]).status().expect("kill runs");
    assert!(killed.success(), "process {pid} cannot be killed");
    // What it had locked is free when it is gone.
    while self::pid(machine).is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
}
