//! What clients do: they place, release, ask again, also where they know the answer or got none, and hosts register again.

use std::sync::Arc;

use gantry_proto::v1;
use gantry_types::{Device, HostSpec};
use tokio::time::{Instant, sleep};

use crate::{
    bug::Bug,
    chance::Chance,
    history::Released,
    world::{Failed, World},
};

pub const CLIENTS: u64 = 6;
const HOSTS: u32 = 4;
/// Between two things that a client does.
const PAUSE_MS: (u64, u64) = (5, 60);
/// Tries of one client at one request.
const TRIES: u32 = 6;
/// Reservations that stand beyond this are released before more are asked for.
const STANDING: usize = 40;
/// Longer than any run: reservations end by release only.
const LEASE_MS: u64 = 3_600_000;

/// One client, until `until`.
pub async fn client(world: Arc<World>, number: u64, mut chance: Chance, until: Instant) {
    let mut client = Client { world, number, asked: 0, leader: 1 };
    while Instant::now() < until && !client.world.violations.any() {
        sleep(chance.ms(PAUSE_MS.0, PAUSE_MS.1)).await;
        client.act(&mut chance).await;
    }
}

struct Client {
    world: Arc<World>,
    number: u64,
    asked: u64,
    /// Whom it takes for the leader.
    leader: u64,
}

impl Client {
    async fn act(&mut self, chance: &mut Chance) {
        let standing = self.standing();
        match chance.below(100) {
            0..50 if standing.len() < STANDING => {
                let request = self.new_request(chance);
                self.place(chance, request).await;
            }
            0..76 => {
                if let Some(id) = chance.pick(&standing) {
                    self.release(chance, *id).await;
                }
            }
            76..90 => {
                let again = self.world.history.lock().some_request(chance.number());
                if let Some(request) = again {
                    self.world.count("asked again");
                    self.place(chance, request).await;
                }
            }
            90..96 => {
                let request = self.new_request(chance);
                let ids = self.world.ids();
                let (a, b) = (*chance.pick(&ids).unwrap_or(&1), *chance.pick(&ids).unwrap_or(&1));
                self.world.count("asked twice at once");
                let (first, second) =
                    futures::future::join(place_at(&self.world, a, &request), place_at(&self.world, b, &request)).await;
                if first.is_err() && second.is_err() {
                    self.place(chance, request).await;
                }
            }
            _ => {
                let host = chance.below(u64::from(HOSTS)) as u32;
                let _ = register(&self.world, self.leader, host).await;
            }
        }
    }

    fn standing(&self) -> Vec<u64> {
        let history = self.world.history.lock();
        history.grants().filter(|granted| granted.released == Released::No).map(|granted| granted.id).collect()
    }

    fn new_request(&mut self, chance: &mut Chance) -> v1::PlaceRequest {
        self.asked += 1;
        let gpu = match chance.below(4) {
            0 => Some(v1::GpuShape { count: 1, milli: 1_000, ..v1::GpuShape::default() }),
            1 => Some(v1::GpuShape { count: 1, milli: 500, ..v1::GpuShape::default() }),
            _ => None,
        };
        let shape = v1::Shape {
            cpu_milli: 500 * (1 + chance.below(4)),
            memory_bytes: (1 + chance.below(4)) << 30,
            gpu,
            ..v1::Shape::default()
        };
        v1::PlaceRequest {
            request_id: format!("c{}-{}", self.number, self.asked),
            app: format!("app-{}", chance.below(3)),
            shape: Some(shape),
            count: 1 + chance.below(2) as u32,
            lease_ms: LEASE_MS,
            ..v1::PlaceRequest::default()
        }
    }

    /// Asks until there is an answer, or a definite no, or it has asked often enough.
    async fn place(&mut self, chance: &mut Chance, request: v1::PlaceRequest) {
        for _ in 0..TRIES {
            let to = self.whom(chance);
            let placed = place_at(&self.world, to, &request).await;
            match self.learn(placed) {
                Next::Done => return,
                Next::Again => sleep(chance.ms(5, 100)).await,
            }
        }
    }

    async fn release(&mut self, chance: &mut Chance, id: u64) {
        for _ in 0..TRIES {
            let to = self.whom(chance);
            let released = release_at(&self.world, to, id).await;
            match self.learn(released) {
                Next::Done => return,
                Next::Again => sleep(chance.ms(5, 100)).await,
            }
        }
    }

    fn whom(&self, chance: &mut Chance) -> u64 {
        let ids = self.world.ids();
        let any = *chance.pick(&ids).unwrap_or(&1);
        if chance.permille(100) { any } else { self.leader }
    }

    fn learn<T>(&mut self, result: Result<T, Failed>) -> Next {
        match result {
            Ok(_) => Next::Done,
            Err(Failed::Definite { reason, leader }) => {
                self.leader = leader.unwrap_or_else(|| self.world.next_after(self.leader));
                if reason == "NO_CAPACITY" { Next::Done } else { Next::Again }
            }
            Err(Failed::Unknown) => {
                self.leader = self.world.next_after(self.leader);
                Next::Again
            }
        }
    }
}

enum Next {
    Done,
    Again,
}

/// Asks one node for a placement, and notes what comes of it.
pub async fn place_at(world: &World, to: u64, request: &v1::PlaceRequest) -> Result<(), Failed> {
    let id = &request.request_id;
    world.history.lock().ask(request);
    let mut sent = request.clone();
    if world.bug() == Some(Bug::DedupeOff) {
        // As a server would see it that looks at no ids: each call is another one.
        sent.request_id = format!("{id}/{}", world.history.lock().number_a_call());
    }
    let answer = world.call(to, async move |serving| serving.place(sent).await).await;
    let mut history = world.history.lock();
    match answer {
        Ok(response) => {
            history.placed(id, &response);
            let grants: Vec<String> =
                response.reservations.iter().map(|row| format!("{}@{}", row.id, row.host_id)).collect();
            let (rev, missing) = (response.rev, response.missing);
            world.trace.line(format!("{id} to {to}: placed {} at rev {rev}, {missing} missing", grants.join(" ")));
            Ok(())
        }
        Err(Failed::Unknown) => {
            history.unknown(id);
            world.trace.line(format!("{id} to {to}: unknown"));
            Err(Failed::Unknown)
        }
        Err(Failed::Definite { reason, leader }) => {
            history.refused(id);
            world.trace.line(format!("{id} to {to}: {reason}"));
            Err(Failed::Definite { reason, leader })
        }
    }
}

/// Asks one node to release a reservation, and notes what comes of it.
pub async fn release_at(world: &World, to: u64, id: u64) -> Result<(), Failed> {
    world.history.lock().release_asked(id);
    let request = v1::ReleaseRequest { request_id: format!("release-{id}"), reservation_ids: vec![id] };
    let answer = world.call(to, async move |serving| serving.release(request).await).await;
    match &answer {
        Ok(response) => {
            world.history.lock().release_done(id, response.rev);
            world.trace.line(format!("release {id} to {to}: done at rev {}", response.rev));
        }
        Err(failed) => world.trace.line(format!("release {id} to {to}: {failed:?}")),
    }
    answer.map(drop)
}

pub fn hosts() -> impl Iterator<Item = u32> {
    0..HOSTS
}

/// Has two GPUs.
pub fn spec(number: u32) -> HostSpec {
    let device = |index| Device { index, kind: "H100".to_owned(), memory_bytes: 80 << 30, ..Device::default() };
    HostSpec {
        name: format!("host-{number}"),
        region: "ams".to_owned(),
        zone: format!("ams-{}", number % 2),
        cpu_shared_milli: 12_000,
        cpu_overcommit_percent: 100,
        memory_bytes: 24 << 30,
        volume_bytes: 1 << 40,
        devices: (0..2).map(device).collect(),
        ..HostSpec::default()
    }
}

/// Registers a host, or says again what it has.
pub async fn register(world: &World, to: u64, number: u32) -> Result<u32, Failed> {
    let mut declared = spec(number);
    if world.bug() == Some(Bug::CapacityCheckOff) {
        declared.cpu_shared_milli *= 100;
        declared.memory_bytes *= 100;
    }
    let registered = world.call(to, async move |serving| serving.register(declared).await).await;
    let what = registered.as_ref().map_or_else(|failed| format!("{failed:?}"), |id| format!("is host {id}"));
    world.trace.line(format!("host-{number} to {to}: {what}"));
    registered
}
