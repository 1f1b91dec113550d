//! A real engine, in directories of the test's own and without a network.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

pub struct Dockerd {
    pub dir: tempfile::TempDir,
    process: Child,
}

impl Dockerd {
    /// None where the machine has none. It is not installed for the tests: Debian's package starts it, which changes how a
    /// machine forwards packets.
    pub async fn start() -> Option<Self> {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"));
        let is_there = Command::new("dockerd").arg("--version").output().is_ok_and(|output| output.status.success());
        if !is_root || !is_there {
            eprintln!("skipped: this test needs dockerd and root; the engine's shapes are tested above");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let process = Self::launch(dir.path());
        let dockerd = Self { dir, process };
        dockerd.wait().await;
        Some(dockerd)
    }

    pub async fn again(&mut self) {
        self.process = Self::launch(self.dir.path());
        self.wait().await;
    }

    fn launch(dir: &Path) -> Child {
        let log =
            || Stdio::from(std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log"));
        let mut dockerd = Command::new("dockerd");
        dockerd.args([
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--ip-masq=false",
        ]);
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            dockerd.arg(flag).arg(dir.join(name));
        }
        dockerd.arg("--host").arg(format!("unix://{}", dir.join("docker.sock").display()));
        dockerd.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().expect("dockerd is there")
    }

    async fn wait(&self) {
        let waiting = async {
            while !self.call("GET", "/_ping").await.is_ok_and(|said| said.ends_with("OK")) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let up = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        up.unwrap_or_else(|_| panic!("{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()));
    }

    /// What it answers, head and all.
    pub async fn call(&self, method: &str, path: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.dir.path().join("docker.sock")).await?;
        let request = format!("{method} {path} HTTP/1.0\r\nHost: docker\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// It ends in its own time: it has a containerd of its own to end.
    pub fn end(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.end();
    }
}
