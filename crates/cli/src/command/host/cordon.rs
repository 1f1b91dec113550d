//! Cordon, uncordon and drain: one call, three words.

use clap::Args;
use gantry_proto::v1::{self, Scheduling};
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    failure::Failure,
};

#[derive(Debug, Args)]
pub struct Hosts {
    /// Hosts, by name
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Hosts {
    pub async fn set(self, context: Context, scheduling: Scheduling) -> Outcome {
        let word = match scheduling {
            Scheduling::Cordoned => "cordoned",
            Scheduling::Draining => "draining",
            Scheduling::Open | Scheduling::Unspecified => "open",
        };
        let (mut values, mut lines) = (Vec::new(), Vec::<String>::new());
        for name in self.names {
            let request = v1::SetSchedulingRequest { name: name.clone(), scheduling: scheduling as i32 };
            let answer = context.client.set_scheduling(request).await;
            let answer = answer.map_err(|error| Failure::from(error).after(&lines.join(", ")))?;
            lines.push(format!("host {name} is {word}; it holds {} reservations", answer.reservations));
            values.push(json!({
                "host": name,
                "scheduling": word,
                "rev": answer.rev,
                "reservations": answer.reservations,
            }));
        }
        context.output.answer(&json!({ "hosts": values }), || lines.join("\n"))
    }
}
