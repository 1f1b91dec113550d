//! The connections between servers, led through this process, so that one server can be cut off from all others: nothing
//! gets through in either direction, and nobody is told.
//!
//! Servers know each other by one address, whoever calls. Who does, Linux tells: the process that owns the other end.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};

const BUFFER_BYTES: usize = 64 << 10;

/// A server, by its number and its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CutOff {
    node: u64,
    pid: u32,
}

/// Cheap to clone; all clones are the same links.
#[derive(Clone, Debug)]
pub struct Links {
    cut: Arc<watch::Sender<Option<CutOff>>>,
}

impl Default for Links {
    fn default() -> Self {
        Self { cut: Arc::new(watch::Sender::new(None)) }
    }
}

impl Links {
    /// A new address that leads to `node`, which listens at `to`.
    pub async fn lead_to(&self, node: u64, to: String) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free for a link")?;
        let addr = listener.local_addr().context("a bound listener has an address")?.to_string();
        let cut = self.cut.subscribe();
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                connections.spawn(lead(from, to.clone(), node, cut.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(addr)
    }

    /// Cuts a server off until [`Self::heal`].
    pub fn cut_off(&self, node: u64, pid: u32) {
        self.cut.send_replace(Some(CutOff { node, pid }));
    }

    /// Lets everything through again. Connections that were cut break now.
    pub fn heal(&self) {
        self.cut.send_replace(None);
    }
}

async fn lead(from: TcpStream, to: String, node: u64, mut cut: watch::Receiver<Option<CutOff>>) {
    // Whoever is not found may call again: let through, it would be a link that nothing cuts.
    let Some(caller) = owner(&from) else { return };
    let is_cut = move |cut: &Option<CutOff>| cut.is_some_and(|off| off.node == node || off.pid == caller);
    // A caller that is cut off gets a connection on which nothing ever happens.
    if cut.wait_for(|cut| !is_cut(cut)).await.is_err() {
        return;
    }
    let Ok(to) = TcpStream::connect(to).await else { return };
    if from.set_nodelay(true).and(to.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    let (forward, backward) = (cut.clone(), cut.clone());
    let broken = async {
        // What is on its way when the link is cut is lost, and so is the connection once the link is whole again.
        if cut.wait_for(is_cut).await.is_ok() {
            drop(cut.wait_for(|cut| !is_cut(cut)).await);
        }
    };
    let (forth, back) = (copy(from_read, to_write, forward, is_cut), copy(to_read, from_write, backward, is_cut));
    tokio::select! {
        () = broken => {}
        () = forth => {}
        () = back => {}
    }
}

async fn copy(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    cut: watch::Receiver<Option<CutOff>>,
    is_cut: impl Fn(&Option<CutOff>) -> bool,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        if is_cut(&cut.borrow()) {
            // Until the connection breaks.
            std::future::pending::<()>().await;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// The process at the other end of a connection on this machine.
fn owner(connection: &TcpStream) -> Option<u32> {
    let port = connection.peer_addr().ok()?.port();
    let inode = inode(&fs::read_to_string("/proc/net/tcp").ok()?, port)?;
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.into_iter().find(|pid: &u32| holds(*pid, inode))
}

/// The socket that is bound to `port`, in the kernel's table of connections.
fn inode(table: &str, port: u16) -> Option<u64> {
    let local = format!(":{port:04X}");
    let row = table.lines().skip(1).map(str::split_whitespace).map(Vec::from_iter);
    let mut rows = row.filter(|row| row.get(1).is_some_and(|addr| addr.ends_with(&local)));
    rows.find_map(|row| row.get(9)?.parse().ok().filter(|inode| *inode != 0))
}

fn holds(pid: u32, inode: u64) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.filter_map(Result::ok).any(|file| socket(&file.path()) == Some(inode))
}

fn socket(file: &Path) -> Option<u64> {
    let target = fs::read_link(file).ok()?;
    if !target.to_str()?.starts_with("socket:") {
        return None;
    }
    fs::metadata(file).ok().map(|found| found.ino())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    drop(tokio::io::copy(&mut read, &mut write).await);
                });
            }
        });
        addr
    }

    async fn says(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.write_all(&[7]).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_cut_link_is_silent_and_a_healed_one_breaks_what_was_cut() {
        let links = Links::default();
        let addr = links.lead_to(2, echo().await).await.unwrap();
        let mut stream = TcpStream::connect(&addr).await.unwrap();
        assert_eq!(says(&mut stream).await.unwrap(), 7);
        assert_eq!(owner(&stream), Some(std::process::id()), "both ends are of this process");

        for (node, pid) in [(2, 0), (9, std::process::id())] {
            links.cut_off(node, pid);
            let silent = tokio::time::timeout(Duration::from_millis(50), says(&mut stream)).await;
            assert!(silent.is_err(), "{silent:?}");
            links.heal();
            let broken = tokio::time::timeout(PATIENCE, says(&mut stream)).await.unwrap();
            assert!(broken.is_err(), "what was said meanwhile is lost");
            stream = TcpStream::connect(&addr).await.unwrap();
            assert_eq!(says(&mut stream).await.unwrap(), 7);
        }
        links.cut_off(3, 0);
        assert_eq!(says(&mut stream).await.unwrap(), 7, "only node 3 is cut off");
    }
}
