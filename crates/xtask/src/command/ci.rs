use super::{Command, test};

pub(super) const COMMAND: Command =
    Command { name: "ci", about: "What .ci/run runs: the same as test.", run: test::COMMAND.run };
