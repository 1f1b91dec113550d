//! Messages as programs read them: names as in the protos, enums and GPU kinds as words. One file a noun.

mod event;
mod explain;
mod host;
mod image;
mod member;
mod placement;
mod policy;
mod region;
mod reservation;
mod shape;
mod volume;

pub use event::event;
pub use explain::{change, fits, plan};
pub use host::host;
pub use image::{host_fetch, image_summary, layer_shown, ready_host};
pub use member::{member, status};
pub use placement::{choice, ranked_host, rejections};
pub use policy::policy;
pub use region::region;
pub use reservation::reservation;
pub use volume::volume;

use serde_json::{Map, Value};

/// A list of messages.
pub fn list<T>(messages: &[T], one: impl Fn(&T) -> Value) -> Value {
    messages.iter().map(one).collect()
}

/// Pairs as an object.
fn object(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(Map::from_iter(pairs))
}
