//! One image through the model.

use gantry_types::LayerId;

use super::{Estimate, link::Link};

/// What somebody else is having done to a layer, in microseconds of the link's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coming {
    pub(super) fetched_us: u64,
    /// Nothing where nobody unpacks it.
    pub(super) unpacked_us: Option<u64>,
}

/// A layer of an image, and how far it is on a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) layer: LayerId,
    pub(super) size_bytes: u64,
    /// By its own digest: another compression of the same content is of no use.
    pub(super) is_there: bool,
    /// Its content, in some chain.
    pub(super) is_unpacked: bool,
    pub(super) coming: Option<Coming>,
}

/// When a layer that was not unpacked is done, in microseconds of the link's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) layer: LayerId,
    pub(super) fetched_us: u64,
    pub(super) unpacked_us: u64,
}

/// Asks the link for what is missing of an image and unpacks its layers, base layer first. `ready_us` counts from `at_us`,
/// when the image is asked for.
#[inline]
pub(super) fn run(
    link: &mut Link,
    at_us: u64,
    chain: impl Iterator<Item = Need>,
    mut done: impl FnMut(Done),
) -> Estimate {
    let mut estimate = Estimate::default();
    let mut unpacked_us = at_us;
    // Of the layers so far: all are unpacked; all are, or are being unpacked for somebody else.
    let (mut on_disk, mut comes) = (true, true);
    for Need { layer, size_bytes, is_there, is_unpacked, coming } in chain {
        if is_unpacked && on_disk {
            continue;
        }
        on_disk = false;
        let fetched_us = match coming {
            _ if is_there => at_us,
            Some(coming) => coming.fetched_us,
            None => {
                estimate.fetch_bytes += size_bytes;
                link.fetch(at_us, size_bytes)
            }
        };
        let alone_us = unpacked_us.max(fetched_us).saturating_add(link.paces.unpack.us(size_bytes));
        unpacked_us = match coming.and_then(|coming| coming.unpacked_us).filter(|_| comes) {
            Some(other_us) => alone_us.min(unpacked_us.max(other_us)),
            None => {
                comes = false;
                estimate.unpack_bytes += size_bytes;
                alone_us
            }
        };
        done(Done { layer, fetched_us, unpacked_us });
    }
    estimate.ready_us = unpacked_us - at_us;
    estimate
}
