//! A folder of the host as a bucket: the kernel says where to look, and a look at everything finds what it has not said.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use hearth_types::name::BucketName;
use notify::RecommendedWatcher;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hints::Hints;
use crate::tree::{self, Failure, Look, View};
use crate::{Storage, look};

/// Most places that are looked at together: with more of them the whole folder is.
const PLACES: usize = 4_096;
/// Wait after a look failed.
const AGAIN: Duration = Duration::from_secs(10);

/// Finds what changes in a folder.
pub struct Folder {
    /// Where changes go.
    pub storage: Storage,
    /// The bucket's name.
    pub bucket: BucketName,
    /// The folder, absolute.
    pub root: PathBuf,
    /// For how long a file must not have changed before it is told of.
    pub settle: Duration,
    /// Time between two looks at everything.
    pub interval: Duration,
    /// More files than this are not followed.
    pub most_objects: usize,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder")
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

impl Folder {
    /// Works until it is stopped. Dropping the future is like a kill: what was not told is found by the next first look.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.watch()).await;
    }

    async fn watch(&self) {
        let hints = Hints::default();
        let mut watcher = None;
        // Where to look, and when. Everywhere first, for what has changed while nobody was there.
        let mut due = BTreeMap::from([(String::new(), Instant::now())]);
        loop {
            let now = Instant::now();
            let mut places = Vec::new();
            due.retain(|place, at| {
                let is_due = *at <= now;
                if is_due {
                    places.push(place.clone());
                }
                !is_due
            });
            if places.len() > PLACES || places.first().is_some_and(String::is_empty) {
                places = vec![String::new()];
            }
            if let Some(first) = places.first() {
                let is_whole = first.is_empty();
                if is_whole && watcher.is_none() {
                    // Before the look, so that nothing comes between them.
                    watcher = self.listen(&hints).await;
                }
                match self.look(&hints, places).await {
                    Ok(unsettled) => {
                        let now = Instant::now();
                        if is_whole {
                            due.insert(String::new(), now + self.interval);
                        }
                        for (key, wait) in unsettled {
                            at_last(&mut due, key, now + wait);
                        }
                    }
                    Err(error) => {
                        tracing::error!(bucket = %self.bucket, error, "look what has changed in a folder");
                        // It may be another folder when it is there again.
                        watcher = None;
                        due = BTreeMap::from([(String::new(), Instant::now() + AGAIN)]);
                    }
                }
            }
            let next = due.values().min().copied();
            let next = next.unwrap_or_else(|| Instant::now() + self.interval);
            tokio::select! {
                () = hints.news() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            let (places, is_lost) = hints.take();
            let at = Instant::now() + self.settle;
            if is_lost {
                watcher = None;
                at_last(&mut due, String::new(), at);
            }
            for place in places {
                at_last(&mut due, place, at);
            }
        }
    }

    /// Listens for hints. Without them, what has changed is found by looks at everything.
    async fn listen(&self, hints: &Hints) -> Option<RecommendedWatcher> {
        let (hints, root) = (hints.clone(), self.root.clone());
        // It looks at all folders in it.
        let listening = tokio::task::spawn_blocking(move || hints.listen(&root)).await;
        let error = match listening {
            Ok(Ok(watcher)) => return Some(watcher),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            bucket = %self.bucket,
            error,
            "the kernel does not tell what changes in the folder (fs.inotify.max_user_watches may be too small): it is looked \
             at each {} s",
            self.interval.as_secs()
        );
        None
    }

    /// Looks at `places`, and tells of what has changed; files of which nothing can be said before a time is over.
    async fn look(
        &self,
        hints: &Hints,
        places: Vec<String>,
    ) -> Result<Vec<(String, Duration)>, String> {
        let look = Look {
            root: self.root.clone(),
            settle: self.settle,
            writing: hints.writing(),
            most: self.most_objects,
            now: SystemTime::now(),
        };
        let looking = tokio::task::spawn_blocking(move || {
            let view = look.at(&places);
            (places, view)
        });
        let (places, view) = looking.await.map_err(|error| error.to_string())?;
        let View {
            seen,
            unsettled,
            unreadable,
        } = view.map_err(|failure| match failure {
            Failure::Root(error) => format!("{}: {error}", self.root.display()),
            Failure::TooMany => look::too_many(&self.bucket, self.most_objects),
        })?;
        for one in unreadable {
            tracing::info!(bucket = %self.bucket, one, "a part of a folder can't be read: nothing is told of it");
        }
        let mut changes = self.storage.changes(&self.bucket, &places, seen).await?;
        // An entry that is renamed while its folder is read may be missed.
        let root = self.root.clone();
        let confirming = tokio::task::spawn_blocking(move || {
            changes.retain(|one| one.stamp.is_some() || !tree::is_there(&root, &one.key));
            changes
        });
        let changes = confirming.await.map_err(|error| error.to_string())?;
        let known = self.storage.0.store.count_objects(&self.bucket).await;
        let known = known.map_err(|error| error.to_string())?;
        let gone = changes.iter().filter(|one| one.stamp.is_none()).count();
        let is_whole = places.first().is_some_and(String::is_empty);
        if !is_whole && known + changes.len() - gone > self.most_objects + gone {
            // There may be too many: a look at everything says so.
            return Ok(vec![(String::new(), Duration::ZERO)]);
        }
        let taken = self.storage.take(&self.bucket, changes).await;
        taken.map_err(look::untaken)?;
        Ok(unsettled)
    }
}

/// A place is looked at no later than `at`.
fn at_last(due: &mut BTreeMap<String, Instant>, place: String, at: Instant) {
    let planned = due.entry(place).or_insert(at);
    *planned = at.min(*planned);
}
