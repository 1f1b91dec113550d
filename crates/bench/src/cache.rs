//! A host's image cache: layers by last use, bounded by the disk for them.

use std::collections::{BTreeMap, HashMap};

use crate::catalogue::{Image, Layer, LayerNo};

#[derive(Clone, Debug)]
pub struct Cache {
    limit_bytes: u64,
    used_bytes: u64,
    clock: u64,
    last_use: HashMap<LayerNo, u64>,
    by_use: BTreeMap<u64, LayerNo>,
}

/// What using an image changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub pulled: Vec<LayerNo>,
    pub evicted: Vec<LayerNo>,
}

impl Cache {
    pub fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, used_bytes: 0, clock: 0, last_use: HashMap::new(), by_use: BTreeMap::new() }
    }

    pub fn layers(&self) -> impl Iterator<Item = LayerNo> {
        self.by_use.values().copied()
    }

    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Pulls what is missing of an image, touches all of its layers, and evicts the least recently used others. An image
    /// that is larger than the whole cache stays while it is the newest: a machine needs all of its layers.
    pub fn use_image(&mut self, image: &Image, layers: &[Layer]) -> Change {
        let mut change = Change::default();
        let started = self.clock;
        for &no in &image.layers {
            self.clock += 1;
            match self.last_use.insert(no, self.clock) {
                Some(used) => drop(self.by_use.remove(&used)),
                None => {
                    self.used_bytes += layers[no as usize].size_bytes;
                    change.pulled.push(no);
                }
            }
            self.by_use.insert(self.clock, no);
        }
        while self.used_bytes > self.limit_bytes {
            let Some((&used, &no)) = self.by_use.first_key_value().filter(|&(&used, _)| used <= started) else { break };
            self.by_use.remove(&used);
            self.last_use.remove(&no);
            self.used_bytes -= layers[no as usize].size_bytes;
            change.evicted.push(no);
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn layers(sizes: &[u64]) -> Vec<Layer> {
        sizes.iter().map(|&size_bytes| Layer { digest: String::new(), size_bytes }).collect()
    }

    #[test]
    fn the_least_recently_used_layers_go_first() {
        let layers = layers(&[10, 20, 30, 40]);
        let mut cache = Cache::new(100);
        assert_eq!(cache.use_image(&image(&[0, 1, 0]), &layers).pulled, [0, 1]);
        assert_eq!(cache.use_image(&image(&[0, 2]), &layers).pulled, [2]);
        let change = cache.use_image(&image(&[0, 3]), &layers);
        assert_eq!(change, Change { pulled: vec![3], evicted: vec![] });
        assert_eq!(cache.used_bytes(), 100);
        let change = cache.use_image(&image(&[0, 3, 2]), &layers);
        assert_eq!(change, Change::default());
        cache.limit_bytes = 60;
        assert_eq!(cache.use_image(&image(&[2]), &layers).evicted, [1, 0, 3]);
        assert_eq!((cache.used_bytes(), cache.layers().collect::<Vec<_>>()), (30, vec![2]));
    }

    #[test]
    fn an_image_larger_than_the_cache_stays_whole_until_the_next_one() {
        let layers = layers(&[70, 80, 5]);
        let mut cache = Cache::new(100);
        assert_eq!(cache.use_image(&image(&[0, 1]), &layers), Change { pulled: vec![0, 1], evicted: vec![] });
        assert_eq!(cache.use_image(&image(&[2]), &layers).evicted, [0]);
    }
}
