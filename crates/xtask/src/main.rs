//! `cargo xtask COMMAND`: everything a person or CI runs on this repository.
//!
//! [`command`] is the list of commands, [`setup`] what they need on the machine, [`tidy`] the repository's own rules,
//! [`dependencies`] the rules of `deny.toml`.
//!
//! Must not be in here: a dependency on another crate of the workspace (this one must build when they do not), or on
//! anything that is slow to compile.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod command;
mod dependencies;
mod exit;
mod pipeline;
mod setup;
mod tally;
mod tidy;
mod workspace;

use std::process::ExitCode;

use crate::{exit::Failed, workspace::Workspace};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        eprint!("{}", command::usage());
        return ExitCode::from(exit::USAGE);
    };
    if ["help", "--help", "-h"].contains(&name.as_str()) {
        print!("{}", command::usage());
        return ExitCode::SUCCESS;
    }
    let Some(command) = command::find(&name) else {
        eprint!("xtask: there is no command '{name}'.\n\n{}", command::usage());
        return ExitCode::from(exit::USAGE);
    };
    let rest: Vec<String> = arguments.collect();
    match Workspace::locate().and_then(|workspace| (command.run)(&workspace, &rest)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error:#}");
            error.downcast_ref::<Failed>().map_or(ExitCode::FAILURE, |failed| ExitCode::from(failed.code))
        }
    }
}
