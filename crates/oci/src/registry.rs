//! Registries as the OCI distribution specification has them, and who they want to see.

mod place;
mod token;

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderValue, Method, StatusCode,
    header::{CONTENT_RANGE, WWW_AUTHENTICATE},
};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;

pub(crate) use self::place::Place;
use crate::{
    blob::Blob,
    challenge::{self, Challenge},
    config::{Config, ConfigError},
    credentials::{Credentials, Keyring, Secret},
    document::ACCEPT,
    error::ResolveError,
    exchange::{Answer, Ask, Budget, Exchange, is_same_origin, shown},
};

/// Authorizations remembered, one for each repository.
const REMEMBERED: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Registries {
    exchange: Exchange,
    keyring: Keyring,
    /// By host and repository: what the last challenge was met with.
    authorizations: Mutex<HashMap<(String, String), Authorization>>,
}

#[derive(Clone, Debug)]
struct Authorization {
    header: HeaderValue,
    /// Absent where it holds until it is refused.
    expires: Option<Instant>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Thing<'a> {
    /// By tag or digest.
    Manifest(&'a str),
    Blob(&'a str),
}

/// A thing, and how it is to come.
struct Wanted<'a> {
    method: Method,
    thing: Thing<'a>,
    limit: usize,
    streamed_from: Option<u64>,
}

/// What registries say of their errors.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorItem>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorItem {
    code: String,
    message: String,
}

impl Registries {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self { exchange: Exchange::new(config)?, keyring: Keyring::new(config)?, authorizations: Mutex::default() })
    }

    /// The bytes of a manifest or a blob, as they came.
    pub(crate) async fn get(
        &self,
        place: &Place,
        thing: Thing<'_>,
        limit: usize,
        budget: Budget,
    ) -> Result<Answer, ResolveError> {
        success(self.send(place, Wanted { method: Method::GET, thing, limit, streamed_from: None }, budget).await?)
    }

    /// A blob that is too large to be held, from a byte on.
    pub(crate) async fn open(
        &self,
        place: &Place,
        digest: &str,
        from: u64,
        budget: Budget,
    ) -> Result<Blob, ResolveError> {
        let thing = Thing::Blob(digest);
        let wanted = Wanted { method: Method::GET, thing, limit: 0, streamed_from: Some(from) };
        let mut answer = success(self.send(place, wanted, budget).await?)?;
        let at = shown(&answer.uri);
        let broken = |why: String| ResolveError::Broken { at: at.clone(), why };
        let body = answer.stream.take().ok_or_else(|| broken("it has no content".to_owned()))?;
        let begins = if answer.status == StatusCode::PARTIAL_CONTENT { begin(&answer) } else { Some(0) };
        // Not every registry can begin in the middle.
        let too_much = begins.and_then(|begins| from.checked_sub(begins));
        let too_much = too_much.ok_or_else(|| broken(format!("it was asked for from byte {from} on")))?;
        Ok(Blob::new(body, too_much))
    }

    /// The headers of a manifest, whatever the status.
    pub(crate) async fn head(&self, place: &Place, key: &str, budget: Budget) -> Result<Answer, ResolveError> {
        let thing = Thing::Manifest(key);
        self.send(place, Wanted { method: Method::HEAD, thing, limit: 0, streamed_from: None }, budget).await
    }

    /// Asks with what was right last time, and once more where that is refused.
    async fn send(&self, place: &Place, wanted: Wanted<'_>, budget: Budget) -> Result<Answer, ResolveError> {
        let Wanted { method, thing, limit, streamed_from } = wanted;
        let uri = place.uri(thing)?;
        let accept = matches!(thing, Thing::Manifest(_)).then_some(ACCEPT);
        let authorization = self.remembered(place);
        let mut ask = Ask { method, uri, accept, authorization, body: None, limit, streamed_from };
        let answer = self.exchange.send(&ask, budget).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        if !is_same_origin(&ask.uri, &answer.uri) {
            let why = format!("{} sent there, and credentials are not passed on", shown(&ask.uri));
            return Err(ResolveError::Denied { at: shown(&answer.uri), why });
        }
        let authorization = self.authorize(place, &answer, budget).await?;
        ask.authorization = Some(authorization.header.clone());
        self.remember(place, authorization);
        self.exchange.send(&ask, budget).await
    }

    /// Meets the challenge of an answer.
    async fn authorize(&self, place: &Place, answer: &Answer, budget: Budget) -> Result<Authorization, ResolveError> {
        let denied = |why: String| ResolveError::Denied { at: shown(&answer.uri), why };
        let headers = answer.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenge = challenge::choose(headers)
            .ok_or_else(|| denied("it wants to be authorized in a way that is neither Basic nor Bearer".to_owned()))?;
        let credentials = self.keyring.get(&place.host).await.map_err(|error| denied(error.to_string()))?;
        match (challenge, credentials) {
            (Challenge::Basic, Some(Credentials::Password { user, password })) => {
                let header = basic(&user, &password).ok_or_else(|| denied("the password cannot be sent".to_owned()))?;
                Ok(Authorization { header, expires: None })
            }
            (Challenge::Basic, _) => {
                Err(denied(format!("it wants a user and a password, and none are configured for {}", place.host)))
            }
            (Challenge::Bearer(_), Some(Credentials::Token(token))) => {
                let header = bearer(&token).ok_or_else(|| denied("the configured token cannot be sent".to_owned()))?;
                Ok(Authorization { header, expires: None })
            }
            (Challenge::Bearer(challenge), credentials) => {
                token::fetch(&self.exchange, place, &challenge, credentials.as_ref(), budget).await
            }
        }
    }

    fn remembered(&self, place: &Place) -> Option<HeaderValue> {
        let authorizations = self.authorizations.lock();
        let known = authorizations.get(&(place.host.clone(), place.repository.clone()))?;
        known.expires.is_none_or(|expires| expires > Instant::now()).then(|| known.header.clone())
    }

    fn remember(&self, place: &Place, authorization: Authorization) {
        let mut authorizations = self.authorizations.lock();
        if authorizations.len() >= REMEMBERED {
            authorizations.clear();
        }
        authorizations.insert((place.host.clone(), place.repository.clone()), authorization);
    }
}

/// An error status as what can be done about it.
fn success(answer: Answer) -> Result<Answer, ResolveError> {
    let at = shown(&answer.uri);
    let why = || format!("it answers {}{}", answer.status.as_u16(), said(&answer.body));
    match answer.status {
        StatusCode::OK => Ok(answer),
        StatusCode::PARTIAL_CONTENT if answer.stream.is_some() => Ok(answer),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(ResolveError::NotFound { at }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ResolveError::Denied { at, why: why() }),
        status if status.is_server_error() => Err(ResolveError::Unreachable { at, why: why() }),
        _ => Err(ResolveError::Broken { at, why: why() }),
    }
}

/// Where a part begins, as in `Content-Range: bytes 7-9/10`.
fn begin(answer: &Answer) -> Option<u64> {
    let range = answer.headers.get(CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?;
    range.split_once('-')?.0.trim().parse().ok()
}

/// The first error that a registry gave, made fit to be shown.
fn said(body: &[u8]) -> String {
    let Ok(Errors { errors }) = serde_json::from_slice(body) else { return String::new() };
    let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(120).collect::<String>();
    errors.first().map_or_else(String::new, |error| format!(" ({}: {})", shown(&error.code), shown(&error.message)))
}

fn basic(user: &str, password: &Secret) -> Option<HeaderValue> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))))
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    secret(&format!("Bearer {}", token.reveal()))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}
