//! The simulated cluster: nodes that live and die, their disks, and the network between them.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use gantry_consensus::{
    CheckRules, Config, Consensus, Member, MembershipError, RoomRules, SnapshotRules, StartError, watch,
};
use gantry_proto::WireError;
use gantry_server::{Serving, WallClock};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::{
    bug::Bug,
    chance::Chance,
    disk::{End, Room, SimDisk},
    history::History,
    net::{Net, Weather, address},
    trace::Trace,
    violation::Violations,
};

/// When the simulation begins, by the clocks of its nodes.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How often it is looked whether a full disk has room again.
const WAITS_FOR_ROOM: Duration = Duration::from_millis(100);
/// How long a change of the members may take until it is asked for again.
const CHANGED_WITHIN: Duration = Duration::from_secs(4);
/// A process that ended by itself is started again after a while.
const RESTART_MS: (u64, u64) = (100, 1_500);

/// Everything there is. Shared by all tasks of a run, which run on one thread.
#[derive(Debug)]
pub struct World {
    pub trace: Trace,
    pub net: Net,
    pub violations: Violations,
    pub history: Mutex<History>,
    bug: Option<Bug>,
    chance: Mutex<Chance>,
    nodes: Mutex<BTreeMap<u64, Node>>,
    /// The node that is not what it was, until another has taken its place: one at a time, as many as any cluster bears.
    broken: Mutex<Option<u64>>,
    weather: Mutex<Weather>,
    tally: Mutex<BTreeMap<&'static str, u64>>,
    healed: Mutex<bool>,
}

#[derive(Debug)]
struct Node {
    disk: SimDisk,
    /// How far its clock is off.
    skew: Arc<Mutex<i64>>,
    running: Option<Running>,
    is_starting: bool,
    /// The disks that it had before, as they were when it lost them.
    former: Vec<SimDisk>,
    /// It does not come back.
    is_lost: bool,
}

/// One life of a node.
#[derive(Clone, Debug)]
pub struct Running {
    pub life: u64,
    pub consensus: Consensus,
    pub serving: Arc<Serving>,
    gone: watch::Sender<bool>,
}

/// Why a call brought no answer.
#[derive(Clone, Debug)]
pub enum Failed {
    /// Nothing happened.
    Definite { reason: String, leader: Option<u64> },
    /// It may have happened.
    Unknown,
}

impl World {
    /// A cluster of `nodes` nodes, none of which runs yet.
    pub fn new(nodes: u64, bug: Option<Bug>, chance: &mut Chance) -> Arc<Self> {
        let node = |_: u64, chance: &mut Chance| Node {
            disk: SimDisk::new(chance.fork(), bug),
            skew: Arc::default(),
            running: None,
            is_starting: false,
            former: Vec::new(),
            is_lost: false,
        };
        let nodes = (1..=nodes).map(|id| (id, node(id, chance))).collect();
        Arc::new(Self {
            trace: Trace::begin(),
            net: Net::new(chance.fork()),
            violations: Violations::default(),
            history: Mutex::default(),
            bug,
            chance: Mutex::new(chance.fork()),
            nodes: Mutex::new(nodes),
            broken: Mutex::default(),
            weather: Mutex::new(Weather::FAIR),
            tally: Mutex::default(),
            healed: Mutex::default(),
        })
    }

    /// The nodes that there are.
    pub fn ids(&self) -> Vec<u64> {
        self.nodes.lock().iter().filter(|(_, node)| !node.is_lost).map(|(id, _)| *id).collect()
    }

    /// The one to ask after `id`.
    pub fn next_after(&self, id: u64) -> u64 {
        let ids = self.ids();
        ids.iter().find(|next| **next > id).or(ids.first()).copied().unwrap_or(1)
    }

    pub fn members(&self) -> Vec<Member> {
        self.ids().into_iter().map(member).collect()
    }

    /// The disks that nodes have had before, and those of nodes that are lost.
    pub fn lost_disks(&self) -> Vec<SimDisk> {
        let nodes = self.nodes.lock();
        let lost = nodes.values().filter(|node| node.is_lost).map(|node| &node.disk);
        nodes.values().flat_map(|node| &node.former).chain(lost).cloned().collect()
    }

    pub fn bug(&self) -> Option<Bug> {
        self.bug
    }

    pub fn disk(&self, id: u64) -> SimDisk {
        self.nodes.lock()[&id].disk.clone()
    }

    pub fn running(&self, id: u64) -> Option<Running> {
        self.nodes.lock()[&id].running.clone()
    }

    /// The node that leads, as far as one says so of itself.
    pub fn leader(&self) -> Option<u64> {
        let nodes = self.nodes.lock();
        let mut leaders = nodes.iter().filter_map(|(id, node)| {
            let role = node.running.as_ref()?.consensus.role().borrow().clone();
            role.is_leader.then_some((role.term, *id))
        });
        let first = leaders.next();
        leaders.chain(first).max().map(|(_, id)| id)
    }

    /// Something of a kind has happened.
    pub fn count(&self, what: &'static str) {
        *self.tally.lock().entry(what).or_default() += 1;
    }

    pub fn tally(&self) -> BTreeMap<&'static str, u64> {
        self.tally.lock().clone()
    }

    pub fn set_weather(&self, weather: Weather) {
        *self.weather.lock() = weather;
        self.net.set_weather(weather);
    }

    pub fn set_skew(&self, id: u64, skew_ms: i64) {
        *self.nodes.lock()[&id].skew.lock() = skew_ms;
    }

    /// Starts a node that does not run.
    pub async fn start(self: &Arc<Self>, id: u64) {
        let (disk, skew) = {
            let mut nodes = self.nodes.lock();
            let Some(node) = nodes.get_mut(&id).filter(|node| node.running.is_none() && !node.is_lost) else { return };
            if std::mem::replace(&mut node.is_starting, true) {
                return;
            }
            (node.disk.clone(), Arc::clone(&node.skew))
        };
        self.start_on(id, disk, skew).await;
        if let Some(node) = self.nodes.lock().get_mut(&id) {
            node.is_starting = false;
        }
    }

    async fn start_on(self: &Arc<Self>, id: u64, disk: SimDisk, skew: Arc<Mutex<i64>>) {
        if disk.room() == Room::None {
            // A server waits for room to start in.
            return self.start_after(id, WAITS_FOR_ROOM);
        }
        let (ground, life) = disk.begin_life();
        let config = Config {
            ground,
            transport: self.net.transport(id, life),
            snapshots: SnapshotRules {
                after_entries: 150,
                keep_entries: 50,
                look_every: Duration::from_millis(500),
                ..SnapshotRules::default()
            },
            room: RoomRules { refuse_below_bytes: 1 << 20, reserve_bytes: 4_096 },
            checks: CheckRules {
                scrub_every: Duration::from_secs(7),
                scrub_bytes_per_second: u64::MAX,
                verify_every: Duration::from_secs(2),
            },
            ..Config::new(id, address(id), client_address(id), PathBuf::from("/data"))
        };
        let started = Box::pin(Consensus::start(config)).await;
        if disk.life() != life {
            // It died while it started.
            return self.start_after(id, self.restart_pause());
        }
        let consensus = match started {
            Ok(consensus) => consensus,
            Err(StartError::Open(lost)) if self.is_broken(id) => {
                self.trace.line(format!("node {id} does not start: {lost}"));
                return self.lose(id);
            }
            Err(error) => {
                self.trace.line(format!("node {id} does not start: {error}"));
                self.violations.report("starts", format!("node {id} does not start: {error}"));
                return;
            }
        };
        let trace = self.trace.clone();
        let wall = WallClock::of(move || (EPOCH_MS + trace.now_ms()).saturating_add_signed(*skew.lock()));
        let run = self.chance.lock().number();
        let serving = Arc::new(Serving::new(consensus.clone(), wall, run));
        self.net.listen(id, life, consensus.peer_routes());
        let running = Running { life, consensus, serving, gone: watch::Sender::new(false) };
        if let Some(node) = self.nodes.lock().get_mut(&id) {
            node.running = Some(running.clone());
        }
        let applied = running.consensus.state().read().rev();
        self.trace.line(format!("node {id} runs, life {life}, applied {applied}"));
        tokio::spawn(Arc::clone(self).watch_over(id, running, disk));
    }

    fn restart_pause(&self) -> Duration {
        self.chance.lock().ms(RESTART_MS.0, RESTART_MS.1)
    }

    /// As a supervisor does: a process that ended is started again.
    async fn watch_over(self: Arc<Self>, id: u64, running: Running, disk: SimDisk) {
        let (mut gone, mut lives, life) = (running.gone.subscribe(), disk.lives(), running.life);
        let why = tokio::select! {
            biased;
            _ = gone.wait_for(|gone| *gone) => return,
            _ = lives.wait_for(|now| *now != life) => "its power is cut in the middle of something".to_owned(),
            why = running.consensus.stopped() => why,
        };
        drop(running);
        if why.contains("diverged") && !self.is_broken(id) {
            self.violations.report("one history", format!("node {id}: {why}"));
        }
        self.trace.line(format!("node {id} ends by itself: {why}"));
        self.count("ended by itself");
        self.end(id, End::Killed);
        sleep(self.restart_pause()).await;
        self.start_again(id).await;
    }

    /// A life that ends by itself begins another one, which has to be named somewhere.
    fn start_again(self: Arc<Self>, id: u64) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.start(id).await })
    }

    /// Ends a node's life, at once.
    pub fn end(&self, id: u64, how: End) {
        let running = self.nodes.lock().get_mut(&id).and_then(|node| node.running.take());
        let (kept, had) = self.disk(id).end_life(how);
        self.net.hang_up(id);
        self.trace.line(format!("node {id} is gone ({how:?}): {kept} of {had} unsynced writes are left"));
        let Some(Running { consensus, gone, .. }) = running else { return };
        gone.send_replace(true);
        // What is left of it can reach nothing any more.
        tokio::spawn(async move { consensus.shutdown().await });
    }

    /// Starts a node after a while.
    pub fn start_after(self: &Arc<Self>, id: u64, pause: Duration) {
        let world = Arc::clone(self);
        tokio::spawn(async move {
            sleep(pause).await;
            world.start_again(id).await;
        });
    }

    /// Makes all links whole after a while.
    pub fn mend_after(self: &Arc<Self>, pause: Duration) {
        let world = Arc::clone(self);
        tokio::spawn(async move {
            sleep(pause).await;
            world.net.mend();
            world.trace.line("all links are whole");
        });
    }

    /// A node is about to be no longer what it was. False where another one is not replaced yet.
    pub fn break_one(&self, id: u64) -> bool {
        let mut broken = self.broken.lock();
        let may = broken.is_none() && !*self.healed.lock();
        if may {
            *broken = Some(id);
        }
        may
    }

    /// It is as good as ever.
    pub fn is_whole_again(&self, id: u64) {
        let mut broken = self.broken.lock();
        *broken = broken.filter(|broken| *broken != id);
    }

    fn is_broken(&self, id: u64) -> bool {
        *self.broken.lock() == Some(id)
    }

    /// Puts an empty disk in the place of that of a node that does not run.
    pub fn empty(&self, id: u64) {
        if let Some(node) = self.nodes.lock().get_mut(&id) {
            let new = node.disk.replaced();
            node.former.push(std::mem::replace(&mut node.disk, new));
        }
    }

    /// A broken node is given up, and another one takes its place, under an id of its own.
    pub fn lose(self: &Arc<Self>, id: u64) {
        // Also one that is starting.
        self.end(id, End::Killed);
        let new = {
            let (mut nodes, mut chance) = (self.nodes.lock(), self.chance.lock());
            let new = nodes.last_key_value().map_or(1, |(last, _)| last + 1);
            if let Some(node) = nodes.get_mut(&id) {
                node.is_lost = true;
            }
            let (disk, skew) = (SimDisk::new(chance.fork(), self.bug), Arc::default());
            nodes.insert(
                new,
                Node { disk, skew, running: None, is_starting: false, former: Vec::new(), is_lost: false },
            );
            new
        };
        self.count("nodes replaced");
        self.trace.line(format!("node {id} is given up for node {new}"));
        let world = Arc::clone(self);
        tokio::spawn(async move {
            Arc::clone(&world).start_again(new).await;
            let in_one = world.chance.lock().permille(500);
            // The leader may be gone in the middle of it, and then nobody answers.
            while let Err(why) = timeout(CHANGED_WITHIN, world.put_in_place(id, new, in_one))
                .await
                .unwrap_or_else(|_| Err("no answer in time".to_owned()))
            {
                world.trace.line(format!("node {new} is not in the place of node {id} yet: {why}"));
                let pause = world.chance.lock().ms(100, 400);
                sleep(pause).await;
            }
            world.trace.line(format!("node {new} is in the place of node {id}"));
            world.is_whole_again(id);
        });
    }

    /// What an operator does, or a node that lost its data by itself: with one change of the voters, or with two.
    async fn put_in_place(&self, old: u64, new: u64, in_one: bool) -> Result<(), String> {
        let leader = self.leader().and_then(|id| self.running(id)).ok_or("nobody leads")?.consensus;
        let told = |error: MembershipError| error.to_string();
        if !in_one {
            leader.remove(old).await.map_err(told)?;
        }
        leader.add_learner(member(new)).await.map_err(told)?;
        let placed = if in_one { leader.replace(old, new).await } else { leader.promote(new).await };
        placed.map_err(told)
    }

    /// Whether those who vote are the nodes that there are.
    pub fn is_complete(&self) -> bool {
        let Some(leader) = self.leader().and_then(|id| self.running(id)) else { return false };
        let status = leader.consensus.status();
        let voters = status.members.iter().filter(|member| member.is_voter).map(|member| member.member.id);
        !status.is_joint && voters.eq(self.ids())
    }

    /// Starts every node that does not run.
    pub async fn start_all(self: &Arc<Self>) {
        for id in self.ids() {
            self.start(id).await;
        }
    }

    /// The time of faults is over: what was about to go wrong does not.
    pub fn is_healed(&self) -> bool {
        *self.healed.lock()
    }

    /// Nothing is wrong any more, and every node runs.
    pub async fn heal(self: &Arc<Self>) {
        *self.healed.lock() = true;
        self.net.mend();
        self.set_weather(Weather::FAIR);
        for id in self.ids() {
            self.disk(id).heal();
            self.set_skew(id, 0);
        }
        self.start_all().await;
    }

    /// A client's call of a node. Calls and answers are delayed and lost as the weather is.
    pub async fn call<T>(
        &self,
        to: u64,
        call: impl AsyncFnOnce(Arc<Serving>) -> Result<T, Status>,
    ) -> Result<T, Failed> {
        let (delay, back, lost, answer_lost) = {
            let (weather, mut chance) = (*self.weather.lock(), self.chance.lock());
            let (least, most) = weather.delay_ms;
            let lost = chance.permille(weather.lost_permille);
            (chance.ms(least, most), chance.ms(least, most), lost, chance.permille(weather.lost_permille))
        };
        let until = Instant::now() + PATIENCE;
        sleep(delay).await;
        let Some(Running { serving, gone, .. }) = self.running(to).filter(|_| !lost) else {
            if lost {
                tokio::time::sleep_until(until).await;
            }
            return Err(Failed::Definite { reason: "UNREACHABLE".to_owned(), leader: None });
        };
        let mut gone = gone.subscribe();
        let answered = tokio::select! {
            biased;
            _ = gone.wait_for(|gone| *gone) => return Err(Failed::Unknown),
            answered = timeout(PATIENCE, call(serving)) => answered,
        };
        sleep(back).await;
        match answered {
            Err(_) => Err(Failed::Unknown),
            Ok(_) if answer_lost => {
                self.count("lost answers");
                tokio::time::sleep_until(until).await;
                Err(Failed::Unknown)
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(failed(&status)),
        }
    }
}

fn failed(status: &Status) -> Failed {
    let detail = *WireError::from(status).detail;
    if detail.indefinite || detail.reason.is_empty() {
        return Failed::Unknown;
    }
    let leader = detail.leader.strip_prefix("client-").and_then(|rest| rest.strip_suffix(":1")?.parse().ok());
    Failed::Definite { reason: detail.reason, leader }
}

fn member(id: u64) -> Member {
    Member { id, raft_addr: address(id), client_addr: client_address(id) }
}

fn client_address(id: u64) -> String {
    format!("client-{id}:1")
}
