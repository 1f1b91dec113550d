//! A Docker Engine that says what the test wants, on a socket of its own.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};

const MIB: usize = 1 << 20;

#[derive(Clone, Debug)]
pub enum Reply {
    Json(String),
    Status(u16, &'static str),
    /// Nothing, for ever.
    Hang,
    /// More than anybody wants to read.
    Endless,
    /// Nothing but the head, until an event is sent.
    Events,
    /// The connection is closed.
    Break,
}

type Rule = dyn Fn(&str) -> Reply + Send + Sync;

#[derive(Clone)]
struct State {
    rule: Arc<Mutex<Arc<Rule>>>,
    seen: Arc<Mutex<Vec<String>>>,
    events: watch::Sender<u32>,
}

pub struct Engine {
    dir: TempDir,
    state: State,
    task: JoinHandle<()>,
}

impl Engine {
    pub fn start(rule: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let rule: Arc<Rule> = Arc::new(rule);
        let state = State { rule: Arc::new(Mutex::new(rule)), seen: Arc::default(), events: watch::Sender::new(0) };
        let listener = UnixListener::bind(dir.path().join("docker.sock")).expect("a socket");
        let task = tokio::spawn(serve(listener, state.clone()));
        Self { dir, state, task }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// From here on it says something else.
    pub fn says(&self, rule: impl Fn(&str) -> Reply + Send + Sync + 'static) {
        *self.state.rule.lock() = Arc::new(rule);
    }

    /// An event, as an engine of version 20.10 wrote it.
    pub fn happens(&self) {
        self.state.events.send_modify(|sent| *sent += 1);
    }

    /// Requests for a path that begins like this.
    pub fn count(&self, path: &str) -> usize {
        self.state.seen.lock().iter().filter(|seen| seen.starts_with(path)).count()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: UnixListener, state: State) {
    while let Ok((stream, _)) = listener.accept().await {
        // Who hangs up is part of some tests.
        tokio::spawn(answer(stream, state.clone()));
    }
}

async fn answer(mut stream: UnixStream, state: State) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
    state.seen.lock().push(path.clone());
    let rule = Arc::clone(&state.rule.lock());
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    match rule(&path) {
        Reply::Json(text) => {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", text.len());
            stream.write_all((head + &text).as_bytes()).await
        }
        Reply::Status(code, text) => {
            let head = format!("HTTP/1.1 {code} No\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            stream.write_all(head.as_bytes()).await
        }
        Reply::Hang => std::future::pending().await,
        Reply::Break => Ok(()),
        Reply::Endless => {
            stream.write_all(chunked.as_bytes()).await?;
            let part = vec![b' '; MIB];
            loop {
                stream.write_all(format!("{MIB:x}\r\n").as_bytes()).await?;
                stream.write_all(&part).await?;
                stream.write_all(b"\r\n").await?;
            }
        }
        Reply::Events => {
            stream.write_all(chunked.as_bytes()).await?;
            let mut events = state.events.subscribe();
            while events.changed().await.is_ok() {
                let event = "{\"status\":\"pull\",\"id\":\"app:1\",\"Type\":\"image\",\"Action\":\"pull\",\"scope\":\"local\"}\n";
                stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
            }
            Ok(())
        }
    }
}
