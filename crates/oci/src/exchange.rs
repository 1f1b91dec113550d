//! Requests and answers over HTTP: bounded in bytes, in time, in redirects and in how often a busy host is asked.

mod body;
mod connect;
mod gate;
mod retry_after;
mod room;
mod trust;
mod url;

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RANGE, RETRY_AFTER, USER_AGENT},
};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, sleep_until, timeout};

pub(crate) use self::{
    body::Body,
    url::{is_same_origin, parse, shown},
};
use self::{
    connect::{ConnectError, Connector},
    gate::{Gates, Pass},
    room::{Room, Taken},
};
use crate::{
    config::{Config, ConfigError},
    error::ResolveError,
    reference::canonical,
};

const REDIRECTS: usize = 5;
/// Of an answer that is an error; more of it is not read.
const ERROR_BYTES: usize = 16 << 10;
/// Of the head of an answer.
const HEAD_BYTES: usize = 64 << 10;
/// Of all answers that are being read, or were and are still looked at.
const ALL_BYTES: usize = 256 << 20;
const IDLE_PER_HOST: usize = 4;
const IDLE: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("gantry/", env!("CARGO_PKG_VERSION"));
const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Debug)]
pub(crate) struct Exchange {
    client: Client<Connector, Full<Bytes>>,
    gates: Gates,
    room: Room,
    answer_time: Duration,
    read_time: Duration,
    longest_pause: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub method: Method,
    pub uri: Uri,
    pub accept: Option<&'static str>,
    /// For the host of `uri` only: a redirect to another one goes without.
    pub authorization: Option<HeaderValue>,
    /// A form.
    pub body: Option<String>,
    /// Bytes of the answer; a longer one is an error.
    pub limit: usize,
    /// What is large is not read here, but handed on as it comes, from this byte on. Then `limit` does not count.
    pub streamed_from: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Of a success that was asked for as a stream: what `body` is not.
    pub stream: Option<Body>,
    /// Who answered, after redirects.
    pub uri: Uri,
    _taken: Taken,
}

/// How long something may take, and how often a busy host may be asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub deadline: Instant,
    pub tries: u32,
}

impl Exchange {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(HEAD_BYTES)
            .build(Connector::new(config)?);
        let read_time = Duration::from_millis(config.read_ms);
        Ok(Self {
            client,
            gates: Gates::new(config.requests_per_host),
            room: Room::new(ALL_BYTES),
            answer_time: Duration::from_millis(config.connect_ms) + read_time,
            read_time,
            longest_pause: Duration::from_millis(config.pause_ms),
        })
    }

    /// Any status is an answer, except that of a host which stays busy.
    pub(crate) async fn send(&self, ask: &Ask, budget: Budget) -> Result<Answer, ResolveError> {
        let mut asked = 0;
        loop {
            let answer = self.follow(ask, budget).await?;
            if !matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                return Ok(answer);
            }
            let header = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let pause = retry_after::pause(header, SystemTime::now(), asked);
            asked += 1;
            // A pause beyond the patience is remembered only so far, for whoever asks next.
            let until = Instant::now() + pause.min(2 * self.longest_pause);
            self.gates.pause(&host(&answer.uri), until);
            if asked >= budget.tries || until > self.patience(budget) {
                return Err(ResolveError::Busy { at: shown(&answer.uri), pause });
            }
            sleep_until(until).await;
        }
    }

    async fn follow(&self, ask: &Ask, budget: Budget) -> Result<Answer, ResolveError> {
        let mut ask = ask.clone();
        for _ in 0..=REDIRECTS {
            let answer = self.once(&ask, budget).await?;
            let is_redirect = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            if !is_redirect || ask.method == Method::POST {
                return Ok(answer);
            }
            let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let next = url::join(&ask.uri, location).ok_or_else(|| {
                let named: String = location.chars().take(80).collect();
                broken(&ask.uri, format!("it redirects to {named:?}, which is no URL of HTTP"))
            })?;
            if !is_same_origin(&ask.uri, &next) {
                ask.authorization = None;
            }
            ask.uri = next;
        }
        Err(broken(&ask.uri, format!("it is the end of {REDIRECTS} redirects, and redirects again")))
    }

    async fn once(&self, ask: &Ask, budget: Budget) -> Result<Answer, ResolveError> {
        let enter = self.gates.enter(&host(&ask.uri), self.patience(budget)).await;
        let pass = enter.map_err(|pause| ResolveError::Busy { at: shown(&ask.uri), pause })?;
        let unreachable = |why: String| ResolveError::Unreachable { at: shown(&ask.uri), why };
        let silent = |_| unreachable(format!("it has not answered within {:?}", self.answer_time));
        let response = timeout(self.answer_time, self.client.request(request(ask)?)).await.map_err(silent)?;
        let response = response.map_err(|error| failure(&ask.uri, &error))?;
        self.read(ask, response, pass).await
    }

    /// The pass is given back with the last byte.
    async fn read(&self, ask: &Ask, response: Response<Incoming>, pass: Pass) -> Result<Answer, ResolveError> {
        let (head, incoming) = response.into_parts();
        let at = &ask.uri;
        let mut body = Body::new(incoming, shown(at), self.read_time, pass);
        let is_error = !head.status.is_success();
        let mut answer = Answer {
            status: head.status,
            headers: head.headers,
            body: Bytes::new(),
            stream: None,
            uri: ask.uri.clone(),
            _taken: Taken::default(),
        };
        if ask.streamed_from.is_some() && !is_error {
            answer.stream = Some(body);
            return Ok(answer);
        }
        let limit = if is_error { ERROR_BYTES } else { ask.limit };
        let too_large = || broken(at, format!("it is larger than {limit} bytes"));
        let announced = answer.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if ask.method != Method::HEAD && !is_error && announced.is_some_and(|bytes| bytes > limit as u64) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(data) = body.chunk().await? {
            let fits = data.len().min(limit - bytes.len());
            if fits < data.len() && !is_error {
                return Err(too_large());
            }
            if !self.room.take(fits, &mut answer._taken) {
                return Err(ResolveError::Crowded { bytes: ALL_BYTES });
            }
            bytes.extend_from_slice(&data[..fits]);
            if fits < data.len() {
                break;
            }
        }
        answer.body = bytes.into();
        Ok(answer)
    }

    /// Until when a host may want to be left alone.
    fn patience(&self, budget: Budget) -> Instant {
        budget.deadline.min(Instant::now() + self.longest_pause)
    }
}

fn request(ask: &Ask) -> Result<Request<Full<Bytes>>, ResolveError> {
    let mut request = Request::builder().method(&ask.method).uri(&ask.uri).header(USER_AGENT, AGENT);
    if let Some(accept) = ask.accept {
        request = request.header(ACCEPT, accept);
    }
    if let Some(authorization) = &ask.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    if ask.body.is_some() {
        request = request.header(CONTENT_TYPE, FORM);
    }
    if let Some(from) = ask.streamed_from.filter(|from| *from > 0) {
        request = request.header(RANGE, format!("bytes={from}-"));
    }
    let body = Full::new(Bytes::from(ask.body.clone().unwrap_or_default()));
    request.body(body).map_err(|error| broken(&ask.uri, format!("it cannot be asked for: {error}")))
}

/// What the connector found lies below what the client says of it.
fn failure(uri: &Uri, error: &hyper_util::client::legacy::Error) -> ResolveError {
    let at = shown(uri);
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut why = String::new();
    while let Some(error) = cause {
        match error.downcast_ref::<ConnectError>() {
            Some(forbidden @ (ConnectError::Plain | ConnectError::Forbidden(_))) => {
                return ResolveError::Forbidden { at, why: forbidden.to_string() };
            }
            Some(ConnectError::Untrusted(tls)) => return ResolveError::Untrusted { at, why: tls.to_string() },
            Some(ConnectError::Failed(_)) | None => why = error.to_string(),
        }
        cause = error.source();
    }
    ResolveError::Unreachable { at, why }
}

fn broken(uri: &Uri, why: String) -> ResolveError {
    ResolveError::Broken { at: shown(uri), why }
}

fn host(uri: &Uri) -> String {
    canonical(uri.authority().map_or("", |authority| authority.as_str()))
}
