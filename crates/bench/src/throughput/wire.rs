//! The messages of the load, so that generating it costs little of the machine that it loads.
//!
//! They are the API's own messages with the parts that never change encoded once: protobuf writes a string, bytes and a
//! nested message in the same way, so a template's `Bytes` are cloned without copying. Answers are read only as far as
//! they are used; protobuf skips what a message does not declare. A test holds them against the generated types.

use bytes::Bytes;
use gantry_proto::v1;
use prost::Message;

/// `gantry.v1.PlaceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct Place {
    #[prost(bytes = "bytes", tag = "1")]
    request_id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    app: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    image: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    shape: Bytes,
    #[prost(uint32, tag = "6")]
    count: u32,
    #[prost(uint64, tag = "8")]
    lease_ms: u64,
}

/// `gantry.v1.ReleaseRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct Release {
    #[prost(bytes = "bytes", tag = "1")]
    pub request_id: Bytes,
    #[prost(uint64, repeated, tag = "2")]
    pub reservation_ids: Vec<u64>,
}

/// `gantry.v1.PlaceStreamRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct Call {
    #[prost(uint64, tag = "1")]
    pub tag: u64,
    #[prost(message, optional, tag = "2")]
    pub place: Option<Place>,
    #[prost(message, optional, tag = "3")]
    pub release: Option<Release>,
}

/// `gantry.v1.PlaceStreamResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    #[prost(uint64, tag = "1")]
    pub tag: u64,
    #[prost(message, optional, tag = "2")]
    pub placed: Option<Placed>,
    #[prost(message, optional, tag = "3")]
    pub released: Option<Released>,
    #[prost(message, optional, tag = "4")]
    pub failure: Option<v1::Failure>,
}

/// `gantry.v1.PlaceResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct Placed {
    #[prost(message, repeated, tag = "2")]
    pub reservations: Vec<Reserved>,
}

/// `gantry.v1.Reservation`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Reserved {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(uint64, tag = "2")]
    pub fence: u64,
}

/// `gantry.v1.ReleaseResponse`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Released {
    #[prost(uint64, tag = "1")]
    pub rev: u64,
}

impl Place {
    /// The parts that `Place` carries of a request; its request id is set for each use.
    pub fn template(request: &v1::PlaceRequest) -> Self {
        Self {
            request_id: Bytes::new(),
            app: request.app.clone().into(),
            image: request.image.clone().into(),
            shape: request.shape.as_ref().map(Message::encode_to_vec).unwrap_or_default().into(),
            count: request.count,
            lease_ms: request.lease_ms,
        }
    }

    pub fn with_id(&self, request_id: Bytes) -> Self {
        Self { request_id, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::PlaceRequest {
        let gpu = v1::GpuShape { kinds: vec!["G2".into()], count: 1, milli: 500, ..v1::GpuShape::default() };
        v1::PlaceRequest {
            request_id: "r-1".into(),
            app: "app".into(),
            image: "r.io/app:1".into(),
            shape: Some(v1::Shape { cpu_kind: 1, cpu_milli: 2_000, memory_bytes: 1 << 30, gpu: Some(gpu) }),
            count: 1,
            lease_ms: 60_000,
            ..Default::default()
        }
    }

    #[test]
    fn calls_are_what_the_api_reads() {
        let place = Place::template(&request()).with_id("r-1".into());
        let call = Call { tag: 7, place: Some(place), release: None };
        let read = v1::PlaceStreamRequest::decode(call.encode_to_vec().as_slice()).unwrap();
        let expected = v1::place_stream_request::Call::Place(request());
        assert_eq!((read.tag, read.call), (7, Some(expected)));

        let release = Release { request_id: "r-2".into(), reservation_ids: vec![4, 5] };
        let call = Call { tag: 8, place: None, release: Some(release) };
        let read = v1::PlaceStreamRequest::decode(call.encode_to_vec().as_slice()).unwrap();
        let expected = v1::ReleaseRequest { request_id: "r-2".into(), reservation_ids: vec![4, 5] };
        assert_eq!(read.call, Some(v1::place_stream_request::Call::Release(expected)));
    }

    #[test]
    fn answers_are_read_from_what_the_api_writes() {
        use v1::place_stream_response::Result as Said;
        let reservation = v1::Reservation { id: 3, fence: 9, host: "h".into(), rev: 5, ..Default::default() };
        let choices = vec![v1::Choice { image_bytes: 1, ..Default::default() }];
        let placed = v1::PlaceResponse { rev: 5, reservations: vec![reservation], choices, ..Default::default() };
        let answer = |said| {
            let written = v1::PlaceStreamResponse { tag: 7, result: Some(said) }.encode_to_vec();
            Answer::decode(written.as_slice()).unwrap()
        };
        assert_eq!(answer(Said::Placed(placed)).placed.unwrap().reservations, [Reserved { id: 3, fence: 9 }]);
        assert_eq!(answer(Said::Released(v1::ReleaseResponse { rev: 6 })).released, Some(Released { rev: 6 }));
        let failure = v1::Failure { code: 8, message: "full".into(), detail: None };
        assert_eq!(answer(Said::Failure(failure.clone())).failure, Some(failure));
    }
}
