use clap::Args;
use gantry_proto::v1;
use serde_json::json;

use crate::{
    arg::placement::PlacementArgs,
    context::{Context, Outcome},
    json,
    table::Table,
    unit::{bytes, cpu, duration, gpu},
};

/// See where machines would go, how many fit, and what would let them fit, without placing anything
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    placement: PlacementArgs,

    /// How many of the best hosts to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: u32,

    /// Explain a request that is placed as a whole or not at all
    #[arg(long)]
    all_or_nothing: bool,
}

impl Explain {
    pub async fn run(self, context: Context) -> Outcome {
        let placement =
            v1::PlaceRequest { all_or_nothing: self.all_or_nothing, ..v1::PlaceRequest::from(self.placement) };
        let request = v1::ExplainRequest { request: Some(placement.clone()), top: self.top };
        let answer = context.client.explain(request).await?;
        let value = json!({
            "rev": answer.rev,
            "feasible": answer.feasible,
            "hosts": json::list(&answer.hosts, json::ranked_host),
            "rejections": json::rejections(&answer.rejections),
            "image_bytes": answer.image_bytes,
            "image_known": answer.image_known,
            "fits": answer.fits.as_ref().map(json::fits),
            "changes": json::list(&answer.changes, json::change),
            "plan": answer.plan.as_ref().map(json::plan),
        });
        context.output.answer(&value, || text(&answer, &placement))
    }
}

fn text(answer: &v1::ExplainResponse, request: &v1::PlaceRequest) -> String {
    let image = match (request.image.as_str(), answer.image_known) {
        ("", _) => "no image is named".to_owned(),
        (image, true) => format!("{image} has {}", bytes::format(answer.image_bytes)),
        (image, false) => format!("{image} is not recorded and plays no part"),
    };
    let mut text = format!("{} hosts can take it, at rev {}; {image}\n", answer.feasible, answer.rev);
    if let Some(best) = answer.hosts.first() {
        let fixed = [">RANK", "HOST", "REGION", "ZONE", "GPU", ">PRESENT", ">READY IN"].map(str::to_owned);
        let terms = best.terms.iter().map(|term| format!(">{}", term.name.to_uppercase()));
        let mut table = Table::new(fixed.into_iter().chain(terms));
        for (at, host) in answer.hosts.iter().enumerate() {
            let fixed = [
                (at + 1).to_string(),
                host.host.clone(),
                host.region.clone(),
                host.zone.clone(),
                gpu::format_devices(&host.devices),
                bytes::format(host.present_bytes),
                duration::format_ms(host.ready_ms),
            ];
            table.row(fixed.into_iter().chain(host.terms.iter().map(|term| term.value.to_string())));
        }
        text += &format!("\n{}", table.render());
    }
    if !answer.rejections.is_empty() {
        text += &format!("\n{}", rejections_table(&answer.rejections));
    }
    text += &answer.fits.as_ref().map_or_else(String::new, fits_text);
    text += &changes_text(&answer.changes);
    // One machine goes to the host that is ranked first.
    let plan = answer.plan.as_ref().filter(|_| request.count > 1);
    text += &plan.map_or_else(String::new, |plan| plan_text(plan, request.count));
    text
}

/// How many more machines fit, and where.
fn fits_text(fits: &v1::Fits) -> String {
    if fits.machines == 0 {
        return String::new();
    }
    let at_least = if fits.at_least { "at least " } else { "" };
    let mut table = Table::new(["REGION", ">MACHINES", ">HOSTS"]);
    for region in &fits.regions {
        table.row([region.region.clone(), region.machines.to_string(), region.hosts.to_string()]);
    }
    format!("\n{at_least}{} such machines fit on {} hosts\n{}", fits.machines, fits.hosts, table.render())
}

/// What would let the request fit.
fn changes_text(changes: &[v1::Change]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["CHANGE", "FROM", "TO", ">HOSTS"]);
    for change in changes {
        let value = |value: &str| shown_value(&change.field, value);
        table.row([change.field.clone(), value(&change.from), value(&change.to), change.hosts.to_string()]);
    }
    format!("\nany one of these would let it fit\n{}", table.render())
}

/// Amounts as people write them.
fn shown_value(field: &str, value: &str) -> String {
    match (field, value.parse()) {
        ("shape.memory_bytes", Ok(amount)) => bytes::format(amount),
        ("shape.cpu_milli", Ok(amount)) => cpu::format(amount),
        ("shape.gpu.milli", Ok(amount)) => gpu::format_milli(amount),
        _ => value.to_owned(),
    }
}

/// Where the machines would go.
fn plan_text(plan: &v1::Plan, count: u32) -> String {
    let placed = plan.machines.len();
    if placed == 0 {
        return format!("\nof {count} machines none would be placed now\n");
    }
    let mut table = Table::new(["HOST", "REGION", "ZONE", "GPU"]);
    for machine in &plan.machines {
        let devices = gpu::format_devices(&machine.devices);
        table.row([machine.host.clone(), machine.region.clone(), machine.zone.clone(), devices]);
    }
    format!("\nof {count} machines {placed} would be placed now\n{}", table.render())
}

/// Which constraint refused how many hosts.
pub(super) fn rejections_table(rejections: &[v1::Rejection]) -> String {
    let mut table = Table::new([">HOSTS", "REFUSED BY", "WANT", "HAVE"]);
    for rejection in rejections {
        table.row([
            rejection.hosts.to_string(),
            rejection.constraint.clone(),
            rejection.want.clone(),
            rejection.have.clone(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_changes_are_shown_as_they_are_typed() {
        assert_eq!(shown_value("shape.memory_bytes", "17179869184"), "16 GiB");
        assert_eq!(shown_value("shape.gpu.milli", "250"), gpu::format_milli(250));
        assert_eq!(shown_value("shape.gpu.count", "250"), "250");
        assert_eq!(shown_value("constraints.regions", "ams, fra"), "ams, fra");
    }
}
