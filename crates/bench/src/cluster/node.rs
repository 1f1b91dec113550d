//! One server process and its directory.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};
use gantry_proto::v1;

/// Lines of a server's log that an error shows.
const LOG_LINES: usize = 8;
const CLUSTER: &str = "bench";

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: u64,
    pub(super) client_addr: String,
    raft_addr: String,
    pub(super) binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl Node {
    /// Writes the node's configuration into its directory under `base`.
    pub(super) fn create(binary: &Path, id: u64, base: &Path, client_addr: String, raft_addr: String) -> Result<Self> {
        let dir = base.join(format!("node-{id}"));
        let data = dir.join("data");
        std::fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        let config = dir.join("gantry.toml");
        // Debug formatting of these strings is a valid TOML basic string: paths and addresses hold no exotic escapes.
        let data = data.canonicalize().with_context(|| format!("cannot resolve {}", data.display()))?;
        let text = format!(
            "node_id = {id}\ncluster = {CLUSTER:?}\ndata_dir = {:?}\nclient_addr = {client_addr:?}\nraft_addr = {raft_addr:?}\n",
            data.display().to_string()
        );
        std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let log = dir.join("server.log");
        Ok(Self { id, client_addr, raft_addr, binary: binary.to_owned(), config, log, process: None })
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

    /// How it ended, where it ended by itself.
    pub(super) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.process {
            Some(child) => child.try_wait().with_context(|| format!("cannot look after node {}", self.id)),
            None => Ok(None),
        }
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
