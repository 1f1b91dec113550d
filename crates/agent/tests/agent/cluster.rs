//! A cluster that takes everything an agent says and remembers it, and says what the test wants.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use gantry_proto::v1::{
    self, AgentEvent, AgentMessage, LayerOnHost, LayerState,
    agent_event::Event,
    agent_message::Message,
    fleet_server::{Fleet, FleetServer},
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{
    Stream,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// What was heard from agents.
#[derive(Clone, Default)]
pub struct Heard {
    pub registered: Vec<v1::HostSpec>,
    pub layers: BTreeMap<String, LayerOnHost>,
    pub images: BTreeMap<String, v1::Image>,
    /// Of each report, whether it was a full one and how many layers it named.
    pub reports: Vec<(bool, usize)>,
    pub confirmed: Vec<u64>,
    pub refused: Vec<(u64, String)>,
    pub pulled: Vec<v1::Pulled>,
    pub fetched: Vec<v1::FetchProgress>,
    pub connections: usize,
}

/// To the agent that is connected.
type Line = mpsc::Sender<Result<AgentEvent, Status>>;

#[derive(Clone, Default)]
struct State {
    heard: Arc<Mutex<Heard>>,
    /// To the present agent.
    line: Arc<Mutex<Option<Line>>>,
    /// What stands: said to each agent that registers.
    standing: Arc<Mutex<Vec<v1::Reservation>>>,
    /// Why the next registrations fail.
    refusals: Arc<Mutex<VecDeque<v1::Failed>>>,
    /// What the host is known as, whatever it says.
    known: Arc<Mutex<Option<v1::HostSpec>>>,
}

pub struct Cluster {
    pub address: String,
    state: State,
}

impl Cluster {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let state = State::default();
        let service = FleetServer::new(state.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, state }
    }

    pub fn heard(&self) -> Heard {
        self.state.heard.lock().clone()
    }

    /// Waits until what was heard is as it should be, and returns it.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Heard) -> bool) -> Heard {
        let waiting = async {
            while !is_so(&self.heard()) {
                tokio::time::sleep(PAUSE).await;
            }
            self.heard()
        };
        let heard = tokio::time::timeout(PATIENCE, waiting).await;
        heard.unwrap_or_else(|_| panic!("{what}: never so; layers: {:?}", self.states()))
    }

    /// Layers by digest, as far as they are.
    pub fn states(&self) -> BTreeMap<String, LayerState> {
        self.heard().layers.iter().map(|(digest, layer)| (digest.clone(), layer.state())).collect()
    }

    pub fn grant(&self, row: v1::Reservation) {
        self.state.standing.lock().push(row.clone());
        self.say(Event::Granted(row));
    }

    pub fn say(&self, event: Event) {
        let line = self.state.line.lock().clone().expect("an agent is connected");
        line.try_send(Ok(AgentEvent { event: Some(event) })).expect("the agent reads");
    }

    /// What stands without having been said.
    pub fn stands(&self, row: v1::Reservation) {
        self.state.standing.lock().push(row);
    }

    pub fn forget(&self, id: u64) {
        self.state.standing.lock().retain(|row| row.id != id);
    }

    /// Breaks the connection of the present agent.
    pub fn cut(&self) {
        let line = self.state.line.lock().take().expect("an agent is connected");
        line.try_send(Err(Status::aborted("another agent registered the same host"))).expect("the agent reads");
    }

    /// The next registration is refused, because more is promised than the host then has.
    pub fn refuse_registration(&self, known: v1::HostSpec) {
        *self.state.known.lock() = Some(known);
        let detail = v1::ErrorDetail { reason: "LESS_THAN_PROMISED".to_owned(), ..v1::ErrorDetail::default() };
        let message = "host h has promised 2000 of device_milli and now has 0".to_owned();
        self.state.refusals.lock().push_back(v1::Failed { seq: 0, code: 9, message, detail: Some(detail) });
    }
}

impl State {
    async fn listen(self, mut messages: Streaming<AgentMessage>, line: mpsc::Sender<Result<AgentEvent, Status>>) {
        while let Ok(Some(AgentMessage { seq, message: Some(message) })) = messages.message().await {
            let is_registration = matches!(message, Message::Register(_));
            let refusal = if is_registration { self.refusals.lock().pop_front() } else { None };
            if let Some(refusal) = refusal {
                let event = Some(Event::Failed(v1::Failed { seq, ..refusal }));
                let _ = line.send(Ok(AgentEvent { event })).await;
                continue;
            }
            if is_registration {
                *self.line.lock() = Some(line.clone());
            }
            self.take(message);
            let done = v1::Done { seq, rev: seq, host_id: 1 };
            let _ = line.send(Ok(AgentEvent { event: Some(Event::Done(done)) })).await;
            if is_registration {
                let standing = self.standing.lock().clone();
                for row in standing {
                    let _ = line.send(Ok(AgentEvent { event: Some(Event::Granted(row)) })).await;
                }
            }
        }
    }

    fn take(&self, message: Message) {
        let mut heard = self.heard.lock();
        match message {
            Message::Register(spec) => heard.registered.push(spec),
            Message::Layers(report) => {
                heard.reports.push((report.full, report.present.len() + report.gone.len()));
                if report.full {
                    heard.layers.clear();
                }
                heard.layers.extend(report.present.into_iter().map(|layer| (layer.digest.clone(), layer)));
                report.gone.iter().for_each(|digest| assert!(heard.layers.remove(digest).is_some(), "{digest}"));
            }
            Message::Image(image) => drop(heard.images.insert(image.reference.clone(), image)),
            Message::Confirm(confirm) => heard.confirmed.push(confirm.reservation_id),
            Message::Refuse(refuse) => {
                heard.refused.push((refuse.reservation_id, refuse.reason));
                self.standing.lock().retain(|row| row.id != refuse.reservation_id);
            }
            Message::Pulled(pulled) => heard.pulled.push(pulled),
            Message::FetchProgress(progress) => heard.fetched.push(progress),
            Message::Heartbeat(_) | Message::End(_) => {}
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Fleet for State {
    type AgentStream = Pin<Box<dyn Stream<Item = Result<AgentEvent, Status>> + Send>>;

    async fn agent(&self, request: Request<Streaming<AgentMessage>>) -> Answer<Self::AgentStream> {
        self.heard.lock().connections += 1;
        let (line, events) = mpsc::channel(1_024);
        tokio::spawn(self.clone().listen(request.into_inner(), line));
        Ok(Response::new(Box::pin(ReceiverStream::new(events))))
    }

    async fn get_host(&self, _: Request<v1::GetHostRequest>) -> Answer<v1::GetHostResponse> {
        let spec = self.known.lock().clone();
        Ok(Response::new(v1::GetHostResponse { rev: 1, host: Some(v1::Host { spec, ..v1::Host::default() }) }))
    }

    async fn list_hosts(&self, _: Request<v1::ListHostsRequest>) -> Answer<v1::ListHostsResponse> {
        Err(unasked())
    }

    async fn update_host(&self, _: Request<v1::UpdateHostRequest>) -> Answer<v1::UpdateHostResponse> {
        Err(unasked())
    }

    async fn set_scheduling(&self, _: Request<v1::SetSchedulingRequest>) -> Answer<v1::SetSchedulingResponse> {
        Err(unasked())
    }

    async fn remove_host(&self, _: Request<v1::RemoveHostRequest>) -> Answer<v1::RemoveHostResponse> {
        Err(unasked())
    }

    async fn record_image(&self, _: Request<v1::RecordImageRequest>) -> Answer<v1::RecordImageResponse> {
        Err(unasked())
    }

    async fn list_images(&self, _: Request<v1::ListImagesRequest>) -> Answer<v1::ListImagesResponse> {
        Err(unasked())
    }

    async fn show_image(&self, _: Request<v1::ShowImageRequest>) -> Answer<v1::ShowImageResponse> {
        Err(unasked())
    }

    type WarmImageStream = ReceiverStream<Result<v1::WarmImageResponse, Status>>;

    async fn warm_image(&self, _: Request<v1::WarmImageRequest>) -> Answer<Self::WarmImageStream> {
        Err(unasked())
    }

    async fn set_region_alias(&self, _: Request<v1::SetRegionAliasRequest>) -> Answer<v1::SetRegionAliasResponse> {
        Err(unasked())
    }

    async fn list_regions(&self, _: Request<v1::ListRegionsRequest>) -> Answer<v1::ListRegionsResponse> {
        Err(unasked())
    }
}

fn unasked() -> Status {
    Status::unimplemented("no agent asks for it")
}
