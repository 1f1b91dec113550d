//! Who asks for what: applications with their popularity, demands and images, and the requests of a burst.

use std::sync::Arc;

use anyhow::{Result, ensure};
use fastrand::Rng;
use gantry_proto::v1;
use gantry_types::WHOLE_GPU_MILLI;

use crate::{
    catalogue::{App, Catalogue, Image},
    fleet::Host,
};

/// Applications in the fleet, versions of each, and applications that the burst is of.
pub const APPS: usize = 60;
const VERSIONS: usize = 8;
pub const BURST_APPS: usize = 20;
/// Popularity falls with the rank to this power.
const ZIPF: f64 = 0.9;
/// Images from here on are those of GPU applications. In a catalogue with fewer of them the largest will do: a burst is
/// always of as many applications, and always for GPUs.
const GPU_IMAGE_BYTES: u64 = 1_000_000_000;
/// An application asks for regions or kinds of GPU only where those have room for several times its machines.
const ROOM: u64 = 3;
/// Until an agent confirms. Longer than a run, so that nothing expires between a burst and its audit.
const LEASE_MS: u64 = 300_000;
const GIB: u64 = 1 << 30;

/// What one application asks for.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub app: App,
    /// Its part of all machines; the parts sum to one.
    pub share: f64,
    pub regions: Vec<String>,
    pub kinds: Vec<String>,
    pub gpu: bool,
}

/// A request of the burst.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Of the tenant.
    pub tenant: usize,
    pub image: Arc<Image>,
    pub request: v1::PlaceRequest,
}

const REGION_SETS: [&[&str]; 6] = [&[], &[], &[], &["iad", "fra"], &["iad"], &["fra", "nrt"]];
/// Each with a kind that is not scarce: unconstrained machines fill small hosts first, and what is scarce is gone then.
const KIND_SETS: [&[&str]; 5] = [&[], &[], &["G2", "G3"], &["G2", "T4", "A10"], &["V100M16", "V100M32", "G2"]];

/// The applications by popularity, most popular first; deterministic by seed. `machines` is how many they run together.
pub fn tenants(catalogue: &Catalogue, hosts: &[Host], machines: usize, seed: u64) -> Result<Vec<Tenant>> {
    let mut rng = Rng::with_seed(seed);
    let mut apps = enough(catalogue.apps(VERSIONS));
    ensure!(!apps.is_empty(), "the catalogue has no image");
    let gpu_from = gpu_image_bytes(&apps);
    rng.shuffle(&mut apps);
    // GPU applications first where there are more than can be taken; then the order of popularity is drawn.
    apps.sort_by_key(|app| app.newest().size_bytes < gpu_from);
    apps.truncate(APPS);
    rng.shuffle(&mut apps);
    let weights: Vec<f64> = (1..=apps.len()).map(|rank| (rank as f64).powf(-ZIPF)).collect();
    let sum: f64 = weights.iter().sum();
    let tenants = apps.into_iter().zip(weights).map(|(app, weight)| {
        let share = weight / sum;
        let want = (share * machines as f64).ceil() as u64;
        let gpu = app.newest().size_bytes >= gpu_from;
        let (regions, kinds) = demands(hosts, want, &mut rng);
        Tenant { app, share, regions, kinds: if gpu { kinds } else { Vec::new() }, gpu }
    });
    Ok(tenants.collect())
}

/// At least [`BURST_APPS`]: a small catalogue's repositories are shared by several applications of other names.
fn enough(mut apps: Vec<App>) -> Vec<App> {
    let repositories = apps.len();
    for at in repositories..if repositories == 0 { 0 } else { BURST_APPS } {
        let App { name, versions } = &apps[at % repositories];
        let name = format!("{name}-{}", at / repositories + 1);
        apps.push(App { name, versions: versions.clone() });
    }
    apps
}

/// The size from which on an image is that of a GPU application: [`BURST_APPS`] have one at least.
fn gpu_image_bytes(apps: &[App]) -> u64 {
    let mut sizes: Vec<u64> = apps.iter().map(|app| app.newest().size_bytes).collect();
    sizes.sort_unstable_by_key(|&size| std::cmp::Reverse(size));
    GPU_IMAGE_BYTES.min(sizes.get(BURST_APPS - 1).or(sizes.last()).copied().unwrap_or_default())
}

/// A draw of regions and kinds that leaves room; none where it would not.
fn demands(hosts: &[Host], want: u64, rng: &mut Rng) -> (Vec<String>, Vec<String>) {
    let regions = REGION_SETS[rng.usize(..REGION_SETS.len())];
    let kinds = KIND_SETS[rng.usize(..KIND_SETS.len())];
    let fits = |host: &&Host| {
        (regions.is_empty() || regions.contains(&host.region))
            && (kinds.is_empty() || kinds.contains(&host.model.as_str()))
    };
    let room: u64 = hosts.iter().filter(fits).map(|host| u64::from(host.gpus)).sum();
    if room < want * ROOM {
        return (Vec::new(), Vec::new());
    }
    let owned = |set: &[&str]| set.iter().map(|&name| name.to_owned()).collect();
    (owned(regions), owned(kinds))
}

impl Tenant {
    /// `count` machines with this image; the shape is drawn.
    pub fn request(&self, image: &Image, count: u32, rng: &mut Rng) -> v1::PlaceRequest {
        v1::PlaceRequest {
            request_id: String::new(),
            app: self.app.name.rsplit('/').next().unwrap_or_default().to_owned(),
            image: image.reference.clone(),
            shape: Some(self.shape(rng)),
            constraints: Some(v1::Constraints { regions: self.regions.clone(), ..Default::default() }),
            count,
            all_or_nothing: false,
            lease_ms: LEASE_MS,
            image_blind: false,
            manifest: None,
        }
    }

    /// Whole GPUs and shares of them, with CPU and memory in proportion to what the smallest host has for a GPU.
    fn shape(&self, rng: &mut Rng) -> v1::Shape {
        let milli = match rng.u32(..100) {
            0..55 => WHOLE_GPU_MILLI,
            55..85 => WHOLE_GPU_MILLI / 2,
            _ => WHOLE_GPU_MILLI / 4,
        };
        let gpu = v1::GpuShape { kinds: self.kinds.clone(), count: 1, milli, ..v1::GpuShape::default() };
        v1::Shape {
            cpu_kind: v1::CpuKind::Shared.into(),
            cpu_milli: u64::from(milli) * 4,
            memory_bytes: u64::from(milli) * 16 * GIB / u64::from(WHOLE_GPU_MILLI),
            gpu: self.gpu.then_some(gpu),
        }
    }
}

/// The requests of a burst over the most popular GPU applications, in the order in which they are sent.
pub fn burst(tenants: &[Tenant], requests: usize, seed: u64) -> Result<Vec<Ask>> {
    let mut rng = Rng::with_seed(seed ^ 0x0b_57);
    let mut order: Vec<usize> = (0..tenants.len()).collect();
    order.sort_by_key(|&at| !tenants[at].gpu);
    order.truncate(BURST_APPS);
    ensure!(!order.is_empty(), "there is no application to burst");
    let sum: f64 = order.iter().map(|&at| tenants[at].share).sum();
    let asks = (0..requests).map(|_| {
        let mut left = rng.f64() * sum;
        let chosen = order.iter().copied().find(|&at| {
            left -= tenants[at].share;
            left < 0.0
        });
        let tenant = chosen.unwrap_or(order[0]);
        let image = Arc::clone(tenants[tenant].app.newest());
        let request = tenants[tenant].request(&image, 1, &mut rng);
        Ask { tenant, image, request }
    });
    Ok(asks.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn drawn(seed: u64) -> (Vec<Tenant>, Vec<Ask>) {
        let catalogue = Catalogue::built_in().unwrap();
        let tenants = tenants(&catalogue, &crate::fleet::built_in().unwrap(), 3_000, seed).unwrap();
        let asks = burst(&tenants, 2_000, seed).unwrap();
        (tenants, asks)
    }

    #[test]
    fn a_burst_is_of_twenty_apps_and_of_whole_and_shared_gpus() {
        let (tenants, asks) = drawn(7);
        let apps: BTreeSet<_> = asks.iter().map(|ask| &ask.request.app).collect();
        assert_eq!(apps.len(), BURST_APPS);
        let milli = |ask: &Ask| ask.request.shape.as_ref().unwrap().gpu.as_ref().unwrap().milli;
        for (share, least) in [(1_000, 1_000), (500, 500), (250, 200)] {
            let count = asks.iter().filter(|ask| milli(ask) == share).count();
            assert!(count >= least, "{count} requests of {share} thousandths");
        }
        let kinds = |ask: &&Ask| !ask.request.shape.as_ref().unwrap().gpu.as_ref().unwrap().kinds.is_empty();
        assert!(asks.iter().filter(kinds).count() > 200, "a part names kinds of GPU");
        assert!((tenants.iter().map(|t| t.share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(asks.iter().all(|ask| {
            gantry_types::PlaceRequest::try_from(v1::PlaceRequest { request_id: "r".into(), ..ask.request.clone() })
                .is_ok()
        }));
    }

    #[test]
    fn a_catalogue_of_few_small_images_bursts_as_many_apps_for_gpus() {
        let built_in = Catalogue::built_in().unwrap();
        let small = |image: &&Arc<Image>| image.size_bytes < 500_000_000;
        for repositories in [3, 40] {
            let mut names = BTreeSet::new();
            let images = built_in.images.iter().filter(small).filter(|image| {
                let name = image.reference.split(':').next().unwrap_or_default();
                names.contains(name) || names.len() < repositories && names.insert(name)
            });
            let mut catalogue = Catalogue::default();
            catalogue.images = images.cloned().collect();
            catalogue.layers = built_in.layers.clone();
            let tenants = tenants(&catalogue, &crate::fleet::built_in().unwrap(), 3_000, 7).unwrap();
            let asks = burst(&tenants, 2_000, 7).unwrap();
            let apps: BTreeSet<_> = asks.iter().map(|ask| &ask.request.app).collect();
            assert_eq!(apps.len(), BURST_APPS, "of {repositories} repositories");
            assert!(asks.iter().all(|ask| ask.request.shape.as_ref().unwrap().gpu.is_some()));
        }
        assert!(tenants(&Catalogue::default(), &[], 10, 7).is_err());
    }

    #[test]
    fn the_seed_decides_everything() {
        let requests = |seed| drawn(seed).1.into_iter().map(|ask| ask.request).collect::<Vec<_>>();
        assert_eq!(requests(7), requests(7));
        assert_ne!(requests(7), requests(8));
    }
}
