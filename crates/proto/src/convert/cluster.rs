//! Members of the cluster.

use gantry_types::{Refused, limits};

use crate::{Token, convert::release::present, v1};

/// Members of one cluster: votes of more are never needed and slow every write.
pub const MEMBERS: usize = 15;

impl v1::InitRequest {
    pub fn check(&self) -> Result<(), Refused> {
        if self.members.is_empty() {
            return Err(Refused::invalid("members", "is empty: name at least one member"));
        }
        if self.members.len() > MEMBERS {
            return Err(Refused::over("members", self.members.len() as u64, MEMBERS as u64));
        }
        self.members.iter().try_for_each(v1::Member::check)?;
        let repeats = |i: usize| self.members[..i].iter().any(|other| other.id == self.members[i].id);
        if (1..self.members.len()).any(repeats) {
            return Err(Refused::invalid("members.id", "repeats: every member has an id of its own"));
        }
        Ok(())
    }
}

impl v1::Member {
    pub fn check(&self) -> Result<(), Refused> {
        present("member.id", self.id)?;
        address("member.raft_addr", &self.raft_addr)?;
        address("member.client_addr", &self.client_addr)
    }
}

impl v1::JoinRequest {
    pub fn token(&self) -> Result<Token, Refused> {
        Token::parse(&self.seed)
    }
}

impl v1::ReplaceRequest {
    pub fn check(&self) -> Result<(), Refused> {
        present("old", self.old)?;
        present("new", self.new)?;
        if self.old == self.new {
            return Err(Refused::invalid("new", "is the same as old: a node that lost its data needs a new id"));
        }
        Ok(())
    }
}

impl v1::MoveMemberRequest {
    /// The member, checked.
    pub fn into_member(self) -> Result<v1::Member, Refused> {
        let member = self.member.ok_or_else(|| Refused::invalid("member", "is missing"))?;
        member.check()?;
        Ok(member)
    }
}

impl v1::AddLearnerRequest {
    /// The member, checked.
    pub fn into_member(self) -> Result<v1::Member, Refused> {
        let member = self.member.ok_or_else(|| Refused::invalid("member", "is missing"))?;
        member.check()?;
        Ok(member)
    }
}

impl v1::PromoteRequest {
    pub fn check(&self) -> Result<(), Refused> {
        present("id", self.id)
    }
}

/// Bytes of the reason for a removal, which goes into a log.
const WHY_BYTES: usize = 1_024;

impl v1::RemoveRequest {
    pub fn check(&self) -> Result<(), Refused> {
        if self.why.len() > WHY_BYTES {
            return Err(Refused::over("why", self.why.len() as u64, WHY_BYTES as u64));
        }
        present("id", self.id)
    }
}

/// `host:port`, where the host is a name or an address.
pub(crate) fn address(field: &'static str, address: &str) -> Result<(), Refused> {
    if address.len() > limits::NAME_BYTES {
        return Err(Refused::over(field, address.len() as u64, limits::NAME_BYTES as u64));
    }
    let fits = address.rsplit_once(':').is_some_and(|(host, port)| {
        let named = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
        named && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if fits { Ok(()) } else { Err(Refused::invalid(field, format!("is {address:?}: expected host:port"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, raft_addr: &str) -> v1::Member {
        let client_addr = "127.0.0.1:7400".to_owned();
        v1::Member { id, raft_addr: raft_addr.into(), client_addr, ..v1::Member::default() }
    }

    #[test]
    fn members_are_refused_by_field() {
        let init = |members: &[v1::Member]| match (v1::InitRequest { members: members.to_vec() }).check() {
            Ok(()) => "",
            Err(Refused::Invalid { field, .. }) => field,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(init(&[member(1, "a:1"), member(2, "[::1]:7500")]), "");
        assert_eq!(init(&[]), "members");
        assert_eq!(init(&[member(0, "a:1")]), "member.id");
        assert_eq!(init(&[member(1, "a:1"), member(1, "b:1")]), "members.id");
        for bad in ["", "a", ":1", "a:", "a:0", "a:70000", "http://a:1", "a b:1"] {
            assert_eq!(init(&[member(1, bad)]), "member.raft_addr", "{bad:?} was taken for an address");
        }
    }
}
