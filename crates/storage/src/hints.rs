//! What the kernel says of a folder: where to look, and what is being written. It may say too little, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Most places that are remembered: with more of them the whole folder is looked at, which costs less.
const PLACES: usize = 4_096;
/// Most files that are known to be written at the same time: of others, that they have not changed for a while must do.
const WRITTEN: usize = 65_536;
/// For how long a file may rest between two writes until it is taken for whole, though nobody has closed it.
const PATIENCE: Duration = Duration::from_secs(600);

/// What was said since somebody asked.
#[derive(Debug, Default)]
struct Said {
    places: BTreeSet<String>,
    writing: BTreeMap<String, Instant>,
    is_lost: bool,
}

/// Listens to the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    said: Arc<Mutex<Said>>,
    news: Arc<Notify>,
}

impl Hints {
    /// Listens for what happens in a folder as long as the watcher is kept.
    ///
    /// # Errors
    /// If the kernel does not let us.
    pub(crate) fn listen(&self, root: &Path) -> notify::Result<RecommendedWatcher> {
        let (hints, own) = (self.clone(), root.to_owned());
        let hear = move |event: notify::Result<Event>| hints.hear(&own, event);
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(hear, config)?;
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(watcher)
    }

    /// Waits until something was said.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Takes what was said: places to look at, and whether the folder must be listened to anew.
    pub(crate) fn take(&self) -> (BTreeSet<String>, bool) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        (
            std::mem::take(&mut said.places),
            std::mem::take(&mut said.is_lost),
        )
    }

    /// Files that somebody is writing.
    pub(crate) fn writing(&self) -> BTreeSet<String> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.writing.retain(|_, last| last.elapsed() < PATIENCE);
        said.writing.keys().cloned().collect()
    }

    fn hear(&self, root: &Path, event: notify::Result<Event>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(event) if event.need_rescan() => said.everywhere(),
            Ok(event) => {
                if !said.hear(root, &event) {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "listen to a folder");
                said.everywhere();
            }
        }
        drop(said);
        self.news.notify_one();
    }
}

impl Said {
    fn everywhere(&mut self) {
        self.places = BTreeSet::from([String::new()]);
    }

    /// Whether it is a reason to look.
    fn hear(&mut self, root: &Path, event: &Event) -> bool {
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        if matches!(event.kind, EventKind::Access(_)) && event.kind != closed {
            return false;
        }
        for path in &event.paths {
            let Some(key) = key(root, path) else {
                continue;
            };
            match event.kind {
                EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_))
                    if self.writing.len() < WRITTEN =>
                {
                    self.writing.insert(key.clone(), Instant::now());
                }
                EventKind::Access(_)
                | EventKind::Remove(_)
                | EventKind::Modify(ModifyKind::Name(_)) => {
                    self.writing.remove(&key);
                }
                _ => {}
            }
            let is_moved = matches!(
                event.kind,
                EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
            );
            self.is_lost |= key.is_empty() && is_moved;
            if !self.places.contains("") {
                self.places.insert(key);
            }
        }
        if self.places.len() > PLACES || self.places.contains("") {
            self.everywhere();
        }
        true
    }
}

/// A path's key, if it has one.
fn key(root: &Path, path: &Path) -> Option<String> {
    let within: PathBuf = path.strip_prefix(root).ok()?.into();
    within.into_os_string().into_string().ok()
}
