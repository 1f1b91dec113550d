//! The stream that an agent holds.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::Stream;
use gantry_machine::{
    Command, Confirm, Effect, EndByHost, LayerPresent, ObservePull, RecordImage, RegisterHost, ReportLayers,
    SetReachable,
};
use gantry_proto::{
    convert,
    v1::{self, AgentEvent, agent_event, agent_message::Message},
};
use gantry_types::{Fence, HostId, HostSpec, Image, Refused, ReservationId};
use tonic::{Status, Streaming};

use crate::{
    agents::{self, Heard, Line, News},
    call::{Answered, CallError, Reply, What},
    node::Node,
    service::window::{Owed, Window, window},
    unreadable,
};

/// Messages of one agent that are not yet answered; more are not read.
const UNANSWERED: usize = 1_024;

/// The outgoing half: answers to the agent's messages, and news of its host.
#[derive(Debug)]
pub(crate) struct Outgoing {
    owed: Owed,
    heard: Heard,
    /// Of the news being told.
    standing: VecDeque<v1::Reservation>,
    closed: bool,
}

pub(super) fn serve(node: Node, messages: Streaming<v1::AgentMessage>) -> Outgoing {
    let (window, owed) = window(UNANSWERED);
    let (line, heard) = agents::line();
    tokio::spawn(listen(node, messages, window, line));
    Outgoing { owed, heard, standing: VecDeque::new(), closed: false }
}

/// Which host an agent speaks for, and as which of its connections.
type Session = Option<(HostId, u64)>;

async fn listen(node: Node, messages: Streaming<v1::AgentMessage>, window: Window, line: Line) {
    let mut session = None;
    let end = take_messages(&node, messages, &window, &line, &mut session).await;
    if let Some((host, id)) = session {
        node.agents().disconnected(host, id);
    }
    if let Err(status) = end {
        window.fail(unreadable::message(&status));
    }
}

/// An agent's messages are handled one after the other: a confirmation never overtakes the registration it needs.
async fn take_messages(
    node: &Node,
    mut messages: Streaming<v1::AgentMessage>,
    window: &Window,
    line: &Line,
    session: &mut Session,
) -> Result<(), Status> {
    while let Some(message) = messages.message().await? {
        let Some(reply) = window.reply(message.seq).await else { break };
        match message.message {
            Some(Message::Register(spec)) => {
                if let Some((host, id)) = session.take() {
                    node.agents().disconnected(host, id);
                }
                *session = register(node, spec, reply, line).await;
            }
            Some(Message::Heartbeat(v1::Heartbeat {})) => {
                heard_of(node, session.map(|(host, _)| host), reply);
            }
            Some(Message::Layers(report)) => {
                let level = node.state().read().fleet.feature_level();
                submit(node, session, reply, |host| Ok(report_layers(host, report.try_into()?, level).into()));
            }
            other => submit(node, session, reply, |host| command(host, other)),
        }
    }
    Ok(())
}

/// Commits the registration, subscribes to the host's news, and says what already stands on it.
async fn register(node: &Node, spec: v1::HostSpec, reply: Reply, line: &Line) -> Session {
    let answer = match HostSpec::try_from(spec) {
        Ok(spec) => node.command(RegisterHost { spec }, None).await,
        Err(refused) => Err(CallError::Refused(refused)),
    };
    let registered = match &answer {
        Ok(Answered::Did(Effect::HostRegistered { host, .. })) => Some(*host),
        _ => None,
    };
    reply.send(answer);
    registered.map(|host| (host, node.agents().connected(&node.state(), host, line.clone())))
}

/// Answers a heartbeat. Of a host that was given up it is the news that it is back.
fn heard_of(node: &Node, host: Option<HostId>, reply: Reply) {
    let (rev, given_up) = {
        let state = node.state();
        let state = state.read();
        (state.rev(), host.and_then(|host| state.fleet.host(host)).filter(|host| host.unreachable).map(|host| host.id))
    };
    match given_up {
        Some(host) => node.submit(What::Command(SetReachable { host, reachable: true }.into()), None, reply),
        None => reply.send(Ok(Answered::Did(Effect::Done { rev }))),
    }
}

/// Has a message's command decided, once it is known which host speaks.
fn submit(node: &Node, session: &Session, reply: Reply, command: impl FnOnce(HostId) -> Result<Command, Refused>) {
    let unknown = || Refused::invalid("message", "comes before register: an agent says first who it is");
    match session.map(|(host, _)| host).ok_or_else(unknown).and_then(command) {
        Ok(command) => node.submit(What::Command(command), None, reply),
        Err(refused) => reply.send(Err(CallError::Refused(refused))),
    }
}

/// What a message asks for. One command a message, so that all of it happens or nothing.
fn command(host: HostId, message: Option<Message>) -> Result<Command, Refused> {
    let end = |reservation: ReservationId, fence: Fence, refusal: Option<String>| {
        Command::from(EndByHost { host, reservation, fence, refusal })
    };
    Ok(match message {
        Some(Message::Confirm(confirm)) => {
            Confirm { host, reservation: confirm.reservation_id, fence: confirm.fence }.into()
        }
        Some(Message::Refuse(refuse)) => {
            refuse.check()?;
            end(refuse.reservation_id, refuse.fence, Some(refuse.reason))
        }
        Some(Message::End(ended)) => end(ended.reservation_id, ended.fence, None),
        Some(Message::Image(image)) => RecordImage { image: Image::try_from(image)? }.into(),
        Some(Message::Pulled(pulled)) => ObservePull { host, observed: pulled.try_into()? }.into(),
        Some(Message::Register(_) | Message::Heartbeat(_) | Message::Layers(_) | Message::FetchProgress(_)) | None => {
            return Err(Refused::invalid("message", "is missing or of a kind that this server does not know"));
        }
    })
}

/// A report is one command however large it is: in parts, a host would look half empty in between, and stay so where the
/// stream ends there. [`limits::LAYERS_PER_REPORT`](gantry_types::limits::LAYERS_PER_REPORT) layers fit into a log entry.
///
/// Below feature level 2 what is said of progress and content is left out: it is a hint, and what lies where is not.
fn report_layers(host: HostId, report: convert::LayerReport, feature_level: u32) -> ReportLayers {
    let with_hints = feature_level >= 2;
    let present = report.present.into_iter().map(|layer| LayerPresent {
        digest: layer.digest.0.to_vec(),
        size_bytes: layer.size_bytes,
        state: layer.state as i32,
        fetched_bytes: layer.fetched_bytes.filter(|_| with_hints),
        diff_id: layer.diff_id.filter(|_| with_hints).map_or_else(Vec::new, |diff_id| diff_id.0.to_vec()),
    });
    let gone = report.gone.into_iter().map(|digest| digest.0.to_vec());
    ReportLayers { host, full: report.full, present: present.collect(), gone: gone.collect() }
}

impl Outgoing {
    /// Answers go first: an agent waits for them. The stream ends with the last one.
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<agent_event::Event, Status>>> {
        if let Poll::Ready(Some(why)) = self.heard.close.poll_recv(context) {
            return Poll::Ready(Some(Err(why)));
        }
        if let Poll::Ready(owed) = self.owed.poll(context) {
            return Poll::Ready(owed.map(|owed| owed.map(|(seq, answer)| agents::done(seq, answer))));
        }
        loop {
            if let Some(row) = self.standing.pop_front() {
                return Poll::Ready(Some(Ok(agent_event::Event::Granted(row))));
            }
            match ready!(self.heard.news.poll_recv(context)) {
                Some(News::Standing(rows)) => self.standing = rows.into(),
                Some(News::Event(event)) => return Poll::Ready(Some(Ok(*event))),
                // The reading half is about to end the stream.
                None => return Poll::Pending,
            }
        }
    }
}

impl Stream for Outgoing {
    type Item = Result<AgentEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.closed {
            return Poll::Ready(None);
        }
        let next = ready!(self.next(context));
        self.closed = !matches!(next, Some(Ok(_)));
        Poll::Ready(next.map(|next| next.map(|event| AgentEvent { event: Some(event) })))
    }
}
