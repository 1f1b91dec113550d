//! Messages that the transport could not read, in our own words: what it says carries no details, and so leaves callers
//! guessing whether anything happened.

use gantry_proto::WireError;
use gantry_types::Refused;
use http::Response;
use tonic::{Code, Status, body::Body};

/// How the transport begins what it says of a message over the limit.
const OVERSIZE: &str = "Error, decoded message length too large";
const CODE_KEY: &str = "grpc-status";
const DETAILS_KEY: &str = "grpc-status-details-bin";

/// Why a stream cannot be read on. Nothing came of the message.
pub(crate) fn message(status: &Status) -> Status {
    if !status.details().is_empty() {
        return status.clone();
    }
    let error = oversize(status)
        .unwrap_or_else(|| Refused::invalid("message", format!("cannot be read: {}", status.message())).into());
    error.into()
}

/// A response to a unary call; the transport refuses one that is too large before any service sees it.
pub(crate) fn response(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    let out_of_range = headers.get(CODE_KEY).is_some_and(|code| code.as_bytes() == b"11");
    if !out_of_range || headers.contains_key(DETAILS_KEY) {
        return response;
    }
    match Status::from_header_map(headers).as_ref().and_then(oversize) {
        Some(error) => Status::from(error).into_http(),
        None => response,
    }
}

fn oversize(status: &Status) -> Option<WireError> {
    let numbers = status.message().strip_prefix(OVERSIZE).filter(|_| status.code() == Code::OutOfRange)?;
    let mut numbers = numbers.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    let (have, limit) = (numbers.next()?, numbers.next()?);
    Some(WireError::too_large("the message", have, limit))
}
