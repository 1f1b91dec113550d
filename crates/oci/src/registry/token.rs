//! Tokens from where a registry says that they are to be had, as Docker's token service hands them out.

use std::{fmt::Write, time::Duration};

use http::{Method, StatusCode, Uri};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Authorization, Place, basic, bearer, said};
use crate::{
    challenge::Bearer,
    credentials::{Credentials, Secret},
    error::ResolveError,
    exchange::{Ask, Budget, Exchange, parse, shown},
};

const ANSWER_BYTES: usize = 1 << 20;
/// How long a token holds that does not say so.
const DEFAULT: Duration = Duration::from_secs(60);
/// How long any token is used at most.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// A token is not used in the last tenth of its time.
const USED_TENTHS: u32 = 9;
const CLIENT: &str = "gantry";

#[derive(Deserialize)]
struct Granted {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

/// With a password or without any credentials by GET, with an identity token by POST.
pub(super) async fn fetch(
    exchange: &Exchange,
    place: &Place,
    challenge: &Bearer,
    credentials: Option<&Credentials>,
    budget: Budget,
) -> Result<Authorization, ResolveError> {
    let realm = parse(&challenge.realm).ok_or_else(|| ResolveError::Broken {
        at: place.host.clone(),
        why: format!("it wants a token from {:?}, which is no URL of HTTP", short(&challenge.realm)),
    })?;
    let asked = Instant::now();
    let answer = exchange.send(&ask(&realm, place, challenge, credentials)?, budget).await?;
    let at = shown(&answer.uri);
    if answer.status != StatusCode::OK {
        let who =
            if credentials.is_some() { "with the credentials" } else { "without credentials, as none are configured" };
        let why = format!("it answers {}{} {who} for {}", answer.status.as_u16(), said(&answer.body), place.host);
        let is_down = answer.status.is_server_error();
        return Err(if is_down { ResolveError::Unreachable { at, why } } else { ResolveError::Denied { at, why } });
    }
    let broken = |why: &str| ResolveError::Broken { at: at.clone(), why: why.to_owned() };
    // Serde's own words may show the token.
    let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| broken("it is no JSON with a token"))?;
    let token = granted.token.or(granted.access_token).filter(|token| !token.reveal().is_empty());
    let token = token.ok_or_else(|| broken("it has no token"))?;
    let header = bearer(&token).ok_or_else(|| broken("its token cannot be sent"))?;
    let lifetime = granted.expires_in.map_or(DEFAULT, Duration::from_secs).min(LONGEST);
    Ok(Authorization { header, expires: Some(asked + lifetime / 10 * USED_TENTHS) })
}

fn ask(realm: &Uri, place: &Place, challenge: &Bearer, credentials: Option<&Credentials>) -> Result<Ask, ResolveError> {
    let pull = format!("repository:{}:pull", place.repository);
    let scope = challenge.scope.as_deref().unwrap_or(&pull);
    let mut form = format!("scope={}", encoded(scope));
    if let Some(service) = &challenge.service {
        form += &format!("&service={}", encoded(service));
    }
    let mut ask = Ask {
        method: Method::GET,
        uri: realm.clone(),
        accept: None,
        authorization: None,
        body: None,
        limit: ANSWER_BYTES,
        streamed_from: None,
    };
    if let Some(Credentials::Identity(identity)) = credentials {
        let identity = encoded(identity.reveal());
        form += &format!("&grant_type=refresh_token&client_id={CLIENT}&refresh_token={identity}");
        return Ok(Ask { method: Method::POST, body: Some(form), ..ask });
    }
    if let Some(Credentials::Password { user, password }) = credentials {
        form += &format!("&account={}", encoded(user));
        ask.authorization = basic(user, password);
    }
    let separator = if realm.query().is_some() { '&' } else { '?' };
    let text = format!("{realm}{separator}{form}");
    let too_long =
        |_| ResolveError::Broken { at: shown(realm), why: "its scope or service is no part of a URL".to_owned() };
    Ok(Ask { uri: text.parse().map_err(too_long)?, ..ask })
}

/// For a query or a form.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string grows");
        }
    }
    encoded
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
