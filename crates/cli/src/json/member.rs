use gantry_proto::v1;
use serde_json::{Value, json};

use super::list;

pub fn member(member: &v1::Member) -> Value {
    json!({
        "id": member.id,
        "raft_addr": member.raft_addr,
        "client_addr": member.client_addr,
        "voter": member.voter,
        "matched_index": member.matched_index,
    })
}

pub fn status(status: &v1::StatusResponse) -> Value {
    json!({
        "node_id": status.node_id,
        "cluster_id": status.cluster_id,
        "role": status.role,
        "term": status.term,
        "leader_id": status.leader_id,
        "leader_addr": status.leader_addr,
        "last_log": status.last_log,
        "committed": status.committed,
        "applied": status.applied,
        "snapshot": status.snapshot,
        "members": list(&status.members, member),
        "state_hash": status.state_hash,
        "feature_level": status.feature_level,
        "feature_level_max": status.feature_level_max,
        "hosts": status.hosts,
        "reservations": status.reservations,
        "volumes": status.volumes,
        "images": status.images,
        "version": status.version,
        "cluster": status.cluster,
        "clock_unix_ms": status.clock_unix_ms,
        "started_unix_ms": status.started_unix_ms,
    })
}
