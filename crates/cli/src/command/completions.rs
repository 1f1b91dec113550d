use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{args::Cli, context::Outcome, exit::Exit, output::Output};

/// Print completions for a shell
///
/// For bash: `source <(gantry completions bash)`
#[derive(Debug, Args)]
pub struct Completions {
    shell: Shell,
}

impl Completions {
    pub fn run(self, output: Output) -> Outcome {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "gantry", &mut script);
        output.text(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Ok)
    }
}
