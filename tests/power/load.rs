//! Callers that place and release, and know of each call whether it was acknowledged, refused, or in doubt.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gantry_bench::audit::{Callers, Grant};
use gantry_client::{Client, Error, Retry, v1};
use tokio::{sync::watch, task::JoinSet};

use crate::support::place;

/// Half of them repeat a call until it is answered, the others never do.
const CALLERS: usize = 12;
const STANDING: usize = 12;
/// Answers that show that the service goes on.
const PROGRESS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);
/// Before an impatient caller calls again.
const BREATH: Duration = Duration::from_millis(5);

pub struct Load {
    resting: Vec<Caller>,
    working: JoinSet<Caller>,
    over: Arc<AtomicBool>,
    answers: Answers,
    /// Repeats every call until it is answered.
    patient: Client,
}

/// When the last answer came, and how many there were.
#[derive(Clone)]
struct Answers {
    count: Arc<AtomicUsize>,
    last: watch::Sender<Option<Instant>>,
}

impl Answers {
    fn note(&self) {
        self.count.fetch_add(1, Relaxed);
        self.last.send_replace(Some(Instant::now()));
    }
}

/// One caller and what it was told.
struct Caller {
    client: Client,
    name: usize,
    next: usize,
    /// Acknowledged, and no release was sent.
    standing: VecDeque<(String, Grant)>,
    /// Placements that may have happened.
    maybe_placed: Vec<v1::PlaceRequest>,
    /// Releases that may have happened, by reservation.
    maybe_released: BTreeMap<u64, (String, Grant)>,
}

impl Load {
    pub fn new(addrs: &[String]) -> Self {
        let client = |retry| Client::new(addrs.to_vec()).expect("the addresses are well-formed").with_retry(retry);
        let patient = || {
            client(Retry {
                attempts: 10_000,
                cap: Duration::from_millis(50),
                attempt: Duration::from_secs(2),
                deadline: PATIENCE,
                ..Retry::default()
            })
        };
        let impatient = || client(Retry { deadline: Duration::from_secs(1), ..Retry::default() }.never());
        let resting = (0..CALLERS).map(|name| {
            let client = if name % 2 == 0 { patient() } else { impatient() };
            let (standing, maybe_placed, maybe_released) = Default::default();
            Caller { client, name, next: 0, standing, maybe_placed, maybe_released }
        });
        let answers = Answers { count: Arc::default(), last: watch::Sender::new(None) };
        Self { resting: resting.collect(), working: JoinSet::new(), over: Arc::default(), answers, patient: patient() }
    }

    pub fn start(&mut self) {
        self.over.store(false, Relaxed);
        for caller in self.resting.drain(..) {
            self.working.spawn(caller.work(Arc::clone(&self.over), self.answers.clone()));
        }
    }

    pub async fn stop(&mut self) {
        self.over.store(true, Relaxed);
        while let Some(caller) = self.working.join_next().await {
            self.resting.push(caller.expect("a caller's task ends by itself"));
        }
    }

    /// Waits for answers that had not come yet.
    pub async fn goes_on(&self) {
        let before = self.acknowledged();
        let mut last = self.answers.last.subscribe();
        let came = last.wait_for(|_| self.acknowledged() >= before + PROGRESS);
        let came = tokio::time::timeout(PATIENCE, came).await;
        drop(came.expect("the service goes on").expect("the load is there"));
    }

    /// Waits for an answer that came after `moment`, at which nobody could answer.
    pub async fn first_answer_after(&self, moment: Instant) -> Instant {
        let mut last = self.answers.last.subscribe();
        let came = tokio::time::timeout(PATIENCE, last.wait_for(|last| last.is_some_and(|last| last > moment))).await;
        let came = came.expect("the service comes back").expect("the load is there");
        came.expect("there is an answer")
    }

    /// Calls that were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.answers.count.load(Relaxed)
    }

    /// What must stand, and what may. What was refused or released is in neither.
    pub fn told(&self) -> Callers {
        let mut told = Callers::default();
        for caller in &self.resting {
            told.acknowledged.extend(caller.standing.iter().cloned());
            told.sent.extend(caller.maybe_placed.iter().map(|request| request.request_id.clone()));
            told.sent.extend(caller.maybe_released.values().map(|(request, _)| request.clone()));
        }
        told.sent.extend(told.acknowledged.iter().map(|(request, _)| request.clone()));
        told
    }

    /// Sends everything in doubt again, under its request id: what had happened must be told as it stands, and is not done
    /// twice. Gives how many doubts there were, and how many had happened.
    pub async fn settle_doubts(&mut self, standing: &[v1::Reservation]) -> (usize, usize) {
        let standing: HashMap<&str, Grant> =
            standing.iter().map(|row| (row.request_id.as_str(), Grant::from(row))).collect();
        let (mut doubts, mut done) = (0, 0);
        for caller in &mut self.resting {
            for request in std::mem::take(&mut caller.maybe_placed) {
                let id = request.request_id.clone();
                let answer = self.patient.place(request).await;
                let answer = answer.unwrap_or_else(|error| panic!("{id} was not placed: {error}"));
                let [row] = &answer.reservations[..] else { panic!("{id} got {answer:?}") };
                let grant = Grant::from(row);
                doubts += 1;
                if let Some(stood) = standing.get(id.as_str()) {
                    assert_eq!(*stood, grant, "{id} was answered with something else than what stands");
                    done += 1;
                }
                caller.standing.push_back((id, grant));
            }
            for (reservation, (request, _)) in std::mem::take(&mut caller.maybe_released) {
                doubts += 1;
                done += usize::from(!standing.contains_key(request.as_str()));
                let answer = self.patient.release(release(reservation)).await;
                answer.unwrap_or_else(|error| panic!("{reservation} was not released: {error}"));
            }
        }
        (doubts, done)
    }
}

fn release(reservation: u64) -> v1::ReleaseRequest {
    v1::ReleaseRequest { request_id: format!("free-{reservation}"), reservation_ids: vec![reservation] }
}

impl Caller {
    /// Places one machine after the other until it is told to stop, and releases the older ones.
    async fn work(mut self, over: Arc<AtomicBool>, answers: Answers) -> Self {
        while !over.load(Relaxed) {
            let request_id = format!("power-{}-{}", self.name, self.next);
            let gpu_milli = [1_000, 500, 250][self.next % 3];
            self.next += 1;
            let request = place(&request_id, &format!("app-{}", self.next % 7), gpu_milli);
            match self.client.place(request.clone()).await {
                Ok(answer) => {
                    let [row] = &answer.reservations[..] else { panic!("{request_id} got {answer:?}") };
                    self.standing.push_back((request_id, Grant::from(row)));
                    answers.note();
                }
                Err(error) => {
                    if self.failed(&error).await {
                        self.maybe_placed.push(request);
                    }
                }
            }
            if self.standing.len() > STANDING {
                self.release_oldest(&answers).await;
            }
        }
        self
    }

    async fn release_oldest(&mut self, answers: &Answers) {
        let Some((request, grant)) = self.standing.pop_front() else { return };
        match self.client.release(release(grant.reservation)).await {
            Ok(_) => answers.note(),
            Err(error) => {
                if self.failed(&error).await {
                    self.maybe_released.insert(grant.reservation, (request, grant));
                } else {
                    self.standing.push_front((request, grant));
                }
            }
        }
    }

    /// Whether the call may have happened. An impatient caller's failures are the point of it; a patient one has none.
    async fn failed(&self, error: &Error) -> bool {
        assert!(self.name % 2 == 1, "a patient caller was not answered: {error}");
        tokio::time::sleep(BREATH).await;
        error.indefinite()
    }
}
