//! Compiles `proto/gantry/raft/v1/*.proto` with a compiler in Rust, so that nobody needs `protoc`.

use std::{env, error::Error, path::PathBuf};

const FILES: [&str; 2] = ["gantry/raft/v1/raft.proto", "gantry/raft/v1/check.proto"];
/// Messages that the store already has as records, with the same tags.
const RECORDS: &[(&str, &str)] = &[
    (".gantry.raft.v1.LogPos", "::gantry_store::LogPos"),
    (".gantry.raft.v1.Vote", "::gantry_store::Vote"),
    (".gantry.raft.v1.Member", "::gantry_store::Member"),
    (".gantry.raft.v1.Voters", "::gantry_store::Voters"),
    (".gantry.raft.v1.Membership", "::gantry_store::Membership"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    for file in FILES {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let builder = tonic_prost_build::configure().emit_rerun_if_changed(false).bytes(".gantry.raft.v1");
    let builder = RECORDS.iter().fold(builder, |builder, (message, record)| builder.extern_path(*message, *record));
    builder.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
