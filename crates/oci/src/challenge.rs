//! What a registry wants to see before it answers: the header `WWW-Authenticate` of RFC 9110, section 11.

/// Challenges read of one answer.
const CHALLENGES: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer(Bearer),
}

/// Where to get a token, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub realm: String,
    pub service: Option<String>,
    pub scope: Option<String>,
}

/// The challenge to meet: for a token, where there is the choice.
pub(crate) fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let challenges: Vec<Challenge> = headers.into_iter().flat_map(parse).take(CHALLENGES).collect();
    let is_bearer = |challenge: &&Challenge| matches!(challenge, Challenge::Bearer(_));
    challenges.iter().find(is_bearer).or_else(|| challenges.first()).cloned()
}

/// The challenges in one header that can be met. What is malformed ends it.
fn parse(header: &str) -> Vec<Challenge> {
    let mut rest = header;
    let mut challenges = Vec::new();
    while let Some((scheme, after)) = scheme(rest) {
        rest = after;
        let mut bearer = Bearer::default();
        while let Some((name, value, after)) = parameter(rest) {
            rest = after;
            match name.to_ascii_lowercase().as_str() {
                "realm" => bearer.realm = value,
                "service" => bearer.service = Some(value),
                "scope" => bearer.scope = Some(value).filter(|scope| !scope.is_empty()),
                _ => {}
            }
        }
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer") && !bearer.realm.is_empty() {
            challenges.push(Challenge::Bearer(bearer));
        }
    }
    challenges
}

/// A word at the begin that is not the name of a parameter.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = word(text)?;
    (!rest.trim_start().starts_with('=')).then_some((word, rest))
}

/// `name=value` or `name="value"` at the begin.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = word(text)?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = word(rest)?;
        return Some((name, value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((name, value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let end = text.find([' ', '\t', ',', '=', '"']).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer(Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }))
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:a/b:pull,push\"";
        let expected =
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:a/b:pull,push"));
        assert_eq!(choose([hub]), expected);
        assert_eq!(choose(["Basic realm=\"Registry \\\"of\\\" us, too\""]), Some(Challenge::Basic));
        assert_eq!(choose(["basic"]), Some(Challenge::Basic));
        assert_eq!(choose(["BEARER Realm = \"r\" , Scope=\"\""]), bearer("r", None, None));
        assert_eq!(choose(["bearer realm=r,service=s"]), bearer("r", Some("s"), None));
    }

    #[test]
    fn a_token_is_preferred_in_one_header_and_in_several() {
        assert_eq!(choose(["Basic realm=\"x\", Bearer realm=\"y\""]), bearer("y", None, None));
        assert_eq!(choose(["Basic realm=\"x\"", "Bearer realm=\"y\""]), bearer("y", None, None));
        assert_eq!(choose(["Negotiate, Basic realm=\"x\""]), Some(Challenge::Basic));
    }

    #[test]
    fn what_cannot_be_met_is_nothing() {
        for header in
            ["", ",", "Negotiate", "Bearer", "Bearer service=\"x\"", "Bearer realm=\"open", "=", "realm=\"x\"", "\"\""]
        {
            assert_eq!(choose([header]), None, "{header:?}");
        }
    }
}
