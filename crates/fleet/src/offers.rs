//! Equal declarations, each kept once.
//!
//! Hosts are bought by the rack: most offer the same as many others. Whoever looks at many hosts reads a few
//! declarations again and again, and not one far-away copy a host.

use std::sync::Arc;

use gantry_types::HostSpec;
use prost::Message;

use crate::lookup::Lookup;

/// Entries a host beyond which those that nobody may need any more are forgotten, all at once. What hosts hold stays.
const PER_HOST: usize = 2;
const AT_LEAST: usize = 64;

/// By what they encode to, but for the name. Derived, not replicated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offers(Lookup<Vec<u8>, Arc<HostSpec>>);

impl Offers {
    /// The declaration without the host's name, the same value for all that offer the same.
    pub(crate) fn shared(&mut self, spec: &HostSpec, hosts: usize) -> Arc<HostSpec> {
        let nameless = HostSpec { name: String::new(), ..spec.clone() };
        let key = nameless.encode_to_vec();
        if let Some(known) = self.0.get(&key) {
            return Arc::clone(known);
        }
        if self.0.len() > PER_HOST * hosts + AT_LEAST {
            self.0 = Lookup::default();
        }
        let offer = Arc::new(nameless);
        self.0.insert(key, Arc::clone(&offer));
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_offer_the_same_share_it_and_the_table_is_bounded() {
        let spec = |name: &str, memory_bytes| HostSpec { name: name.into(), memory_bytes, ..HostSpec::default() };
        let mut offers = Offers::default();
        let one = offers.shared(&spec("a", 1), 1);
        assert!(Arc::ptr_eq(&one, &offers.shared(&spec("b", 1), 1)));
        assert_eq!(*one, spec("", 1));
        (0..1_000).for_each(|bytes| assert_eq!(*offers.shared(&spec("a", bytes), 10), spec("", bytes)));
        assert!(offers.0.len() <= PER_HOST * 10 + AT_LEAST + 1);
    }
}
