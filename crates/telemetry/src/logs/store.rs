//! The handle to the logs.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hearth_types::name::{AccountId, FunctionKey, Region};
use tokio::sync::oneshot;

use super::files::{self, Files};
use super::query::{FunctionLogSummary, Page, Query, StreamSummary};
use super::queue::{FunctionLog, LogStream, Shared, lock};
use super::reader;
use super::writer::{Writer, folder};

/// How logs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The folder, made if it is not there. One process at a time uses it.
    pub dir: PathBuf,
    /// Bytes of disk for one function; the oldest lines go first.
    pub bytes_per_function: u64,
    /// Bytes of disk for all functions together; the oldest lines go first.
    pub total_bytes: u64,
    /// Lines older than this are removed.
    pub age: Duration,
}

impl LogOptions {
    /// 64 MiB a function, 2 GiB together, 7 days.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            bytes_per_function: 64 << 20,
            total_bytes: 2 << 30,
            age: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

/// A failure of log storage: the platform's, not the caller's.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {cause}")]
pub struct LogError {
    /// What was being done: verb and object.
    action: &'static str,
    #[source]
    cause: io::Error,
}

impl LogError {
    pub(super) fn new(action: &'static str, cause: io::Error) -> Self {
        Self { action, cause }
    }
}

/// The logs of all functions. Cheap to clone; all clones are one store. When the last is dropped, what was written is
/// stored and the writer thread ends; lines written to streams after that are lost.
#[derive(Clone)]
pub struct LogStore(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for LogStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogStore")
            .field(&self.0.shared.options)
            .finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.ask(|work| work.closing = true);
        if let Some(writer) = self.writer.take() {
            // It only fails by a panic of its own, which was reported as such.
            let _ = writer.join();
        }
    }
}

impl LogStore {
    /// Opens the logs and starts the writer thread. Blocks on the disk for as long as it takes to list the files.
    ///
    /// # Errors
    /// If the folder can't be made or read, or the thread can't be started.
    pub fn open(options: LogOptions) -> Result<Self, LogError> {
        fs::create_dir_all(&options.dir)
            .map_err(|cause| LogError::new("make the folder of logs", cause))?;
        let functions = find(&options.dir).map_err(|cause| LogError::new("list logs", cause))?;
        let shared = Arc::new(Shared::new(options, functions));
        let writer = Writer::new(shared.clone());
        let writer = std::thread::Builder::new()
            .name("function-logs".into())
            .spawn(move || writer.run())
            .map_err(|cause| LogError::new("start the log writer", cause))?;
        Ok(Self(Arc::new(Inner {
            shared,
            writer: Some(writer),
        })))
    }

    /// The stream `stream` of a function's log: made by its first line. Any name will do; a long one is cut to 512 bytes
    /// (CloudWatch Logs' bound is 512 characters). Make it once per environment and keep it: finding it costs more than
    /// writing to it.
    pub fn stream(&self, key: &FunctionKey, stream: &str) -> LogStream {
        LogStream::new(self.0.shared.clone(), self.log(key), stream)
    }

    /// Waits until everything that was written before is stored (handed to the operating system).
    pub async fn flush(&self) {
        let (answer, stored) = oneshot::channel();
        self.0.shared.ask(|work| work.flushes.push(answer));
        // No answer means that the writer has ended: there is nothing to wait for.
        let _ = stored.await;
    }

    /// Functions of an account and region that have a log, by name, whose names start with `prefix`.
    ///
    /// # Errors
    /// None at present: it is answered from memory.
    pub async fn functions(
        &self,
        account: &AccountId,
        region: &Region,
        prefix: &str,
    ) -> Result<Vec<FunctionLogSummary>, LogError> {
        self.flush().await;
        let functions = self
            .0
            .shared
            .functions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = functions
            .values()
            .filter(|log| {
                let key = &log.key;
                key.account == *account
                    && key.region == *region
                    && key.name.as_str().starts_with(prefix)
            })
            .filter_map(|log| {
                let files = lock(&log.files);
                Some(FunctionLogSummary {
                    key: log.key.clone(),
                    created_ms: i64::try_from(files.segments.first()?.number).unwrap_or(i64::MAX),
                    stored_bytes: files.bytes(),
                })
            })
            .collect();
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// Streams of a function's log, by name, whose names start with `prefix`; none if it has no log.
    ///
    /// # Errors
    /// If a file can't be read.
    pub async fn streams(
        &self,
        key: &FunctionKey,
        prefix: &str,
    ) -> Result<Vec<StreamSummary>, LogError> {
        let prefix = prefix.to_owned();
        let streams = self
            .with_log(key, move |log, folder| streams(log, folder, &prefix))
            .await?;
        Ok(streams.unwrap_or_default())
    }

    /// A page of a function's log, with everything that was written before the call; empty if it has no log.
    ///
    /// Events lie in the order of arrival: by time within a stream, and nearly so across streams. Whoever reads on from
    /// [`Page::after`] gets every line once, however many arrive meanwhile.
    ///
    /// # Errors
    /// If a file can't be read.
    pub async fn read(&self, key: &FunctionKey, query: Query) -> Result<Page, LogError> {
        let position = query.position.unwrap_or_default();
        let page = self
            .with_log(key, move |log, folder| reader::page(log, folder, &query))
            .await?;
        Ok(page.unwrap_or(Page {
            events: Vec::new(),
            before: position,
            after: position,
            more: false,
        }))
    }

    /// Removes a function's log. Streams that are open go on: their next line begins it anew.
    ///
    /// # Errors
    /// If a file can't be removed.
    pub async fn delete(&self, key: &FunctionKey) -> Result<(), LogError> {
        let Some(log) = self.existing(key) else {
            return Ok(());
        };
        let (answer, deleted) = oneshot::channel();
        self.0.shared.ask(|work| work.deletes.push((log, answer)));
        deleted.await.unwrap_or(Ok(()))
    }

    /// Lines dropped since the store was opened: they came faster than they could be stored, or the disk did not take
    /// them.
    pub fn dropped_lines(&self) -> u64 {
        self.0.shared.dropped.load(Ordering::Relaxed)
    }

    fn existing(&self, key: &FunctionKey) -> Option<Arc<FunctionLog>> {
        let functions = self
            .0
            .shared
            .functions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        functions.get(key).cloned()
    }

    fn log(&self, key: &FunctionKey) -> Arc<FunctionLog> {
        if let Some(log) = self.existing(key) {
            return log;
        }
        let mut functions = self
            .0
            .shared
            .functions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(FunctionLog::new(key.clone(), Files::default()));
        functions.entry(key.clone()).or_insert_with(new).clone()
    }

    async fn with_log<T: Send + 'static>(
        &self,
        key: &FunctionKey,
        work: impl FnOnce(&FunctionLog, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<Option<T>, LogError> {
        let Some(log) = self.existing(key) else {
            return Ok(None);
        };
        self.flush().await;
        let folder = folder(&self.0.shared.options, key);
        let failed = |cause| LogError::new("read a function's log", cause);
        tokio::task::spawn_blocking(move || work(&log, &folder))
            .await
            .map_err(|panic| failed(io::Error::other(panic)))?
            .map(Some)
            .map_err(failed)
    }
}

fn streams(log: &FunctionLog, folder: &Path, prefix: &str) -> io::Result<Vec<StreamSummary>> {
    let mut found: BTreeMap<Arc<str>, StreamSummary> = BTreeMap::new();
    let numbers: Vec<u64> = lock(&log.files)
        .segments
        .iter()
        .map(|segment| segment.number)
        .collect();
    for number in numbers {
        files::with_segment(&log.files, folder, number, |_, index| {
            for stream in index
                .streams
                .iter()
                .filter(|stream| stream.name.starts_with(prefix))
            {
                let summary = found
                    .entry(stream.name.clone())
                    .or_insert_with(|| StreamSummary {
                        name: stream.name.to_string(),
                        first_ms: i64::MAX,
                        last_ms: i64::MIN,
                        last_ingestion_ms: i64::MIN,
                        stored_bytes: 0,
                    });
                summary.first_ms = summary.first_ms.min(stream.first_ms);
                summary.last_ms = summary.last_ms.max(stream.last_ms);
                summary.last_ingestion_ms = summary.last_ingestion_ms.max(stream.ingestion_ms);
                summary.stored_bytes += stream.bytes;
            }
        })?;
    }
    Ok(found.into_values().collect())
}

/// Finds the logs in `dir`: folders account/region/function. What has other names is not ours.
fn find(dir: &Path) -> io::Result<HashMap<FunctionKey, Arc<FunctionLog>>> {
    let mut functions = HashMap::new();
    for (account, account_dir) in folders(dir)? {
        for (region, region_dir) in folders(&account_dir)? {
            for (name, function_dir) in folders(&region_dir)? {
                let key = FunctionKey {
                    account: AccountId::clone(&account),
                    region: Region::clone(&region),
                    name,
                };
                let log = FunctionLog::new(key.clone(), Files::find(&function_dir)?);
                functions.insert(key, Arc::new(log));
            }
        }
    }
    Ok(functions)
}

fn folders<T: FromStr>(dir: &Path) -> io::Result<Vec<(T, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if let Some(name) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use hearth_types::time::Timestamp;
    use tempfile::TempDir;

    use super::*;
    use crate::logs::{Filter, Order, Position};

    fn key(name: &str) -> FunctionKey {
        FunctionKey {
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            name: name.parse().unwrap(),
        }
    }

    fn open(dir: &TempDir) -> LogStore {
        LogStore::open(LogOptions::new(dir.path())).unwrap()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    async fn messages(store: &LogStore, name: &str, query: Query) -> Vec<String> {
        let page = store.read(&key(name), query).await.unwrap();
        page.events.into_iter().map(|event| event.message).collect()
    }

    /// Files of a function's log, oldest first.
    fn segments(dir: &TempDir, name: &str) -> Vec<PathBuf> {
        let folder = dir.path().join("000000000000/us-east-1").join(name);
        let mut paths: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths
    }

    #[tokio::test]
    async fn lines_come_back_by_stream_time_and_filter() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        assert!(messages(&store, "f", Query::default()).await.is_empty());
        let a = store.stream(&key("f"), "2026/01/02/[$LATEST]a");
        let b = store.stream(&key("f"), "2026/01/02/[1]b");
        a.write(at(10), b"START one");
        b.write(at(20), b"START two\n");
        a.write(at(30), b"END one");
        store.stream(&key("g"), "x").write(at(30), b"other");

        let all = Query::default;
        assert_eq!(
            messages(&store, "f", all()).await,
            ["START one", "START two\n", "END one"]
        );
        let only_a = Query {
            streams: vec![a.name().into()],
            ..all()
        };
        assert_eq!(
            messages(&store, "f", only_a).await,
            ["START one", "END one"]
        );
        let prefix = Query {
            stream_prefix: "2026/01/02/[1]".into(),
            ..all()
        };
        assert_eq!(messages(&store, "f", prefix).await, ["START two\n"]);
        let time = Query {
            start_ms: Some(20),
            end_ms: Some(30),
            ..all()
        };
        assert_eq!(messages(&store, "f", time).await, ["START two\n"]);
        let filter = Query {
            filter: Filter::parse("START -two").unwrap(),
            ..all()
        };
        assert_eq!(messages(&store, "f", filter).await, ["START one"]);

        let streams = store.streams(&key("f"), "").await.unwrap();
        assert_eq!(streams.len(), 2);
        assert_eq!(
            (
                streams[0].name.as_str(),
                streams[0].first_ms,
                streams[0].last_ms
            ),
            ("2026/01/02/[$LATEST]a", 10, 30)
        );
        assert_eq!(streams[0].stored_bytes, 16);
        let functions = store
            .functions(&key("f").account, &key("f").region, "f")
            .await
            .unwrap();
        assert_eq!(functions.len(), 1);
        assert_eq!(functions[0].key, key("f"));
    }

    #[tokio::test]
    async fn a_follower_gets_every_line_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = LogOptions::new(dir.path());
        // Many small segments, none removed.
        options.bytes_per_function = 1 << 20;
        let store = LogStore::open(options).unwrap();
        let stream = store.stream(&key("f"), "s");
        let mut position = None;
        let mut seen = Vec::new();
        for round in 0..50 {
            for line in 0..=round {
                stream.write(
                    at(line),
                    format!("{round}-{line} {}", "x".repeat(500)).as_bytes(),
                );
            }
            loop {
                let query = Query {
                    position,
                    limit: 7,
                    ..Query::default()
                };
                let page = store.read(&key("f"), query).await.unwrap();
                seen.extend(page.events);
                position = Some(page.after.to_string().parse().unwrap());
                if !page.more {
                    break;
                }
            }
        }
        let expected: Vec<_> = (0..50)
            .flat_map(|round| (0..=round).map(move |line| format!("{round}-{line}")))
            .collect();
        let got: Vec<_> = seen
            .iter()
            .map(|event| event.message.split(' ').next().unwrap().to_owned())
            .collect();
        assert_eq!(got, expected);
        assert!(
            seen.windows(2)
                .all(|two| two[0].id < two[1].id && two[1].id.len() == 32)
        );
        assert!(segments(&dir, "f").len() > 1);
    }

    #[tokio::test]
    async fn pages_backward_are_the_pages_forward_reversed() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = LogOptions::new(dir.path());
        options.bytes_per_function = 64 << 10;
        let store = LogStore::open(options).unwrap();
        let stream = store.stream(&key("f"), "s");
        for line in 0..300 {
            stream.write(at(line), format!("{line} {}", "y".repeat(90)).as_bytes());
            if line % 60 == 0 {
                store.flush().await;
            }
        }
        let forward = store.read(&key("f"), Query::default()).await.unwrap();
        assert_eq!(forward.events.len(), 300);
        assert!(segments(&dir, "f").len() > 1);
        for limit in [1, 7, 100, 300, 301] {
            let mut backward = Vec::new();
            let mut position = None;
            loop {
                let query = Query {
                    order: Order::Backward,
                    limit,
                    position,
                    ..Query::default()
                };
                let page = store.read(&key("f"), query).await.unwrap();
                if position.is_none() {
                    assert_eq!(page.after, forward.after);
                }
                backward.splice(0..0, page.events);
                position = Some(page.before);
                if !page.more {
                    break;
                }
            }
            assert_eq!(backward, forward.events, "{limit} at a time");
        }
    }

    #[tokio::test]
    async fn a_torn_end_loses_the_torn_line_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let stream = store.stream(&key("f"), "s");
        for line in 0..3 {
            stream.write(at(line), format!("line {line}").as_bytes());
        }
        drop(store);
        let file = segments(&dir, "f").remove(0);
        let whole = fs::read(&file).unwrap();
        let mut counts = Vec::new();
        for cut in 0..=whole.len() {
            fs::write(&file, &whole[..cut]).unwrap();
            let store = open(&dir);
            // What is written next goes to a file of its own and is read after what stands.
            store.stream(&key("f"), "t").write(at(9), b"next");
            let mut lines = messages(&store, "f", Query::default()).await;
            assert_eq!(lines.pop().as_deref(), Some("next"));
            assert!(
                lines
                    .iter()
                    .enumerate()
                    .all(|(n, line)| *line == format!("line {n}"))
            );
            counts.push(lines.len());
            drop(store);
            fs::remove_file(segments(&dir, "f").remove(1)).unwrap();
        }
        assert!(counts.is_sorted() && counts.first() == Some(&0) && counts.last() == Some(&3));
    }

    #[tokio::test]
    async fn the_oldest_lines_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = LogOptions::new(dir.path());
        options.bytes_per_function = 16 << 10;
        options.total_bytes = 24 << 10;
        let store = LogStore::open(options).unwrap();
        let text = "z".repeat(1_000);
        let mut old_token = None;
        for line in 0..100 {
            for name in ["f", "g"] {
                store
                    .stream(&key(name), "s")
                    .write(at(line), format!("{line} {text}").as_bytes());
            }
            store.flush().await;
            if line == 0 {
                old_token = Some(store.read(&key("f"), Query::default()).await.unwrap().after);
            }
        }
        let mut total = 0;
        for name in ["f", "g"] {
            let bytes: u64 = segments(&dir, name)
                .iter()
                .map(|path| fs::metadata(path).unwrap().len())
                .sum();
            assert!(bytes <= 16 << 10, "{name}: {bytes}");
            total += bytes;
            let lines = messages(&store, name, Query::default()).await;
            assert!(lines.last().unwrap().starts_with("99 ") && lines.len() > 5);
        }
        assert!(total <= 24 << 10, "{total}");
        // A token whose lines are gone goes on with the oldest that are there.
        let query = Query {
            position: old_token,
            ..Query::default()
        };
        assert_eq!(
            messages(&store, "f", query).await,
            messages(&store, "f", Query::default()).await
        );
    }

    #[tokio::test]
    async fn old_lines_are_removed_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        store.stream(&key("f"), "s").write(at(1), b"old");
        store.stream(&key("g"), "s").write(at(1), b"young");
        drop(store);
        let old = std::time::SystemTime::now() - Duration::from_secs(8 * 24 * 60 * 60);
        fs::File::options()
            .append(true)
            .open(&segments(&dir, "f")[0])
            .unwrap()
            .set_modified(old)
            .unwrap();
        let store = open(&dir);
        store.flush().await;
        assert!(messages(&store, "f", Query::default()).await.is_empty());
        assert_eq!(messages(&store, "g", Query::default()).await, ["young"]);
    }

    #[tokio::test]
    async fn a_flood_is_dropped_counted_and_reported_and_harms_no_other_function() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let flood = store.stream(&key("flood"), "s");
        let calm = store.stream(&key("calm"), "s");
        let line = vec![b'x'; 200_000];
        let mut written = 0_u64;
        // Far faster than any disk: the buffer holds five.
        while store.dropped_lines() == 0 || written < 100 {
            flood.write(at(5), &line);
            written += 1;
            if written.is_multiple_of(10) {
                calm.write(at(5), b"calm");
            }
        }
        store.flush().await;
        let dropped = store.dropped_lines();
        let query = Query {
            filter: Filter::parse("\"[hearth]\"").unwrap(),
            ..Query::default()
        };
        let reported: u64 = messages(&store, "flood", query)
            .await
            .iter()
            .map(|text| text.split(' ').nth(1).unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!(reported, dropped);
        assert_eq!(
            messages(&store, "calm", Query::default()).await.len() as u64,
            written / 10
        );
    }

    #[tokio::test]
    async fn lines_that_the_disk_does_not_take_are_counted_and_later_ones_are_stored() {
        let dir = tempfile::tempdir().unwrap();
        let in_the_way = dir.path().join("000000000000/us-east-1/f");
        fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
        fs::write(&in_the_way, b"").unwrap();
        let store = open(&dir);
        let stream = store.stream(&key("f"), "s");
        stream.write(at(1), b"lost");
        stream.write(at(1), b"lost");
        store.flush().await;
        assert_eq!(store.dropped_lines(), 2);
        assert!(messages(&store, "f", Query::default()).await.is_empty());
        fs::remove_file(&in_the_way).unwrap();
        stream.write(at(2), b"stored");
        assert_eq!(messages(&store, "f", Query::default()).await, ["stored"]);
        assert_eq!(store.dropped_lines(), 2);
    }

    #[tokio::test]
    async fn a_long_line_becomes_several_and_a_long_page_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let stream = store.stream(&key("f"), &"n".repeat(600));
        assert_eq!(stream.name().len(), 512);
        stream.write(at(1), &vec![b'a'; 600_000]);
        stream.write(at(2), b"");
        let lengths: Vec<_> = messages(&store, "f", Query::default())
            .await
            .iter()
            .map(String::len)
            .collect();
        assert_eq!(lengths, [262_144, 262_144, 75_712, 0]);
        stream.write(at(3), &vec![b'b'; 600_000]);
        let page = store.read(&key("f"), Query::default()).await.unwrap();
        assert!(page.more);
        let bytes: usize = page.events.iter().map(|event| event.message.len()).sum();
        assert!(bytes <= 1 << 20);
    }

    #[tokio::test]
    async fn a_deleted_log_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let stream = store.stream(&key("f"), "s");
        stream.write(at(1), b"before");
        let after = store.read(&key("f"), Query::default()).await.unwrap().after;
        store.delete(&key("f")).await.unwrap();
        store.delete(&key("never-was")).await.unwrap();
        assert!(!dir.path().join("000000000000/us-east-1/f").exists());
        assert!(messages(&store, "f", Query::default()).await.is_empty());
        assert!(store.streams(&key("f"), "").await.unwrap().is_empty());
        stream.write(at(2), b"after");
        assert_eq!(messages(&store, "f", Query::default()).await, ["after"]);
        let query = Query {
            position: Some(after),
            ..Query::default()
        };
        assert_eq!(messages(&store, "f", query).await, ["after"]);
    }

    #[test]
    fn positions_read_back() {
        for position in [
            Position::START,
            Position::END,
            Position {
                segment: 5,
                offset: 7,
            },
        ] {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for bad in [
            "",
            "f/x",
            &"g".repeat(32),
            &"1".repeat(33),
            "+000000000000000+000000000000000",
        ] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }

    /// Prints what one line costs its writer. Run with `--ignored --nocapture`.
    #[test]
    #[ignore = "a measurement, not a check"]
    fn cost_of_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        let stream = store.stream(
            &key("f"),
            "2026/01/02/[$LATEST]0123456789abcdef0123456789abcdef",
        );
        let line = b"END RequestId: 01234567-89ab-cdef-0123-456789abcdef\n";
        let mut fastest = Duration::MAX;
        let mut sum = Duration::ZERO;
        // Bursts below what the buffer holds, as invocations write them.
        const BURSTS: u32 = 200;
        const LINES: u32 = 3_000;
        for _ in 0..BURSTS {
            let start = std::time::Instant::now();
            for _ in 0..LINES {
                stream.write(at(1), line);
            }
            let took = start.elapsed();
            fastest = fastest.min(took);
            sum += took;
            while stream_waits(&stream) {
                std::thread::yield_now();
            }
        }
        println!(
            "{} ns a line on average, {} ns in the fastest burst, {} dropped",
            (sum / (BURSTS * LINES)).as_nanos(),
            (fastest / LINES).as_nanos(),
            store.dropped_lines()
        );
    }

    fn stream_waits(stream: &LogStream) -> bool {
        !stream.is_idle()
    }
}
