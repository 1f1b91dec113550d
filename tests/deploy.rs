//! What lies in `deploy/` is what the program takes: configs are read by its own parser, command lines by its own command
//! line, and names, ports, paths and users agree from file to file.

mod alerts;
mod container;
mod kubernetes;
mod lines;
mod samples;
mod unit;

use std::path::{Path, PathBuf};

/// The folder in the repository.
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

pub fn read(name: &str) -> String {
    let path = dir().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file.
fn yaml(name: &str) -> Vec<serde_json::Value> {
    serde_saphyr::from_multiple(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A list of texts, as YAML has it.
fn texts(value: &serde_json::Value) -> Vec<String> {
    let list = value.as_array().unwrap_or_else(|| panic!("{value} is no list"));
    list.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("{item} is no text")).to_owned()).collect()
}
