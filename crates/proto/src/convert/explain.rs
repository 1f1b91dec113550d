//! Questions about a placement that is not made.

use gantry_types::{self as types, Refused};

use crate::v1;

/// Ranked hosts in an answer where the caller names no number.
const TOP_DEFAULT: u32 = 10;
/// Most ranked hosts in an answer.
const TOP_MAX: u32 = 1_000;
/// Stands for the request id that a question need not have; it is never proposed.
const NO_REQUEST_ID: &str = "explain";

/// A change, as its parts and as a sentence.
pub fn change(change: &types::RequestChange) -> v1::Change {
    let types::RequestChange { field, from, to, hosts } = change;
    let text = change.to_string();
    v1::Change { field: (*field).to_owned(), from: from.clone(), to: to.clone(), hosts: *hosts as u64, text }
}

/// A question, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explain {
    pub request: types::PlaceRequest,
    /// Ranked hosts wanted, 1 to 1,000.
    pub top: usize,
}

impl TryFrom<v1::ExplainRequest> for Explain {
    type Error = Refused;

    fn try_from(message: v1::ExplainRequest) -> Result<Self, Refused> {
        let mut request = message.request.ok_or_else(|| Refused::invalid("request", "is missing"))?;
        if request.request_id.is_empty() {
            request.request_id.push_str(NO_REQUEST_ID);
        }
        Ok(Self { top: top(message.top)?, request: request.try_into()? })
    }
}

/// How many are wanted of what is ranked.
pub(super) fn top(wanted: u32) -> Result<usize, Refused> {
    match wanted {
        0 => Ok(TOP_DEFAULT as usize),
        1..=TOP_MAX => Ok(wanted as usize),
        _ => Err(Refused::over("top", wanted.into(), TOP_MAX.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_needs_a_request_but_no_id() {
        let request = v1::PlaceRequest {
            app: "web".into(),
            shape: Some(v1::Shape { cpu_milli: 500, ..v1::Shape::default() }),
            ..v1::PlaceRequest::default()
        };
        let explain = Explain::try_from(v1::ExplainRequest { request: Some(request.clone()), top: 0 }).unwrap();
        assert_eq!(explain.top, 10);

        let refused = Explain::try_from(v1::ExplainRequest { request: None, top: 0 }).unwrap_err();
        assert!(matches!(refused, Refused::Invalid { field: "request", .. }));
        let refused = Explain::try_from(v1::ExplainRequest { request: Some(request), top: u32::MAX }).unwrap_err();
        assert!(matches!(refused, Refused::Invalid { field: "top", .. }));
    }
}
