use clap::Args;
use gantry_client::Code;
use gantry_proto::v1::{self, event::Event};

use super::{dev::stop_signal, end_reason};
use crate::{
    context::{Context, Outcome},
    exit::Exit,
    failure::Failure,
    json,
    unit::{bytes, gpu},
};

/// Print events as they come, until Ctrl-C
///
/// With --json, one object a line. When the connection breaks, goes on where it was.
#[derive(Debug, Args)]
pub struct Watch {
    /// Start after this rev instead of now
    #[arg(long, value_name = "REV")]
    after: Option<u64>,

    /// Only of this app
    #[arg(long, default_value = "")]
    app: String,

    /// Only of this host
    #[arg(long, default_value = "")]
    host: String,
}

impl Watch {
    pub async fn run(self, context: Context) -> Outcome {
        let stop = stop_signal()?;
        let events = self.follow(&context);
        tokio::select! {
            failure = events => Err(failure),
            () = stop => Ok(Exit::Ok),
        }
    }

    async fn follow(mut self, context: &Context) -> Failure {
        loop {
            let request = v1::WatchRequest { after_rev: self.after, app: self.app.clone(), host: self.host.clone() };
            // Opening is tried again within the client's bounds; over them, the error ends the command.
            let mut events = match context.client.watch(request).await {
                Ok(events) => events,
                Err(error) => return error.into(),
            };
            loop {
                match events.message().await {
                    Ok(Some(response)) => {
                        for event in &response.events {
                            if let Err(error) = print(context, event) {
                                return error;
                            }
                        }
                        self.after = Some(response.rev);
                    }
                    Err(status) if status.code() == Code::OutOfRange => {
                        return Failure::new(Exit::Refused, status.message())
                            .hint("run `gantry ls` for what is there now, and watch without --after");
                    }
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }
}

fn print(context: &Context, event: &v1::Event) -> Result<(), Failure> {
    if context.output.is_json() {
        context.output.value(&json::event(event))?;
    } else {
        context.output.text(&format!("{}  {}", event.rev, line(event)))?;
    }
    Ok(())
}

fn line(event: &v1::Event) -> String {
    match &event.event {
        Some(Event::Reserved(it)) => format!("reserved {}", reservation(it)),
        Some(Event::Confirmed(it)) => format!("confirmed {}", reservation(it)),
        Some(Event::Renewed(it)) => format!("renewed {}", reservation(it)),
        Some(Event::Ended(it)) => {
            let which = it.reservation.as_ref().map(reservation).unwrap_or_default();
            let detail = if it.detail.is_empty() { String::new() } else { format!(": {}", it.detail) };
            format!("{} {which}{detail}", end_reason(it))
        }
        Some(Event::VolumeCreated(it)) => format!("volume created {}", volume(it)),
        Some(Event::VolumeDeleted(it)) => format!("volume deleted {}", volume(it)),
        Some(Event::VolumeHoldExpired(it)) => format!("volume hold expired {}", volume(it)),
        Some(Event::Host(it)) => format!("host {} {}", it.what, it.name),
        Some(Event::ImageRecorded(reference)) => format!("image recorded {reference}"),
        Some(Event::FeatureLevel(level)) => format!("feature level {level}"),
        None => "an event that this version does not know".to_owned(),
    }
}

fn reservation(it: &v1::Reservation) -> String {
    let devices = match it.devices.as_slice() {
        [] => String::new(),
        devices => format!(" gpu {}", gpu::format_devices(devices)),
    };
    format!("{} of {} on {}{devices}", it.id, it.app, it.host)
}

fn volume(it: &v1::Volume) -> String {
    format!("{} ({}, {}) of {} on {}", it.id, it.name, bytes::format(it.size_bytes), it.app, it.host)
}
