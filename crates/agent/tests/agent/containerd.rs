//! A containerd of the test's own: its root, its state and its socket are in one temporary directory.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::image::Image;

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
pub const NAMESPACE: &str = "gantry-test";

pub struct Containerd {
    pub dir: TempDir,
    pub process: Child,
}

impl Containerd {
    /// None where the machine has none, which is said; an error where checks must be complete.
    pub fn start() -> Option<Self> {
        if let Err(why) = can_run() {
            assert!(std::env::var_os("CI").is_none(), "this test needs containerd: {why}");
            eprintln!("skipped: this test needs containerd: {why}");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.internal.v1.opt\"]\n[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            dir.path().join("root"),
            dir.path().join("state"),
            dir.path().join("containerd.sock"),
            dir.path().join("ttrpc.sock"),
        );
        std::fs::write(dir.path().join("config.toml"), config).expect("a temporary directory can be written");
        let process = launch(dir.path());
        let containerd = Self { dir, process };
        containerd.wait();
        Some(containerd)
    }

    pub fn wait(&self) {
        let deadline = Instant::now() + STARTS_WITHIN;
        while !self.command(&["version"]).output().expect("ctr runs").status.success() {
            assert!(Instant::now() < deadline, "{}", self.log());
            std::thread::sleep(PAUSE);
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("containerd.sock")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.socket()).args(["--namespace", NAMESPACE]).args(args);
        ctr
    }

    pub fn ctr(&self, args: &[&str]) -> String {
        let output = self.command(args).output().expect("ctr runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ctr {args:?}: {said}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn import(&self, image: &Image, flags: &[&str]) {
        let file = self.dir.path().join("image.tar");
        image.write(&file);
        let file = file.display().to_string();
        self.ctr(&[&["image", "import"], flags, &[&file]].concat());
    }

    /// Deletes an image and waits for the garbage collection.
    pub fn remove(&self, name: &str) {
        self.ctr(&["image", "rm", "--sync", name]);
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // Where the test killed it there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn launch(dir: &Path) -> Child {
    let log = || Stdio::from(File::options().create(true).append(true).open(dir.join("log")).expect("a log"));
    let mut containerd = Command::new("containerd");
    containerd.arg("--config").arg(dir.join("config.toml")).stdin(Stdio::null()).stdout(log()).stderr(log());
    containerd.spawn().expect("containerd is there")
}

fn can_run() -> Result<(), &'static str> {
    let is_there =
        |name: &str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there("containerd") || !is_there("ctr") {
        return Err("containerd and ctr are not there; cargo xtask test installs them");
    }
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"));
    if is_root { Ok(()) } else { Err("only root may unpack images") }
}
