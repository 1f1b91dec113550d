//! Real members in this process, each with its listeners and a directory of its own, asked over gRPC.

mod agents;
mod api;
mod explaining;
mod looking_up;
mod measuring;
pub(crate) mod member;
mod placing;
mod stalled;
mod unreadable;
mod volumes;
mod warming;
mod watching;
