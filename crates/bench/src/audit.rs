//! The promises, checked from outside: what was acknowledged against what each replica lists.
//!
//! - no oversubscription: for every host of every replica, each GPU's thousandths, CPU and memory within its capacity;
//! - nothing lost: every acknowledged placement is on all replicas, on the same host and devices under the same fence;
//! - nothing twice: one answer a request id, one machine a request on the replicas;
//! - one history: equal state hashes at the same applied rev.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use gantry_proto::v1;
use gantry_types::WHOLE_GPU_MILLI;

pub mod replicas;

use crate::fleet::Host;

/// Violations that are described one by one; further ones are only counted.
const DESCRIBED: usize = 20;

/// What an acknowledgement said of one machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    pub reservation: u64,
    pub fence: u64,
    pub host: String,
    /// (index, thousandths), by index.
    pub devices: Vec<(u32, u32)>,
}

impl From<&v1::Reservation> for Grant {
    fn from(reservation: &v1::Reservation) -> Self {
        let mut devices: Vec<_> = reservation.devices.iter().map(|d| (d.index, d.milli)).collect();
        devices.sort_unstable();
        Self { reservation: reservation.id, fence: reservation.fence, host: reservation.host.clone(), devices }
    }
}

/// What one node answered from its own applied state.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    pub node: u64,
    pub rev: u64,
    pub state_hash: String,
    pub reservations: Vec<v1::Reservation>,
}

/// Everything that callers know: each acknowledgement that arrived, and the ids of all requests that were sent.
#[derive(Debug, Default)]
pub struct Callers {
    pub acknowledged: Vec<(String, Grant)>,
    pub sent: HashSet<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Hosts or devices promised beyond their capacity, summed over the replicas.
    pub oversubscribed: u64,
    /// Acknowledged placements that are not on every replica as they were acknowledged.
    pub lost: u64,
    /// Request ids with two answers or with more machines than were asked for.
    pub duplicated: u64,
    /// Reservations on a replica that nobody asked for.
    pub unasked: u64,
    /// Reservations of requests that were sent and never answered; allowed where callers gave up.
    pub unanswered: u64,
    pub hashes_equal: bool,
    pub described: Vec<String>,
}

impl Findings {
    /// True where every promise was kept.
    pub fn kept(&self) -> bool {
        self.oversubscribed + self.lost + self.duplicated + self.unasked == 0 && self.hashes_equal
    }

    /// Adds those of another audit.
    pub fn and(mut self, other: Self) -> Self {
        self.oversubscribed += other.oversubscribed;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.unasked += other.unasked;
        self.unanswered += other.unanswered;
        self.hashes_equal &= other.hashes_equal;
        self.described.extend(other.described);
        self.described.truncate(DESCRIBED);
        self
    }

    fn describe(&mut self, what: impl FnOnce() -> String) {
        if self.described.len() < DESCRIBED {
            self.described.push(what());
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} oversubscribed, {} lost, {} duplicated, {} unasked, {} unanswered, state hashes {}",
            self.oversubscribed,
            self.lost,
            self.duplicated,
            self.unasked,
            self.unanswered,
            if self.hashes_equal { "equal" } else { "differ" }
        )
    }
}

/// Checks callers that asked for one machine a request.
pub fn audit(hosts: &[Host], callers: &Callers, replicas: &[Replica]) -> Findings {
    let mut findings = Findings { hashes_equal: hashes_equal(replicas), ..Findings::default() };
    if !findings.hashes_equal {
        findings.describe(|| {
            let seen = replicas.iter().map(|r| format!("node {} has {} at rev {}", r.node, r.state_hash, r.rev));
            format!("state hashes differ: {}", seen.collect::<Vec<_>>().join(", "))
        });
    }
    let answers = answers(&mut findings, callers);
    for replica in replicas {
        capacity(&mut findings, hosts, replica);
        promised(&mut findings, callers, &answers, replica);
    }
    findings
}

/// Checks callers that remember only ids and fences: `standing` was acknowledged and not released; `in_doubt` was given to
/// a release whose outcome is not known.
pub fn audit_standing(
    hosts: &[Host],
    standing: &HashMap<u64, u64>,
    in_doubt: &HashSet<u64>,
    replicas: &[Replica],
) -> Findings {
    let mut findings = Findings { hashes_equal: hashes_equal(replicas), ..Findings::default() };
    for replica in replicas {
        let node = replica.node;
        capacity(&mut findings, hosts, replica);
        let mut fences: HashMap<u64, u64> = HashMap::with_capacity(replica.reservations.len());
        let mut requests: HashSet<&str> = HashSet::with_capacity(replica.reservations.len());
        for reservation in &replica.reservations {
            let (id, request) = (reservation.id, reservation.request_id.as_str());
            if !requests.insert(request) || fences.insert(id, reservation.fence).is_some() {
                findings.duplicated += 1;
                findings.describe(|| format!("node {node}: request {request} or reservation {id} stands twice"));
            }
            if !standing.contains_key(&id) && !in_doubt.contains(&id) {
                findings.unasked += 1;
                findings.describe(|| format!("node {node}: reservation {id} was released or never acknowledged"));
            }
        }
        for (id, fence) in standing.iter().filter(|&(id, fence)| fences.get(id) != Some(fence)) {
            findings.lost += 1;
            let have = fences.get(id);
            findings.describe(|| {
                format!("node {node}: reservation {id} with fence {fence} was acknowledged: has {have:?}")
            });
        }
    }
    findings
}

/// Equal positions first: two replicas at different revs say nothing about each other.
fn hashes_equal(replicas: &[Replica]) -> bool {
    replicas.windows(2).all(|two| two[0].rev == two[1].rev && two[0].state_hash == two[1].state_hash)
        && replicas.iter().all(|replica| !replica.state_hash.is_empty())
}

/// The answer to each request id; two that differ are a duplicate.
fn answers<'a>(findings: &mut Findings, callers: &'a Callers) -> HashMap<&'a str, &'a Grant> {
    let mut answers: HashMap<&str, &Grant> = HashMap::with_capacity(callers.acknowledged.len());
    for (request, grant) in &callers.acknowledged {
        let first = *answers.entry(request).or_insert(grant);
        if first != grant {
            findings.duplicated += 1;
            findings.describe(|| format!("request {request} was answered with {first:?} and with {grant:?}"));
        }
    }
    answers
}

fn promised(findings: &mut Findings, callers: &Callers, answers: &HashMap<&str, &Grant>, replica: &Replica) {
    let node = replica.node;
    let mut standing: BTreeMap<&str, Vec<Grant>> = BTreeMap::new();
    for reservation in &replica.reservations {
        standing.entry(&reservation.request_id).or_default().push(reservation.into());
    }
    for (&request, grants) in &standing {
        if grants.len() > 1 {
            findings.duplicated += 1;
            findings.describe(|| format!("node {node}: request {request} holds {} machines: {grants:?}", grants.len()));
        }
        if !callers.sent.contains(request) {
            findings.unasked += 1;
            findings.describe(|| format!("node {node}: nobody sent request {request:?}, which holds {grants:?}"));
        } else if !answers.contains_key(request) {
            findings.unanswered += 1;
        }
    }
    for (&request, &grant) in answers {
        let kept = standing.get(request).is_some_and(|grants| grants.contains(grant));
        if !kept {
            findings.lost += 1;
            let have = standing.get(request);
            findings.describe(|| format!("node {node}: request {request} was answered with {grant:?}: has {have:?}"));
        }
    }
}

/// What is promised of one host.
#[derive(Default)]
struct Promised {
    cpu_milli: u64,
    memory_bytes: u64,
    devices: BTreeMap<u32, Vec<u32>>,
}

fn capacity(findings: &mut Findings, hosts: &[Host], replica: &Replica) {
    let node = replica.node;
    let mut promised: BTreeMap<&str, Promised> = BTreeMap::new();
    for reservation in &replica.reservations {
        let on_host = promised.entry(&reservation.host).or_default();
        let shape = reservation.shape.clone().unwrap_or_default();
        on_host.cpu_milli += shape.cpu_milli;
        on_host.memory_bytes += shape.memory_bytes;
        for share in &reservation.devices {
            on_host.devices.entry(share.index).or_default().push(share.milli);
        }
    }
    let by_name: HashMap<&str, &Host> = hosts.iter().map(|host| (host.name.as_str(), host)).collect();
    for (name, promised) in promised {
        for over in by_name.get(name).map_or_else(|| vec!["is not registered".to_owned()], |host| over(host, &promised))
        {
            findings.oversubscribed += 1;
            findings.describe(|| format!("node {node}: host {name} {over}"));
        }
    }
}

/// Every resource of the host that is promised beyond what it has.
fn over(host: &Host, promised: &Promised) -> Vec<String> {
    let mut over = Vec::new();
    for (what, want, have) in [
        ("milli CPU", promised.cpu_milli, host.cpu_milli),
        ("bytes of memory", promised.memory_bytes, host.memory_bytes),
    ] {
        if want > have {
            over.push(format!("has promised {want} of {have} {what}"));
        }
    }
    for (&index, shares) in &promised.devices {
        let sum: u64 = shares.iter().map(|&milli| u64::from(milli)).sum();
        if index >= host.gpus {
            over.push(format!("has promised GPU {index} and has only {}", host.gpus));
        } else if sum > u64::from(WHOLE_GPU_MILLI) {
            over.push(format!("has promised {sum} thousandths of GPU {index}: {shares:?}"));
        }
    }
    over
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Vec<Host> {
        let mut hosts = crate::fleet::uniform(2).unwrap();
        hosts[1].cpu_milli = 5_000;
        hosts
    }

    fn reservation(id: u64, request: &str, host: usize, devices: &[(u32, u32)]) -> v1::Reservation {
        v1::Reservation {
            id,
            fence: id + 100,
            host: format!("host-{host:05}"),
            request_id: request.to_owned(),
            shape: Some(v1::Shape { cpu_milli: 1_000, memory_bytes: 1 << 30, ..Default::default() }),
            devices: devices.iter().map(|&(index, milli)| v1::DeviceShare { index, milli }).collect(),
            ..Default::default()
        }
    }

    fn good() -> (Callers, Vec<Replica>) {
        let reservations = vec![
            reservation(1, "a", 0, &[(0, 1_000)]),
            reservation(2, "b", 0, &[(1, 500)]),
            reservation(3, "c", 0, &[(1, 500)]),
            reservation(4, "d", 1, &[(0, 250)]),
        ];
        let acknowledged: Vec<_> = reservations.iter().map(|r| (r.request_id.clone(), Grant::from(r))).collect();
        let sent = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        let replica = |node| Replica { node, rev: 9, state_hash: "5eed".into(), reservations: reservations.clone() };
        (Callers { acknowledged, sent }, vec![replica(1), replica(2), replica(3)])
    }

    #[test]
    fn a_kept_promise_has_no_findings() {
        let (mut callers, replicas) = good();
        callers.acknowledged.push(callers.acknowledged[0].clone());
        let findings = audit(&hosts(), &callers, &replicas);
        assert!(findings.kept(), "the same answer twice is one answer: {findings}");
        assert_eq!(findings.described, Vec::<String>::new());
    }

    #[test]
    fn planted_oversubscription_is_seen() {
        let plant = |change: fn(&mut Vec<v1::Reservation>)| {
            let (mut callers, mut replicas) = good();
            change(&mut replicas[1].reservations);
            callers.sent.insert("x".into());
            audit(&hosts(), &callers, &replicas)
        };
        let shared_whole = plant(|all| all.push(reservation(9, "x", 0, &[(0, 250)])));
        assert_eq!((shared_whole.oversubscribed, shared_whole.unanswered), (1, 1), "{shared_whole:?}");
        let above = plant(|all| all.push(reservation(9, "x", 0, &[(1, 1)])));
        assert_eq!(above.oversubscribed, 1);
        assert!(above.described[0].contains("node 2") && above.described[0].contains("1001 thousandths of GPU 1"));
        assert_eq!(plant(|all| all.push(reservation(9, "x", 0, &[(8, 1_000)]))).oversubscribed, 1, "no such GPU");
        assert_eq!(plant(|all| all.push(reservation(9, "x", 7, &[]))).oversubscribed, 1, "no such host");
        let cpu = plant(|all| all[3].shape.as_mut().unwrap().cpu_milli = 5_001);
        assert_eq!(cpu.oversubscribed, 1, "{cpu:?}");
        let memory = plant(|all| all[3].shape.as_mut().unwrap().memory_bytes = 1 << 50);
        assert_eq!(memory.oversubscribed, 1, "{memory:?}");
    }

    #[test]
    fn planted_losses_are_seen() {
        let plant = |change: fn(&mut v1::Reservation)| {
            let (callers, mut replicas) = good();
            change(&mut replicas[2].reservations[3]);
            audit(&hosts(), &callers, &replicas).lost
        };
        assert_eq!(plant(|r| r.host = "host-00000".into()), 1);
        assert_eq!(plant(|r| r.devices[0].index = 3), 1);
        assert_eq!(plant(|r| r.fence += 1), 1);
        let (callers, mut replicas) = good();
        replicas[0].reservations.remove(0);
        replicas[2].reservations.clear();
        assert_eq!(audit(&hosts(), &callers, &replicas).lost, 5);
    }

    #[test]
    fn planted_duplicates_and_strangers_are_seen() {
        let (mut callers, replicas) = good();
        let mut other = callers.acknowledged[0].clone();
        other.1.devices = vec![(5, 1_000)];
        callers.acknowledged.push(other);
        assert_eq!(audit(&hosts(), &callers, &replicas).duplicated, 1);

        let (callers, mut replicas) = good();
        replicas[0].reservations.push(reservation(9, "a", 0, &[(6, 1_000)]));
        assert_eq!(audit(&hosts(), &callers, &replicas).duplicated, 1);

        let (callers, mut replicas) = good();
        replicas[0].reservations.push(reservation(9, "z", 0, &[(6, 1_000)]));
        let findings = audit(&hosts(), &callers, &replicas);
        assert_eq!((findings.unasked, findings.kept()), (1, false));
    }

    #[test]
    fn callers_that_remember_ids_see_the_same_violations() {
        let (_, replicas) = good();
        let standing: HashMap<u64, u64> = (1..=3).map(|id| (id, id + 100)).collect();
        let in_doubt = HashSet::from([4, 5]);
        let check = |standing: &HashMap<u64, u64>, in_doubt: &HashSet<u64>, change: fn(&mut Replica)| {
            let mut replicas = replicas.clone();
            change(&mut replicas[1]);
            audit_standing(&hosts(), standing, in_doubt, &replicas)
        };
        assert!(check(&standing, &in_doubt, |_| ()).kept());
        assert_eq!(check(&standing, &HashSet::new(), |_| ()).unasked, 3, "released, and still there");
        assert_eq!(check(&standing, &in_doubt, |r| drop(r.reservations.remove(0))).lost, 1);
        assert_eq!(check(&standing, &in_doubt, |r| r.reservations[0].fence += 1).lost, 1);
        assert_eq!(check(&standing, &in_doubt, |r| r.reservations[1].request_id = "a".into()).duplicated, 1);
        assert_eq!(check(&standing, &in_doubt, |r| r.reservations[1].devices[0].milli = 501).oversubscribed, 1);
    }

    #[test]
    fn hashes_count_only_at_the_same_rev() {
        let differs = |change: fn(&mut Replica)| {
            let (callers, mut replicas) = good();
            change(&mut replicas[1]);
            audit(&hosts(), &callers, &replicas).hashes_equal
        };
        assert!(differs(|_| ()));
        assert!(!differs(|r| r.rev += 1));
        assert!(!differs(|r| r.state_hash = "other".into()));
        assert!(!differs(|r| r.state_hash.clear()));
    }
}
