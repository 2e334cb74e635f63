//! What workers do, told to who watches at the moment: kept nowhere.
//!
//! A tail is begun with a name that nobody can guess, and attended by one reader. Whoever runs workers asks
//! [`Tails::is_watched`] before it makes anything to tell, so that a function that nobody watches pays one load of a number.
//! A reader that is slow misses traces; nobody waits for it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_types::name::{AccountId, FunctionKey};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long a tail lasts (Cloudflare's expire after six hours).
pub const LIFE: Duration = Duration::from_secs(6 * 3_600);
/// How long a tail may wait for its reader.
const ATTENDED_WITHIN: Duration = Duration::from_secs(60);
/// Tails of a node, and of one function (Cloudflare has ten readers of a worker).
const MOST: usize = 200;
const MOST_OF_FUNCTION: usize = 10;
/// Traces that wait for a reader; more are dropped.
const WAITING: usize = 16;
/// Bytes of a trace as JSON: a worker may write far more for one request, and what waits is in memory.
/// (Cloudflare's has 256 KB of lines, too.)
const TRACE_BYTES: usize = 256 << 10;
/// About what a line takes in JSON besides its text, bytes.
const LINE_BYTES: usize = 64;

/// A random number from 0 to 1, good enough to take samples by: the keys of a new hash are random.
fn fraction() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    // The highest 32 bits are exact.
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}

/// What a worker did for one request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TailItem {
    /// The function's name.
    pub script_name: String,
    /// `ok`, `exception`, `exceededCpu`, `exceededMemory`, `canceled` or `unknown`.
    pub outcome: &'static str,
    /// When it began, milliseconds since 1970.
    pub event_timestamp: i64,
    /// What it was asked.
    pub event: Value,
    /// What it wrote.
    pub logs: Vec<TailLine>,
    /// What it threw and nobody caught.
    pub exceptions: Vec<TailException>,
    /// Messages that were published to it by others; there are none.
    pub diagnostics_channel_events: [(); 0],
}

impl TailItem {
    /// The trace as JSON. One that is too large has one line that says so instead of what was written; `None` if that is
    /// too large as well.
    fn written(&self) -> Option<Arc<str>> {
        let fitting = |item: &Self| {
            let text = serde_json::to_string(item).ok();
            text.filter(|text| text.len() <= TRACE_BYTES)
        };
        let lines = self.logs.iter();
        let size: usize = lines
            .map(|line| line.message[0].len().saturating_add(LINE_BYTES))
            .sum();
        let whole = (size <= TRACE_BYTES).then(|| fitting(self)).flatten();
        let text = whole.or_else(|| {
            let says = format!(
                "{} lines are left out: a trace has up to {} KiB.",
                self.logs.len(),
                TRACE_BYTES >> 10
            );
            fitting(&Self {
                script_name: self.script_name.clone(),
                outcome: self.outcome,
                event_timestamp: self.event_timestamp,
                event: self.event.clone(),
                logs: vec![TailLine {
                    message: [says],
                    level: "warn".to_owned(),
                    timestamp: self.event_timestamp,
                }],
                exceptions: self.exceptions.clone(),
                diagnostics_channel_events: [],
            })
        });
        text.map(Arc::from)
    }
}

/// A line that a worker wrote.
#[derive(Clone, Debug, Serialize)]
pub struct TailLine {
    /// The values that it wrote.
    pub message: [String; 1],
    /// `debug`, `info`, `log`, `warn` or `error`.
    pub level: String,
    /// When, milliseconds since 1970.
    pub timestamp: i64,
}

/// What a worker threw.
#[derive(Clone, Debug, Serialize)]
pub struct TailException {
    /// Its name.
    pub name: String,
    /// Its message.
    pub message: String,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// When, milliseconds since 1970.
    pub timestamp: i64,
}

/// Which traces a tail is about: all of what is said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TailFilter {
    /// The share of them, 0 to 1.
    pub sampling_rate: Option<f64>,
    /// Outcomes.
    pub outcomes: Option<Vec<String>>,
    /// Methods of requests.
    pub methods: Option<Vec<String>>,
    /// A header field of requests, and what its value has in it.
    pub header: Option<(String, Option<String>)>,
    /// What a line has in it.
    pub text: Option<String>,
}

impl TailFilter {
    /// Whether a trace is meant; `fraction` is a random number from 0 to 1.
    fn means(&self, item: &TailItem, fraction: f64) -> bool {
        let request = &item.event["request"];
        let is_one_of = |list: &Option<Vec<String>>, text: Option<&str>| {
            list.as_ref().is_none_or(|list| {
                text.is_some_and(|text| list.iter().any(|one| one.eq_ignore_ascii_case(text)))
            })
        };
        let has_header = self.header.as_ref().is_none_or(|(name, part)| {
            let value = request["headers"][name.to_ascii_lowercase()].as_str();
            value.is_some_and(|value| part.as_ref().is_none_or(|part| value.contains(part)))
        });
        let has_text = self.text.as_ref().is_none_or(|part| {
            let mut texts = item.logs.iter().flat_map(|line| &line.message);
            texts.any(|text| text.contains(part))
        });
        self.sampling_rate.is_none_or(|rate| fraction < rate)
            && is_one_of(&self.outcomes, Some(item.outcome))
            && is_one_of(&self.methods, request["method"].as_str())
            && has_header
            && has_text
    }
}

/// A tail.
#[derive(Debug)]
struct Tail {
    function: FunctionKey,
    filter: Arc<TailFilter>,
    /// To its reader.
    sender: mpsc::Sender<Arc<str>>,
    /// Until there is one.
    reader: Option<mpsc::Receiver<Arc<str>>>,
    begun: Instant,
}

impl Tail {
    fn is_over(&self, now: Instant) -> bool {
        let bound = if self.reader.is_some() {
            ATTENDED_WITHIN
        } else {
            LIFE
        };
        now.duration_since(self.begun) > bound || self.sender.is_closed()
    }
}

/// The tails of a node. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Tails {
    tails: Arc<Mutex<HashMap<String, Tail>>>,
    /// How many there are: read by every request of a worker.
    count: Arc<AtomicUsize>,
}

impl Tails {
    /// Begins a tail under a name that nobody can guess. `false` if there are too many.
    #[must_use]
    pub fn begin(&self, id: &str, function: FunctionKey, filter: TailFilter) -> bool {
        let mut tails = self.living();
        let of_function = tails.values().filter(|tail| tail.function == function);
        let fits = tails.len() < MOST && of_function.count() < MOST_OF_FUNCTION;
        if fits {
            let (sender, reader) = mpsc::channel(WAITING);
            let tail = Tail {
                function,
                filter: Arc::new(filter),
                sender,
                reader: Some(reader),
                begun: Instant::now(),
            };
            tails.insert(id.to_owned(), tail);
        }
        self.count.store(tails.len(), Ordering::Relaxed);
        fits
    }

    /// The traces of a tail, as JSON, for its one reader; `None` if there is no such tail, or if it has its reader.
    pub fn attend(&self, id: &str) -> Option<mpsc::Receiver<Arc<str>>> {
        let mut tails = self.lock();
        let tail = tails.get_mut(id)?;
        if tail.is_over(Instant::now()) {
            return None;
        }
        let reader = tail.reader.take();
        tail.begun = Instant::now();
        reader
    }

    /// Ends a tail of `account`.
    pub fn end(&self, id: &str, account: &AccountId) {
        let mut tails = self.lock();
        if tails
            .get(id)
            .is_some_and(|tail| tail.function.account == *account)
        {
            tails.remove(id);
        }
        self.count.store(tails.len(), Ordering::Relaxed);
    }

    /// Whether somebody watches a function.
    pub fn is_watched(&self, function: &FunctionKey) -> bool {
        self.count.load(Ordering::Relaxed) > 0
            && self
                .living()
                .values()
                .any(|tail| tail.function == *function)
    }

    /// All tails but those that are over, which end by this.
    fn living(&self) -> MutexGuard<'_, HashMap<String, Tail>> {
        let now = Instant::now();
        let mut tails = self.lock();
        tails.retain(|_, tail| !tail.is_over(now));
        self.count.store(tails.len(), Ordering::Relaxed);
        tails
    }

    /// Tells all who watch the function.
    pub fn tell(&self, function: &FunctionKey, item: &TailItem) {
        let fraction = fraction();
        let mut meant: Vec<_> = self
            .living()
            .values()
            .filter(|tail| tail.function == *function)
            .map(|tail| (tail.sender.clone(), Arc::clone(&tail.filter)))
            .collect();
        // Nobody waits for what follows: traces may be large.
        meant.retain(|(_, filter)| filter.means(item, fraction));
        if meant.is_empty() {
            return;
        }
        let Some(text) = item.written() else {
            return;
        };
        for (sender, _) in meant {
            // One that is full misses it.
            let _ = sender.try_send(Arc::clone(&text));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Tail>> {
        // Every change is whole.
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> FunctionKey {
        FunctionKey {
            account: "123456789012".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
            name: name.parse().unwrap(),
        }
    }

    fn item(outcome: &'static str) -> TailItem {
        TailItem {
            script_name: "a".to_owned(),
            outcome,
            event_timestamp: 1,
            event: json!({ "request": { "method": "GET", "headers": { "x-a": "one" } } }),
            logs: vec![TailLine {
                message: ["hello".to_owned()],
                level: "log".to_owned(),
                timestamp: 1,
            }],
            exceptions: Vec::new(),
            diagnostics_channel_events: [],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_watches_is_told_and_nobody_else() {
        let tails = Tails::default();
        assert!(!tails.is_watched(&key("a")));
        assert!(tails.begin("x", key("a"), TailFilter::default()));
        assert!(tails.is_watched(&key("a")) && !tails.is_watched(&key("b")));
        let mut reader = tails.attend("x").unwrap();
        assert!(tails.attend("x").is_none());
        tails.tell(&key("b"), &item("ok"));
        tails.tell(&key("a"), &item("exception"));
        let told: Value = serde_json::from_str(&reader.recv().await.unwrap()).unwrap();
        assert_eq!(
            (&told["outcome"], &told["logs"][0]["message"][0]),
            (&json!("exception"), &json!("hello"))
        );
        assert!(reader.try_recv().is_err());
        tails.end("x", &"000000000000".parse().unwrap());
        assert!(tails.is_watched(&key("a")));
        tails.end("x", &key("a").account);
        assert!(!tails.is_watched(&key("a")));
        assert!(reader.recv().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn tails_without_a_reader_and_those_that_last_too_long_end() {
        let tails = Tails::default();
        assert!(tails.begin("x", key("a"), TailFilter::default()));
        tokio::time::advance(ATTENDED_WITHIN + Duration::from_secs(1)).await;
        assert!(tails.attend("x").is_none());
        assert!(tails.begin("y", key("a"), TailFilter::default()));
        let reader = tails.attend("y").unwrap();
        tokio::time::advance(LIFE).await;
        tails.tell(&key("a"), &item("ok"));
        assert_eq!(tails.lock().len(), 1);
        drop(reader);
        assert!(!tails.is_watched(&key("a")));
        assert_eq!(tails.lock().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trace_that_is_too_large_says_so() {
        let tails = Tails::default();
        assert!(tails.begin("x", key("a"), TailFilter::default()));
        let mut reader = tails.attend("x").unwrap();
        let line = |text: String| TailLine {
            message: [text],
            level: "log".to_owned(),
            timestamp: 1,
        };
        // Many bytes, many lines, and bytes that are many in JSON.
        for logs in [
            vec![line("x".repeat(TRACE_BYTES))],
            vec![line(String::new()); TRACE_BYTES / LINE_BYTES + 1],
            vec![line("\u{1}".repeat(TRACE_BYTES / 2))],
        ] {
            let large = TailItem { logs, ..item("ok") };
            tails.tell(&key("a"), &large);
            let told = reader.try_recv().unwrap();
            assert!(told.len() < 1_000 && told.contains("left out"), "{told}");
        }
        let hopeless = TailItem {
            event: json!("x".repeat(TRACE_BYTES)),
            ..item("ok")
        };
        tails.tell(&key("a"), &hopeless);
        assert!(reader.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_them_and_to_what_waits() {
        let tails = Tails::default();
        for n in 0..MOST_OF_FUNCTION {
            assert!(tails.begin(&n.to_string(), key("a"), TailFilter::default()));
        }
        assert!(!tails.begin("more", key("a"), TailFilter::default()));
        let mut reader = tails.attend("0").unwrap();
        for _ in 0..WAITING + 5 {
            tails.tell(&key("a"), &item("ok"));
        }
        let mut waited = 0;
        while reader.try_recv().is_ok() {
            waited += 1;
        }
        assert_eq!(waited, WAITING);
    }

    #[test]
    fn filters_mean_what_they_say() {
        let list = |word: &str| Some(vec![word.to_owned()]);
        let all = TailFilter::default();
        for (filter, meant) in [
            (
                TailFilter {
                    outcomes: list("ok"),
                    ..all.clone()
                },
                true,
            ),
            (
                TailFilter {
                    outcomes: list("exception"),
                    ..all.clone()
                },
                false,
            ),
            (
                TailFilter {
                    methods: list("get"),
                    ..all.clone()
                },
                true,
            ),
            (
                TailFilter {
                    methods: list("POST"),
                    ..all.clone()
                },
                false,
            ),
            (
                TailFilter {
                    header: Some(("X-A".to_owned(), None)),
                    ..all.clone()
                },
                true,
            ),
            (
                TailFilter {
                    header: Some(("x-a".to_owned(), Some("two".to_owned()))),
                    ..all.clone()
                },
                false,
            ),
            (
                TailFilter {
                    text: Some("ell".to_owned()),
                    ..all.clone()
                },
                true,
            ),
            (
                TailFilter {
                    text: Some("bye".to_owned()),
                    ..all.clone()
                },
                false,
            ),
            (
                TailFilter {
                    sampling_rate: Some(0.6),
                    ..all.clone()
                },
                true,
            ),
            (
                TailFilter {
                    sampling_rate: Some(0.4),
                    ..all.clone()
                },
                false,
            ),
        ] {
            assert_eq!(filter.means(&item("ok"), 0.5), meant, "{filter:?}");
        }
    }
}
