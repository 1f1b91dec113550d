//! How long a placed machine waits for its image: a simple model, the same for every policy that is compared.
//!
//! All machines of a burst ask at once. A host downloads missing layers one after another in the order in which its
//! machines were granted, and unpacks them in that order, each once it is there; downloading the next layer goes on
//! meanwhile. A layer that an earlier grant on the host already waits for is not pulled again: the later machine waits
//! for the rest of it. A machine can start when the last of its layers is unpacked.
//!
//! The rates are published observations of single machines:
//! - one layer is one HTTP flow of about 74 MB/s and four flows carry about 247 MB/s (prism-science/sampleworks PR 342),
//!   so a host that fetches several layers at a time gets about 250 MB/s;
//! - `nvidia/cuda` 12.4.1 cudnn-devel on a fast link: a layer of 2.65 GB is unpacked in 36.4 s, about 73 MB/s of
//!   compressed bytes. Unpacking costs as much as downloading and counts.

use std::collections::HashMap;

use crate::catalogue::{Image, Layer, LayerNo};

const LINK_BYTES_PER_MS: u64 = 250_000;
const UNPACK_BYTES_PER_MS: u64 = 73_000;

/// The layers of one host and its queues, from the moment of the burst.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// When each layer is unpacked; 0 for those that lay there before.
    ready_us: HashMap<LayerNo, u64>,
    link_free_us: u64,
    unpack_free_us: u64,
}

/// One machine's start on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Ordered by this start; not those already on their way.
    pub pulled_bytes: u64,
    pub wait_ms: u64,
}

impl Host {
    pub fn holding(layers: impl IntoIterator<Item = LayerNo>) -> Self {
        Self { ready_us: layers.into_iter().map(|no| (no, 0)).collect(), ..Self::default() }
    }

    /// The next machine in the order of grants.
    pub fn start(&mut self, image: &Image, layers: &[Layer]) -> Start {
        let mut start = Start::default();
        let mut ready_us = 0;
        for &no in &image.layers {
            let layer_ready_us = match self.ready_us.get(&no) {
                Some(&ready) => ready,
                None => {
                    let bytes = layers[no as usize].size_bytes;
                    start.pulled_bytes += bytes;
                    self.link_free_us += bytes * 1_000 / LINK_BYTES_PER_MS;
                    self.unpack_free_us =
                        self.unpack_free_us.max(self.link_free_us) + bytes * 1_000 / UNPACK_BYTES_PER_MS;
                    self.ready_us.insert(no, self.unpack_free_us);
                    self.unpack_free_us
                }
            };
            ready_us = ready_us.max(layer_ready_us);
        }
        start.wait_ms = ready_us.div_ceil(1_000);
        start
    }
}

/// The starts of a burst under one policy.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    pub pulled_bytes: u64,
    /// Sorted.
    pub wait_ms: Vec<u64>,
}

impl Starts {
    /// `grants` are (host, image) in the order of the grants; `caches` the layers of each host before the burst.
    pub fn of<'a>(
        grants: impl IntoIterator<Item = (usize, &'a Image)>,
        caches: &[Vec<LayerNo>],
        layers: &[Layer],
    ) -> Self {
        let mut hosts: HashMap<usize, Host> = HashMap::new();
        let mut starts = Self::default();
        for (at, image) in grants {
            let host = hosts.entry(at).or_insert_with(|| Host::holding(caches[at].iter().copied()));
            let start = host.start(image, layers);
            starts.pulled_bytes += start.pulled_bytes;
            starts.wait_ms.push(start.wait_ms);
        }
        starts.wait_ms.sort_unstable();
        starts
    }

    /// The smallest wait that `percent` of the starts do not exceed.
    pub fn percentile_ms(&self, percent: usize) -> u64 {
        let rank = (self.wait_ms.len() * percent).div_ceil(100).max(1);
        self.wait_ms.get(rank - 1).copied().unwrap_or(0)
    }

    pub fn mean_ms(&self) -> u64 {
        self.wait_ms.iter().sum::<u64>().checked_div(self.wait_ms.len() as u64).unwrap_or(0)
    }

    /// Starts that wait for nothing.
    pub fn warm(&self) -> usize {
        self.wait_ms.partition_point(|&wait| wait == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn image(layers: &[LayerNo]) -> Image {
        Image {
            reference: String::new(),
            digest: String::new(),
            platform: String::new(),
            modelled: false,
            layers: layers.to_vec(),
            size_bytes: 0,
        }
    }

    fn layers() -> Vec<Layer> {
        [500 * MB, 1_000 * MB, 73 * MB].map(|size_bytes| Layer { digest: String::new(), size_bytes }).to_vec()
    }

    #[test]
    fn a_host_that_holds_everything_starts_at_once() {
        let start = Host::holding([0, 1]).start(&image(&[0, 1]), &layers());
        assert_eq!(start, Start { pulled_bytes: 0, wait_ms: 0 });
    }

    #[test]
    fn download_and_unpacking_overlap() {
        // 0.5 GB arrive after 2 s and are unpacked after 2 + 6.850 s; the second layer is there after 6 s and is
        // unpacked from 8.850 s on for 13.699 s.
        let start = Host::default().start(&image(&[0, 1]), &layers());
        assert_eq!(start, Start { pulled_bytes: 1_500 * MB, wait_ms: 22_548 });
    }

    #[test]
    fn a_layer_on_its_way_is_waited_for_but_not_pulled_again() {
        let mut host = Host::holding([1]);
        let first = host.start(&image(&[1, 0]), &layers());
        let second = host.start(&image(&[0]), &layers());
        assert_eq!((first.pulled_bytes, second.pulled_bytes), (500 * MB, 0));
        assert_eq!(first.wait_ms, second.wait_ms);
        // A third image queues behind: its layer is there after 2.292 s, the unpacker is free after 8.850 s.
        assert_eq!(host.start(&image(&[2]), &layers()), Start { pulled_bytes: 73 * MB, wait_ms: 9_850 });
        // And what lay there from the beginning still starts at once.
        assert_eq!(host.start(&image(&[1]), &layers()).wait_ms, 0);
    }

    #[test]
    fn percentiles_are_of_sorted_waits() {
        let images = [image(&[0]), image(&[2])];
        let grants = [(0, &images[0]), (1, &images[0]), (0, &images[1]), (2, &images[1])];
        let starts = Starts::of(grants, &[vec![0, 2], vec![0], vec![]], &layers());
        assert_eq!(starts.wait_ms, [0, 0, 0, 1_292]);
        assert_eq!((starts.percentile_ms(50), starts.percentile_ms(99), starts.warm()), (0, 1_292, 3));
        assert_eq!((starts.pulled_bytes, starts.mean_ms()), (73 * MB, 323));
        assert_eq!(Starts::default().percentile_ms(99), 0);
    }
}
