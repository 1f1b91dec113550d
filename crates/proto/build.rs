//! Compiles `proto/gantry/v1/*.proto` with a compiler in Rust, so that nobody needs `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

/// One service a file; `types.proto` holds the nouns they share.
const FILES: &[&str] = &[
    "gantry/v1/types.proto",
    "gantry/v1/placement.proto",
    "gantry/v1/volumes.proto",
    "gantry/v1/fleet.proto",
    "gantry/v1/cluster.proto",
    "gantry/v1/watch.proto",
    "gantry/v1/maintenance.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    for file in FILES {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("gantry_descriptor.bin"), compiler.encode_file_descriptor_set())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .emit_rerun_if_changed(false)
        .codec_path("crate::codec::StrictCodec")
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}
