use tokio::sync::mpsc;

use super::*;
use crate::tests::member::Member;

#[tokio::test]
async fn where_more_leases_may_be_over_the_next_are_ended_at_once() {
    let member = Member::start().await;
    let (_calls, waiting) = mpsc::channel(1);
    let mut decider = Decider::new(member.consensus.clone(), waiting, 1);
    let expired = |leases| Ok(Effect::Expired { rev: 9, leases });
    let waiting = || Waiting { reply: Reply::nobody(), deadline: None, attempts: 0, context: Context::Plain };
    let command = Command::from(Expire {});
    let fleet = Fleet::default();

    decider.answer(&fleet, &command, waiting(), expired(limits::EXPIRED_PER_COMMAND as u32 - 1));
    assert_eq!(decider.queue.len(), 0, "all of them are ended");
    decider.answer(&fleet, &command, waiting(), expired(limits::EXPIRED_PER_COMMAND as u32));
    assert_eq!(decider.queue.len(), 1, "the others wait for the next tick");
}
