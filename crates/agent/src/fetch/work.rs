//! One fetch: its documents, its layers, its name, and what keeps all of it.

mod documents;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gantry_oci::{
    Resolver,
    document::{self, Document},
};
use gantry_types::Digest;
use tokio::{sync::watch, task::JoinSet};

use super::{
    STREAMS,
    bucket::Limits,
    download::Source,
    error::FetchError,
    lease::Held,
    order::Order,
    plan::{Plan, Step},
    progress::Progress,
    room,
    store::{Labels, Store},
    write::Target,
};
use crate::metrics::Metrics;

const SOURCE: &str = "containerd.io/distribution.source.";
const UNCOMPRESSED: &str = "containerd.io/uncompressed";

#[derive(Debug)]
pub(super) struct Work {
    pub store: Store,
    pub resolver: Arc<Resolver>,
    pub order: Arc<Order>,
    pub progress: Arc<Progress>,
    pub limits: Arc<Limits>,
    /// Milliseconds; whoever joins may want more.
    pub keep: Arc<AtomicU64>,
    /// containerd's directory, and how much of its room is left alone.
    pub root: PathBuf,
    pub reserve_bytes: u64,
    pub metrics: Metrics,
}

/// What is still to be done.
struct Todo {
    layers: Vec<document::Layer>,
    /// In the order of their chain.
    unpack: Vec<Step>,
    /// Stacks that are there, and stand for their layers.
    found: Vec<Digest>,
}

impl Work {
    /// From the first document to the last lease. Dropped in the middle, it leaves what the fetch's own lease holds.
    pub(super) async fn run(self: Arc<Self>) -> Result<(), FetchError> {
        let manifest_bytes = self.document(self.order.digest, true).await?;
        let Ok(Document::Manifest(manifest)) = Document::parse(&manifest_bytes) else {
            return Err(FetchError::Order(format!("{} is no manifest of an image", self.order.digest)));
        };
        let config_bytes = self.document(manifest.config, false).await?;
        let Ok(Document::Config(config)) = Document::parse(&config_bytes) else {
            return Err(FetchError::Order(format!("{}, its config, is none", manifest.config)));
        };
        let plan = Plan::of(&self.order, &manifest, &config)?;
        let named = if plan.is_whole { Some(self.named(&manifest_bytes).await?) } else { None };
        let todo = self.todo(&plan).await?;
        self.room(todo.layers.iter(), todo.unpack.iter())?;
        self.write_documents(&plan, &manifest_bytes, &config_bytes, named.as_ref()).await?;
        let (done, fetched) = watch::channel(0);
        let layers = todo.layers.clone();
        tokio::try_join!(
            Box::pin(Arc::clone(&self).fetch_all(todo.layers, done)),
            Box::pin(self.unpack_all(&layers, todo.unpack, fetched)),
        )?;
        if let Some(named) = &named {
            self.finish(&plan, named).await?;
        }
        self.keep(&plan, &todo.found).await
    }

    /// Looks at what is there; from here on it stays.
    async fn todo(&self, plan: &Plan) -> Result<Todo, FetchError> {
        let mut todo = Todo { layers: Vec::new(), unpack: Vec::new(), found: Vec::new() };
        let mut is_unpacked = vec![false; plan.steps.len()];
        for (at, step) in plan.steps.iter().enumerate().rev() {
            if is_unpacked[at] || !self.store.has_snapshot(&step.chain).await? {
                continue;
            }
            self.hold(Held::Snapshot(step.chain)).await?;
            // It may have been collected before it was held.
            if !self.store.has_snapshot(&step.chain).await? {
                continue;
            }
            todo.found.push(step.chain);
            // A stack stands on all of its layers.
            let from = if self.order.unpack { 0 } else { at };
            is_unpacked[from..=at].fill(true);
        }
        for (step, is_unpacked) in plan.steps.iter().zip(&is_unpacked) {
            if *is_unpacked {
                self.progress.is_there(&step.layer.digest);
            } else if self.order.unpack {
                todo.unpack.push(step.clone());
            }
        }
        let is_needed = |layer: &document::Layer| {
            plan.steps.iter().zip(&is_unpacked).any(|(step, is_there)| step.layer.digest == layer.digest && !is_there)
        };
        for layer in plan.blobs().into_iter().filter(|layer| is_needed(layer)) {
            self.hold(Held::Content(layer.digest)).await?;
            if self.store.info(&layer.digest).await?.is_some() {
                self.store.label(&layer.digest, self.source()).await?;
                self.progress.is_there(&layer.digest);
            } else {
                self.progress.present(&layer.digest, 0);
                todo.layers.push(layer.clone());
            }
        }
        Ok(todo)
    }

    async fn hold(&self, held: Held) -> Result<(), FetchError> {
        match &self.store.lease {
            Some(lease) => self.store.add(lease, held).await,
            None => Ok(()),
        }
    }

    fn room<'a>(
        &self,
        layers: impl Iterator<Item = &'a document::Layer>,
        unpack: impl Iterator<Item = &'a Step>,
    ) -> Result<(), FetchError> {
        let fetched = layers.map(|layer| room::needed(layer.size_bytes, true, false)).sum::<u64>();
        let unpacked = unpack.map(|step| room::needed(step.layer.size_bytes, false, true)).sum::<u64>();
        room::check(&self.root, fetched.saturating_add(unpacked), self.reserve_bytes)
    }

    /// Where a blob came from, as pulls say it.
    fn source(&self) -> Labels {
        let reference = &self.order.reference;
        Labels::from([(format!("{SOURCE}{}", reference.host()), reference.repository().to_owned())])
    }

    /// A few at a time; `done` counts those that are there, from the first one on.
    async fn fetch_all(
        self: Arc<Self>,
        layers: Vec<document::Layer>,
        done: watch::Sender<usize>,
    ) -> Result<(), FetchError> {
        let mut streams = JoinSet::new();
        let mut is_done = vec![false; layers.len()];
        let mut waiting = layers.into_iter().enumerate();
        loop {
            while streams.len() < STREAMS {
                let Some((at, layer)) = waiting.next() else { break };
                self.room([&layer].into_iter(), [].into_iter())?;
                let work = Arc::clone(&self);
                streams.spawn(async move {
                    let target = Target::of("layer", layer.digest, layer.size_bytes);
                    work.bring(&target, &work.source(), Source::Registry).await.map(|()| at)
                });
            }
            match streams.join_next().await {
                None => return Ok(()),
                Some(Ok(Ok(at))) => is_done[at] = true,
                Some(Ok(Err(error))) => return Err(error),
                Some(Err(error)) => {
                    tracing::error!(%error, "fetching a layer panicked");
                    return Err(FetchError::Bug);
                }
            }
            done.send_replace(is_done.iter().take_while(|is_done| **is_done).count());
        }
    }

    /// One after the other, each as soon as it is there and what is below it is unpacked.
    async fn unpack_all(
        &self,
        layers: &[document::Layer],
        steps: Vec<Step>,
        mut fetched: watch::Receiver<usize>,
    ) -> Result<(), FetchError> {
        for step in steps {
            if let Some(at) = layers.iter().position(|layer| layer.digest == step.layer.digest)
                && fetched.wait_for(|done| *done > at).await.is_err()
            {
                // Fetching has failed, and says why.
                return Ok(());
            }
            self.room([].into_iter(), [&step].into_iter())?;
            self.store.unpack_patiently(&step).await?;
            // Another client's is not held by having been found.
            self.hold(Held::Snapshot(step.chain)).await?;
            let labels = Labels::from([(UNCOMPRESSED.to_owned(), step.diff_id.to_string())]);
            self.store.label(&step.layer.digest, labels).await?;
        }
        Ok(())
    }

    /// The manifest holds the layers, and the topmost snapshot those below it.
    async fn keep(&self, plan: &Plan, found: &[Digest]) -> Result<(), FetchError> {
        let keep = Duration::from_millis(self.keep.load(Ordering::Relaxed));
        let Some(lease) = self.store.lease.as_ref().filter(|_| keep > Duration::ZERO) else { return Ok(()) };
        let mut held = vec![Held::Content(self.order.digest)];
        held.extend(plan.blobs().iter().map(|layer| Held::Content(layer.digest)));
        held.extend(found.iter().copied().map(Held::Snapshot));
        held.extend(plan.top().filter(|_| self.order.unpack).map(Held::Snapshot));
        self.store.keep(&format!("{lease}-kept"), self.order.key(), &held, keep).await
    }
}
