//! The stream that an agent holds.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;
use gantry_machine::{Command, Confirm, EndByHost, LayerPresent, RecordImage, RegisterHost, ReportLayers};
use gantry_proto::{
    convert,
    v1::{self, agent_event, agent_message::Message},
};
use gantry_types::{Fence, HostId, HostSpec, Image, Refused, ReservationId, Rev};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::{
    agents::{self, ToAgent},
    call::{Answer, Answered, CallError, Reply, What},
    node::Node,
};

/// The outgoing half: answers to the agent's messages, and news of its host.
#[derive(Debug)]
pub(crate) struct Outgoing {
    answers: mpsc::UnboundedReceiver<(u64, Answer)>,
    news: mpsc::UnboundedReceiver<ToAgent>,
    closed: bool,
}

pub(super) fn serve(node: Node, messages: Streaming<v1::AgentMessage>) -> Outgoing {
    let (replies, answers) = mpsc::unbounded_channel();
    let (tell, news) = mpsc::unbounded_channel();
    tokio::spawn(listen(node, messages, replies, tell));
    Outgoing { answers, news, closed: false }
}

type Replies = mpsc::UnboundedSender<(u64, Answer)>;

/// An agent's messages are handled one after the other: a confirmation never overtakes the registration it needs.
async fn listen(
    node: Node,
    mut messages: Streaming<v1::AgentMessage>,
    replies: Replies,
    tell: mpsc::UnboundedSender<ToAgent>,
) {
    let mut session: Option<(HostId, u64)> = None;
    while let Ok(Some(message)) = messages.message().await {
        if let Some((host, id)) = session {
            node.agents().heard(host, id);
        }
        match message.message {
            Some(Message::Register(spec)) => {
                if let Some((host, id)) = session.take() {
                    node.agents().disconnected(host, id);
                }
                session = register(&node, message.seq, spec, &replies, &tell).await;
            }
            Some(Message::Heartbeat(v1::Heartbeat {})) => {
                let answer = Answered::Did(gantry_machine::Effect::Done { rev: rev(&node) });
                drop(replies.send((message.seq, Ok(answer))));
            }
            other => handle(&node, session.map(|(host, _)| host), message.seq, other, &replies).await,
        }
    }
    if let Some((host, id)) = session {
        node.agents().disconnected(host, id);
    }
}

fn rev(node: &Node) -> Rev {
    node.state().read().rev()
}

/// Commits the registration, subscribes to the host's news, and says what already stands on it.
async fn register(
    node: &Node,
    seq: u64,
    spec: v1::HostSpec,
    replies: &Replies,
    tell: &mpsc::UnboundedSender<ToAgent>,
) -> Option<(HostId, u64)> {
    let answer = match HostSpec::try_from(spec) {
        Ok(spec) => node.command(RegisterHost { spec }, None).await,
        Err(refused) => Err(CallError::Refused(refused)),
    };
    let registered = match &answer {
        Ok(Answered::Did(gantry_machine::Effect::HostRegistered { host, .. })) => Some(*host),
        _ => None,
    };
    let session = registered.map(|host| (host, node.agents().connected(host, tell.clone())));
    drop(replies.send((seq, answer)));
    if let Some((host, _)) = session {
        for row in standing(node, host) {
            drop(tell.send(ToAgent::Event(Box::new(agent_event::Event::Granted(row)))));
        }
    }
    session
}

fn standing(node: &Node, host: HostId) -> Vec<v1::Reservation> {
    let state = node.state();
    let state = state.read();
    let Some(host) = state.fleet.host(host) else { return Vec::new() };
    let rows = host.reservations().iter().filter_map(|&id| state.fleet.reservation(id));
    rows.map(|row| convert::reservation(row, &host.spec)).collect()
}

async fn handle(node: &Node, host: Option<HostId>, seq: u64, message: Option<Message>, replies: &Replies) {
    let commands = host
        .ok_or_else(|| Refused::invalid("message", "comes before register: an agent says first who it is"))
        .and_then(|host| commands(host, message));
    let mut commands = match commands {
        Ok(commands) => commands,
        Err(refused) => {
            drop(replies.send((seq, Err(CallError::Refused(refused)))));
            return;
        }
    };
    let last = commands.pop();
    for command in commands {
        if let Err(error) = node.command(command, None).await {
            drop(replies.send((seq, Err(error))));
            return;
        }
    }
    if let Some(command) = last {
        node.submit(What::Command(command), None, Reply::tagged(seq, replies.clone()));
    }
}

/// At least one command for every message that is understood.
fn commands(host: HostId, message: Option<Message>) -> Result<Vec<Command>, Refused> {
    let end = |reservation: ReservationId, fence: Fence, refusal: Option<String>| {
        Command::from(EndByHost { host, reservation, fence, refusal })
    };
    Ok(match message {
        Some(Message::Layers(report)) => vec![report_layers(host, report.try_into()?).into()],
        Some(Message::Confirm(confirm)) => {
            vec![Confirm { host, reservation: confirm.reservation_id, fence: confirm.fence }.into()]
        }
        Some(Message::Refuse(refuse)) => {
            refuse.check()?;
            vec![end(refuse.reservation_id, refuse.fence, Some(refuse.reason))]
        }
        Some(Message::End(ended)) => vec![end(ended.reservation_id, ended.fence, None)],
        Some(Message::Image(image)) => vec![RecordImage { image: Image::try_from(image)? }.into()],
        Some(Message::Register(_) | Message::Heartbeat(_)) | None => {
            return Err(Refused::invalid("message", "is missing or of a kind that this server does not know"));
        }
    })
}

/// A report is one command however large it is: in parts, a host would look half empty in between, and stay so where the
/// stream ends there. [`limits::LAYERS_PER_REPORT`](gantry_types::limits::LAYERS_PER_REPORT) layers fit into a log entry.
fn report_layers(host: HostId, report: convert::LayerReport) -> ReportLayers {
    let present = report.present.into_iter().map(|layer| LayerPresent {
        digest: layer.digest.0.to_vec(),
        size_bytes: layer.size_bytes,
        state: layer.state as i32,
    });
    let gone = report.gone.into_iter().map(|digest| digest.0.to_vec());
    ReportLayers { host, full: report.full, present: present.collect(), gone: gone.collect() }
}

impl Stream for Outgoing {
    type Item = Result<v1::AgentEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.closed {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Some((seq, answer))) = self.answers.poll_recv(context) {
            let event = agents::done(seq, answer);
            return Poll::Ready(Some(Ok(v1::AgentEvent { event: Some(event) })));
        }
        match self.news.poll_recv(context) {
            Poll::Ready(Some(ToAgent::Event(event))) => Poll::Ready(Some(Ok(v1::AgentEvent { event: Some(*event) }))),
            Poll::Ready(Some(ToAgent::Close(status))) => {
                self.closed = true;
                Poll::Ready(Some(Err(status)))
            }
            // The agent ended its half and has all its answers.
            Poll::Ready(None) => {
                self.closed = true;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
