//! One connection, from registration to its end.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use gantry_client::{
    Client, Error,
    v1::{
        self, AgentEvent, AgentMessage, ConfirmReservation, Heartbeat, RefuseReservation, agent_event::Event,
        agent_message::Message,
    },
};
use gantry_proto::reason;
use gantry_types::{Digest, Image, PullObservation, limits};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until},
};
use tonic::Streaming;

use super::{Session, estimate::Estimates};
use crate::{
    holds::{Broken, Verdict},
    layers::{Layers, next_report},
};

const HEARTBEAT: Duration = Duration::from_secs(5);
/// A server that answers nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(20);
/// Messages on their way to the connection: each one is answered, and few are unanswered at a time.
const QUEUE: usize = 256;
/// Images taught at a time: behind them, a report waits for few.
const TEACHING: usize = 32;
/// Heartbeats whose answer says that what stood at the registration was told: it was queued before the first one.
const BEATS_UNTIL_HEARD: u32 = 2;
/// After a refusal, what was refused is said again so much later.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Client(#[from] Error),
    #[error("the connection broke: {0}")]
    Broke(Box<tonic::Status>),
    #[error("the server ended the connection")]
    Ended,
    #[error("the server has not answered for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the server does not take messages")]
    Full,
    #[error("the host was refused: {0}")]
    Refused(String),
    #[error("the member cannot serve agents now: {0}")]
    Member(String),
}

/// What a message that is not answered yet was.
#[derive(Debug)]
enum Asked {
    Register {
        as_it_is: bool,
    },
    Heartbeat,
    Layers(Layers),
    Image(String, Digest),
    Refusal,
    /// A confirmation, or how long a pull took: nothing depends on whether it arrived.
    Word(&'static str),
}

pub(super) struct Conversation {
    client: Client,
    out: mpsc::Sender<AgentMessage>,
    events: Streaming<AgentEvent>,
    seq: u64,
    asked: BTreeMap<u64, Asked>,
    is_registered: bool,
    beats: u32,
    /// What the cluster knows of the host's layers; none before the first report was answered.
    told: Option<Layers>,
    /// What it knows of images, by reference.
    taught: BTreeMap<String, Digest>,
    /// When a report that was refused may be sent anew.
    report_after: Option<Instant>,
    /// The host has less than it promised: it stands for what it promised until that was given back.
    stands_in_since: Option<Instant>,
    heard: Instant,
    estimates: Estimates,
}

impl Conversation {
    pub(super) async fn open(session: &mut Session, client: Client) -> Result<Self, SessionError> {
        let (out, messages) = mpsc::channel(QUEUE);
        let events = client.agent(messages).await?;
        let mut conversation = Self {
            client,
            out,
            events,
            seq: 0,
            asked: BTreeMap::new(),
            is_registered: false,
            beats: 0,
            told: None,
            taught: BTreeMap::new(),
            report_after: None,
            stands_in_since: None,
            heard: Instant::now(),
            estimates: Estimates::default(),
        };
        conversation.register(session)?;
        Ok(conversation)
    }

    pub(super) async fn run(mut self, session: &mut Session) -> Result<Infallible, SessionError> {
        let mut heartbeat = heartbeats();
        loop {
            tokio::select! {
                event = self.events.message() => {
                    let event = event.map_err(|status| SessionError::Broke(Box::new(status)))?.ok_or(SessionError::Ended)?;
                    self.heard = Instant::now();
                    self.take(event, session).await?;
                }
                _ = heartbeat.tick() => self.ask(Message::Heartbeat(Heartbeat {}), Asked::Heartbeat)?,
                () = sleep_until(self.heard + SILENCE) => return Err(SessionError::Silent),
                Ok(()) = session.view.changed() => {}
                Ok(()) = session.spec.changed() => self.host_changed(session)?,
                Some(observed) = session.observations.recv(), if self.is_registered => {
                    self.ask(Message::Pulled(pulled(observed)), Asked::Word("how long a pull took"))?;
                }
                // However many are told of, other messages have room.
                Some(told) = session.fetched.recv(), if self.is_registered && self.out.capacity() > QUEUE / 2 => {
                    // Of an earlier connection nobody here knows the id.
                    if told.connection == session.connection {
                        self.ask(Message::FetchProgress(told.progress), Asked::Word("how far a fetch is"))?;
                    }
                }
            }
            if self.is_registered {
                self.report(session)?;
                self.teach(session)?;
            }
        }
    }

    fn ask(&mut self, message: Message, asked: Asked) -> Result<(), SessionError> {
        self.seq += 1;
        let message = AgentMessage { seq: self.seq, message: Some(message) };
        self.out.try_send(message).map_err(|_| SessionError::Full)?;
        self.asked.insert(self.seq, asked);
        Ok(())
    }

    async fn take(&mut self, event: AgentEvent, session: &mut Session) -> Result<(), SessionError> {
        match event.event {
            Some(Event::Done(done)) => {
                let Some(asked) = self.asked.remove(&done.seq) else { return Ok(()) };
                self.done(asked, done.rev, session)
            }
            Some(Event::Failed(failed)) => {
                let Some(asked) = self.asked.remove(&failed.seq) else { return Ok(()) };
                self.failed(asked, failed, session).await
            }
            Some(Event::Granted(row)) => self.granted(&row, session),
            Some(Event::Ended(ended)) => {
                let mut holds = session.holds.lock();
                if holds.ended(ended.reservation_id, ended.fence) {
                    tracing::info!(reservation = ended.reservation_id, "ended");
                }
                session.metrics.reservations(holds.len());
                Ok(())
            }
            Some(Event::Fetch(fetch)) => {
                session.fetches.fetch(session.connection, fetch);
                Ok(())
            }
            Some(Event::CancelFetch(cancel)) => {
                session.fetches.cancel(session.connection, cancel.id);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn done(&mut self, asked: Asked, rev: u64, session: &mut Session) -> Result<(), SessionError> {
        match asked {
            Asked::Register { as_it_is } => {
                self.is_registered = true;
                self.stands_in_since = (!as_it_is).then(Instant::now);
                self.beats = 0;
                session.holds.lock().connected();
                session.metrics.connected(true);
                session.fetches.connected();
                tracing::info!(host = session.spec.borrow().name, member = self.client.endpoint(), "registered");
            }
            Asked::Heartbeat => return self.beaten(session),
            Asked::Layers(known) => {
                session.metrics.reported(rev);
                self.told = Some(known);
            }
            Asked::Image(reference, digest) => drop(self.taught.insert(reference, digest)),
            // Something was given back: perhaps it was the last that the host cannot keep.
            Asked::Refusal
                if self.stands_in_since.is_some() && !self.is_asked(|asked| matches!(asked, Asked::Refusal)) =>
            {
                return self.register(session);
            }
            Asked::Refusal | Asked::Word(_) => {}
        }
        Ok(())
    }

    fn is_asked(&self, which: impl Fn(&Asked) -> bool) -> bool {
        self.asked.values().any(which)
    }

    fn beaten(&mut self, session: &mut Session) -> Result<(), SessionError> {
        self.beats = self.beats.saturating_add(1);
        if self.beats == BEATS_UNTIL_HEARD {
            let mut holds = session.holds.lock();
            for id in holds.all_heard() {
                tracing::info!(reservation = id, "ended while the host was not connected");
            }
            session.metrics.reservations(holds.len());
        }
        if self.stands_in_since.is_some_and(|since| since.elapsed() > SAY_AGAIN) {
            self.register(session)?;
        }
        Ok(())
    }

    async fn failed(&mut self, asked: Asked, failed: v1::Failed, session: &mut Session) -> Result<(), SessionError> {
        let detail = failed.detail.as_ref();
        let why = detail.map_or("", |detail| detail.reason.as_str());
        if [reason::NOT_LEADER, reason::STOPPED].contains(&why) {
            return Err(SessionError::Member(failed.message));
        }
        match asked {
            Asked::Register { as_it_is: true }
                if why == reason::LESS_THAN_PROMISED && self.stand_in(session).await? =>
            {
                let (host, message) = (session.spec.borrow().name.clone(), failed.message);
                tracing::error!(
                    host,
                    why = message,
                    "the host has less than it has promised, and gives back what it cannot keep"
                );
            }
            Asked::Register { .. } => return Err(SessionError::Refused(failed.message)),
            Asked::Layers(_) => {
                tracing::warn!(
                    why = failed.message,
                    "the report of layers was refused; all of them are told again later"
                );
                self.told = None;
                self.report_after = Some(Instant::now() + SAY_AGAIN);
            }
            // It counts as taught: the same would be refused again, and another digest is news.
            Asked::Image(reference, digest) => {
                tracing::warn!(
                    image = reference,
                    why = failed.message,
                    "the cluster does not take the image's manifest"
                );
                self.taught.insert(reference, digest);
            }
            Asked::Heartbeat => return Err(SessionError::Member(failed.message)),
            Asked::Refusal => tracing::debug!(why = failed.message, "a refusal was not taken"),
            Asked::Word(what) => tracing::debug!(what, why = failed.message, "not taken"),
        }
        Ok(())
    }

    /// Registers the host as it is.
    fn register(&mut self, session: &mut Session) -> Result<(), SessionError> {
        let spec = session.spec.borrow_and_update().clone();
        // Until it is answered the server does not know who speaks.
        self.is_registered = false;
        self.ask(Message::Register(spec.into()), Asked::Register { as_it_is: true })
    }

    /// Registers the host as the cluster knows it, so that what it cannot keep can be refused. False where it is not known.
    async fn stand_in(&mut self, session: &Session) -> Result<bool, SessionError> {
        let name = session.spec.borrow().name.clone();
        match self.client.get_host(v1::GetHostRequest { name }).await {
            Ok(response) => {
                let Some(spec) = response.host.and_then(|host| host.spec) else { return Ok(false) };
                self.ask(Message::Register(spec), Asked::Register { as_it_is: false })?;
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    fn granted(&mut self, row: &v1::Reservation, session: &mut Session) -> Result<(), SessionError> {
        let (verdict, held) = {
            let mut holds = session.holds.lock();
            (holds.granted(row), holds.len())
        };
        session.metrics.reservations(held);
        match verdict {
            Verdict::Known => {
                session.metrics.answered("known");
                Ok(())
            }
            Verdict::Confirm => {
                session.metrics.answered("confirmed");
                self.estimates.ask(&self.client, row, session);
                session.fetches.wanted(&row.image);
                let confirm = ConfirmReservation { reservation_id: row.id, fence: row.fence };
                self.ask(Message::Confirm(confirm), Asked::Word("a confirmation"))
            }
            Verdict::Refuse(reason) => {
                session.metrics.answered("refused");
                self.refuse(Broken { id: row.id, fence: row.fence, reason })
            }
        }
    }

    fn refuse(&mut self, broken: Broken) -> Result<(), SessionError> {
        tracing::warn!(reservation = broken.id, why = broken.reason, "refused");
        let mut reason = broken.reason;
        reason.truncate(limits::NAME_BYTES);
        let refuse = RefuseReservation { reservation_id: broken.id, fence: broken.fence, reason };
        self.ask(Message::Refuse(refuse), Asked::Refusal)
    }

    /// What the host has is not what it had.
    fn host_changed(&mut self, session: &mut Session) -> Result<(), SessionError> {
        let spec = session.spec.borrow_and_update().clone();
        let broken = session.holds.lock().changed(spec);
        for broken in broken {
            self.refuse(broken)?;
        }
        self.register(session)
    }

    /// Sends one report at a time: what changes meanwhile is in the next one.
    fn report(&mut self, session: &mut Session) -> Result<(), SessionError> {
        let Some(view) = session.view.borrow_and_update().clone() else { return Ok(()) };
        let is_under_way = self.is_asked(|asked| matches!(asked, Asked::Layers(_)));
        if is_under_way || self.report_after.is_some_and(|after| Instant::now() < after) {
            return Ok(());
        }
        self.report_after = None;
        match next_report(self.told.as_ref(), &view.layers) {
            Some((report, known)) => self.ask(Message::Layers(report.into()), Asked::Layers(known)),
            None => Ok(()),
        }
    }

    fn teach(&mut self, session: &Session) -> Result<(), SessionError> {
        let Some(view) = session.view.borrow().clone() else { return Ok(()) };
        self.taught.retain(|reference, _| view.images.contains_key(reference));
        let under_way: BTreeMap<&str, &Digest> = self
            .asked
            .values()
            .filter_map(|asked| match asked {
                Asked::Image(reference, digest) => Some((reference.as_str(), digest)),
                _ => None,
            })
            .collect();
        let is_news = |image: &&Image| {
            let known = under_way.get(image.reference.as_str()).copied().or_else(|| self.taught.get(&image.reference));
            known.is_none_or(|digest| digest.0[..] != image.digest[..])
        };
        let free = TEACHING.saturating_sub(under_way.len());
        let next: Vec<Image> = view.images.values().filter(is_news).take(free).cloned().collect();
        for image in next {
            let Ok(digest) = Digest::from_bytes("image.digest", &image.digest) else { continue };
            let asked = Asked::Image(image.reference.clone(), digest);
            self.ask(Message::Image((&image).into()), asked)?;
        }
        Ok(())
    }
}

/// Agents that connected in one moment do not beat in one.
fn heartbeats() -> Interval {
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT.mul_f64(fastrand::f64()), HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat
}

fn pulled(observed: PullObservation) -> v1::Pulled {
    let PullObservation { fetched_bytes, fetch_ms, streams, unpacked_bytes, unpack_ms } = observed;
    v1::Pulled { fetched_bytes, fetch_ms, streams, unpacked_bytes, unpack_ms }
}
