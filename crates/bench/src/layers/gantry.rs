//! Gantry's policy: a placement pays for its own wait and for what it takes from those who come after.
//!
//! One request for N machines is planned as a whole, a machine at a time on the host of the least marginal cost, in
//! microseconds:
//!
//! ```text
//! cost(h) = wait(h)                                     until the image's last layer is there, behind the pulls of the host
//!         + 15 % of slot(h)                             what one slot of h saves other apps' next requests (`warmth`)
//!         + lost(h) + 1 % of fetch(h) - 10 % of copy(h) only where h fetches something and is not yet used by this request
//! slot(h) = sum over apps a: chance(a) * (spare(a) - missing(a, h)) / link
//! lost(h) = sum over the layers that leave h for this image, over apps a that have them: chance(a) * saved bytes / link
//! fetch(h) = missing(own, h) / link
//! copy(h) = chance(own) * missing(own, h) / link * slots of h that the app's next four requests lack elsewhere
//! ```
//!
//! Waits are equal on all hosts that fetch the same bytes at once, so a cold image is opened on as many hosts as its app
//! will use, and stays on few where it is rare. Equal costs go to the host with more free slots, then to the smaller
//! number after mixing, so that not always the same hosts are first.
//!
//! It knows what a cluster knows: layers with their order of use, pulls, free slots, current images, past arrivals. It
//! computes in integers and draws nothing.

use std::cmp::Reverse;

use super::{
    files::{Image, ImageNo},
    fleet::{Fleet, HostNo, Seen},
    workload::Scenario,
};

mod demand;
mod warmth;

use self::warmth::{App, Warmth};

/// Part of a slot's worth to others that taking it costs, in percent. Less than all: slots come free again.
const SLOT_PERCENT: i64 = 15;
/// Part of a fetch's time that it costs besides the wait, in percent: of two hosts that are as good, the one with more.
const FETCH_PERCENT: i64 = 1;
/// Part of a new copy's worth that counts: before it is used, the tag may move again or the slots be taken.
const COPY_PERCENT: i64 = 10;
/// A copy is worth something until the app has warm slots for so many requests.
const REQUESTS_AHEAD: i64 = 4;
/// What a fetch ahead of need costs, in waits of one machine for the same bytes: links and caches have better to do.
const AHEAD_PRICE: i64 = 2;
/// Apps whose worths are brought up to date with each request: the others may be a few requests old.
const REFRESHED: usize = 32;

#[derive(Debug)]
pub struct Gantry<'a> {
    scenario: &'a Scenario,
    warmth: Warmth<'a>,
    seen: Vec<Seen>,
    hosts: Vec<Candidate>,
    next_refreshed: usize,
}

/// One host while a request is planned; costs in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    free: i64,
    /// Until the image's last layer is there.
    wait: i64,
    /// Taken from others by each machine.
    slot: i64,
    /// Of the first machine.
    open: i64,
    /// Saved by each slot that the app lacks elsewhere.
    copy: i64,
    cold: bool,
    mixed: u64,
}

impl Candidate {
    /// `lacking` are the warm slots that the app has too few after this request.
    fn cost(&self, lacking: i64) -> i64 {
        let each = self.wait + self.slot;
        if self.cold { each + self.open - self.copy * (self.free - 1).min(lacking.max(0)) } else { each }
    }
}

impl<'a> Gantry<'a> {
    pub fn new(scenario: &'a Scenario, hosts: usize) -> Self {
        let warmth = Warmth::new(scenario, hosts);
        Self { scenario, warmth, seen: Vec::new(), hosts: Vec::new(), next_refreshed: 0 }
    }

    /// A tag points to another image.
    pub fn moved(&mut self, fleet: &Fleet, app: u32, image: ImageNo) {
        self.warmth.moved(fleet, app, image);
    }

    /// A host fetches or dropped layers.
    pub fn changed(&mut self, fleet: &Fleet, host: HostNo) {
        self.warmth.changed(fleet, host);
    }

    /// Hosts for the machines of one request, as many as there are free slots.
    pub fn plan(&mut self, fleet: &Fleet, app: u32, image: ImageNo, machines: u32, plan: &mut Vec<HostNo>) {
        plan.clear();
        self.warmth.apps[app as usize].demand.arrived(fleet.now_us, machines);
        for _ in 0..REFRESHED.min(self.warmth.apps.len()) {
            self.next_refreshed = (self.next_refreshed + 1) % self.warmth.apps.len();
            self.warmth.refresh(fleet, self.next_refreshed);
        }
        self.warmth.refresh(fleet, app as usize);
        self.weigh(fleet, app as usize, &self.scenario.images[image as usize]);
        let warm: i64 = self.hosts.iter().filter(|host| !host.cold).map(|host| host.free).sum();
        let mut lacking = REQUESTS_AHEAD * i64::from(machines) - warm;
        for _ in 0..machines {
            let open = self.hosts.iter().enumerate().filter(|(_, host)| host.free > 0);
            let best = open.min_by_key(|(_, host)| (host.cost(lacking), Reverse(host.free), host.mixed));
            let Some((best, _)) = best else { return };
            let host = &mut self.hosts[best];
            // A cold host that is opened brings its other slots; a warm one only gives one away.
            lacking += if host.cold { 1 - host.free } else { 1 };
            host.cold = false;
            host.free -= 1;
            plan.push(best as HostNo);
        }
    }

    /// Hosts that should fetch an app's new image before a machine needs it: those whose free slots save more wait,
    /// by the chance that the app asks for them, than the fetch costs. Not a part of the placement policy.
    pub fn ahead(&mut self, fleet: &Fleet, app: u32, image: ImageNo, plan: &mut Vec<HostNo>) {
        plan.clear();
        let app = app as usize;
        self.weigh(fleet, app, &self.scenario.images[image as usize]);
        let App { demand, chance_milli, .. } = self.warmth.apps[app];
        let warm: i64 = self.hosts.iter().filter(|host| !host.cold).map(|host| host.free).sum();
        let mut lacking = i64::from(demand.burst) - warm;
        while lacking > 0 {
            let cold = self.hosts.iter().enumerate().filter(|(_, host)| host.cold && host.free > 0);
            let gains = cold.map(|(at, host)| {
                let fetch = (self.seen[at].missing_bytes / fleet.link_mb_per_s) as i64;
                let slots = host.free.min(lacking);
                let saved = chance_milli as i64 * fetch / 1_000 * slots - host.slot * slots;
                (saved - host.open - AHEAD_PRICE * fetch, host.mixed, at)
            });
            let Some((_, _, best)) = gains.max().filter(|&(gain, _, _)| gain > 0) else { return };
            let host = &mut self.hosts[best];
            host.cold = false;
            lacking -= host.free;
            plan.push(best as HostNo);
        }
    }

    fn weigh(&mut self, fleet: &Fleet, app: usize, image: &Image) {
        fleet.look(image, &mut self.seen);
        let us = |bytes: u64| (bytes / fleet.link_mb_per_s) as i64;
        let chance_milli = self.warmth.apps[app].chance_milli;
        self.hosts.clear();
        for (at, seen) in self.seen.iter().enumerate() {
            let free = i64::from(fleet.free(at));
            let mut host = Candidate { free, cold: seen.missing_bytes > 0, mixed: mixed(at), ..Candidate::default() };
            if free > 0 {
                host.wait = (seen.ready_us - fleet.now_us) as i64;
                host.slot = us(self.warmth.to_others(at, app)) * SLOT_PERCENT / 100;
            }
            if free > 0 && host.cold {
                let lost = us(lost_bytes(&self.warmth, fleet, at, image, seen.missing_bytes));
                host.open = lost + us(seen.missing_bytes) * FETCH_PERCENT / 100;
                host.copy = us(chance_milli * seen.missing_bytes / 1_000) * COPY_PERCENT / 100;
            }
            self.hosts.push(host);
        }
    }
}

/// What leaves the host for `bytes` more, oldest use first, by its worth.
fn lost_bytes(warmth: &Warmth<'_>, fleet: &Fleet, host: usize, image: &Image, bytes: u64) -> u64 {
    let mut excess = bytes.saturating_sub(fleet.room_bytes(host));
    let mut lost = 0;
    // The image's own layers are in use now and stay.
    for layer in fleet.oldest(host).filter(|layer| !image.layers.contains(layer)) {
        if excess == 0 {
            break;
        }
        excess = excess.saturating_sub(fleet.layer_bytes[layer as usize]);
        lost += warmth.lost_bytes(host, layer);
    }
    lost
}

/// A fixed order of hosts that is not the order of their numbers.
fn mixed(host: usize) -> u64 {
    (host as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
