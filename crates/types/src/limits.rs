//! Every bound on what a caller or an agent may send (S9). Over a bound the answer is a definite refusal.

/// Bytes of a request id, app name, host name, region, zone, label key or label value.
pub const NAME_BYTES: usize = 128;
/// Bytes of an image reference.
pub const REFERENCE_BYTES: usize = 512;
/// Machines in one request.
pub const MACHINES_PER_REQUEST: u32 = 1_000;
/// Plain requests in one `PlaceMany` call.
pub const REQUESTS_PER_CALL: usize = 1_000;
/// Devices of one host.
pub const DEVICES_PER_HOST: usize = 64;
/// Labels that an agent declares, that an operator sets, that an operator removes; and label terms of one request.
pub const LABELS: usize = 64;
/// Layers of one image.
pub const LAYERS_PER_IMAGE: usize = 1_024;
/// Layers that one host may report.
pub const LAYERS_PER_HOST: usize = 65_536;
/// Layers in one report message.
pub const LAYERS_PER_REPORT: usize = 16_384;
/// Regions in one request.
pub const REGIONS_PER_REQUEST: usize = 32;
/// Names that stand for lists of regions.
pub const REGION_ALIASES: usize = 256;
/// Regions that one of them stands for.
pub const REGIONS_PER_ALIAS: usize = 32;
/// Apps that do not go by the default policy.
pub const POLICIES: usize = 100_000;
/// Largest weight of a policy, in thousandths of what it is by default.
pub const WEIGHT_MILLI: u32 = 100_000;
/// Apps and groups that one request wants near; and as many that it does not.
pub const AFFINITIES: usize = 16;
/// Largest size of anything measured in bytes: 1 EiB. Keeps sums of sizes far from overflow.
pub const SIZE_BYTES: u64 = 1 << 60;
/// Largest layer: 16 TiB. As many as a host may hold stay within [`SIZE_BYTES`] together.
pub const LAYER_BYTES: u64 = 1 << 44;
/// Longest pull that an agent may report: one day.
pub const PULL_MS: u64 = 24 * 60 * 60 * 1_000;
/// Hosts on which one call may warm an image.
pub const HOSTS_PER_WARMING: u32 = 1_000;
/// Longest time that a host may be asked to keep what it fetched: 30 days.
pub const KEEP_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Bytes of an agent's reason why it did not fetch something.
pub const REASON_BYTES: usize = 1_024;
/// Largest rate of fetching or unpacking: 1 TiB a second.
pub const BYTES_PER_S: u64 = 1 << 40;
/// Layers that a host may say it fetched at a time.
pub const STREAMS: u32 = 1_024;
/// Layers of one content that count as such: those with the smallest numbers.
pub const TWINS: usize = 16;
/// Largest CPU amount, in thousandths of a CPU.
pub const CPU_MILLI: u64 = 1_000_000_000;
/// Largest overcommit of the shared CPUs, in percent of them.
pub const OVERCOMMIT_PERCENT: u32 = 10_000;
/// Largest lease: one day.
pub const LEASE_MS: u64 = 24 * 60 * 60 * 1_000;
/// Lease of a request that names none: a minute for the host to confirm.
pub const LEASE_DEFAULT_MS: u64 = 60_000;
/// How long a request id keeps its answer, by stamped time. Eight times as long as the client tries again by default.
pub const REQUEST_MEMORY_MS: u64 = 120_000;
/// Request answers kept at once; over it only what gives back is done until old ones expire. Carries 100,000 requests a
/// second for as long as an answer is kept, in 2.5 GB where every other one is a placement: with an id of 36 bytes, 257
/// bytes were measured for a placement and 161 for anything else.
pub const REQUEST_MEMORY: usize = 12_000_000;
/// Rows that one command may expire, so that a long sleep cannot make one apply call long.
pub const EXPIRED_PER_COMMAND: usize = 4_096;
/// Hosts of a fleet.
pub const HOSTS: usize = 1_000_000;
/// Reservations of a fleet.
pub const RESERVATIONS: usize = 4_000_000;
/// Volumes of a fleet.
pub const VOLUMES: usize = 1_000_000;
/// Distinct layers that hosts and images of a fleet name.
pub const LAYERS: usize = 4_000_000;
/// Images in the catalogue.
pub const IMAGES: usize = 1_000_000;
/// Items on one page of a listing.
pub const PAGE: usize = 10_000;
/// Bytes of one gRPC message from outside.
pub const MESSAGE_BYTES: usize = 4 << 20;
