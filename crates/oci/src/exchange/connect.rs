//! The one way out: every connection is made here, so what the config forbids cannot be reached by a name, by a number, or by
//! a redirect.

use std::{
    collections::HashSet,
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use ipnet::IpNet;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::trust::Trust;
use crate::{
    addresses::is_in,
    config::{Config, ConfigError},
    reference::canonical,
};

/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("plain HTTP is used only where plain_http is set for the host")]
    Plain,
    #[error("its address {0} is in forbidden_networks")]
    Forbidden(IpAddr),
    #[error("{0}")]
    Untrusted(rustls::Error),
    #[error("{0}")]
    Failed(String),
}

/// What a connection is to those who use it: plain TCP, or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Connector(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    forbidden: Vec<IpNet>,
    plain: HashSet<String>,
    trust: Trust,
    time: Duration,
}

impl Connector {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let plain = config.hosts.iter().filter(|(_, host)| host.plain_http).map(|(name, _)| name.clone());
        Ok(Self(Arc::new(Rules {
            forbidden: config.forbidden_networks.clone(),
            plain: plain.collect(),
            trust: Trust::new(config)?,
            time: Duration::from_millis(config.connect_ms),
        })))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let rules = Arc::clone(&self.0);
        Box::pin(async move {
            let late = |_| ConnectError::Failed(format!("no connection within {:?}", rules.time));
            timeout(rules.time, rules.connect(&uri)).await.map_err(late)?.map(TokioIo::new)
        })
    }
}

impl Rules {
    async fn connect(&self, uri: &Uri) -> Result<Box<dyn Stream>, ConnectError> {
        let authority = uri.authority().ok_or_else(|| ConnectError::Failed("the URL has no host".to_owned()))?;
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let key = canonical(authority.as_str());
        if !is_tls && !self.plain.contains(&key) {
            return Err(ConnectError::Plain);
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tcp = self.reach(&self.addresses(&host, port).await?).await?;
        if !is_tls {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(host).map_err(|error| ConnectError::Failed(error.to_string()))?;
        let tls = TlsConnector::from(self.trust.of(&key)).connect(name, tcp).await;
        tls.map(|tls| Box::new(tls) as Box<dyn Stream>).map_err(untrusted)
    }

    /// Those of a host that may be connected to.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let found = lookup_host((host, port)).await.map_err(|error| failed("its name has no address", &error))?;
        let (forbidden, allowed): (Vec<_>, Vec<_>) =
            found.take(ADDRESSES).partition(|address| is_in(&self.forbidden, address.ip()));
        match (allowed.is_empty(), forbidden.first()) {
            (false, _) => Ok(allowed),
            (true, Some(address)) => Err(ConnectError::Forbidden(address.ip())),
            (true, None) => Err(ConnectError::Failed("its name has no address".to_owned())),
        }
    }

    /// One after the other; each has its share of the time, so that one that is silent does not hide the rest.
    async fn reach(&self, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
        let share = self.time / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = ConnectError::Failed("it has no address".to_owned());
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // Without it, small requests wait; with it refused, they only wait.
                    let _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Ok(Err(error)) => last = failed(&format!("{address} cannot be reached"), &error),
                Err(_) => last = ConnectError::Failed(format!("{address} does not answer")),
            }
        }
        Err(last)
    }
}

fn failed(what: &str, error: &io::Error) -> ConnectError {
    ConnectError::Failed(format!("{what}: {error}"))
}

/// What rustls thinks of a certificate comes wrapped.
fn untrusted(error: io::Error) -> ConnectError {
    let inner = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls @ rustls::Error::InvalidCertificate(_)) => ConnectError::Untrusted(tls.clone()),
        _ => failed("no TLS", &error),
    }
}
