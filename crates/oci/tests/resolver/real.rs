//! Debian's registry, which the tests start in directories of their own, and images pushed there as builders do.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gantry_oci::{Config, Platform, ResolveError, Resolved, Resolver, document::Compression};
use tempfile::TempDir;

use crate::{
    image::{self, Image, architecture},
    reference,
};

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
const MIB: usize = 1 << 20;
/// `me` with the password `hush`, in the only form that this registry takes.
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuulzd.YqjLDl8lvpSmVj3De/fioSBHnUa\n";

struct Registry {
    dir: TempDir,
    process: Child,
    host: String,
    is_guarded: bool,
}

impl Registry {
    /// None where the machine has none, which is said; an error where checks must be complete.
    fn start(is_guarded: bool) -> Option<Self> {
        let is_there =
            |name: &str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
        if let Some(missing) = ["docker-registry", "skopeo"].into_iter().find(|name| !is_there(name)) {
            let why = format!("this test needs {missing}; cargo xtask test installs it");
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let htpasswd = dir.path().join("htpasswd");
        std::fs::write(&htpasswd, HTPASSWD).expect("a temporary directory can be written");
        let auth = format!("auth: {{ htpasswd: {{ realm: gantry-test, path: {htpasswd:?} }} }}\n");
        let config = format!(
            "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {:?} }} }}\nhttp: {{ addr: \"127.0.0.1:0\" }}\n{}",
            dir.path().join("storage"),
            if is_guarded { &auth } else { "" },
        );
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config).expect("a temporary directory can be written");
        let log = File::create(dir.path().join("log")).expect("a temporary directory can be written");
        let mut registry = Command::new("docker-registry");
        registry.arg("serve").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = registry.spawn().expect("docker-registry is there");
        let mut registry = Self { dir, process, host: String::new(), is_guarded };
        registry.host = registry.listens();
        Some(registry)
    }

    /// Where it listens, as its log says.
    fn listens(&self) -> String {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let said = log.split_once("listening on ").and_then(|(_, rest)| rest.split_once(['"', ' ', ',', '\n']));
            if let Some((host, _)) = said {
                return host.to_owned();
            }
            assert!(Instant::now() < deadline, "{log}");
            std::thread::sleep(PAUSE);
        }
    }

    fn push(&self, image: &Path, name: &str, flags: &[&str]) {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]).args(flags);
        if self.is_guarded {
            skopeo.args(["--dest-creds", "me:hush"]);
        }
        skopeo.arg(format!("oci-archive:{}", image.display())).arg(format!("docker://{}/{name}", self.host));
        // Its way through an archive is a temporary directory.
        let output = skopeo.env("TMPDIR", self.dir.path()).output().expect("skopeo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn resolver(&self, credentials: &str) -> Resolver {
        let text = format!("[hosts.{:?}]\nplain_http = true\n{credentials}", self.host);
        let config: Config = toml::from_str(&text).expect("a config");
        Resolver::new(config).expect("a good config")
    }

    async fn resolve(&self, resolver: &Resolver, name: &str) -> Result<Resolved, ResolveError> {
        let platform = Platform::parse("test", &format!("linux/{}", architecture())).expect("a platform");
        resolver.resolve(&reference(&self.host, name), &platform).await
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Where it has ended by itself there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Once as an index with what is attested, and once with Docker's own documents.
async fn both_kinds_are_resolved(registry: &Registry, credentials: &str) {
    let base = image::Layer::new(1, MIB, image::Compression::Gzip);
    let top = image::Layer::new(2, MIB, image::Compression::Zstd);
    let plain = image::Layer::new(3, MIB, image::Compression::None);
    let built = Image::new("app", &[&base, &top]);
    let docker = Image::new("docker", &[&base, &plain]);
    let file = registry.dir.path().join("image.tar");
    built.write(&file);
    registry.push(&file, "team/app:1", &["--all", "--preserve-digests"]);
    docker.write(&file);
    registry.push(&file, "team/docker:1", &["--format", "v2s2"]);

    let resolver = registry.resolver(credentials);
    let resolved = registry.resolve(&resolver, "team/app:1").await.expect("an index");
    assert_eq!(resolved.digest.to_string(), built.manifest);
    assert_eq!(resolved.named().to_string(), built.index);
    assert_eq!(resolver.digest_of(&reference(&registry.host, "team/app:1")).await, Ok(resolved.named()));
    let seen = |resolved: &Resolved| {
        let layers = resolved.layers.iter();
        layers.map(|layer| (layer.digest.to_string(), layer.diff_id.to_string(), layer.size_bytes)).collect::<Vec<_>>()
    };
    let expected = |layers: &[&image::Layer]| {
        layers.iter().map(|layer| (layer.digest.clone(), layer.diff_id.clone(), layer.size())).collect::<Vec<_>>()
    };
    assert_eq!(seen(&resolved), expected(&[&base, &top]));
    assert_eq!(resolved.layers[1].compression, Compression::Zstd);
    assert_eq!(resolved.image("team/app:1").validate(), Ok(()));

    let resolved = registry.resolve(&resolver, "team/docker:1").await.expect("a manifest of Docker");
    assert_eq!(resolved.index, None);
    assert_eq!(seen(&resolved)[0], expected(&[&base])[0]);
    // The plain one was compressed on its way.
    assert_eq!((resolved.layers.len(), resolved.layers[1].diff_id.to_string()), (2, plain.diff_id));
    assert_eq!(resolved.layers[1].compression, Compression::Gzip);
    assert_eq!(resolver.digest_of(&reference(&registry.host, "team/docker:1")).await, Ok(resolved.digest));

    let missing = registry.resolve(&resolver, "team/app:2").await;
    assert!(matches!(missing, Err(ResolveError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn a_real_registry_is_asked_by_nobody_in_particular() {
    let Some(registry) = Registry::start(false) else { return };
    both_kinds_are_resolved(&registry, "").await;
}

#[tokio::test]
async fn a_real_registry_is_shown_a_password() {
    let Some(registry) = Registry::start(true) else { return };
    both_kinds_are_resolved(&registry, "user = \"me\"\npassword = \"hush\"\n").await;
    let wrong = registry.resolver("user = \"me\"\npassword = \"shout\"\n");
    let denied = registry.resolve(&wrong, "team/app:1").await;
    assert!(matches!(denied, Err(ResolveError::Denied { .. })), "{denied:?}");
    let anonymous = registry.resolve(&registry.resolver(""), "team/app:1").await;
    assert!(matches!(anonymous, Err(ResolveError::Denied { .. })), "{anonymous:?}");
}
