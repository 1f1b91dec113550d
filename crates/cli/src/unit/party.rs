//! Whose machines: `web` or `app=web`, or a group, `group=db`.

use gantry_proto::v1::Affinity;

pub fn parse(text: &str) -> Result<Affinity, String> {
    let (what, name) = text.split_once('=').unwrap_or(("app", text));
    let name = name.trim().to_owned();
    match what.trim() {
        _ if name.is_empty() => Err("expected an app, or group=NAME".to_owned()),
        "app" => Ok(Affinity { app: name, ..Affinity::default() }),
        "group" => Ok(Affinity { group: name, ..Affinity::default() }),
        other => Err(format!("{other:?} is neither app nor group: expected an app, or group=NAME")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_and_groups_are_read() {
        for (text, app, group) in [("web", "web", ""), ("app=web", "web", ""), ("group=db", "", "db")] {
            let expected = Affinity { app: app.into(), group: group.into(), ..Affinity::default() };
            assert_eq!(parse(text), Ok(expected), "{text:?}");
        }
        for text in ["", "app=", "group= ", "zone=a"] {
            assert!(parse(text).is_err(), "{text:?} was taken for an app or a group");
        }
    }
}
