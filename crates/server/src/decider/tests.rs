use gantry_machine::{LayerPresent, Release, ReportLayers};
use prost::Message;
use tokio::sync::mpsc;

use super::*;
use crate::tests::member::Member;

fn waiting() -> Waiting {
    Waiting { reply: Reply::nobody(), deadline: None, attempts: 0, context: Context::Plain }
}

#[tokio::test]
async fn where_more_leases_may_be_over_the_next_are_ended_at_once() {
    let member = Member::start().await;
    let (_calls, receiver) = mpsc::channel(1);
    let mut decider = Decider::new(member.consensus.clone(), receiver, 1, WallClock::system());
    let expired = |leases| Ok(Effect::Expired { rev: 9, leases });
    let command = Command::from(Expire {});
    let fleet = Fleet::default();

    decider.answer(&fleet, &command, waiting(), expired(limits::EXPIRED_PER_COMMAND as u32 - 1));
    assert_eq!(decider.queue.len(), 0, "all of them are ended");
    decider.answer(&fleet, &command, waiting(), expired(limits::EXPIRED_PER_COMMAND as u32));
    assert_eq!(decider.queue.len(), 1, "the others wait for the next tick");
}

#[tokio::test]
async fn the_largest_report_of_layers_fits_into_an_entry_that_is_almost_full() {
    let member = Member::start().await;
    let mut batch = Batch::default();
    let release = || Command::from(Release { reservations: (1..200).collect(), ..Release::default() });
    while batch.commands.len() < COMMANDS_PER_ENTRY - 1 && batch.bytes + release().encoded_len() < ENTRY_BYTES {
        batch.push(release(), waiting());
    }
    assert!(batch.bytes > ENTRY_BYTES / 2);
    let filling = ENTRY_BYTES - 1 - batch.bytes;
    batch.push(Command::from(Release { request_id: "x".repeat(filling), ..Release::default() }), waiting());
    let layer =
        LayerPresent { digest: vec![255; 32], size_bytes: limits::LAYER_BYTES, state: 2, ..LayerPresent::default() };
    let present = vec![layer; limits::LAYERS_PER_REPORT];
    let report = ReportLayers { host: u32::MAX, full: true, present, gone: Vec::new() };
    batch.push(Command::from(report), waiting());
    let applied = member.consensus.propose(batch.seal(1, 1)).await.expect("the entry is not too large");
    assert!(applied.outcomes.iter().all(Result::is_err), "none of them means anything");
}
