//! The codec of all services: protobuf, but a request with a field that this code does not know is refused.
//!
//! Protobuf's own habit is to drop what it does not know. A constraint that is dropped is a machine in the wrong place, so
//! a caller that is newer than the server, or that writes garbage, hears of it before anything happens. Answers are read
//! with the usual leniency: a newer server may say more.

mod schema;

use std::marker::PhantomData;

use gantry_types::Refused;
use prost::{Message, Name, bytes::Buf};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use crate::status::WireError;

use self::schema::Schema;

/// Encodes `T`, decodes `U`.
#[derive(Clone, Copy, Debug)]
pub struct StrictCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for StrictCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for StrictCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder { request: Schema::get().request(&U::full_name()), decodes: PhantomData }
    }
}

#[derive(Debug)]
pub struct StrictDecoder<U> {
    /// The message in the schema, where it is one that a caller sends.
    request: Option<usize>,
    decodes: PhantomData<U>,
}

impl<U: Message + Default> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if let Some(message) = self.request {
            // The transport hands over each message in one piece.
            Schema::get().check(message, buf.chunk()).map_err(|unknown| Status::from(unknown_field(&unknown)))?;
        }
        U::decode(buf).map(Some).map_err(|error| Status::from(malformed(&error)))
    }
}

fn unknown_field(unknown: &schema::Unknown) -> WireError {
    let why = format!(
        "has field {} in {}, which this server does not know: the caller is newer than the server, or wrong",
        unknown.number, unknown.inside
    );
    let mut error = WireError::from(Refused::invalid("message", why));
    error.field = format!("{}.{}", unknown.inside, unknown.number);
    error
}

fn malformed(error: &prost::DecodeError) -> WireError {
    WireError::from(Refused::invalid("message", format!("is not well-formed protobuf: {error}")))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::v1;

    fn check<M: Message + Name>(bytes: &[u8]) -> Result<(), String> {
        let message = Schema::get().request(&M::full_name()).unwrap();
        Schema::get().check(message, bytes).map_err(|unknown| format!("{}.{}", unknown.inside, unknown.number))
    }

    #[test]
    fn known_fields_pass_at_every_depth() {
        let gpu = v1::GpuShape { kinds: vec!["H100".into()], count: 1, milli: 500, ..v1::GpuShape::default() };
        let request = v1::PlaceRequest {
            request_id: "r".into(),
            shape: Some(v1::Shape { cpu_milli: 1, gpu: Some(gpu), ..Default::default() }),
            count: 1,
            ..Default::default()
        };
        assert_eq!(check::<v1::PlaceRequest>(&request.encode_to_vec()), Ok(()));
        let many = v1::PlaceManyRequest { requests: vec![request; 3] };
        assert_eq!(check::<v1::PlaceManyRequest>(&many.encode_to_vec()), Ok(()));
    }

    #[test]
    fn unknown_fields_are_found_at_every_depth() {
        // Field 99 as a varint, at the top, and inside shape (4) and gpu (4).
        let unknown = [0x98, 0x06, 0x01];
        assert_eq!(check::<v1::PlaceRequest>(&unknown), Err("PlaceRequest.99".to_owned()));
        let nested = [&[0x22, 5, 0x22, 3][..], &unknown[..]].concat();
        assert_eq!(check::<v1::PlaceRequest>(&nested), Err("GpuShape.99".to_owned()));
        let in_list = [&[0x0a, 3][..], &unknown[..]].concat();
        assert_eq!(check::<v1::PlaceManyRequest>(&in_list), Err("PlaceRequest.99".to_owned()));
    }

    #[test]
    fn answers_are_not_requests() {
        assert!(Schema::get().request(&v1::PlaceResponse::full_name()).is_none());
        assert!(Schema::get().request(&v1::AgentMessage::full_name()).is_some());
    }

    #[test]
    fn truncated_messages_are_left_to_the_decoder() {
        let request = v1::PlaceRequest { app: "web".into(), ..Default::default() }.encode_to_vec();
        for end in 0..request.len() {
            assert_eq!(check::<v1::PlaceRequest>(&request[..end]), Ok(()), "cut at {end}");
        }
    }
}
