//! Messages that cannot be read: definite errors with details, after all that was owed.

use gantry_proto::{
    Certainty, WireError, reason,
    v1::{self, agent_event::Event, agent_message::Message, place_stream_request::Call, place_stream_response::Result},
};
use gantry_types::limits;
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::member::{Agent, Member, host, place};

/// A stream's message of a newer caller: `after` is a field that this server does not know.
#[derive(Clone, PartialEq, prost::Message)]
struct Newer {
    #[prost(message, optional, tag = "2")]
    place: Option<v1::PlaceRequest>,
    #[prost(uint64, tag = "99")]
    after: u64,
}

fn definite(status: &Status, code: Code, reason: &str) {
    let error = WireError::from(status);
    assert_eq!((status.code(), error.detail.reason.as_str()), (code, reason), "{status:?}");
    assert_eq!(error.certainty(), Certainty::Definite, "{status:?}");
}

#[tokio::test]
async fn a_field_that_is_not_known_ends_a_stream_with_an_error_after_the_answers() {
    let member = Member::start().await;
    let _agents = member.hosts(1).await;
    let (calls, messages) = mpsc::channel(8);
    calls.send(Newer { place: Some(place("a", 1)), after: 0 }).await.unwrap();
    calls.send(Newer { place: Some(place("b", 1)), after: 1 }).await.unwrap();
    let mut grpc = tonic::client::Grpc::new(member.channel.clone());
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/gantry.v1.Placement/PlaceStream");
    let codec = ProstCodec::<Newer, v1::PlaceStreamResponse>::default();
    let request = tonic::Request::new(ReceiverStream::new(messages));
    let mut answers = grpc.streaming(request, path, codec).await.unwrap().into_inner();

    let first = answers.message().await.unwrap().expect("the call before it is answered");
    assert!(matches!(first.result, Some(Result::Placed(_))), "{first:?}");
    definite(
        &answers.message().await.expect_err("the stream ended as if nothing were wrong"),
        Code::InvalidArgument,
        "INVALID_ARGUMENT",
    );
}

#[tokio::test]
async fn an_oversize_message_ends_a_stream_with_its_size() {
    let member = Member::start().await;
    let (calls, messages) = mpsc::channel(8);
    let mut answers = member.placement().place_stream(ReceiverStream::new(messages)).await.unwrap().into_inner();
    calls.send(v1::PlaceStreamRequest { tag: 1, call: Some(Call::Place(oversize())) }).await.unwrap();
    let status = answers.message().await.expect_err("the stream ended as if nothing were wrong");
    definite(&status, Code::InvalidArgument, reason::TOO_LARGE);
}

#[tokio::test]
async fn an_oversize_unary_message_is_refused_with_its_size() {
    let member = Member::start().await;
    let status = member.placement().place(oversize()).await.expect_err("more than a message may have");
    definite(&status, Code::InvalidArgument, reason::TOO_LARGE);
    assert!(status.message().contains(&limits::MESSAGE_BYTES.to_string()), "{status:?}");
}

#[tokio::test]
async fn an_oversize_message_of_an_agent_ends_its_stream_with_an_error() {
    let member = Member::start().await;
    let mut agent = Agent::connect(&member).await;
    agent.send(Message::Register(host("host-0"))).await;
    let mut large = host("host-0");
    large.zone = "z".repeat(limits::MESSAGE_BYTES);
    agent.send(Message::Register(large)).await;
    let first = agent.next().await.unwrap();
    assert!(matches!(first, Some(Event::Done(_))), "{first:?}");
    let status = agent.next().await.expect_err("the stream ended as if nothing were wrong");
    definite(&status, Code::InvalidArgument, reason::TOO_LARGE);
}

fn oversize() -> v1::PlaceRequest {
    v1::PlaceRequest { app: "a".repeat(limits::MESSAGE_BYTES), ..place("a", 1) }
}
