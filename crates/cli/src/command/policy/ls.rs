use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    context::{Context, Outcome},
    json,
    table::Table,
};

/// List the apps that do not go by the default
#[derive(Debug, Args)]
pub struct Ls {}

impl Ls {
    pub async fn run(self, context: Context) -> Outcome {
        let mut request = v1::ListPoliciesRequest::default();
        let mut policies = Vec::new();
        let rev = loop {
            let page = context.client.list_policies(request.clone()).await?;
            policies.extend(page.policies);
            request.after_app = page.next_after_app;
            if request.after_app.is_empty() {
                break page.rev;
            }
        };
        let one = |app: &v1::AppPolicy| json!({ "app": app.app, "policy": app.policy.as_ref().map(json::policy) });
        let value = json!({ "rev": rev, "policies": json::list(&policies, one) });
        context.output.answer(&value, || text(&policies))
    }
}

fn text(policies: &[v1::AppPolicy]) -> String {
    let mut table = Table::new(["APP", "PRESET", ">READY", ">STRANDED", ">OTHERS", ">SPREAD"]);
    for app in policies {
        let policy = app.policy.unwrap_or_default();
        let weights =
            super::weights(&policy).map(|(_, milli)| milli.map_or_else(String::new, |milli| milli.to_string()));
        let fixed = [app.app.clone(), super::preset(&policy).to_owned()];
        table.row(fixed.into_iter().chain(weights));
    }
    table.render()
}
