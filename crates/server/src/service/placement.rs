//! Where machines go.

mod explain;

use futures::future::join_all;
use gantry_fleet::Fleet;
use gantry_machine::{Effect, Release, Renew, SetPolicy, fingerprint};
use gantry_proto::{
    WireError, convert,
    v1::{self, get_request::Key, placement_server::Placement},
};
use gantry_types::{AppPolicy, PlaceRequest, Refused, Reservation};
use tonic::{Request, Response, Status, Streaming};

use super::{deadline, invalid, place_stream, read};
use crate::{
    answer,
    call::{Answer, Answered, What},
    node::Node,
};

#[derive(Clone, Debug)]
pub(crate) struct PlacementService(pub Node);

#[tonic::async_trait]
impl Placement for PlacementService {
    type PlaceStreamStream = place_stream::Answers;

    async fn place(&self, request: Request<v1::PlaceRequest>) -> Result<Response<v1::PlaceResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let mut message = request.into_inner();
        let manifest = message.take_manifest().map_err(invalid)?;
        let request: PlaceRequest = read(message)?;
        let answer = self.0.decide_taught(manifest, What::place(request), deadline).await;
        Ok(Response::new(placed(answer)?))
    }

    async fn place_many(
        &self,
        request: Request<v1::PlaceManyRequest>,
    ) -> Result<Response<v1::PlaceManyResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let message = request.into_inner();
        message.check().map_err(invalid)?;
        let answers = join_all(message.requests.into_iter().map(|mut request| async move {
            let manifest = request.take_manifest().map_err(WireError::from)?;
            let request = PlaceRequest::try_from(request).map_err(WireError::from)?;
            placed(self.0.decide_taught(manifest, What::place(request), deadline).await)
        }));
        let results: Vec<v1::PlaceResult> = answers.await.into_iter().map(result).collect();
        let applied = || self.0.state().read().rev();
        let rev = results.iter().map(rev_of).max().filter(|&rev| rev > 0).unwrap_or_else(applied);
        Ok(Response::new(v1::PlaceManyResponse { rev, results }))
    }

    async fn place_stream(
        &self,
        request: Request<Streaming<v1::PlaceStreamRequest>>,
    ) -> Result<Response<place_stream::Answers>, Status> {
        Ok(Response::new(place_stream::serve(self.0.clone(), request.into_inner())))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Result<Response<v1::ReleaseResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let command = release(request.into_inner()).map_err(invalid)?;
        let rev = answer::rev(self.0.command(command, deadline).await)?;
        Ok(Response::new(v1::ReleaseResponse { rev }))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let message = request.into_inner();
        message.check().map_err(invalid)?;
        let mut renew = Renew {
            request_id: message.request_id,
            fingerprint: 0,
            reservation: message.reservation_id,
            lease_ms: message.lease_ms,
        };
        renew.fingerprint = fingerprint(&renew);
        match self.0.command(renew, deadline).await? {
            Answered::Did(Effect::Renewed { rev, until }) => {
                Ok(Response::new(v1::RenewResponse { rev, expires_at_ms: until }))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let key = message.into_key().map_err(invalid)?;
        let response = self.0.read(&metadata, |fleet, rev| {
            let rows = find(fleet, &key)?;
            Ok(v1::GetResponse { rev, reservations: rows.filter_map(|row| shown(fleet, row)).collect() })
        });
        flatten(response.await)
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let page = message.check().map_err(invalid)?;
        let response = self.0.scan(&metadata, move |fleet, rev| {
            let host = match message.host.as_str() {
                "" => None,
                name => Some(fleet.host_named(name).ok_or_else(|| Refused::UnknownHost { host: name.to_owned() })?.id),
            };
            let wanted = |row: &Reservation| {
                (message.app.is_empty() || row.app == message.app) && host.is_none_or(|id| row.plan.host == id)
            };
            let mut rows = fleet.reservations_after(message.after_id).filter(|row| wanted(row));
            let reservations: Vec<_> = rows.by_ref().take(page).filter_map(|row| shown(fleet, row)).collect();
            let next_after_id = rows.next().and(reservations.last()).map_or(0, |last| last.id);
            Ok(v1::ListResponse { rev, reservations, next_after_id })
        });
        flatten(response.await)
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let convert::Explain { request, top } = read(message)?;
        if !request.image.is_empty() && !request.image_blind {
            self.0.images().know(&self.0, &request.image, deadline::of(&metadata)).await;
        }
        self.0.scan(&metadata, move |fleet, rev| explain::answer(fleet, rev, &request, top)).await
    }

    async fn set_policy(
        &self,
        request: Request<v1::SetPolicyRequest>,
    ) -> Result<Response<v1::SetPolicyResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let policy: AppPolicy = read(request.into_inner())?;
        let rev = answer::rev(self.0.command(SetPolicy { policy }, deadline).await)?;
        Ok(Response::new(v1::SetPolicyResponse { rev }))
    }

    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        message.check().map_err(invalid)?;
        let policy =
            |fleet: &Fleet, rev| v1::GetPolicyResponse { rev, policy: Some(fleet.policy(&message.app).into()) };
        self.0.read(&metadata, policy).await
    }

    async fn list_policies(
        &self,
        request: Request<v1::ListPoliciesRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let page = convert::page(message.page_size).map_err(invalid)?;
        let listed = self.0.scan(&metadata, move |fleet, rev| {
            let mut policies = fleet.policies_after(&message.after_app);
            let shown: Vec<v1::AppPolicy> = policies.by_ref().take(page).map(Into::into).collect();
            let last = policies.next().and(shown.last());
            let next_after_app = last.map_or_else(String::new, |last| last.app.clone());
            v1::ListPoliciesResponse { rev, policies: shown, next_after_app }
        });
        listed.await
    }
}

/// A read that may refuse.
fn flatten<T>(response: Result<Response<Result<T, Refused>>, Status>) -> Result<Response<T>, Status> {
    let (metadata, body, extensions) = response?.into_parts();
    Ok(Response::from_parts(metadata, body.map_err(invalid)?, extensions))
}

pub(super) fn placed(answer: Answer) -> Result<v1::PlaceResponse, WireError> {
    match answer? {
        Answered::Placed(placed) => Ok(placed.into()),
        other => Err(WireError::internal(format!("a placement was answered with {other:?}"))),
    }
}

fn unexpected(answered: &Answered) -> Status {
    WireError::internal(format!("the answer is of another kind: {answered:?}")).into()
}

/// The command of a release.
pub(super) fn release(message: v1::ReleaseRequest) -> Result<Release, Refused> {
    message.check()?;
    let mut release = Release { request_id: message.request_id, fingerprint: 0, reservations: message.reservation_ids };
    release.fingerprint = fingerprint(&release);
    Ok(release)
}

fn result(answer: Result<v1::PlaceResponse, WireError>) -> v1::PlaceResult {
    use v1::place_result::Result as Kind;
    let kind = match answer {
        Ok(placed) => Kind::Placed(placed),
        Err(error) => Kind::Failure(error.into_failure()),
    };
    v1::PlaceResult { result: Some(kind) }
}

fn rev_of(result: &v1::PlaceResult) -> u64 {
    match &result.result {
        Some(v1::place_result::Result::Placed(placed)) => placed.rev,
        _ => 0,
    }
}

fn shown(fleet: &Fleet, row: &Reservation) -> Option<v1::Reservation> {
    fleet.host_spec(row.plan.host).map(|spec| convert::reservation(row, spec))
}

/// The reservations under a key that still stand.
fn find<'a>(fleet: &'a Fleet, key: &Key) -> Result<impl Iterator<Item = &'a Reservation> + use<'a>, Refused> {
    let ids: Vec<u64> = match key {
        Key::ReservationId(id) => {
            fleet.reservation(*id).ok_or(Refused::UnknownReservation { reservation: *id })?;
            vec![*id]
        }
        Key::RequestId(id) => match fleet.remembered(id).and_then(|row| row.answer.as_ref()) {
            Some(gantry_fleet::Answer::Placed(placed)) => placed.granted.iter().map(|granted| granted.id).collect(),
            _ => return Err(Refused::UnknownRequest { request_id: id.clone() }),
        },
    };
    Ok(ids.into_iter().filter_map(|id| fleet.reservation(id)).map(|row| &**row))
}
