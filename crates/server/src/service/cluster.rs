//! The members of the Raft cluster.

use gantry_consensus::{Member, MembershipError, Standing, Status as ConsensusStatus};
use gantry_fleet::FEATURE_LEVEL_MAX;
use gantry_machine::SetFeatureLevel;
use gantry_proto::{
    WireError, reason,
    v1::{self, cluster_server::Cluster},
};
use gantry_types::{Certainty, Rev};
use tonic::{Code, Request, Response, Status};

use super::{deadline, invalid};
use crate::{
    answer, feature_level, joining,
    node::{Node, unread},
};

#[derive(Clone, Debug)]
pub(crate) struct ClusterService(pub Node);

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn init(&self, request: Request<v1::InitRequest>) -> Result<Response<v1::InitResponse>, Status> {
        let message = request.into_inner();
        message.check().map_err(invalid)?;
        let members: Vec<Member> = message.members.into_iter().map(member).collect();
        self.0.consensus().init(members.clone()).await.map_err(not_changed)?;
        feature_level::begin(&members).await;
        let cluster_id = cluster_id(self.0.consensus().status().cluster_id);
        Ok(Response::new(v1::InitResponse { cluster_id, rev: self.rev() }))
    }

    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinResponse>, Status> {
        let message = request.into_inner();
        let token = message.token().map_err(invalid)?;
        let rev = joining::join(self.0.consensus(), &token, message.replaces).await?;
        Ok(Response::new(v1::JoinResponse { rev }))
    }

    async fn new_id(&self, _: Request<v1::NewIdRequest>) -> Result<Response<v1::NewIdResponse>, Status> {
        let id = self.0.consensus().new_id().await.map_err(not_changed)?;
        let status = self.0.consensus().status();
        let client_addrs = status.members.iter().map(|member| member.member.client_addr.clone()).collect();
        Ok(Response::new(v1::NewIdResponse { id, cluster_id: cluster_id(status.cluster_id), client_addrs }))
    }

    async fn add_learner(
        &self,
        request: Request<v1::AddLearnerRequest>,
    ) -> Result<Response<v1::MembershipResponse>, Status> {
        let learner = member(request.into_inner().into_member().map_err(invalid)?);
        let consensus = self.0.consensus();
        if !consensus.may_add(&learner).map_err(not_changed)? {
            joining::check_candidate(consensus, &learner).await?;
            consensus.add_learner(learner).await.map_err(not_changed)?;
        }
        Ok(self.membership())
    }

    async fn promote(&self, request: Request<v1::PromoteRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        let message = request.into_inner();
        message.check().map_err(invalid)?;
        self.0.consensus().promote(message.id).await.map_err(not_changed)?;
        Ok(self.membership())
    }

    async fn remove(&self, request: Request<v1::RemoveRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        let message = request.into_inner();
        message.check().map_err(invalid)?;
        if !message.why.is_empty() {
            tracing::warn!(node = message.id, why = message.why, "a member is removed");
        }
        self.0.consensus().remove(message.id).await.map_err(not_changed)?;
        Ok(self.membership())
    }

    async fn replace(&self, request: Request<v1::ReplaceRequest>) -> Result<Response<v1::MembershipResponse>, Status> {
        let message = request.into_inner();
        message.check().map_err(invalid)?;
        self.0.consensus().replace(message.old, message.new).await.map_err(not_changed)?;
        Ok(self.membership())
    }

    async fn move_member(
        &self,
        request: Request<v1::MoveMemberRequest>,
    ) -> Result<Response<v1::MembershipResponse>, Status> {
        let moved = request.into_inner().into_member().map_err(invalid)?;
        self.0.consensus().move_member(member(moved)).await.map_err(not_changed)?;
        Ok(self.membership())
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        let to = Some(request.into_inner().to).filter(|to| *to != 0);
        let leader = self.0.consensus().hand_over(to).await.map_err(not_changed)?;
        Ok(Response::new(v1::TransferLeaderResponse { leader, rev: self.rev() }))
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        let message = request.into_inner();
        let (node, seen) = (self.0.clone(), self.0.consensus().status());
        if !message.state_hash {
            return Ok(Response::new(status(&node, seen, false)));
        }
        // The hash is of one position, so apply waits for it: between two parts of it, rows already read would change.
        // It is an operator's call, and an audit's; the threads that serve others are not held up by it.
        let hashed = tokio::task::spawn_blocking(move || status(&node, seen, true));
        Ok(Response::new(hashed.await.map_err(unread)?))
    }

    async fn set_feature_level(
        &self,
        request: Request<v1::SetFeatureLevelRequest>,
    ) -> Result<Response<v1::SetFeatureLevelResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let command = SetFeatureLevel { level: request.into_inner().level };
        SetFeatureLevel::known(command.level).map_err(invalid)?;
        if command.level > self.0.state().read().fleet.feature_level() {
            let members = self.0.consensus().status().members;
            let members: Vec<Member> = members.into_iter().map(|member| member.member).collect();
            feature_level::known_by_all(&members, command.level).await?;
        }
        let rev = answer::rev(self.0.command(command, deadline).await)?;
        Ok(Response::new(v1::SetFeatureLevelResponse { rev }))
    }
}

impl ClusterService {
    fn membership(&self) -> Response<v1::MembershipResponse> {
        let members = members(&self.0.consensus().status());
        Response::new(v1::MembershipResponse { rev: self.rev(), members })
    }

    fn rev(&self) -> Rev {
        self.0.state().read().rev()
    }
}

fn member(message: v1::Member) -> Member {
    Member { id: message.id, raft_addr: message.raft_addr, client_addr: message.client_addr }
}

fn members(status: &ConsensusStatus) -> Vec<v1::Member> {
    let members = status.members.iter();
    members
        .map(|m| v1::Member {
            id: m.member.id,
            raft_addr: m.member.raft_addr.clone(),
            client_addr: m.member.client_addr.clone(),
            voter: m.is_voter,
            matched_index: m.matched.map_or(0, |matched| matched.index),
        })
        .collect()
}

fn status(node: &Node, status: ConsensusStatus, with_hash: bool) -> v1::StatusResponse {
    let state = node.state();
    let state = state.read();
    let fleet = &state.fleet;
    let members = members(&status);
    let leader_addr = members.iter().find(|m| Some(m.id) == status.leader).map(|m| m.client_addr.clone());
    let leader_addr = leader_addr.unwrap_or_default();
    v1::StatusResponse {
        node_id: status.node_id,
        cluster_id: cluster_id(status.cluster_id),
        role: role(&status).to_owned(),
        term: status.term,
        leader_id: status.leader.unwrap_or_default(),
        leader_addr,
        last_log: status.last_log.unwrap_or_default(),
        committed: status.committed.map_or(0, |committed| committed.index),
        // The position that the hash and the counts belong to: read under the same lock.
        applied: state.rev(),
        snapshot: status.snapshot.map_or(0, |snapshot| snapshot.index),
        members,
        state_hash: if with_hash { format!("{:032x}", state.state_hash()) } else { String::new() },
        feature_level: fleet.feature_level(),
        feature_level_max: FEATURE_LEVEL_MAX,
        hosts: fleet.host_count() as u64,
        reservations: fleet.reservation_count() as u64,
        volumes: fleet.volume_count() as u64,
        images: fleet.image_count() as u64,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: status.cluster,
        clock_unix_ms: joining::clock_unix_ms(),
        started_unix_ms: node.started_unix_ms(),
    }
}

fn cluster_id(id: u64) -> String {
    if id == 0 { String::new() } else { format!("{id:016x}") }
}

fn role(status: &ConsensusStatus) -> &'static str {
    match status.standing {
        _ if status.members.is_empty() => "new",
        Standing::Learner => "learner",
        Standing::Follower => "follower",
        Standing::Candidate => "candidate",
        Standing::Leader => "leader",
        Standing::Stopped => "stopped",
    }
}

pub(crate) fn not_changed(error: MembershipError) -> Status {
    let message = error.to_string();
    let error = match error {
        MembershipError::NotLeader { leader } => WireError::not_leader(leader.as_ref().map(|l| l.client_addr.as_str())),
        MembershipError::Unknown { .. } => WireError::outcome_unknown(message),
        MembershipError::Stopped { .. } => WireError::stopped(),
        // A moment later may do: no refusal, so that a server that was started to join goes on trying.
        MembershipError::InProgress => WireError::new(Code::Aborted, reason::CONTENDED, Certainty::Definite, message),
        MembershipError::Behind { .. } => {
            WireError::new(Code::Aborted, reason::MEMBERSHIP, Certainty::Definite, message)
        }
        MembershipError::AlreadyFormed | MembershipError::Refused { .. } => {
            WireError::new(Code::FailedPrecondition, reason::MEMBERSHIP, Certainty::Definite, message)
        }
    };
    error.into()
}
