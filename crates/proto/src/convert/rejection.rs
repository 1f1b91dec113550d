//! Why hosts were refused.

use gantry_types::{Rejection, RejectionGroup};

use crate::v1;

/// One constraint's refusal of a group of hosts.
pub fn rejection(group: &RejectionGroup) -> v1::Rejection {
    one(group.hosts as u64, &group.example)
}

pub fn rejections(groups: &[RejectionGroup]) -> Vec<v1::Rejection> {
    groups.iter().map(rejection).collect()
}

pub(crate) fn one(hosts: u64, rejection: &Rejection) -> v1::Rejection {
    v1::Rejection {
        constraint: rejection.constraint.to_owned(),
        hosts,
        want: rejection.want.clone(),
        have: rejection.have.clone(),
    }
}
