//! Command lines of `gantry`, read by its own parser.

use std::process::Command;

use super::read;
use crate::support::gantry;

/// What clap, and nobody else, ends its complaints with.
const COMPLAINT: &str = "try '--help'";

/// Runs a command line where it can do nothing: there is no such config file, and nobody at the address. What matters is that
/// it got that far.
pub fn taken(arguments: &[String]) {
    let said = said(arguments);
    assert!(!said.contains(COMPLAINT), "gantry {}\n{said}", arguments.join(" "));
}

fn said(arguments: &[String]) -> String {
    let output =
        Command::new(gantry()).args(arguments).env("GANTRY_ADDR", "127.0.0.1:1").output().expect("the binary runs");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The commands in a file's comments: what follows `gantry ` there, to the end of the line, of the quote or of the clause.
fn in_comments(file: &str) -> Vec<Vec<String>> {
    let text = read(file);
    let comments = text.lines().filter_map(|line| line.trim_start().strip_prefix('#'));
    let mut found = Vec::new();
    for line in comments {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("gantry ") {
            let begins = before.trim().is_empty() || ["`", "-- ", ": "].iter().any(|end| before.ends_with(end));
            let command = after.split(['`', '#']).next().and_then(|rest| rest.split(", ").next()).unwrap_or_default();
            if begins {
                found.push(command.split_whitespace().map(str::to_owned).collect());
            }
            rest = after;
        }
    }
    found
}

#[test]
fn a_command_line_that_is_wrong_is_noticed_here() {
    for wrong in ["server --confg x", "cluster init", "cluster inti --member 1=a:1,a:2", "server"] {
        let arguments: Vec<String> = wrong.split(' ').map(str::to_owned).collect();
        assert!(said(&arguments).contains(COMPLAINT), "gantry {wrong} was taken");
    }
}

#[test]
fn every_command_in_a_comment_is_taken() {
    let mut count = 0;
    for file in ["dev.toml", "server.toml", "gantry.service", "compose.yaml", "kubernetes.yaml"] {
        for command in in_comments(file) {
            let command: Vec<String> = command.iter().map(|word| word.replace("ID", "7")).collect();
            // `dev` would run; its sample config is another way to the same.
            if command.first().is_some_and(|name| name != "dev") {
                taken(&[vec!["--timeout=100ms".to_owned()], command].concat());
                count += 1;
            }
        }
    }
    assert!(count >= 6, "the commands were not found: {count}");
}
