//! One server process and its directory.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use gantry_proto::v1;

/// Lines of a server's log that an error shows.
const LOG_LINES: usize = 8;
const CLUSTER: &str = "bench";
const POLL: Duration = Duration::from_millis(5);

/// Where a server is reached.
#[derive(Debug)]
pub(super) struct Addrs {
    pub(super) client_addr: String,
    /// By its peers.
    pub(super) raft_addr: String,
    /// Where it listens for them, if that is not the address that they know.
    pub(super) raft_listen: Option<String>,
}

impl Addrs {
    /// Free ports of this machine.
    pub(super) fn free() -> Result<Self> {
        let [client_addr, raft_addr] = [0, 1].map({
            let ports = super::free_ports(2)?;
            move |at: usize| format!("127.0.0.1:{}", ports[at])
        });
        Ok(Self { client_addr, raft_addr, raft_listen: None })
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: u64,
    pub(super) client_addr: String,
    raft_addr: String,
    pub(super) binary: PathBuf,
    config: PathBuf,
    pub(super) data: PathBuf,
    log: PathBuf,
    /// More words of its command line.
    arguments: Vec<String>,
    /// Variables of its environment beside this process's own.
    variables: Vec<(String, String)>,
    process: Option<Child>,
}

impl Node {
    /// Writes the node's configuration into its directory under `base`.
    pub(super) fn create(binary: &Path, id: u64, base: &Path, addrs: Addrs) -> Result<Self> {
        let Addrs { client_addr, raft_addr, raft_listen } = addrs;
        let dir = base.join(format!("node-{id}"));
        let data = dir.join("data");
        std::fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        let config = dir.join("gantry.toml");
        // Most hosts of tests and benches have no agent that stays.
        // Debug formatting of these strings is a valid TOML basic string: paths and addresses hold no exotic escapes.
        let data = data.canonicalize().with_context(|| format!("cannot resolve {}", data.display()))?;
        let mut text = format!(
            "node_id = {id}\ncluster = {CLUSTER:?}\ndata_dir = {:?}\nclient_addr = {client_addr:?}\nraft_addr = {raft_addr:?}\nunreachable_after_seconds = 0\n",
            data.display().to_string()
        );
        text.extend(raft_listen.map(|listen| format!("raft_listen = {listen:?}\n")));
        std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let log = dir.join("server.log");
        let (binary, arguments, variables) = (binary.to_owned(), Vec::new(), Vec::new());
        Ok(Self { id, client_addr, raft_addr, binary, config, data, log, arguments, variables, process: None })
    }

    /// Has it keep its data in another directory, which exists.
    pub(super) fn keep_data_in(&mut self, data: &Path) -> Result<()> {
        let data = data.canonicalize().with_context(|| format!("cannot resolve {}", data.display()))?;
        let text = std::fs::read_to_string(&self.config).context("cannot read the configuration back")?;
        let line = format!("data_dir = {:?}\n", data.display().to_string());
        let others = text.lines().filter(|line| !line.starts_with("data_dir")).flat_map(|line| [line, "\n"]);
        std::fs::write(&self.config, others.chain([line.as_str()]).collect::<String>())
            .context("cannot write the configuration")?;
        self.data = data;
        Ok(())
    }

    /// Sets a variable of its environment, from its next start on.
    pub(super) fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Adds to its configuration.
    pub(super) fn configure(&mut self, more: &str) -> Result<()> {
        let text = std::fs::read_to_string(&self.config).context("cannot read the configuration back")?;
        std::fs::write(&self.config, text + more).context("cannot write the configuration")
    }

    /// Makes it a new machine that joins by a token: its configuration does not say who it is.
    pub(super) fn joins(mut self, token: &str, replaces: Option<u64>) -> Result<Self> {
        let text = std::fs::read_to_string(&self.config).context("cannot read the configuration back")?;
        let text: String =
            text.lines().filter(|line| !line.starts_with("node_id")).flat_map(|line| [line, "\n"]).collect();
        std::fs::write(&self.config, text).context("cannot write the configuration")?;
        self.arguments = vec!["--join".to_owned(), token.to_owned()];
        self.arguments.extend(replaces.into_iter().flat_map(|id| ["--replace".to_owned(), id.to_string()]));
        Ok(self)
    }

    pub(super) fn addrs(&self) -> Addrs {
        let (client_addr, raft_addr) = (self.client_addr.clone(), self.raft_addr.clone());
        Addrs { client_addr, raft_addr, raft_listen: None }
    }

    pub(super) fn member(&self) -> v1::Member {
        let (raft_addr, client_addr) = (self.raft_addr.clone(), self.client_addr.clone());
        v1::Member { id: self.id, raft_addr, client_addr, voter: true, matched_index: 0 }
    }

    pub(super) fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "node {} runs already", self.id);
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let stdout: File = log.try_clone().context("cannot share the log file")?;
        let child = Command::new(&self.binary)
            .arg("server")
            .arg("--config")
            .arg(&self.config)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        self.process = Some(child);
        Ok(())
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// SIGKILL, and wait until the process is gone.
    pub(super) fn kill(&mut self) -> Result<()> {
        let mut child = self.process.take().with_context(|| format!("node {} does not run", self.id))?;
        child.kill().with_context(|| format!("cannot kill node {}", self.id))?;
        child.wait().with_context(|| format!("cannot wait for node {}", self.id))?;
        Ok(())
    }

    /// SIGTERM, and wait until it has ended by itself.
    pub(super) async fn terminate(&mut self, within: Duration) -> Result<()> {
        let pid = self.pid().with_context(|| format!("node {} does not run", self.id))?;
        let sent = Command::new("kill").args(["-TERM", &pid.to_string()]).status().context("cannot run kill")?;
        ensure!(sent.success(), "node {} cannot be asked to end", self.id);
        let deadline = Instant::now() + within;
        while self.exited()?.is_none() {
            ensure!(Instant::now() < deadline, "node {} does not end within {} s", self.id, within.as_secs());
            tokio::time::sleep(POLL).await;
        }
        self.process = None;
        Ok(())
    }

    /// How it ended, where it ended by itself.
    pub(super) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.process {
            Some(child) => child.try_wait().with_context(|| format!("cannot look after node {}", self.id)),
            None => Ok(None),
        }
    }

    /// As [`Self::exited`]; one that has ended can be started again.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let exit = self.exited()?;
        if exit.is_some() {
            self.process = None;
        }
        Ok(exit)
    }

    pub(super) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        format!("\n  log of node {}:{}", self.id, last.iter().map(|line| format!("\n    {line}")).collect::<String>())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.process {
            // Nothing is left to be done where it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
