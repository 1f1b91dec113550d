use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    sync::OnceLock,
};

use anyhow::{Context, Result, ensure};

use super::{Command, chaos, refuse_arguments};
use crate::{
    dependencies, exit,
    pipeline::{self, Note, Step},
    setup,
    tally::Tally,
    tidy,
    workspace::Workspace,
};

pub(super) const COMMAND: Command = Command {
    name: "test",
    about: "Set up, then every check: format, clippy, tidy, tests, simulator, dependencies, docs.",
    run,
};

/// Cheap ones first; each stops the run when it fails.
static STEPS: &[Step] = &[
    Step { name: "set-up", run: |_| setup::run().map(|()| Note::new()) },
    Step { name: "format", run: |workspace| cargo(workspace, &["fmt", "--all", "--check"], &[]) },
    Step { name: "tidy", run: |workspace| tidy::run(workspace).map(|()| Note::new()) },
    Step { name: "dependencies", run: dependencies::run },
    Step { name: "clippy", run: |workspace| cargo(workspace, CLIPPY, &[]) },
    Step { name: "tests", run: tests },
    Step { name: "simulator", run: simulator },
    Step { name: "docs", run: |workspace| cargo(workspace, DOC, &[("RUSTDOCFLAGS", "-D warnings")]) },
];

const CLIPPY: &[&str] = &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
const DOC: &[&str] = &["doc", "--workspace", "--no-deps"];

/// The last line of output is the count of the tests, once they ran.
static COUNTED: OnceLock<String> = OnceLock::new();

fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    refuse_arguments(&COMMAND, arguments)?;
    let result = pipeline::run(workspace, STEPS);
    if let Some(summary) = COUNTED.get() {
        println!("{summary}");
    }
    result
}

fn cargo(workspace: &Workspace, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Note> {
    let what = format!("cargo {}", arguments.join(" "));
    let status = workspace
        .cargo()
        .args(arguments)
        .envs(variables.iter().copied())
        .status()
        .with_context(|| format!("starting {what}"))?;
    exit::check(&what, status)?;
    Ok(Note::new())
}

/// As many seeds as fit into this time, always from the first on.
const SIMULATED_FOR: [&str; 4] = ["--seeds", "1000000", "--seconds", "60"];

/// Runs the simulator for a while. The note is its summary.
fn simulator(workspace: &Workspace) -> Result<Note> {
    let simulator = chaos::build(workspace)?;
    let arguments = chaos::sim_arguments(&workspace.root, &SIMULATED_FOR.map(str::to_owned));
    let mut run = std::process::Command::new(simulator);
    let output = run.args(arguments).stderr(Stdio::inherit()).output().context("starting the simulator")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{said}");
    exit::check("the simulator", output.status)?;
    Ok(said.lines().last().unwrap_or_default().to_owned())
}

/// Runs every test even when one fails, passes the output through, and counts.
fn tests(workspace: &Workspace) -> Result<Note> {
    let mut child = workspace
        .cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo test")?;
    let output = child.stdout.take().context("cargo test has no standard output")?;
    let mut tally = Tally::default();
    let mut to = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("reading cargo test's output")?;
        tally.read(&String::from_utf8_lossy(&line));
        to.write_all(&line).and_then(|()| to.write_all(b"\n")).context("passing cargo test's output on")?;
    }
    drop(to);
    let status = child.wait().context("waiting for cargo test")?;
    if tally != Tally::default() {
        COUNTED.get_or_init(|| tally.summary());
    }
    exit::check("cargo test", status)?;
    ensure!(tally.passed > 0, "cargo test succeeded without running a test: the workspace's tests were not found");
    Ok(tally.summary())
}
