//! A registry in the test's own process, which does whatever the test says.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use gantry_oci::document::digest_of;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// One request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
    pub body: String,
}

pub enum Say {
    Now(Response<Answer>),
    /// Nothing, for ever.
    Nothing,
}

/// A body that ends, that never ends, or that ends in silence.
pub enum Answer {
    Whole(Full<Bytes>),
    Endless { chunk: Bytes, sent: Arc<Mutex<usize>> },
    Silent,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Endless { chunk, sent } => {
                *sent.lock() += chunk.len();
                Poll::Ready(Some(Ok(Frame::data(chunk.clone()))))
            }
            Self::Silent => Poll::Pending,
        }
    }
}

type Rule = dyn Fn(&Seen) -> Say + Send + Sync;

pub struct Fake {
    /// As references name it.
    pub host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Fake {
    pub async fn start(rule: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1", None, rule).await
    }

    pub async fn start_at(
        address: &str,
        tls: Option<TlsAcceptor>,
        rule: impl Fn(&Seen) -> Say + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (rule, to_see): (Arc<Rule>, _) = (Arc::new(rule), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (tls, rule, seen) = (tls.clone(), Arc::clone(&rule), Arc::clone(&to_see));
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, rule, seen).await,
                        // A client that does not trust it hangs up.
                        Some(tls) => {
                            if let Ok(tcp) = tls.accept(tcp).await {
                                serve(tcp, rule, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { host: address.to_string(), seen, task }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// Requests whose path has this in it.
    pub fn count(&self, part: &str) -> usize {
        self.seen.lock().iter().filter(|seen| seen.path.contains(part)).count()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    rule: Arc<Rule>,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (rule, seen) = (Arc::clone(&rule), Arc::clone(&seen));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let authorization = head.headers.get(header::AUTHORIZATION);
            let request = Seen {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                authorization: authorization.map(|value| value.to_str().expect("it is text").to_owned()),
                body: String::from_utf8_lossy(&body).into_owned(),
            };
            seen.lock().push(request.clone());
            match rule(&request) {
                Say::Now(response) => Ok::<_, Infallible>(response),
                Say::Nothing => std::future::pending().await,
            }
        }
    });
    // A client that hangs up in the middle is part of some tests.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

pub fn status(code: u16, headers: &[(&str, &str)], body: &str) -> Say {
    let mut response = Response::builder().status(StatusCode::from_u16(code).expect("a status"));
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let body = Answer::Whole(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    Say::Now(response.body(body).expect("good headers"))
}

pub fn redirect(to: &str) -> Say {
    status(307, &[("location", to)], "")
}

/// Documents that a registry serves, by what comes last in their path.
#[derive(Clone, Default)]
pub struct Content(HashMap<String, Vec<u8>>);

impl Content {
    /// Puts a document there by its digest, which is returned.
    pub fn put(&mut self, document: &Value) -> String {
        let bytes = document.to_string().into_bytes();
        let digest = digest_of(&bytes).to_string();
        self.0.insert(digest.clone(), bytes);
        digest
    }

    /// Puts something under a name of its own, however wrong that is.
    pub fn name(&mut self, name: &str, digest: &str) {
        self.0.insert(name.to_owned(), self.0[digest].clone());
    }

    pub fn say(&self, seen: &Seen) -> Say {
        let key = seen.path.rsplit('/').next().unwrap_or_default();
        match self.0.get(key) {
            Some(bytes) => status(200, &[], &String::from_utf8_lossy(bytes)),
            None => status(404, &[], "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}"),
        }
    }
}

pub fn hex(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

pub fn layer(digit: char) -> Value {
    json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": hex(digit), "size": 7 })
}

pub fn config(architecture: &str, diff_ids: &[String]) -> Value {
    json!({ "os": "linux", "architecture": architecture, "rootfs": { "type": "layers", "diff_ids": diff_ids } })
}

pub fn manifest(config: &str, layers: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "config": { "digest": config, "size": 3 }, "layers": layers })
}

/// An image of two layers for one architecture: its manifest's digest.
pub fn put_image(content: &mut Content, architecture: &str) -> String {
    let config = content.put(&config(architecture, &[hex('1'), hex('2')]));
    content.put(&manifest(&config, &[layer('a'), layer('b')]))
}

/// A registry's content: `app:1` is a manifest, whose digest is returned.
pub fn one_image() -> (Content, String) {
    let mut content = Content::default();
    let digest = put_image(&mut content, "amd64");
    content.name("1", &digest);
    (content, digest)
}
