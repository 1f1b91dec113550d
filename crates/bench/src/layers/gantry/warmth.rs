//! What every host's layers are worth to each app's next request.
//!
//! For app `a` and host `h`: `missing(a, h)` are the bytes that the app's current image lacks on the host, and `spare(a)`
//! are the bytes it would lack on the best free slot *after* as many as its next request needs. A slot of `h` is worth
//! `chance(a) * (spare(a) - missing(a, h))` to the app: nothing where enough slots as good are free, and little where the
//! app is not expected.

use super::demand::Demand;
use crate::layers::{
    files::{ImageNo, LayerNo},
    fleet::{Fleet, HostNo},
    workload::Scenario,
};

#[derive(Clone, Debug)]
pub struct App {
    pub image: Option<ImageNo>,
    pub demand: Demand,
    pub chance_milli: u64,
    pub spare_bytes: u64,
    /// By host.
    missing_bytes: Vec<u64>,
}

impl App {
    /// Bytes that a slot of the host saves the app, weighted with the chance that it asks.
    fn worth_bytes(&self, host: usize) -> u64 {
        self.chance_milli * self.spare_bytes.saturating_sub(self.missing_bytes[host]) / 1_000
    }
}

#[derive(Debug)]
pub struct Warmth<'a> {
    scenario: &'a Scenario,
    pub apps: Vec<App>,
    /// Apps whose current image has the layer.
    apps_of: Vec<Vec<u32>>,
    /// By host: the sum of what one slot is worth to all apps.
    worth_bytes: Vec<u64>,
}

impl<'a> Warmth<'a> {
    pub fn new(scenario: &'a Scenario, hosts: usize) -> Self {
        let app = App {
            image: None,
            demand: Demand::default(),
            chance_milli: 0,
            spare_bytes: 0,
            missing_bytes: vec![0; hosts],
        };
        let apps_of = vec![Vec::new(); scenario.layer_bytes.len()];
        Self { scenario, apps: vec![app; scenario.apps.len()], apps_of, worth_bytes: vec![0; hosts] }
    }

    /// What a slot of the host is worth to all apps but one.
    pub fn to_others(&self, host: usize, app: usize) -> u64 {
        self.worth_bytes[host] - self.apps[app].worth_bytes(host)
    }

    /// Bytes, weighted with chances, that requests would have to fetch again if the host dropped the layer.
    pub fn lost_bytes(&self, host: usize, layer: LayerNo) -> u64 {
        let bytes = self.scenario.layer_bytes[layer as usize];
        let lost = |&app: &u32| {
            let app = &self.apps[app as usize];
            app.chance_milli * bytes.min(app.spare_bytes.saturating_sub(app.missing_bytes[host])) / 1_000
        };
        self.apps_of[layer as usize].iter().map(lost).sum()
    }

    /// The app's image changed.
    pub fn moved(&mut self, fleet: &Fleet, app: u32, image: ImageNo) {
        let images = &self.scenario.images;
        let at = app as usize;
        self.change(at, |app| app.chance_milli = 0);
        if let Some(old) = self.apps[at].image.replace(image) {
            for &layer in &images[old as usize].layers {
                self.apps_of[layer as usize].retain(|&other| other != app);
            }
        }
        for &layer in &images[image as usize].layers {
            self.apps_of[layer as usize].push(app);
        }
        for host in 0..self.worth_bytes.len() {
            self.apps[at].missing_bytes[host] = self.missing(fleet, at, host);
        }
        self.refresh(fleet, at);
    }

    /// The host's layers changed.
    pub fn changed(&mut self, fleet: &Fleet, host: HostNo) {
        let host = host as usize;
        for at in 0..self.apps.len() {
            let missing = self.missing(fleet, at, host);
            let app = &mut self.apps[at];
            if missing != app.missing_bytes[host] {
                self.worth_bytes[host] -= app.worth_bytes(host);
                app.missing_bytes[host] = missing;
                self.worth_bytes[host] += app.worth_bytes(host);
            }
        }
    }

    /// Brings the app's chance and spare bytes up to date.
    pub fn refresh(&mut self, fleet: &Fleet, at: usize) {
        let app = &self.apps[at];
        let chance_milli = app.demand.chance_milli(fleet.now_us);
        let free = |&host: &usize| fleet.free(host) > 0;
        let slots = (0..fleet.hosts()).filter(free).map(|host| (app.missing_bytes[host], fleet.free(host)));
        let mut slots: Vec<(u64, u32)> = slots.collect();
        slots.sort_unstable();
        let mut needed = i64::from(app.demand.burst.max(1));
        let beyond = slots.iter().find(|(_, free)| {
            needed -= i64::from(*free);
            needed < 0
        });
        let spare_bytes = beyond.or(slots.last()).map_or(0, |&(missing, _)| missing);
        self.change(at, |app| {
            app.chance_milli = chance_milli;
            app.spare_bytes = spare_bytes;
        });
    }

    /// Changes what the app's worths are made of, and the sums with them.
    fn change(&mut self, at: usize, change: impl FnOnce(&mut App)) {
        let app = &mut self.apps[at];
        for (host, sum) in self.worth_bytes.iter_mut().enumerate() {
            *sum -= app.worth_bytes(host);
        }
        change(app);
        for (host, sum) in self.worth_bytes.iter_mut().enumerate() {
            *sum += app.worth_bytes(host);
        }
    }

    fn missing(&self, fleet: &Fleet, app: usize, host: usize) -> u64 {
        let Some(image) = self.apps[app].image else { return 0 };
        let layers = self.scenario.images[image as usize].layers.iter();
        layers.filter(|&&layer| !fleet.has(host, layer)).map(|&layer| fleet.layer_bytes[layer as usize]).sum()
    }
}
