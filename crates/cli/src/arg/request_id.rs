//! The flag for a request id.

use clap::{Args, builder::NonEmptyStringValueParser};

#[derive(Clone, Debug, Args)]
pub struct RequestIdArg {
    /// Makes the call safe to repeat: the same id gets the same answer [default: a fresh one]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    request_id: Option<String>,
}

impl RequestIdArg {
    pub fn or_new(self) -> String {
        self.request_id.unwrap_or_else(gantry_client::new_request_id)
    }
}
