//! Stands between an agent and a registry, and spoils what the test wants spoilt.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const PART: usize = 64 << 10;

/// What is done to an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trick {
    Honest,
    /// One byte near the end is another one.
    Lie,
    /// After so many bytes nothing comes any more.
    Hang(usize),
    /// After so many bytes the connection breaks.
    Cut(usize),
    /// Each part takes so long.
    Slow(Duration),
    /// It wants to be asked again in a second.
    Busy,
}

type Rule = dyn Fn(&str, usize) -> Trick + Send + Sync;

pub struct Crooked {
    /// As references name it.
    pub host: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Crooked {
    /// `rule` says what is done to the answer for a path that was asked for so often before.
    pub async fn start(registry: &str, rule: impl Fn(&str, usize) -> Trick + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("it is bound").to_string();
        let (registry, seen, rule): (_, _, Arc<Rule>) = (registry.to_owned(), Arc::default(), Arc::new(rule));
        let to_see: Arc<Mutex<Vec<String>>> = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that hangs up is part of some tests.
                tokio::spawn(pass(client, registry.clone(), Arc::clone(&to_see), Arc::clone(&rule)));
            }
        });
        Self { host, seen, task }
    }

    /// Requests whose first line or headers have this in them.
    pub fn count(&self, part: &str) -> usize {
        self.seen.lock().iter().filter(|seen| seen.contains(part)).count()
    }
}

impl Drop for Crooked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    mut client: TcpStream,
    registry: String,
    seen: Arc<Mutex<Vec<String>>>,
    rule: Arc<Rule>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let before = seen.lock().iter().filter(|seen| seen.contains(&path)).count();
    seen.lock().push(head.clone());
    let trick = rule(&path, before);
    if trick == Trick::Busy {
        let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(busy.as_bytes()).await;
    }
    let mut upstream = TcpStream::connect(&registry).await?;
    let asked = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    upstream.write_all(asked.as_bytes()).await?;
    let (mut part, mut passed) = (vec![0; PART], 0);
    loop {
        let read = upstream.read(&mut part).await?;
        if read == 0 {
            return client.shutdown().await;
        }
        let mut read = read;
        match trick {
            Trick::Lie if read < PART / 2 || passed > PART => part[read - 1] ^= 1,
            Trick::Slow(pause) => tokio::time::sleep(pause).await,
            Trick::Hang(after) if passed + read > after => {
                client.write_all(&part[..after.saturating_sub(passed)]).await?;
                return std::future::pending().await;
            }
            Trick::Cut(after) if passed + read > after => read = after.saturating_sub(passed),
            _ => {}
        }
        client.write_all(&part[..read]).await?;
        passed += read;
        if matches!(trick, Trick::Cut(after) if passed >= after) {
            return client.shutdown().await;
        }
    }
}
