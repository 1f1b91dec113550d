//! What the cluster reserved on this host, and whether the host has it.
//!
//! The agent trusts the cluster's arithmetic and checks it all the same: what does not fit is refused with a reason, which gives
//! it back. Of two grants that do not fit beside each other the one with the larger fence is the later one, so the other has
//! ended and the news of it is still to come, or was lost with a connection.
//!
//! How far shared CPUs may be promised is an operator's word that the agent need not know, so they are not counted here.

use std::collections::{BTreeMap, BTreeSet};

use gantry_proto::v1::{CpuKind, DeviceShare, Reservation};
use gantry_types::{HostSpec, WHOLE_GPU_MILLI};

/// What to answer to a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Confirm,
    /// It was confirmed before.
    Known,
    Refuse(String),
}

/// A reservation that the host can no longer keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub id: u64,
    pub fence: u64,
    pub reason: String,
}

#[derive(Debug)]
pub(crate) struct Holds {
    spec: HostSpec,
    held: BTreeMap<u64, Hold>,
    /// Held before the present connection, and not named in it so far.
    unheard: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
struct Hold {
    fence: u64,
    app: String,
    image: String,
    performance_milli: u64,
    memory_bytes: u64,
    devices: Vec<DeviceShare>,
    /// How long the image was expected to take, when it was granted.
    ready_ms: Option<u64>,
}

/// Who waits for an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub app: String,
    pub ready_ms: Option<u64>,
}

impl Holds {
    pub(crate) fn new(spec: HostSpec) -> Self {
        Self { spec, held: BTreeMap::new(), unheard: BTreeSet::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// A connection stands: what the cluster does not name in it has ended meanwhile.
    pub(crate) fn connected(&mut self) {
        self.unheard = self.held.keys().copied().collect();
    }

    /// The cluster has named all that stands. Returns what has ended meanwhile.
    pub(crate) fn all_heard(&mut self) -> BTreeSet<u64> {
        let ended = std::mem::take(&mut self.unheard);
        self.held.retain(|id, _| !ended.contains(id));
        ended
    }

    pub(crate) fn granted(&mut self, row: &Reservation) -> Verdict {
        self.unheard.remove(&row.id);
        if let Some(known) = self.held.get(&row.id) {
            if row.fence < known.fence {
                return Verdict::Refuse(format!(
                    "fenced: this reservation was granted anew with fence {}",
                    known.fence
                ));
            }
            if row.fence == known.fence {
                return verdict(row);
            }
        }
        let hold = hold(row);
        let mut overtaken = BTreeSet::from([row.id]);
        while let Some(lack) = self.lack(&hold, &overtaken) {
            // The oldest grant in the way has ended before this one was made.
            let in_the_way = lack.beside.iter().filter(|id| self.held[id].fence < hold.fence);
            match in_the_way.min_by_key(|id| self.held[id].fence) {
                Some(&oldest) => drop(overtaken.insert(oldest)),
                None if lack.beside.is_empty() => return Verdict::Refuse(lack.reason),
                None => {
                    let newest = lack.beside.iter().map(|id| self.held[id].fence).max().unwrap_or(0);
                    return Verdict::Refuse(format!("fenced: {}, which fence {newest} has", lack.reason));
                }
            }
        }
        self.held.retain(|id, _| !overtaken.contains(id));
        self.held.insert(row.id, hold);
        verdict(row)
    }

    /// The cluster has said how long the image of a machine will take.
    pub(crate) fn expect(&mut self, id: u64, ready_ms: u64) {
        if let Some(hold) = self.held.get_mut(&id) {
            hold.ready_ms = Some(ready_ms);
        }
    }

    /// False where it was granted anew since.
    pub(crate) fn ended(&mut self, id: u64, fence: u64) -> bool {
        let is_this = self.held.get(&id).is_some_and(|hold| hold.fence <= fence);
        if is_this {
            self.held.remove(&id);
            self.unheard.remove(&id);
        }
        is_this
    }

    /// The host has changed. Returns what it can no longer keep, which is forgotten: the newest grants first.
    pub(crate) fn changed(&mut self, spec: HostSpec) -> Vec<Broken> {
        self.spec = spec;
        let mut order: Vec<(u64, u64)> = self.held.iter().map(|(id, hold)| (hold.fence, *id)).collect();
        order.sort_unstable();
        let all = std::mem::take(&mut self.held);
        let mut broken = Vec::new();
        for (fence, id) in order {
            let hold = &all[&id];
            match self.lack(hold, &BTreeSet::new()) {
                Some(lack) => broken.push(Broken { id, fence, reason: lack.reason }),
                None => drop(self.held.insert(id, hold.clone())),
            }
        }
        broken
    }

    /// The newest machine that waits for an image.
    pub(crate) fn waiting_for(&self, references: &[String]) -> Option<Waiting> {
        let of_it = self.held.values().filter(|hold| references.contains(&hold.image));
        let newest = of_it.max_by_key(|hold| hold.fence)?;
        Some(Waiting { app: newest.app.clone(), ready_ms: newest.ready_ms })
    }

    /// What the host lacks for a hold beside those held, `without` some.
    fn lack(&self, hold: &Hold, without: &BTreeSet<u64>) -> Option<Lack> {
        let others = || self.held.iter().filter(|(id, _)| !without.contains(id));
        for share in &hold.devices {
            if !self.spec.devices.iter().any(|device| device.index == share.index) {
                return Some(Lack { reason: format!("GPU {} is gone", share.index), beside: Vec::new() });
            }
            let on_it = || {
                others().filter_map(|(id, other)| {
                    Some((*id, other.devices.iter().find(|used| used.index == share.index)?.milli))
                })
            };
            let used: u64 = on_it().map(|(_, milli)| u64::from(milli)).sum();
            if used + u64::from(share.milli) > u64::from(WHOLE_GPU_MILLI) {
                let reason = format!("GPU {}: {} thousandths wanted, {used} used", share.index, share.milli);
                return Some(Lack { reason, beside: on_it().map(|(id, _)| id).collect() });
            }
        }
        type Amount = fn(&Hold) -> u64;
        let amounts: [(&str, u64, Amount); 2] = [
            ("bytes of memory", self.spec.memory_bytes, |hold| hold.memory_bytes),
            ("thousandths of performance CPUs", self.spec.cpu_performance_milli, |hold| hold.performance_milli),
        ];
        amounts.into_iter().find_map(|(what, whole, of)| {
            let want = of(hold);
            let used: u64 = others().map(|(_, other)| of(other)).fold(0, u64::saturating_add);
            let have = whole.saturating_sub(used);
            (want > have).then(|| Lack {
                reason: format!("{want} {what} wanted, {have} of {whole} left"),
                beside: others().filter(|(_, other)| of(other) > 0).map(|(id, _)| *id).collect(),
            })
        })
    }
}

/// Something that is not there, and the holds that have what is there of it.
struct Lack {
    reason: String,
    beside: Vec<u64>,
}

fn verdict(row: &Reservation) -> Verdict {
    match row.phase() {
        gantry_proto::v1::Phase::Allocated => Verdict::Known,
        _ => Verdict::Confirm,
    }
}

fn hold(row: &Reservation) -> Hold {
    let shape = row.shape.clone().unwrap_or_default();
    let performance_milli = if shape.cpu_kind() == CpuKind::Performance { shape.cpu_milli } else { 0 };
    Hold {
        fence: row.fence,
        app: row.app.clone(),
        image: row.image.clone(),
        performance_milli,
        memory_bytes: shape.memory_bytes,
        devices: row.devices.clone(),
        ready_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use gantry_proto::v1::{Phase, Shape};
    use gantry_types::Device;

    use super::*;

    fn spec(devices: &[u32]) -> HostSpec {
        let device = |&index| Device { index, kind: "H100".to_owned(), ..Device::default() };
        HostSpec {
            memory_bytes: 100,
            cpu_performance_milli: 4_000,
            devices: devices.iter().map(device).collect(),
            ..HostSpec::default()
        }
    }

    fn row(id: u64, memory_bytes: u64, devices: &[(u32, u32)]) -> Reservation {
        let devices = devices.iter().map(|&(index, milli)| DeviceShare { index, milli }).collect();
        let shape = Some(Shape { memory_bytes, ..Shape::default() });
        Reservation { id, fence: id, shape, devices, phase: Phase::Reserved.into(), ..Reservation::default() }
    }

    fn granted(holds: &mut Holds, row: &Reservation) -> Verdict {
        holds.granted(row)
    }

    fn refused(verdict: Verdict) -> String {
        match verdict {
            Verdict::Refuse(why) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn what_fits_is_confirmed_once() {
        let mut holds = Holds::new(spec(&[0, 1]));
        assert_eq!(granted(&mut holds, &row(1, 60, &[(0, 500)])), Verdict::Confirm);
        assert_eq!(granted(&mut holds, &row(2, 40, &[(0, 500), (1, 1_000)])), Verdict::Confirm);
        let allocated = Reservation { phase: Phase::Allocated.into(), ..row(1, 60, &[(0, 500)]) };
        assert_eq!(granted(&mut holds, &allocated), Verdict::Known);
        assert_eq!(holds.len(), 2);
    }

    #[test]
    fn less_than_was_promised_is_refused_with_the_numbers() {
        let mut holds = Holds::new(spec(&[0]));
        assert_eq!(refused(granted(&mut holds, &row(1, 101, &[]))), "101 bytes of memory wanted, 100 of 100 left");
        assert_eq!(refused(granted(&mut holds, &row(2, 1, &[(3, 1_000)]))), "GPU 3 is gone");
        let mut performance = row(3, 1, &[]);
        performance.shape = Some(Shape { cpu_kind: CpuKind::Performance.into(), cpu_milli: 5_000, ..Shape::default() });
        let why = refused(granted(&mut holds, &performance));
        assert_eq!(why, "5000 thousandths of performance CPUs wanted, 4000 of 4000 left");
        assert_eq!(holds.len(), 0);
    }

    #[test]
    fn a_newer_fence_overtakes_what_has_ended_unheard_and_an_older_one_is_refused() {
        let mut holds = Holds::new(spec(&[0, 1]));
        granted(&mut holds, &row(1, 30, &[(0, 1_000)]));
        granted(&mut holds, &row(2, 30, &[(1, 1_000)]));
        assert_eq!(granted(&mut holds, &row(5, 60, &[(0, 1_000)])), Verdict::Confirm);
        assert_eq!(holds.held.keys().copied().collect::<Vec<_>>(), [2, 5], "only what was in the way is gone");
        let why = refused(granted(&mut holds, &row(3, 1, &[(0, 100)])));
        assert_eq!(why, "fenced: GPU 0: 100 thousandths wanted, 1000 used, which fence 5 has");
        let why = refused(granted(&mut holds, &Reservation { fence: 4, ..row(5, 60, &[(0, 1_000)]) }));
        assert_eq!(why, "fenced: this reservation was granted anew with fence 5");
    }

    #[test]
    fn what_a_new_connection_does_not_name_has_ended() {
        let mut holds = Holds::new(spec(&[0]));
        for id in 1..4 {
            granted(&mut holds, &row(id, 10, &[]));
        }
        holds.connected();
        granted(&mut holds, &row(2, 10, &[]));
        granted(&mut holds, &row(7, 10, &[]));
        assert!(holds.ended(3, 3));
        assert_eq!(holds.all_heard(), BTreeSet::from([1]));
        assert_eq!(holds.held.keys().copied().collect::<Vec<_>>(), [2, 7]);
    }

    #[test]
    fn an_end_of_an_older_grant_ends_nothing() {
        let mut holds = Holds::new(spec(&[0]));
        granted(&mut holds, &Reservation { fence: 9, ..row(1, 10, &[]) });
        assert!(!holds.ended(1, 8));
        assert!(holds.ended(1, 9));
        assert!(!holds.ended(1, 9));
    }

    #[test]
    fn what_a_changed_host_cannot_keep_is_given_back_the_newest_first() {
        let mut holds = Holds::new(spec(&[0, 1]));
        granted(&mut holds, &row(1, 40, &[(0, 1_000)]));
        granted(&mut holds, &row(2, 40, &[(1, 1_000)]));
        granted(&mut holds, &row(3, 20, &[]));
        let shrunk = HostSpec { memory_bytes: 50, ..spec(&[0]) };
        let broken: Vec<(u64, String)> = holds.changed(shrunk).into_iter().map(|one| (one.id, one.reason)).collect();
        let expected = [(2, "GPU 1 is gone".to_owned()), (3, "20 bytes of memory wanted, 10 of 50 left".to_owned())];
        assert_eq!(broken, expected);
        assert_eq!(holds.len(), 1);
    }

    #[test]
    fn an_image_belongs_to_the_newest_machine_that_names_it() {
        let mut holds = Holds::new(spec(&[]));
        let of = |id, app: &str| Reservation { app: app.to_owned(), image: "web:1".to_owned(), ..row(id, 1, &[]) };
        holds.granted(&of(1, "old"));
        holds.granted(&of(2, "new"));
        holds.expect(1, 7);
        holds.expect(2, 9);
        holds.expect(3, 11);
        let waiting = Waiting { app: "new".to_owned(), ready_ms: Some(9) };
        assert_eq!(holds.waiting_for(&["web:1".to_owned()]), Some(waiting));
        assert_eq!(holds.waiting_for(&["web:2".to_owned()]), None);
    }
}
