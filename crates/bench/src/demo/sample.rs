//! Bursts without servers, for tests of what is made of them.

use std::time::Duration;

use gantry_proto::v1;

use super::burst::{Answer, Burst, Outcome};

pub fn answer(after_ms: u64, reservation: v1::Reservation) -> Answer {
    Answer { after: Duration::from_millis(after_ms), said: Outcome::Placed(Box::new(reservation)) }
}

pub fn burst(name: &str, answers: Vec<Answer>) -> Burst {
    let took = answers.iter().map(|answer| answer.after).max().unwrap_or_default();
    Burst { name: name.to_owned(), answers, took }
}
