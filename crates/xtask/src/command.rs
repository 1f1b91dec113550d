//! The commands. To add one: a file in `command/`, and its line in [`COMMANDS`].

mod chaos;
mod ci;
mod demo;
mod fix;
mod test;
mod tidy;

use std::fmt::Write;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// One `cargo xtask NAME`.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Gets the arguments after the name.
    pub(crate) run: fn(&Workspace, &[String]) -> Result<()>,
}

static COMMANDS: &[Command] = &[demo::COMMAND, test::COMMAND, chaos::COMMAND, ci::COMMAND, fix::COMMAND, tidy::COMMAND];

pub(crate) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

pub(crate) fn usage() -> String {
    let mut text = String::from("usage: cargo xtask COMMAND [ARGUMENTS]\n\n");
    for command in COMMANDS {
        writeln!(text, "  {:6} {}", command.name, command.about).expect("writing to a string cannot fail");
    }
    text.push_str("\nBuilds go to $GANTRY_TARGET_DIR, else $CARGO_TARGET_DIR, else ~/.cache/gantry/target.\n");
    text
}

fn refuse_arguments(command: &Command, arguments: &[String]) -> Result<()> {
    match arguments.first() {
        None => Ok(()),
        Some(first) => bail!("it takes no arguments, got '{first}': run `cargo xtask {}` alone", command.name),
    }
}
