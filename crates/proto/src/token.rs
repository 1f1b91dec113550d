//! What a new machine needs to join: `ID-CLUSTER_ID@ADDRESS[,ADDRESS...]`, or only an address.

use std::fmt;

use gantry_types::Refused;

use crate::convert::address;

/// Addresses in one token; one that answers is enough.
const ADDRESSES: usize = 15;

/// Where to join, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The id that the cluster gave to the new node, and the cluster's own. Absent where only an address is known.
    pub identity: Option<Identity>,
    /// Client addresses of members.
    pub addresses: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub node: u64,
    pub cluster: u64,
}

impl Token {
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let invalid = |why: &str| Refused::invalid("seed", format!("is {text:?}: {why}"));
        let (identity, addresses) = match text.trim().split_once('@') {
            Some((identity, addresses)) => {
                let ids = identity.split_once('-').and_then(|(node, cluster)| {
                    Some(Identity { node: node.parse().ok()?, cluster: u64::from_str_radix(cluster, 16).ok()? })
                });
                let ids = ids.filter(|ids| ids.node != 0 && ids.cluster != 0);
                (Some(ids.ok_or_else(|| invalid("a token begins with ID-CLUSTER_ID@"))?), addresses)
            }
            None => (None, text.trim()),
        };
        let addresses: Vec<String> = addresses.split(',').map(|addr| addr.trim().to_owned()).collect();
        if addresses.len() > ADDRESSES {
            return Err(Refused::over("seed", addresses.len() as u64, ADDRESSES as u64));
        }
        addresses.iter().try_for_each(|addr| address("seed", addr))?;
        Ok(Self { identity, addresses })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Identity { node, cluster }) = self.identity {
            write!(f, "{node}-{cluster:016x}@")?;
        }
        f.write_str(&self.addresses.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let addresses = vec!["10.0.0.1:7400".to_owned(), "[::1]:7400".to_owned()];
        let token = Token { identity: Some(Identity { node: 51, cluster: 0xfeed }), addresses };
        assert_eq!(token.to_string(), "51-000000000000feed@10.0.0.1:7400,[::1]:7400");
        assert_eq!(Token::parse(&format!(" {token}\n")), Ok(token));
        let address = Token::parse("node-1:7400").unwrap();
        assert_eq!((address.identity, address.to_string().as_str()), (None, "node-1:7400"));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "@a:1", "1@a:1", "1-@a:1", "0-1@a:1", "1-0@a:1", "x-1@a:1", "1-1@", "1-1@a", "a:1,", "a"] {
            assert!(Token::parse(text).is_err(), "{text:?} was taken for a token");
        }
    }
}
