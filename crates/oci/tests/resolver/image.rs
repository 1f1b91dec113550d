//! Images as builders make them: archives of OCI layouts.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[derive(Clone, Copy)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Clone)]
pub struct Layer {
    /// Compressed.
    pub blob: Vec<u8>,
    pub digest: String,
    pub diff_id: String,
    media_type: &'static str,
}

impl Layer {
    /// A tar archive of one file with bytes that compress to nothing less.
    pub fn new(seed: u64, bytes: usize, compression: Compression) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(bytes).collect();
        let tar = archive(&[(&format!("file-{seed}"), &content)]);
        let (blob, media_type) = match compression {
            Compression::None => (tar.clone(), "application/vnd.oci.image.layer.v1.tar"),
            Compression::Gzip => (gzip(&tar), "application/vnd.oci.image.layer.v1.tar+gzip"),
            Compression::Zstd => {
                (zstd::encode_all(&tar[..], 1).expect("memory suffices"), "application/vnd.oci.image.layer.v1.tar+zstd")
            }
        };
        Self { digest: digest(&blob), diff_id: digest(&tar), blob, media_type }
    }

    pub fn size(&self) -> u64 {
        self.blob.len() as u64
    }
}

/// An image's archive, and the digests of its index and of the manifest in it.
pub struct Image {
    pub archive: Vec<u8>,
    pub index: String,
    pub manifest: String,
}

impl Image {
    /// As buildx makes them: an index of the image and of what is attested of it.
    pub fn new(name: &str, layers: &[&Layer]) -> Self {
        let mut blobs: Vec<(String, Vec<u8>)> = Vec::new();
        let mut put = |bytes: Vec<u8>, media_type: &str| {
            let descriptor = json!({ "mediaType": media_type, "digest": digest(&bytes), "size": bytes.len() });
            blobs.push((digest(&bytes), bytes));
            descriptor
        };
        let listed: Vec<Value> = layers.iter().map(|layer| put(layer.blob.clone(), layer.media_type)).collect();
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let manifest = manifest(&mut put, ("linux", architecture()), &diff_ids, listed);
        let statement =
            put(b"{\"_type\":\"https://in-toto.io/Statement/v0.1\"}".to_vec(), "application/vnd.in-toto+json");
        let diff_id = statement["digest"].as_str().expect("made above").to_owned();
        let attestation = self::manifest(&mut put, ("unknown", "unknown"), &[&diff_id], vec![statement]);
        let platform = |mut descriptor: Value, os: &str, architecture: &str| {
            descriptor["platform"] = json!({ "os": os, "architecture": architecture });
            descriptor
        };
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                platform(manifest.clone(), "linux", architecture()),
                platform(attestation, "unknown", "unknown"),
            ],
        });
        let mut index = put(bytes(&index), "application/vnd.oci.image.index.v1+json");
        index["annotations"] = json!({ "io.containerd.image.name": name });
        let digest_of = |descriptor: &Value| descriptor["digest"].as_str().expect("made above").to_owned();
        let (manifest, name) = (digest_of(&manifest), digest_of(&index));
        let top = bytes(&json!({ "schemaVersion": 2, "manifests": [index] }));
        let layout = b"{\"imageLayoutVersion\":\"1.0.0\"}".to_vec();
        let mut files = vec![("oci-layout".to_owned(), layout), ("index.json".to_owned(), top)];
        files.extend(blobs.into_iter().map(|(digest, bytes)| (format!("blobs/{}", digest.replace(':', "/")), bytes)));
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
        Self { archive: archive(&files), index: name, manifest }
    }

    pub fn write(&self, file: &Path) {
        std::fs::write(file, &self.archive).expect("the test's directory can be written");
    }
}

fn manifest(
    put: &mut impl FnMut(Vec<u8>, &str) -> Value,
    (os, architecture): (&str, &str),
    diff_ids: &[&str],
    layers: Vec<Value>,
) -> Value {
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    let config = json!({ "os": os, "architecture": architecture, "config": {}, "rootfs": rootfs });
    let config = put(bytes(&config), "application/vnd.oci.image.config.v1+json");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers });
    put(bytes(&manifest), media_type)
}

pub fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip").args(["-n", "-1"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let gzip = gzip.as_mut().expect("every Debian has gzip");
    let mut stdin = gzip.stdin.take().expect("it was asked for");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).expect("gzip reads all"));
        let mut packed = Vec::new();
        std::io::Read::read_to_end(gzip.stdout.as_mut().expect("it was asked for"), &mut packed).expect("gzip writes");
        assert!(gzip.wait().expect("gzip was started above").success());
        packed
    })
}

const BLOCK: usize = 512;

/// A tar archive of plain files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in files {
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000644\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", content.len()));
        put(136, "00000000000\0");
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&header);
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}
