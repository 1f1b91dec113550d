//! The command line as a whole.

use std::time::Duration;

use clap::Parser;
use gantry_client::{Client, Retry};

use crate::{
    command::Command,
    context::{Context, Outcome},
    exit,
    failure::Failure,
    output::Output,
    unit,
};

/// Places machines and volumes of a GPU fleet where their images already lie.
#[derive(Debug, Parser)]
#[command(name = "gantry", bin_name = "gantry", version, propagate_version = true, after_help = exit::help(), arg_required_else_help = true)]
pub struct Cli {
    /// Client addresses of nodes of the cluster; one is enough
    #[arg(
        long,
        global = true,
        env = "GANTRY_ADDR",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:7400"
    )]
    addr: Vec<String>,

    /// Print JSON for programs: the last line is one object
    #[arg(long, global = true)]
    pub json: bool,

    /// How long to keep trying, `500ms`, `10s`, `2m`
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = unit::duration::parse)]
    timeout: Duration,

    #[command(subcommand)]
    command: Command,
}

impl Cli {
    pub async fn run(self, output: Output) -> Outcome {
        let command = match self.command {
            Command::Alone(command) => return command.run(output).await,
            Command::Call(command) => command,
        };
        // Half of it for one try leaves time to ask another node.
        let retry = Retry { deadline: self.timeout, attempt: self.timeout / 2, ..patience() };
        let client = Client::new(self.addr.iter().cloned()).map_err(Failure::from)?.with_retry(retry);
        command.run(Context { client, endpoints: self.addr, output }).await
    }
}

/// A person waits: a few seconds of an election are ridden out, a cluster that is down is soon reported as that.
fn patience() -> Retry {
    Retry { attempts: 16, base: Duration::from_millis(20), cap: Duration::from_millis(500), ..Retry::default() }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_exit_codes_are_in_the_help() {
        let help = Cli::command().render_help().to_string();
        for (exit, meaning) in exit::MEANINGS {
            assert!(help.contains(&format!("{}  {meaning}", *exit as u8)), "{meaning}");
        }
    }

    #[test]
    fn addresses_are_a_list() {
        let cli = Cli::try_parse_from(["gantry", "--addr", "a:1,b:2", "host", "ls"]).unwrap();
        assert_eq!(cli.addr, ["a:1", "b:2"]);
        let cli = Cli::try_parse_from(["gantry", "host", "ls", "--json", "--addr", "a:1"]).unwrap();
        assert!(cli.json);
        assert_eq!(cli.addr, ["a:1"]);
    }
}
