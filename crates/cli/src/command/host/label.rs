use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    failure::Failure,
    unit::{cpu, label},
};

/// Set or remove labels of a host, or its CPU overcommit
#[derive(Debug, Args)]
pub struct Label {
    name: String,

    /// Labels to set
    #[arg(value_name = "KEY=VALUE", value_parser = label::parse)]
    set: Vec<v1::Label>,

    /// Labels to remove, by key
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    remove: Vec<String>,

    /// How often the shared CPUs may be promised over: 2 is twice
    #[arg(long, value_name = "TIMES", value_parser = cpu::parse)]
    cpu_overcommit: Option<u64>,
}

impl Label {
    pub async fn run(self, context: Context) -> Outcome {
        if self.set.is_empty() && self.remove.is_empty() && self.cpu_overcommit.is_none() {
            return Err(Failure::usage("nothing to change: give KEY=VALUE, --remove or --cpu-overcommit"));
        }
        let percent = self.cpu_overcommit.map(|milli| u32::try_from(milli / 10).unwrap_or(u32::MAX));
        let request = v1::UpdateHostRequest {
            name: self.name.clone(),
            set_labels: self.set,
            remove_labels: self.remove,
            cpu_overcommit_percent: percent,
        };
        let answer = context.client.update_host(request).await?;
        let value = json!({ "rev": answer.rev, "host": self.name });
        context.output.answer(&value, || format!("host {} is updated", self.name))
    }
}
