//! A member of the cluster on the command line: `ID=RAFT_ADDR,CLIENT_ADDR`.

use gantry_proto::v1::Member;

pub fn parse(text: &str) -> Result<Member, String> {
    let expected = || "expected ID=RAFT_ADDR,CLIENT_ADDR, such as 1=10.0.0.1:7401,10.0.0.1:7400".to_owned();
    let (id, addrs) = text.split_once('=').ok_or_else(expected)?;
    let (raft_addr, client_addr) = addrs.split_once(',').ok_or_else(expected)?;
    let id = id.trim().parse().map_err(|_| expected())?;
    let member = Member {
        id,
        raft_addr: raft_addr.trim().to_owned(),
        client_addr: client_addr.trim().to_owned(),
        ..Member::default()
    };
    member.check().map_err(|refused| refused.to_string())?;
    Ok(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read() {
        let member = parse("2=10.0.0.2:7401,10.0.0.2:7400").unwrap();
        assert_eq!(
            (member.id, member.raft_addr.as_str(), member.client_addr.as_str()),
            (2, "10.0.0.2:7401", "10.0.0.2:7400")
        );
        for text in ["", "1", "1=a:1", "x=a:1,b:2", "0=a:1,b:2", "1=a,b:2", "1=a:1,http://b:2"] {
            assert!(parse(text).is_err(), "{text:?} was taken for a member");
        }
    }
}
