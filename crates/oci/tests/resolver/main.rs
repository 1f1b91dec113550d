//! The resolver against registries: some that the tests make up, which lie, hang and refuse, and Debian's real one.

mod address;
mod authorization;
mod blob;
mod document;
mod fake;
mod image;
mod limit;
mod mirror;
mod real;
mod registry;
mod sharing;
mod tls;

use gantry_oci::{Config, Platform, Reference, ResolveError, Resolved, Resolver};

/// A resolver that talks to these registries without TLS.
fn resolver(plain: &[&str], more: &str) -> Resolver {
    Resolver::new(config(plain, more)).expect("a good config")
}

/// `more` stands before the hosts.
fn config(plain: &[&str], more: &str) -> Config {
    let hosts: String = plain.iter().map(|host| format!("[hosts.{host:?}]\nplain_http = true\n")).collect();
    toml::from_str(&format!("{more}\n{hosts}")).expect("a config")
}

fn reference(host: &str, rest: &str) -> Reference {
    Reference::parse(&format!("{host}/{rest}")).expect("a reference")
}

/// On linux/amd64.
async fn resolve(resolver: &Resolver, host: &str, rest: &str) -> Result<Resolved, ResolveError> {
    resolver.resolve(&reference(host, rest), &Platform::default()).await
}
