//! When a machine could start: how long it takes until its image is unpacked on a host.
//!
//! # The model
//!
//! A host has a link of `link` bytes a second. A layer is one flow of at most `stream` bytes a second, and `F` =
//! [`gantry_types::STREAMS`] flows run at a time, in the order in which the layers were asked for: first those that earlier pulls
//! still have to fetch ([`PullQueue`]), then the image's own, base layer first. Sizes are compressed bytes.
//!
//! A layer of `s` bytes that is asked for at time `a`, after layers whose flows end at `f_1 ... f_F` (the last end of each
//! of the `F` places) and whose bytes have passed the link at `l`, is there at
//!
//! ```text
//! l' = max(l, a) + s / link                      all bytes before it and its own have passed the link
//! d  = max(max(a, min f_i) + s / stream, l')     and it is one flow, which waited for a place
//! ```
//!
//! Then `l'` is the new `l`, and `d` the new end of the place that was free first. Layers unpack one after the other,
//! each once it is there and the one below it is unpacked:
//!
//! ```text
//! u_k = max(d_k, u_(k-1)) + s_k / unpack         ready = u_n
//! ```
//!
//! What each layer costs depends on how far it is on the host:
//!
//! | the layer is | `d_k` | `u_k` |
//! | --- | --- | --- |
//! | unpacked, or a layer of the same diff id is, and so is all below it | - | `u_(k-1)` |
//! | there as a blob, or unpacked in another chain | 0 | as above |
//! | being fetched for somebody else | when that fetch ends | as above, or when somebody else has unpacked it on the same chain, whichever is sooner |
//! | missing | as above | as above |
//!
//! A blob is only of use by its own digest: that the same content is there compressed otherwise saves no fetch.
//!
//! Whether somebody else's chain is the same one is judged by the layers below: all of them are unpacked, or are being
//! unpacked for somebody. Layers that lie unpacked on a host, each in another chain, are taken for one chain: agents report
//! layers and not chains.
//!
//! With `stream` = `link`, an unpack that costs nothing and layers that are all asked for at once, `ready` is the bytes
//! before and including the image's last layer, over `link`. With the published rates, one layer arrives at 74 MB/s and
//! four together at 247 MB/s.
//!
//! # What it is fed with
//!
//! The three rates are the host's own ([`Host::rates`](gantry_fleet::Host::rates)): means over the pulls that its agent
//! measured, in which an observation weighs an eighth and one that is more than four times off counts as four times; and
//! what others have published until something is measured. Fewer flows than `F` tell `stream`, at least as many tell `link`.
//!
//! The queue holds, oldest first: what the agent says is being fetched, from where it last was; the images of the host's
//! machines, from when they were granted; and those of plans in flight, from now. What should have been fetched and
//! unpacked since then is taken to be, for as long as an agent may take to report it. After that only the report counts.
//!
//! # What it promises
//!
//! Every time is a whole microsecond, rounded up. Nothing here is replicated: an estimate orders hosts and promises
//! nothing.
//!
//! No time gets later by a layer that is nearer, by a faster rate, or by fewer bytes in the queue.

mod link;
mod needs;
mod pace;
mod queue;
mod run;

pub use pace::{Pace, Paces};
pub use queue::PullQueue;

const STREAMS: usize = gantry_types::STREAMS as usize;

/// What an image costs on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Estimate {
    /// From now until the image is unpacked.
    pub ready_us: u64,
    /// Still to be fetched for this image alone: neither on the host nor on their way to it.
    pub fetch_bytes: u64,
    /// Still to be unpacked for this image alone.
    pub unpack_bytes: u64,
}

/// The least that an image can cost on a host that must fetch so many bytes of it for this image alone, as
/// [`Estimate::fetch_bytes`] counts them. Where nothing but what the host holds is known, that is the image less the
/// layers that the host has in any state, and less those of which it has a twin unpacked, as long as nothing of the rest is
/// being fetched there.
///
/// `fastest` holds the shortest time of each kind among the hosts that the bound shall hold for.
pub fn at_best_us(fetch_bytes: u64, fastest: &Paces) -> u64 {
    let flows_us = fastest.stream.us(fetch_bytes) / STREAMS as u64;
    flows_us.max(fastest.link.us(fetch_bytes)).max(fastest.unpack.us(fetch_bytes))
}

#[cfg(test)]
mod tests;
