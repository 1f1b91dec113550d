//! The calls of `gantry.v1.Placement`; its streams are in `stream` and `resilient`.

use gantry_proto::{
    WireError,
    v1::{self, place_result, placement_client::PlacementClient},
};
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::{
    Client, Error,
    call::{Next, RESPONSE_BYTES, Repeat, next},
    request_id::fill,
};

pub(crate) fn placement(channel: Channel) -> PlacementClient<Channel> {
    PlacementClient::new(channel).max_decoding_message_size(RESPONSE_BYTES)
}

impl Client {
    /// Places machines. An empty `request_id` gets a fresh one.
    pub async fn place(&self, mut request: v1::PlaceRequest) -> Result<v1::PlaceResponse, Error> {
        fill(&mut request.request_id);
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { placement(attempt.channel).place(request).await }
        })
        .await
    }

    /// Places several requests. Those that fail in a way that is safe to repeat are sent again, by themselves, with the
    /// same request ids; the failures that are left are in the results, in the order of the requests.
    pub async fn place_many(&self, mut request: v1::PlaceManyRequest) -> Result<v1::PlaceManyResponse, Error> {
        request.requests.iter_mut().for_each(|place| fill(&mut place.request_id));
        let deadline = Instant::now() + self.retry.deadline;
        let (mut answer, unsure) = self.place_many_once(&request).await?;
        // Once a try may have had an effect, no later "no" takes that back: the first one may still arrive.
        let mut doubtful = vec![unsure; answer.results.len()];
        for round in 1..self.retry.attempts {
            let failed: Vec<usize> = (0..answer.results.len().min(request.requests.len()))
                .filter(|index| may_repeat(&answer.results[*index]))
                .collect();
            let pause = self.retry.pause(round - 1);
            if failed.is_empty() || Instant::now() + pause >= deadline {
                break;
            }
            tokio::time::sleep(pause).await;
            let requests = failed.iter().map(|index| request.requests[*index].clone()).collect();
            let again = self.place_many_once(&v1::PlaceManyRequest { requests }).await;
            let unsure = again.as_ref().map_or_else(Error::indefinite, |(_, unsure)| *unsure);
            failed.iter().for_each(|&index| doubtful[index] |= unsure || is_doubtful(&answer.results[index]));
            // What the first round answered stands, so an error of a later one only ends the repeating.
            let Ok((again, _)) = again else { break };
            answer.rev = answer.rev.max(again.rev);
            for (index, result) in failed.into_iter().zip(again.results) {
                answer.results[index] = result;
            }
        }
        answer.results.iter_mut().zip(doubtful).filter(|(_, doubtful)| *doubtful).for_each(|(result, _)| doubt(result));
        Ok(answer)
    }

    async fn place_many_once(&self, request: &v1::PlaceManyRequest) -> Result<(v1::PlaceManyResponse, bool), Error> {
        self.doubtful_call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { placement(attempt.channel).place_many(request).await }
        })
        .await
    }

    /// Frees what reservations hold. An empty `request_id` gets a fresh one.
    pub async fn release(&self, mut request: v1::ReleaseRequest) -> Result<v1::ReleaseResponse, Error> {
        fill(&mut request.request_id);
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { placement(attempt.channel).release(request).await }
        })
        .await
    }

    /// Lets a lease run anew. An empty `request_id` gets a fresh one.
    pub async fn renew(&self, mut request: v1::RenewRequest) -> Result<v1::RenewResponse, Error> {
        fill(&mut request.request_id);
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { placement(attempt.channel).renew(request).await }
        })
        .await
    }

    pub async fn get(&self, request: v1::GetRequest) -> Result<v1::GetResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { placement(attempt.channel).get(request).await }
        })
        .await
    }

    /// One page of reservations.
    pub async fn list(&self, request: v1::ListRequest) -> Result<v1::ListResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { placement(attempt.channel).list(request).await }
        })
        .await
    }

    /// Ranks the hosts for a request without placing anything.
    pub async fn explain(&self, request: v1::ExplainRequest) -> Result<v1::ExplainResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { placement(attempt.channel).explain(request).await }
        })
        .await
    }

    /// Says how an app's machines are ranked from now on.
    pub async fn set_policy(&self, request: v1::SetPolicyRequest) -> Result<v1::SetPolicyResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { placement(attempt.channel).set_policy(request).await }
        })
        .await
    }

    pub async fn get_policy(&self, request: v1::GetPolicyRequest) -> Result<v1::GetPolicyResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { placement(attempt.channel).get_policy(request).await }
        })
        .await
    }

    /// One page of policies.
    pub async fn list_policies(&self, request: v1::ListPoliciesRequest) -> Result<v1::ListPoliciesResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { placement(attempt.channel).list_policies(request).await }
        })
        .await
    }
}

fn may_repeat(result: &v1::PlaceResult) -> bool {
    let Some(place_result::Result::Failure(failure)) = &result.result else { return false };
    let error = WireError::from(failure.clone());
    next(&error.detail, error.code, Repeat::Always) != Next::GiveUp
}

fn is_doubtful(result: &v1::PlaceResult) -> bool {
    let Some(place_result::Result::Failure(failure)) = &result.result else { return false };
    failure.detail.as_ref().is_none_or(|detail| detail.indefinite)
}

/// Makes a failure indefinite.
fn doubt(result: &mut v1::PlaceResult) {
    if let Some(place_result::Result::Failure(failure)) = &mut result.result {
        failure.detail.get_or_insert_default().indefinite = true;
    }
}
