//! The calls of `gantry.v1.Cluster`. Those that are about one node take its address and go nowhere else.

use gantry_proto::v1::{self, cluster_client::ClusterClient};
use tonic::transport::Channel;

use crate::{
    Client, Error,
    call::{RESPONSE_BYTES, Repeat},
};

fn cluster(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel).max_decoding_message_size(RESPONSE_BYTES)
}

impl Client {
    /// Makes a new cluster, starting from the node at `endpoint`.
    pub async fn init(&self, endpoint: &str, request: v1::InitRequest) -> Result<v1::InitResponse, Error> {
        self.on(endpoint)?
            .call(Repeat::IfDefinite, |attempt| {
                let request = attempt.unary(request.clone());
                async move { cluster(attempt.channel).init(request).await }
            })
            .await
    }

    /// Makes the node at `endpoint` join the cluster that `seed` belongs to. Returns once it has caught up, so give the
    /// client a deadline for that.
    pub async fn join(&self, endpoint: &str, request: v1::JoinRequest) -> Result<v1::JoinResponse, Error> {
        self.on(endpoint)?
            .call(Repeat::IfDefinite, |attempt| {
                let request = attempt.unary(request.clone());
                async move { cluster(attempt.channel).join(request).await }
            })
            .await
    }

    /// Of the node at `endpoint`. The state hash costs that node a pass over its whole state.
    pub async fn status(&self, endpoint: &str, with_hash: bool) -> Result<v1::StatusResponse, Error> {
        self.on(endpoint)?
            .call(Repeat::Always, |attempt| {
                let request = attempt.unary(v1::StatusRequest { state_hash: with_hash });
                async move { cluster(attempt.channel).status(request).await }
            })
            .await
    }

    /// Asks the cluster who its members are, and keeps their addresses beside those that are known: a client that lives
    /// longer than the nodes it was given needs that now and then. Returns how many it knows.
    pub async fn learn_members(&self) -> Result<usize, Error> {
        let status = self
            .call(Repeat::Always, |attempt| {
                let request = attempt.unary(v1::StatusRequest { state_hash: false });
                async move { cluster(attempt.channel).status(request).await }
            })
            .await?;
        status.members.iter().for_each(|member| self.nodes.note(&member.client_addr));
        Ok(self.nodes.count())
    }

    pub async fn add_learner(&self, request: v1::AddLearnerRequest) -> Result<v1::MembershipResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { cluster(attempt.channel).add_learner(request).await }
        })
        .await
    }

    /// Makes a learner a voter.
    pub async fn promote(&self, request: v1::PromoteRequest) -> Result<v1::MembershipResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request);
            async move { cluster(attempt.channel).promote(request).await }
        })
        .await
    }

    /// An id for a new node. One that nobody uses is lost, which does no harm.
    pub async fn new_id(&self) -> Result<v1::NewIdResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(v1::NewIdRequest {});
            async move { cluster(attempt.channel).new_id(request).await }
        })
        .await
    }

    /// Puts a learner in the place of a voter.
    pub async fn replace(&self, request: v1::ReplaceRequest) -> Result<v1::MembershipResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request);
            async move { cluster(attempt.channel).replace(request).await }
        })
        .await
    }

    /// Notes that a member is reached elsewhere from now on.
    pub async fn move_member(&self, request: v1::MoveMemberRequest) -> Result<v1::MembershipResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { cluster(attempt.channel).move_member(request).await }
        })
        .await
    }

    /// Removes a member. Not repeated when it is not known whether it happened.
    pub async fn remove(&self, request: v1::RemoveRequest) -> Result<v1::MembershipResponse, Error> {
        self.call(Repeat::IfDefinite, |attempt| {
            let request = attempt.unary(request.clone());
            async move { cluster(attempt.channel).remove(request).await }
        })
        .await
    }

    /// Hands the leadership over. Not repeated when it is not known whether it happened: it would move once more.
    pub async fn transfer_leader(
        &self,
        request: v1::TransferLeaderRequest,
    ) -> Result<v1::TransferLeaderResponse, Error> {
        self.call(Repeat::IfDefinite, |attempt| {
            let request = attempt.unary(request);
            async move { cluster(attempt.channel).transfer_leader(request).await }
        })
        .await
    }

    /// Switches rules on that all nodes know. The level only grows.
    pub async fn set_feature_level(
        &self,
        request: v1::SetFeatureLevelRequest,
    ) -> Result<v1::SetFeatureLevelResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request);
            async move { cluster(attempt.channel).set_feature_level(request).await }
        })
        .await
    }
}
