//! Debian's registry, which the tests start in directories of their own, and images pushed there as builders do.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// `me` with the password `hush`, in the only form that this registry takes.
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuulzd.YqjLDl8lvpSmVj3De/fioSBHnUa\n";

pub struct Registry {
    pub dir: TempDir,
    process: Child,
    /// Where it listens.
    pub host: String,
    is_guarded: bool,
}

/// What a registry is to do beside being one.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// It wants a password.
    pub is_guarded: bool,
    /// It tells there what is pushed.
    pub tells: Option<&'a str>,
    /// Any port when 0.
    pub port: u16,
}

impl Registry {
    /// None where the machine has none, which is said; an error where checks must be complete.
    pub fn start(wanted: Wanted<'_>) -> Option<Self> {
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
        let Wanted { is_guarded, tells, port } = wanted;
        let mut config = format!(
            "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {:?} }} }}\nhttp: {{ addr: \"127.0.0.1:{port}\" }}\n",
            dir.path().join("storage"),
        );
        if is_guarded {
            config += &format!("auth: {{ htpasswd: {{ realm: gantry-test, path: {htpasswd:?} }} }}\n");
        }
        if let Some(url) = tells {
            let endpoint = format!("{{ name: gantry, url: {url:?}, timeout: 5s, threshold: 3, backoff: 1s }}");
            config += &format!("notifications: {{ endpoints: [{endpoint}] }}\n");
        }
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

    pub fn push(&self, image: &Path, name: &str, flags: &[&str]) {
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
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Where it has ended by itself there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
