//! Where a machine or volume goes: constraints first, then scores, over a fleet and the plans in flight.
//!
//! [`CONSTRAINTS`] says no, with want and have; it runs when planning and again at apply. [`TERMS`] orders the hosts that
//! are left and never enters apply. [`Planner`] finds the best host without looking at all of them; [`rank`] looks at all
//! of them, for explanations and as the oracle of the planner's tests. [`fits`] counts how many more machines there is
//! room for, and [`relaxations`] says what would make room. [`Advisor`] says what hosts should fetch ahead.
//!
//! Must not be in here: I/O, clocks, randomness, floats, anything whose order depends on a hash.

mod advice;
mod ask;
mod constraint;
mod devices;
mod fits;
mod in_flight;
pub mod outlook;
mod overlaps;
mod planner;
mod rank;
mod ranking;
mod rankings;
pub mod readiness;
mod refusal;
mod relax;
mod score;
mod search;
mod sight;
mod volumes;
mod weights;

pub use advice::{AdviceRules, Advisor, FetchAdvice, Why};
pub use ask::{Ask, Room};
pub use constraint::{ADVICE, CONSTRAINTS, Constraint, No, Quantity, admits};
pub use devices::choose_devices;
pub use fits::{FITS_ONE_BY_ONE, FITS_PER_HOST, Fits, FitsIn, fits};
pub use in_flight::InFlight;
pub use overlaps::bytes_by_host;
pub use planner::{Choice, Planned, PlannedVolume, Planner};
pub use rank::{best, rank};
pub use refusal::refusals;
pub use relax::{CHANGES, Relaxed, changes, relaxations};
pub use score::{Costs, Ranked, Score, TERMS, Term, present_bytes};
pub use sight::Sight;
pub use volumes::plan_on;
pub use weights::Weights;
