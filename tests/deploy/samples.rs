//! The sample configs.

use std::collections::BTreeSet;

use gantry_server::Config;

use super::{dir, read};

/// Turns `# key = value` into `key = value`, and `# [table]` into `[table]`.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_setting(rest) || rest.starts_with('[') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn is_setting(line: &str) -> bool {
    let Some((key, _)) = line.split_once(" = ") else { return false };
    !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// Every key that the parser knows in a table, which it names when it meets one that it does not know.
fn known(table: &str) -> BTreeSet<String> {
    let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
    let required = "cluster = \"c\"\ndata_dir = \"d\"\nclient_addr = \"a:1\"\nraft_addr = \"a:2\"\n";
    let text = if table.is_empty() { "no_such_key = 1".to_owned() } else { format!("{required}{head}no_such_key = 1") };
    let error = toml::from_str::<Config>(&text).expect_err("there is no such key").message().to_owned();
    let (_, names) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn has_every_key(path: &str, table: &toml::Table) {
    let has = |path: &str, keys: BTreeSet<String>| {
        assert_eq!(keys, known(path), "left: [{path}] in deploy/server.toml; right: in the parser");
    };
    if path.ends_with(".hosts") {
        // Tables that the operator names. Some of their keys exclude each other.
        let hosts = table.values().filter_map(toml::Value::as_table);
        return has(&format!("{path}.any"), hosts.flat_map(|host| host.keys().cloned()).collect());
    }
    has(path, table.keys().cloned().collect());
    for (name, value) in table {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        value.as_table().iter().for_each(|table| has_every_key(&below, table));
    }
}

#[test]
fn the_sample_has_every_key_and_no_other() {
    let text = uncommented(&read("server.toml"));
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file can be made");
    std::fs::write(file.path(), &text).expect("it can be written");
    Config::load(file.path()).expect("the sample is a config, also with all that is commented out");
    let sample: toml::Table = text.parse().expect("it was read above");
    has_every_key("", &sample);
    assert!(known("limits").contains("waiting_calls"), "the parser names its keys");
}

/// A setting that is off in the sample shows the default, or what else it could be.
#[test]
fn every_key_of_the_sample_is_explained() {
    let mut explained = false;
    let mut settings = 0;
    for line in read("server.toml").lines() {
        let setting = is_setting(line) || line.strip_prefix("# ").is_some_and(is_setting);
        if setting {
            assert!(explained, "nothing is said above `{line}`");
            settings += 1;
        }
        // One text may stand above a group of lines.
        explained = !line.is_empty() && !line.starts_with('[') && (explained || line.starts_with("# "));
    }
    assert!(settings > 10, "the settings were not found");
}

#[test]
fn the_other_samples_are_configs_too() {
    Config::load(&dir().join("dev.toml")).expect("one member");
    let three =
        [1, 2, 3].map(|n| Config::load(&dir().join(format!("three/node-{n}.toml"))).expect("a member of three"));
    for (n, member) in (1..).zip(&three) {
        assert_eq!(member.node_id, Some(n));
        assert_eq!((&member.cluster, &member.data_dir), (&three[0].cluster, &three[0].data_dir));
        assert_eq!(member.client_addr, format!("10.0.0.{n}:7400"));
        assert_eq!(member.raft_addr, format!("10.0.0.{n}:7401"));
    }
}
