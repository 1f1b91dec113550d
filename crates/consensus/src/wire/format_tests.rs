//! What members say to each other is understood by members of other versions: each message, with every field set, is encoded as
//! it always was. The fixture has a line a message, its name and its bytes in hexadecimal digits; a line is never changed, and a
//! new message gets a new one. It is written by
//!
//! `cargo test -p gantry-consensus --lib -- --ignored write_the_fixture`

use std::{fs, path::Path};

use gantry_store::{LogPos, Member, Membership, Vote, Voters};
use prost::Message;

use super::proto::{
    AppendRequest, AppendResponse, CheckRequest, CondemnRequest, CondemnResponse, Disk, Entry, FetchResponse,
    GreetRequest, GreetResponse, LogNotFlushed, Matched, Peer, SnapshotChunk, SnapshotEnd, SnapshotHeader,
    SnapshotOffer, SnapshotOfferResponse, SnapshotRequest, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteChanged, VoteRequest, VoteResponse, WantResponse, append_response, entry,
    snapshot_request, transfer_leader_response,
};

const POS: LogPos = LogPos { term: 3, node: 2, index: 300 };
const VOTE: Vote = Vote { term: 4, node: 1, committed: true };

fn fixture() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/raft_v1.hex")
}

fn peer() -> Option<Peer> {
    Some(Peer { cluster: "north".to_owned(), cluster_id: 0xfeed, from: 1, to: 2, has_vote: true })
}

fn appends() -> AppendRequest {
    let member = Member { id: 1, raft_addr: "n1:7401".to_owned(), client_addr: "n1:7400".to_owned() };
    let membership = Membership {
        pos: Some(POS),
        configs: vec![Voters { ids: vec![1] }, Voters { ids: vec![1, 2] }],
        members: vec![member],
        retired: vec![9],
    };
    let payloads = [
        None,
        Some(entry::Payload::Commands(b"commands".as_slice().into())),
        Some(entry::Payload::Membership(membership)),
    ];
    let entries = payloads.map(|payload| Entry { pos: Some(POS), payload }).to_vec();
    AppendRequest { peer: peer(), vote: Some(VOTE), previous: Some(POS), entries, committed: Some(POS) }
}

fn messages() -> Vec<(&'static str, Vec<u8>)> {
    use append_response::Result as Appended;
    use transfer_leader_response::Refused;
    let (vote, last, position) = (Some(VOTE), Some(POS), Some(POS));
    let disk = Some(Disk { sync_us: 250, full: true });
    let appended = |result| AppendResponse { peer: peer(), result: Some(result), disk }.encode_to_vec();
    let transferred = |refused| TransferLeaderResponse { peer: peer(), refused: Some(refused) }.encode_to_vec();
    let part = |part| SnapshotRequest { part: Some(part) }.encode_to_vec();
    let hash = bytes::Bytes::from_static(&[7; 16]);
    let header = SnapshotHeader { peer: peer(), vote, size_bytes: 99, position, offset: 5 };
    let chunk = SnapshotChunk { offset: 5, data: b"data".as_slice().into(), crc: 0x0102_0304 };
    vec![
        ("append", appends().encode_to_vec()),
        ("appended.matched", appended(Appended::Matched(Matched { last }))),
        ("appended.conflict", appended(Appended::Conflict(POS))),
        ("appended.higher_vote", appended(Appended::HigherVote(VOTE))),
        ("vote", VoteRequest { peer: peer(), vote, last, leadership_transfer: true }.encode_to_vec()),
        ("voted", VoteResponse { peer: peer(), vote, granted: true, last }.encode_to_vec()),
        ("transfer", TransferLeaderRequest { peer: peer(), from_leader: vote, to: 2, last }.encode_to_vec()),
        ("transferred.vote_changed", transferred(Refused::VoteChanged(VoteChanged { expected: vote, actual: vote }))),
        (
            "transferred.log_not_flushed",
            transferred(Refused::LogNotFlushed(LogNotFlushed { expected: last, actual: last })),
        ),
        ("greet", GreetRequest { peer: peer() }.encode_to_vec()),
        ("greeted", GreetResponse { peer: peer() }.encode_to_vec()),
        ("snapshot.offer", SnapshotOffer { peer: peer(), position, size_bytes: 99 }.encode_to_vec()),
        ("snapshot.offered", SnapshotOfferResponse { peer: peer(), received_bytes: 5 }.encode_to_vec()),
        ("snapshot.header", part(snapshot_request::Part::Header(header))),
        ("snapshot.chunk", part(snapshot_request::Part::Chunk(chunk))),
        ("snapshot.end", part(snapshot_request::Part::End(SnapshotEnd {}))),
        ("snapshot.installed", SnapshotResponse { peer: peer(), vote }.encode_to_vec()),
        ("check", CheckRequest { peer: peer(), rev: 300 }.encode_to_vec()),
        ("check.wanted", WantResponse { peer: peer(), in_time: true }.encode_to_vec()),
        ("check.fetched", FetchResponse { peer: peer(), hash: hash.clone() }.encode_to_vec()),
        ("condemn", CondemnRequest { peer: peer(), rev: 300, hash }.encode_to_vec()),
        ("condemned", CondemnResponse { peer: peer() }.encode_to_vec()),
    ]
}

fn lines() -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    messages().iter().map(|(name, bytes)| format!("{name} {}", hex(bytes))).collect()
}

#[test]
#[ignore = "writes the fixture of a new format"]
fn write_the_fixture() {
    assert!(!fixture().exists(), "a format that was given out is never changed");
    fs::create_dir_all(fixture().parent().unwrap()).unwrap();
    fs::write(fixture(), lines().join("\n") + "\n").unwrap();
}

#[test]
fn every_message_is_encoded_as_it_always_was() {
    let text = fs::read_to_string(fixture()).unwrap();
    let then: Vec<&str> = text.lines().collect();
    for (now, then) in lines().iter().zip(&then) {
        assert_eq!(now, then, "members of two versions would not understand each other");
    }
    assert_eq!(lines().len(), then.len(), "a message is gone, or has no line");
    let bytes = then[0].split_once(' ').unwrap().1;
    let bytes: Vec<u8> =
        (0..bytes.len()).step_by(2).map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap()).collect();
    assert_eq!(AppendRequest::decode(bytes.as_slice()).unwrap(), appends());
}
