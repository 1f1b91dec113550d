//! The engine's API: HTTP on a socket, one connection a call.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{
    net::UnixStream,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{
    DockerError,
    answer::{Info, Inspected, Listed},
};

/// What one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Of one answer. An image's entry in a list has about a kilobyte.
const ANSWER_BYTES: usize = 32 << 20;
/// Of an answer that is an error.
const ERROR_BYTES: usize = 4 << 10;
/// Images of one engine.
const IMAGES: usize = 16_384;
/// Only of images: `{"type":["image"]}`.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22image%22%5D%7D";

#[derive(Clone, Debug)]
pub(super) struct Engine {
    pub socket: PathBuf,
}

/// An answer that comes bit by bit. The connection ends with it.
#[derive(Debug)]
pub(super) struct Events {
    body: Incoming,
    connection: JoinHandle<()>,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Events {
    /// Something happened. What it was does not matter: all is read again.
    pub(super) async fn next(&mut self) -> Result<(), DockerError> {
        match self.body.frame().await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(http("/events", &error)),
            None => Err(DockerError::Ended),
        }
    }
}

impl Engine {
    pub(super) async fn info(&self) -> Result<Info, DockerError> {
        self.get("/info").await
    }

    pub(super) async fn images(&self) -> Result<Vec<Listed>, DockerError> {
        let listed: Vec<Listed> = self.get("/images/json").await?;
        if listed.len() > IMAGES {
            return Err(DockerError::TooMany { what: "images", limit: IMAGES });
        }
        Ok(listed)
    }

    /// Nothing where the image was deleted meanwhile.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Inspected>, DockerError> {
        match self.get(&format!("/images/{id}/json")).await {
            Ok(inspected) => Ok(Some(inspected)),
            Err(DockerError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn events(&self) -> Result<Events, DockerError> {
        self.begin(EVENTS, Instant::now() + CALL_LIMIT).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DockerError> {
        let deadline = Instant::now() + CALL_LIMIT;
        let mut answer = self.begin(path, deadline).await?;
        let bytes = read(path, &mut answer.body, ANSWER_BYTES, deadline).await?;
        serde_json::from_slice(&bytes).map_err(|error| DockerError::Nonsense {
            path: path.to_owned(),
            why: error.to_string().chars().take(200).collect(),
        })
    }

    /// The head of an answer, if it is a good one.
    async fn begin(&self, path: &str, deadline: Instant) -> Result<Events, DockerError> {
        let asking = async {
            let connected = UnixStream::connect(&self.socket).await;
            let stream = connected
                .map_err(|source| DockerError::Connect { socket: self.socket.display().to_string(), source })?;
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| http(path, &error))?;
            let connection = tokio::spawn(async move {
                // Who reads the answer is told of it.
                let _ = connection.await;
            });
            let request = Request::get(path).header("host", "docker").body(Empty::<Bytes>::new());
            let request =
                request.map_err(|error| DockerError::Http { path: path.to_owned(), why: error.to_string() })?;
            let response = sender.send_request(request).await;
            let (head, body) = response.map_err(|error| http(path, &error))?.into_parts();
            Ok((head.status, Events { body, connection }))
        };
        let (status, mut answer) = timeout_at(deadline, asking).await.map_err(|_| slow(path))??;
        if status.is_success() {
            return Ok(answer);
        }
        let said = read(path, &mut answer.body, ERROR_BYTES, deadline).await.unwrap_or_default();
        let said = String::from_utf8_lossy(&said).chars().filter(|c| !c.is_control()).take(200).collect();
        Err(DockerError::Status { path: path.to_owned(), status: status.as_u16(), said })
    }
}

async fn read(path: &str, body: &mut Incoming, limit: usize, deadline: Instant) -> Result<Vec<u8>, DockerError> {
    let mut bytes = Vec::new();
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| slow(path))?;
        let Some(frame) = frame else { return Ok(bytes) };
        let Ok(data) = frame.map_err(|error| http(path, &error))?.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(DockerError::TooLarge { path: path.to_owned(), limit });
        }
        bytes.extend_from_slice(&data);
    }
}

fn http(path: &str, error: &hyper::Error) -> DockerError {
    DockerError::Http { path: path.to_owned(), why: error.to_string() }
}

fn slow(path: &str) -> DockerError {
    DockerError::Slow { path: path.to_owned(), limit_s: CALL_LIMIT.as_secs() }
}
