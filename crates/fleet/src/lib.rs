//! The replicated state as a value: hosts, what is promised on them, volumes, images, and which layers lie where.
//!
//! Every mutation goes through a method that keeps all indexes in step, notes which rows changed (for the store) and
//! what happened (for watchers), and refuses with a value. [`Fleet::check`] recomputes every index from the rows and is
//! the one place that knows all invariants.
//!
//! Must not be in here: I/O, clocks, randomness, floats, anything whose order depends on a hash. Two replicas that
//! apply the same log must hold the same rows, byte for byte (S5).

mod bounds;
mod change;
mod check;
mod event;
mod fleet;
mod fork;
mod grant;
mod hold;
mod host;
mod host_set;
mod host_table;
mod image;
mod image_use;
mod journal;
mod layers;
mod lookup;
mod names;
mod offers;
mod policies;
mod pulls;
mod rates;
mod regions;
mod registration;
mod request;
mod request_memory;
mod row;
mod twins;
mod volume;
mod volume_names;
mod zones;

pub use bounds::Bounds;
pub use change::Change;
pub use event::{EndReason, Event, EventKind, HostChange};
pub use fleet::{FEATURE_LEVEL_MAX, Fleet};
pub use grant::Grant;
pub use host::{Host, Scheduling, Usage};
pub use host_set::HostSet;
pub use image::{ImageEntry, ImageLayer};
pub use journal::{Journal, Touched};
pub use layers::{HeldLayer, LayerReport};
pub use lookup::Lookup;
pub use pulls::{Progress, Pull, PullRow};
pub use rates::{MeasuredRate, MeasuredRates};
pub use request::{Answer, Granted, Placed, Recalled};
pub use row::{HostRow, LayerRow, LayersRow, MetaRow, RequestRow, Row};
pub use volume::NewVolume;
