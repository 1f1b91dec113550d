//! What hosts fetch: in a small fleet known of all of them, in a large one found out where a host is looked at.

use gantry_fleet::{Fleet, Host, ImageEntry};
use gantry_types::{HostId, Stamp};

use super::{PULLING_PER_STEP, Sight, is_large};
use crate::{
    InFlight,
    readiness::{Estimate, PullQueue},
};

/// What a host fetches.
#[derive(Clone, Debug, Default)]
pub(super) enum Pulls {
    #[default]
    Nothing,
    /// As of that time.
    Queue(Box<(Stamp, PullQueue)>),
    /// To be found out where the host is looked at.
    Unknown,
}

impl Sight {
    /// What the host fetches is to be looked at again: at once in a small fleet, where all that fetch something are known.
    pub(super) fn forget_pulls_of(&mut self, fleet: &Fleet, in_flight: &InFlight, host: &Host) {
        if is_large(fleet) {
            self.details[host.id as usize].pulls = Pulls::Unknown;
        } else {
            self.look_at_pulls_of(fleet, in_flight, host);
        }
    }

    fn look_at_pulls_of(&mut self, fleet: &Fleet, in_flight: &InFlight, host: &Host) {
        let coming = in_flight.images_on(host.id).filter_map(|reference| fleet.image(reference));
        let queue = PullQueue::of(fleet, host, self.now_ms, coming);
        let detail = &mut self.details[host.id as usize];
        if queue.is_empty() {
            detail.pulls = Pulls::Nothing;
            self.pulling.remove(&host.id);
        } else {
            detail.pulls = Pulls::Queue(Box::new((self.now_ms, queue)));
            self.pulling.insert(host.id);
        }
    }

    /// Looks at some of the hosts that fetched something, so that those that are done are forgotten.
    pub(super) fn look_at_pulls(&mut self, fleet: &Fleet, in_flight: &InFlight) {
        let some: Vec<HostId> = self.pulling.range(self.pulling_next..).take(PULLING_PER_STEP).copied().collect();
        self.pulling_next = some.last().map_or(0, |last| last + 1);
        for id in some {
            match fleet.host(id) {
                Some(host) => self.look_at_pulls_of(fleet, in_flight, host),
                None => _ = self.pulling.remove(&id),
            }
        }
    }

    pub(super) fn estimate(
        &mut self,
        fleet: &Fleet,
        in_flight: &InFlight,
        host: &Host,
        image: &ImageEntry,
    ) -> Estimate {
        let is_known = match &self.details[host.id as usize].pulls {
            Pulls::Nothing => true,
            Pulls::Queue(queue) => queue.0 == self.now_ms,
            Pulls::Unknown => false,
        };
        if !is_known {
            self.look_at_pulls_of(fleet, in_flight, host);
        }
        let detail = &self.details[host.id as usize];
        match &detail.pulls {
            Pulls::Queue(queue) => queue.1.estimate(fleet, host, image),
            Pulls::Nothing | Pulls::Unknown => PullQueue::idle(detail.paces, self.now_ms).estimate(fleet, host, image),
        }
    }
}
