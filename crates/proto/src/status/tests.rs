use gantry_types::{Rejection, RejectionGroup};
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::convert;

fn group(hosts: usize, text: &str) -> RejectionGroup {
    RejectionGroup { hosts, example: Rejection::new("gpu", text, text) }
}

fn change_to(to: &str) -> RequestChange {
    RequestChange { field: "shape.gpu.count", from: "8".into(), to: to.into(), hosts: 2 }
}

/// One of every variant.
fn all_refusals() -> Vec<Refused> {
    vec![
        Refused::invalid("shape.cpu_milli", "is wrong"),
        Refused::RequestReused { request_id: "r".into() },
        Refused::RequestMemoryFull { limit: 8 },
        Refused::NoCapacity {
            rev: 7,
            hosts: 3,
            groups: vec![group(2, "1 x H100"), group(1, "8 GiB")],
            changes: vec![change_to("4")],
        },
        Refused::Lost { host: 3, rejection: Rejection::new("memory", 4, 2) },
        Refused::UnknownHost { host: "h".into() },
        Refused::UnknownReservation { reservation: 1 },
        Refused::UnknownVolume { volume: 1 },
        Refused::UnknownRequest { request_id: "r".into() },
        Refused::LessThanPromised { host: "h".into(), resource: "memory_bytes", want: 2, have: 1 },
        Refused::HostInUse { host: "h".into(), reservations: 1, volumes: 2 },
        Refused::VolumeInUse { volume: 1, reservation: 2 },
        Refused::AllAttached { app: "a".into(), name: "data".into(), volumes: 2 },
        Refused::Fenced { reservation: 1, want: 3, have: 2 },
        Refused::WrongHost { reservation: 1, host: 2 },
        Refused::Full { what: "hosts", limit: 5 },
        Refused::FeatureLevel { want: 1, have: 2 },
    ]
}

#[test]
fn every_refusal_survives_the_wire_and_stays_definite() {
    for refused in all_refusals() {
        let error = WireError::from(&refused);
        let status = Status::from(error.clone());
        assert_eq!(status.code(), code(&refused));
        assert_eq!(status.message(), refused.to_string());
        assert_eq!(WireError::from(&status), error);
        assert_eq!(error.certainty(), Certainty::Definite);
        assert_eq!(error.detail.reason, refused.reason());
    }
}

#[test]
fn the_numbers_of_a_refusal_are_in_its_detail() {
    let error = WireError::from(&all_refusals()[3]);
    assert_eq!(error.detail.rev, 7);
    let expected =
        v1::Rejection { constraint: "gpu".into(), hosts: 2, want: "1 x H100".into(), have: "1 x H100".into() };
    assert_eq!(error.detail.rejections[0], expected);
    let change = &error.detail.changes[0];
    assert_eq!((change.field.as_str(), change.to.as_str(), change.hosts), ("shape.gpu.count", "4", 2));
    assert!(error.message.ends_with("; but 2 hosts take it with shape.gpu.count 4 instead of 8"), "{error}");
    let error = WireError::from(&Refused::Fenced { reservation: 1, want: 3, have: 2 });
    assert_eq!((error.detail.rejections[0].want.as_str(), error.detail.rejections[0].have.as_str()), ("3", "2"));
}

#[test]
fn a_region_that_is_nowhere_is_an_error_about_that_field() {
    use tonic_types::StatusExt;
    let by = |constraint| RejectionGroup { hosts: 2, example: Rejection::new(constraint, "nowhere", "ams") };
    let refused = |groups| WireError::from(Refused::NoCapacity { rev: 7, hosts: 2, groups, changes: Vec::new() });
    let error = refused(vec![by("region")]);
    assert_eq!((error.code, error.field.as_str()), (Code::ResourceExhausted, "constraints.regions"));
    let violations = Status::from(error).get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "constraints.regions");
    for groups in [vec![by("gpu")], vec![by("region"), by("gpu")]] {
        assert_eq!(refused(groups).field, "");
    }
}

#[test]
fn google_details_are_readable_by_other_clients() {
    use tonic_types::StatusExt;
    let status = Status::from(WireError::from(Refused::invalid("app", "is empty")));
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_ARGUMENT", "gantry"));
    assert_eq!(info.metadata.get("indefinite").map(String::as_str), Some("false"));
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "app");

    let status = Status::from(WireError::not_leader(Some("10.0.0.1:7400")));
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata.get("leader").map(String::as_str), Some("10.0.0.1:7400"));
}

#[test]
fn reasons_that_clients_act_on_are_those_of_the_domain() {
    assert_eq!(all_refusals()[3].reason(), reason::NO_CAPACITY);
    assert_eq!(all_refusals()[4].reason(), reason::CONTENDED);
    assert!(all_refusals().iter().any(|refused| refused.reason() == reason::LESS_THAN_PROMISED));
}

#[test]
fn the_largest_error_fits_into_http2_headers() {
    let long = "\u{1f980}".repeat(1_000);
    let groups = (0..100).map(|i| group(i, &long)).collect();
    let changes = (0..100).map(|_| change_to(&long)).collect();
    let error = WireError::from(Refused::NoCapacity { rev: u64::MAX, hosts: 100, groups, changes });
    assert_eq!(error.detail.changes.len(), CHANGES);
    assert_eq!(error.detail.rejections.len(), REJECTIONS);
    assert_eq!(error.detail.rejections[0].hosts, 99, "the largest group was dropped");
    let mut headers = tonic::metadata::MetadataMap::new().into_headers();
    Status::from(error).add_header(&mut headers).unwrap();
    // RFC 7541: a header counts its name, its value and 32 bytes.
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(bytes < 16 << 10, "{bytes} bytes of headers");
}

#[test]
fn a_status_that_is_not_ours_is_definite_only_where_its_code_says_so() {
    for (code, expected) in [
        (Code::Unimplemented, Certainty::Definite),
        (Code::InvalidArgument, Certainty::Definite),
        (Code::Unavailable, Certainty::Indefinite),
        (Code::DeadlineExceeded, Certainty::Indefinite),
        (Code::Cancelled, Certainty::Indefinite),
        (Code::Internal, Certainty::Indefinite),
        (Code::Unknown, Certainty::Indefinite),
    ] {
        assert_eq!(WireError::from(&Status::new(code, "x")).certainty(), expected, "{code:?}");
    }
    let garbage = Status::with_details(Code::Unavailable, "x", b"\xff\xff\xff".as_slice().into());
    assert_eq!(WireError::from(&garbage).certainty(), Certainty::Indefinite);
}

#[test]
fn an_unknown_in_band_code_is_unknown_and_indefinite() {
    let failure = v1::Failure { code: u32::MAX, message: "x".into(), detail: None };
    let error = WireError::from(failure);
    assert_eq!((error.code, error.certainty()), (Code::Unknown, Certainty::Indefinite));
}

fn wire_error() -> impl Strategy<Value = WireError> {
    let rejection = (any::<u64>(), "[ -~é]{0,30}").prop_map(|(hosts, text)| v1::Rejection {
        constraint: "c".into(),
        hosts,
        want: text.clone(),
        have: text,
    });
    let change = "[ -~é]{0,30}".prop_map(|to| convert::explain::change(&change_to(&to)));
    let lists = (proptest::collection::vec(rejection, 0..5), proptest::collection::vec(change, 0..3));
    let detail = ("[A-Z_]{1,20}", any::<bool>(), lists, "[a-z0-9.:]{0,20}", any::<u64>()).prop_map(
        |(reason, indefinite, (rejections, changes), leader, rev)| v1::ErrorDetail {
            reason,
            indefinite,
            rejections,
            leader,
            rev,
            changes,
        },
    );
    let code = (1..17_i32).prop_map(Code::from_i32);
    (code, ".{0,100}", detail, prop_oneof![Just(String::new()), "[a-z_.]{1,20}"])
        .prop_map(|(code, message, detail, field)| WireError { code, message, detail: detail.into(), field })
}

proptest! {
    #[test]
    fn all_wire_forms_round_trip(error in wire_error(), seq: u64) {
        prop_assert_eq!(&WireError::from(&Status::from(error.clone())), &error);
        let without_field = WireError { field: String::new(), ..error };
        prop_assert_eq!(&WireError::from(without_field.clone().into_failure()), &without_field);
        let failed = without_field.clone().into_failed(seq);
        prop_assert_eq!(failed.seq, seq);
        prop_assert_eq!(&WireError::from(failed), &without_field);
    }
}
