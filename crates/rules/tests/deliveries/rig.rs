//! Rules on the real stores, with a clock that is passed in and functions that are there or not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use hearth_queues::{Caller as QueueCaller, Queues};
use hearth_rules::{Caller, Dispatcher, Options, RuleError, Rules};
use hearth_store::events::{Event, Step};
use hearth_store::{
    EventOptions, EventStore, QueueBounds, RuleBounds, SqliteEventStore, SqliteQueueStore,
    SqliteRuleStore,
};
use hearth_targets::Targets;
use hearth_types::ApiError;
use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

/// The database of rules.
const RULES: &str = "rules.db";

fn key() -> FunctionKey {
    FunctionKey {
        account: "000000000000".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        name: "f".parse().unwrap(),
    }
}

pub(crate) fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{name}")
}

/// A node's data folder, and what outlives a node.
pub(crate) struct Rig {
    folder: TempDir,
    bounds: RuleBounds,
    clock: Arc<AtomicI64>,
    /// Functions that are there.
    pub(crate) functions: Arc<Mutex<BTreeSet<String>>>,
    node: Option<Node>,
}

struct Node {
    rules: Rules,
    dispatcher: Dispatcher,
    events: Arc<SqliteEventStore>,
    queues: Queues,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(RuleBounds::default()).await
    }

    pub(crate) async fn with(bounds: RuleBounds) -> Self {
        let mut rig = Self {
            folder: TempDir::new().unwrap(),
            bounds,
            clock: Arc::new(AtomicI64::new(1_767_323_045_678)),
            functions: Arc::new(Mutex::new(BTreeSet::from(["f".to_owned()]))),
            node: None,
        };
        rig.start().await;
        rig
    }

    async fn start(&mut self) {
        let path = |name| self.folder.path().join(name);
        let clock = Arc::clone(&self.clock);
        let clock = Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst)));
        let events = SqliteEventStore::open(path("events.db"), EventOptions::default()).unwrap();
        let queues = SqliteQueueStore::open(path("queues.db"), QueueBounds::default(), clock());
        let queues = Queues::new(
            Arc::new(queues.unwrap()),
            clock.clone(),
            CancellationToken::new(),
        );
        let store = SqliteRuleStore::open(path(RULES), self.bounds).unwrap();
        let options = Options {
            senders: Vec::new(),
            clock,
        };
        let rules = Rules::open(store, options).await.unwrap();
        let events = Arc::new(events);
        let functions = Arc::clone(&self.functions);
        let functions = Arc::new(move |key: &FunctionKey, _: Option<&_>| {
            let there = functions.lock().unwrap().contains(key.name.as_str());
            there
                .then_some(())
                .ok_or_else(|| ApiError::not_found("Function not found."))
        });
        let targets = Targets::new(events.clone(), queues.clone(), functions);
        self.node = Some(Node {
            dispatcher: Dispatcher::new(rules.clone(), targets),
            rules,
            events,
            queues,
        });
    }

    fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    /// Ends the node and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.node = None;
        self.start().await;
    }

    /// Ends the node, changes the rules' database, and starts it again.
    pub(crate) async fn restart_after(&mut self, sql: &str) {
        self.node = None;
        let database = rusqlite::Connection::open(self.folder.path().join(RULES)).unwrap();
        database.execute_batch(sql).unwrap();
        drop(database);
        self.start().await;
    }

    /// Delivers what is due, and ends as if killed after targets have taken it in and before that was written down.
    pub(crate) async fn turn_and_forget(&mut self) {
        // The database, its log and its watermark.
        let files = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).unwrap();
            let paths = entries.map(|entry| entry.unwrap().path());
            let is_one = |path: &PathBuf| path.display().to_string().contains(RULES);
            paths.filter(is_one).collect()
        };
        let folder = self.folder.path().to_owned();
        self.node = None;
        let before: Vec<_> = files(&folder)
            .into_iter()
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        self.start().await;
        assert!(self.is_due().await, "there is nothing to be done");
        self.turn().await;
        assert!(!self.is_due().await);
        self.node = None;
        for path in files(&folder) {
            std::fs::remove_file(path).unwrap();
        }
        for (path, content) in before {
            std::fs::write(path, content).unwrap();
        }
        self.start().await;
        assert!(self.is_due().await, "it is still written down");
    }

    async fn is_due(&self) -> bool {
        let stopped = CancellationToken::new();
        stopped.cancel();
        let next = self.node().dispatcher.turn(self.now(), &stopped).await;
        next.unwrap().is_some_and(|next| next <= self.now())
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    /// Delivers what is due now; in how many seconds the next is.
    pub(crate) async fn turn(&self) -> Option<i64> {
        let stop = CancellationToken::new();
        let next = self.node().dispatcher.turn(self.now(), &stop).await;
        let next = next.unwrap()?.as_millis() - self.now().as_millis();
        Some(next / 1_000)
    }

    pub(crate) async fn try_call(&self, operation: &str, body: Value) -> Result<Value, RuleError> {
        let caller = Caller {
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            trace: Some("Root=1-69573365-bd862e3fe1be46a994272793;Lineage=00000001:3".to_owned()),
        };
        let body = body.to_string();
        let rules = &self.node().rules;
        rules.call(&caller, operation, body.as_bytes()).await
    }

    pub(crate) async fn call(&self, operation: &str, body: Value) -> Value {
        self.try_call(operation, body).await.unwrap()
    }

    /// A rule for the source `shop`, with these targets.
    pub(crate) async fn rule(&self, name: &str, targets: &[Value]) {
        let pattern = json!({ "source": ["shop"] }).to_string();
        let rule = json!({ "Name": name, "EventPattern": pattern });
        self.call("PutRule", rule).await;
        let numbered = targets.iter().enumerate().map(|(at, target)| {
            let mut target = target.clone();
            target["Id"] = at.to_string().into();
            target
        });
        let targets: Vec<_> = numbered.collect();
        let put = json!({ "Rule": name, "Targets": targets });
        self.call("PutTargets", put).await;
    }

    pub(crate) async fn put(&self, source: &str, n: i64) -> Result<Value, RuleError> {
        let detail = json!({ "n": n }).to_string();
        let entry = json!({ "Source": source, "DetailType": "order", "Detail": detail });
        self.try_call("PutEvents", json!({ "Entries": [entry] }))
            .await
    }

    async fn queue_call(&self, operation: &str, body: Value) -> Value {
        let caller = QueueCaller {
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            base: "http://node".to_owned(),
            trace: None,
        };
        let body = body.to_string();
        let called = self.node().queues.call(&caller, operation, body.as_bytes());
        serde_json::to_value(called.await.unwrap()).unwrap()
    }

    pub(crate) async fn make_queue(&self, name: &str) {
        let fifo = json!({ "FifoQueue": "true" });
        let attributes = if name.ends_with(".fifo") {
            fifo
        } else {
            json!({})
        };
        let request = json!({ "QueueName": name, "Attributes": attributes });
        self.queue_call("CreateQueue", request).await;
    }

    /// All messages that a queue has, taken out of it.
    pub(crate) async fn messages(&self, name: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let request = json!({
                "QueueUrl": format!("http://node/000000000000/{name}"),
                "MaxNumberOfMessages": 10,
                "AttributeNames": ["All"],
                "MessageAttributeNames": ["All"],
                "VisibilityTimeout": 43_200,
            });
            match self.queue_call("ReceiveMessage", request).await["Messages"].take() {
                Value::Array(messages) if !messages.is_empty() => all.extend(messages),
                _ => return all,
            }
        }
    }

    pub(crate) async fn bodies(&self, name: &str) -> Vec<Value> {
        let messages = self.messages(name).await;
        let bodies = messages.iter().map(|message| {
            let body = message["Body"].as_str().unwrap();
            serde_json::from_str(body).unwrap()
        });
        bodies.collect()
    }

    /// All events that the function has, taken out of its queue.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            let events = &self.node().events;
            let taken = events.take(&key(), self.now(), 100).await.unwrap();
            if taken.events.is_empty() {
                return all;
            }
            for leased in taken.events {
                events.settle(leased.lease, Step::Done).await.unwrap();
                all.push(leased.event);
            }
        }
    }
}
