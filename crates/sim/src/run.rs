//! One run: a seed, a scenario, its faults, and then the proof that the cluster comes back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gantry_proto::v1;
use tokio::time::{Instant, sleep};

use crate::{
    bug::Bug,
    chance::Chance,
    fault,
    history::Released,
    invariant::Checker,
    panics,
    scenario::{self, Scenario},
    violation::Violation,
    workload,
    world::{Failed, World},
};

/// Between two looks at everything.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Every so many looks are thorough.
const THOROUGH_EVERY: u64 = 50;
/// How long the first election may take.
const FORMED_WITHIN: Duration = Duration::from_secs(10);
/// Once nothing is wrong any more, how long the cluster may take to be as one again.
const CONVERGED_WITHIN: Duration = Duration::from_secs(20);

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub seed: u64,
    pub scenario: &'static str,
    pub simulated_ms: u64,
    /// Answers to placements and releases.
    pub ops: u64,
    pub requests: u64,
    pub violations: Vec<Violation>,
    /// How often each kind of thing happened.
    pub tally: BTreeMap<&'static str, u64>,
    pub trace: String,
}

/// Runs a seed to its end, or to the first violation. On a thread of its own, so that nothing is left over from another run.
pub fn run(seed: u64, bug: Option<Bug>) -> Outcome {
    let thread = std::thread::Builder::new().name(format!("seed {seed}"));
    let running = thread.spawn(move || simulate(seed, bug)).expect("the system has room for a thread");
    running.join().expect("what panics in a run is noted in it")
}

fn simulate(seed: u64, bug: Option<Bug>) -> Outcome {
    panics::watch();
    // The thread's own source: election times, the id of the cluster.
    fastrand::seed(seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime without sockets can be made");
    let scenario = scenario::of(seed);
    runtime.block_on(async {
        let mut chance = Chance::new(seed);
        let world = World::new(scenario.nodes, bug, &mut chance);
        let mut checker = Checker::default();
        if let Err(why) = play(&world, scenario, &mut chance, &mut checker).await {
            world.violations.report("converges", why);
        }
        let history = world.history.lock();
        Outcome {
            seed,
            scenario: scenario.name,
            simulated_ms: world.trace.now_ms(),
            ops: history.answers,
            requests: history.asked() as u64,
            violations: world.violations.all(),
            tally: world.tally(),
            trace: world.trace.text(),
        }
    })
}

/// Fails where the cluster does not come to be, or to be again, in time.
async fn play(
    world: &Arc<World>,
    scenario: &'static Scenario,
    chance: &mut Chance,
    checker: &mut Checker,
) -> Result<(), String> {
    world.trace.line(format!("scenario: {}", scenario.name));
    form(world, checker).await?;
    let until = Instant::now() + Duration::from_secs(scenario.seconds);
    let mut clients = Vec::new();
    for number in 0..workload::CLIENTS {
        clients.push(tokio::spawn(workload::client(Arc::clone(world), number, chance.fork(), until)));
    }
    let faults = tokio::spawn(faults(Arc::clone(world), scenario, chance.fork(), until));
    while clients.iter().any(|client| !client.is_finished()) {
        if !looked(world, checker, false).await {
            break;
        }
    }
    faults.abort();
    clients.iter().for_each(tokio::task::JoinHandle::abort);
    if world.violations.any() {
        return Ok(());
    }
    world.trace.line("the faults end");
    world.heal().await;
    converge(world, checker).await?;
    checker.look(world, true);
    Ok(())
}

/// Waits a little and looks. False where something does not hold.
async fn looked(world: &World, checker: &mut Checker, thorough: bool) -> bool {
    sleep(LOOK_EVERY).await;
    let number = world.trace.now_ms() / LOOK_EVERY.as_millis() as u64;
    checker.look(world, thorough || number.is_multiple_of(THOROUGH_EVERY));
    !world.violations.any()
}

/// Makes the nodes a cluster, with hosts.
async fn form(world: &Arc<World>, checker: &mut Checker) -> Result<(), String> {
    for id in world.ids() {
        world.start(id).await;
    }
    let Some(first) = world.running(1) else { return Err("node 1 does not run".to_owned()) };
    first.consensus.init(world.members()).await.map_err(|error| format!("the cluster cannot be formed: {error}"))?;
    drop(first);
    let late = Instant::now() + FORMED_WITHIN;
    for host in workload::hosts() {
        loop {
            let leader = world.leader().unwrap_or(1);
            if workload::register(world, leader, host).await.is_ok() {
                break;
            }
            if !looked(world, checker, false).await || Instant::now() > late {
                return Err("the cluster was not formed in time".to_owned());
            }
        }
    }
    Ok(())
}

async fn faults(world: Arc<World>, scenario: &'static Scenario, mut chance: Chance, until: Instant) {
    let (least, most) = scenario.every_ms;
    loop {
        sleep(chance.ms(least, most)).await;
        let Some(fault) = chance.pick(scenario.faults).and_then(|name| fault::named(name)) else { return };
        if Instant::now() >= until {
            return;
        }
        world.count(fault.name);
        (fault.begin)(&world, &mut chance);
    }
}

/// Nothing is wrong any more: what is open is settled, something new is granted, and all nodes come to the same state.
async fn converge(world: &Arc<World>, checker: &mut Checker) -> Result<(), String> {
    let late = Instant::now() + CONVERGED_WITHIN;
    let mut open: Vec<v1::PlaceRequest> = world.history.lock().unresolved();
    open.push(v1::PlaceRequest {
        request_id: "last".to_owned(),
        app: "last".to_owned(),
        shape: Some(v1::Shape { cpu_milli: 1, memory_bytes: 1 << 20, ..v1::Shape::default() }),
        count: 1,
        ..v1::PlaceRequest::default()
    });
    let half_released: Vec<u64> = {
        let history = world.history.lock();
        history.grants().filter(|granted| granted.released == Released::Asked).map(|granted| granted.id).collect()
    };
    let mut is_settled = false;
    loop {
        world.start_all().await;
        let last_failure = match world.leader() {
            Some(leader) if !is_settled => match settle(world, leader, &open, &half_released).await {
                Ok(()) => {
                    is_settled = true;
                    continue;
                }
                Err(failed) => format!("a call of the leader came to {failed:?}"),
            },
            Some(_) if !world.is_complete() => "not all nodes are voters".to_owned(),
            Some(_) => match are_one(world) {
                Ok(()) => return Ok(()),
                Err(why) => why,
            },
            None => "nobody leads".to_owned(),
        };
        if !looked(world, checker, false).await {
            return Ok(());
        }
        if Instant::now() > late {
            let late = CONVERGED_WITHIN.as_secs();
            return Err(format!("{late} s after the last fault the cluster is not well: {last_failure}"));
        }
    }
}

async fn settle(world: &World, leader: u64, open: &[v1::PlaceRequest], releases: &[u64]) -> Result<(), Failed> {
    for request in open {
        match workload::place_at(world, leader, request).await {
            Err(Failed::Definite { reason, .. }) if reason == "NO_CAPACITY" => {}
            other => other?,
        }
    }
    for id in releases {
        workload::release_at(world, leader, *id).await?;
    }
    Ok(())
}

/// All nodes run and have applied the same, to the end of their logs.
fn are_one(world: &World) -> Result<(), String> {
    let mut first = None;
    for id in world.ids() {
        let running = world.running(id).ok_or_else(|| format!("node {id} does not run"))?;
        let (state, log) = (running.consensus.state(), running.consensus.log());
        let state = state.read();
        let (rev, last) = (state.rev(), log.last().map_or(0, |last| last.index));
        if rev != last {
            return Err(format!("node {id} has applied {rev} of {last}"));
        }
        let is = (rev, state.state_hash());
        let (other, was) = *first.get_or_insert((id, is));
        if is != was {
            return Err(format!(
                "node {other} is at rev {} with hash {:032x}, node {id} at rev {rev} with {:032x}",
                was.0, was.1, is.1
            ));
        }
    }
    Ok(())
}
