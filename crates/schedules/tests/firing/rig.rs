//! Schedules on the real stores, with a clock that is passed in and functions that are there or not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use hearth_queues::{Caller, Queues};
use hearth_schedules::wire::ScheduleTimes;
use hearth_schedules::{Call, Delivery, Dispatcher, Place, ScheduleError, Schedules};
use hearth_store::events::Step;
use hearth_store::{
    EventOptions, EventStore, QueueBounds, ScheduleBounds, SqliteEventStore, SqliteQueueStore,
    SqliteScheduleStore,
};
use hearth_targets::Targets;
use hearth_types::ApiError;
use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;
use jiff::tz::TimeZoneDatabase;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const ROLE: &str = "arn:aws:iam::000000000000:role/test";
pub(crate) const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

/// The database of schedules.
const SCHEDULES: &str = "schedules.db";

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

pub(crate) fn place() -> Place {
    Place {
        account: "000000000000".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
    }
}

fn key() -> FunctionKey {
    FunctionKey {
        account: "000000000000".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        name: "f".parse().unwrap(),
    }
}

/// A node's data folder, and what outlives a node.
pub(crate) struct Rig {
    folder: TempDir,
    clock: Arc<AtomicI64>,
    /// Functions that are there.
    pub(crate) functions: Arc<Mutex<BTreeSet<String>>>,
    pub(crate) node: Option<Node>,
}

/// What a node has open.
pub(crate) struct Node {
    pub(crate) schedules: Schedules,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) other: Dispatcher,
    events: Arc<SqliteEventStore>,
    queues: Queues,
}

/// What a function or queue was given: when, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) id: String,
    pub(crate) body: String,
}

impl Rig {
    pub(crate) fn new(now: &str) -> Self {
        let mut rig = Self {
            folder: TempDir::new().unwrap(),
            clock: Arc::new(AtomicI64::new(at(now).as_millis())),
            functions: Arc::new(Mutex::new(BTreeSet::from(["f".to_owned()]))),
            node: None,
        };
        rig.start();
        rig
    }

    fn start(&mut self) {
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
        let store = SqliteScheduleStore::open(path(SCHEDULES), ScheduleBounds::default()).unwrap();
        let schedules = Schedules::new(store, TimeZoneDatabase::bundled(), clock);
        let events = Arc::new(events);
        let functions = Arc::clone(&self.functions);
        let functions = Arc::new(move |key: &FunctionKey, _: Option<&_>| {
            let there = functions.lock().unwrap().contains(key.name.as_str());
            there
                .then_some(())
                .ok_or_else(|| ApiError::not_found("Function not found."))
        });
        let targets = Targets::new(events.clone(), queues.clone(), functions);
        let delivery = Delivery::new(targets);
        self.node = Some(Node {
            dispatcher: Dispatcher::new(schedules.clone(), delivery.clone()),
            other: Dispatcher::new(schedules.clone(), delivery),
            schedules,
            events,
            queues,
        });
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    /// Ends the node and starts it again.
    pub(crate) fn restart(&mut self) {
        self.node = None;
        self.start();
    }

    /// The path of the schedules' database.
    fn database(&self) -> PathBuf {
        self.folder.path().join(SCHEDULES)
    }

    /// Ends the node, changes the schedules' database, and starts it again.
    pub(crate) fn restart_after(&mut self, sql: &str) {
        self.node = None;
        let database = rusqlite::Connection::open(self.database()).unwrap();
        database.execute_batch(sql).unwrap();
        drop(database);
        self.start();
    }

    /// Runs what is due now, and ends as if killed after targets have taken it in and before that was written down.
    pub(crate) async fn turn_and_forget(&mut self) {
        // The database, its log and its watermark.
        let files = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).unwrap();
            let paths = entries.map(|entry| entry.unwrap().path());
            let is_one = |path: &PathBuf| path.display().to_string().contains(SCHEDULES);
            paths.filter(is_one).collect()
        };
        let folder = self.folder.path().to_owned();
        self.node = None;
        assert!(self.is_due(), "there is nothing to be done");
        let before: Vec<_> = files(&folder)
            .into_iter()
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        self.start();
        self.turn().await;
        self.node = None;
        assert!(!self.is_due());
        for path in files(&folder) {
            std::fs::remove_file(path).unwrap();
        }
        for (path, content) in before {
            std::fs::write(path, content).unwrap();
        }
        assert!(self.is_due(), "it is still written down");
        self.start();
    }

    /// Whether the database of a node that has ended says that something is due.
    fn is_due(&self) -> bool {
        let database = rusqlite::Connection::open(self.database()).unwrap();
        let count = "SELECT (SELECT count(*) FROM schedules WHERE due <= ?1) + (SELECT count(*) FROM firings WHERE due <= ?1)";
        let count: i64 = database
            .query_row(count, [self.now().as_millis()], |row| row.get(0))
            .unwrap();
        count > 0
    }

    pub(crate) fn set(&self, now: &str) {
        self.clock.store(at(now).as_millis(), Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    /// Fires what is due now; when the next is.
    pub(crate) async fn turn(&self) -> Option<Timestamp> {
        self.node().dispatcher.turn(self.now()).await.unwrap()
    }

    /// Lets time pass until `end`, from one due time to the next, as a dispatcher that sleeps does.
    pub(crate) async fn run_until(&self, end: &str) {
        while let Some(next) = self.turn().await.filter(|next| *next <= at(end)) {
            assert!(next > self.now(), "a dispatcher that would not sleep");
            self.clock.store(next.as_millis(), Ordering::SeqCst);
        }
        self.set(end);
    }

    pub(crate) async fn call(
        &self,
        operation: &str,
        name: &str,
        body: Value,
    ) -> Result<Value, ScheduleError> {
        let body = body.to_string();
        let call = Call {
            operation,
            name,
            query: &[],
            body: body.as_bytes(),
        };
        self.node().schedules.call(&place(), call).await
    }

    /// Makes a schedule with the members of `change` in place of the usual ones.
    pub(crate) async fn make(&self, name: &str, expression: &str, change: Value) {
        let request = request(expression, change);
        self.call("CreateSchedule", name, request).await.unwrap();
    }

    pub(crate) async fn update(&self, name: &str, expression: &str, change: Value) {
        let request = request(expression, change);
        self.call("UpdateSchedule", name, request).await.unwrap();
    }

    pub(crate) async fn is_there(&self, name: &str) -> bool {
        self.call("GetSchedule", name, json!({})).await.is_ok()
    }

    /// A schedule's times.
    pub(crate) async fn times(&self, name: &str) -> ScheduleTimes {
        let page = self.node().schedules.times(&place(), None, 100).await;
        let mut schedules = page.unwrap().schedules.into_iter();
        schedules.find(|schedule| schedule.name == name).unwrap()
    }

    /// Takes all that the function was given.
    pub(crate) async fn events(&self) -> Vec<Given> {
        let events = &self.node().events;
        let mut given = Vec::new();
        loop {
            let taken = events.take(&key(), self.now(), 64).await.unwrap();
            if taken.events.is_empty() {
                return given;
            }
            for leased in taken.events {
                given.push(Given {
                    id: leased.event.id.to_string(),
                    body: String::from_utf8(leased.event.payload.to_vec()).unwrap(),
                });
                events.settle(leased.lease, Step::Done).await.unwrap();
            }
        }
    }

    /// The times that the function's events name, which were given them for input.
    pub(crate) async fn fired(&self) -> Vec<String> {
        let events = self.events().await;
        events
            .into_iter()
            .map(|given| given.body.replace('"', ""))
            .collect()
    }

    async fn queue_call(&self, operation: &str, body: Value) -> Value {
        let Place { account, region } = place();
        let caller = Caller {
            account,
            region,
            base: String::new(),
            trace: None,
        };
        let body = body.to_string();
        let queues = &self.node().queues;
        queues
            .call(&caller, operation, body.as_bytes())
            .await
            .unwrap()
    }

    pub(crate) async fn make_queue(&self, name: &str) {
        let fifo = name.ends_with(".fifo");
        let attributes = if fifo {
            json!({"FifoQueue": "true"})
        } else {
            json!({})
        };
        let body = json!({ "QueueName": name, "Attributes": attributes });
        self.queue_call("CreateQueue", body).await;
    }

    /// Takes all that a queue has.
    pub(crate) async fn messages(&self, name: &str) -> Vec<Value> {
        let url = format!("/000000000000/{name}");
        let mut messages = Vec::new();
        loop {
            let body = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]});
            let answer = self.queue_call("ReceiveMessage", body).await;
            let Some(received) = answer["Messages"].as_array() else {
                return messages;
            };
            for message in received {
                let body = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
                self.queue_call("DeleteMessage", body).await;
                messages.push(message.clone());
            }
        }
    }
}

pub(crate) fn arn_of(queue: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{queue}")
}

/// A request for a schedule that gives the function the time that it is for.
fn request(expression: &str, change: Value) -> Value {
    let mut request = json!({
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": FUNCTION, "RoleArn": ROLE, "Input": "\"<aws.scheduler.scheduled-time>\""},
    });
    let Value::Object(change) = change else {
        panic!("a change is an object");
    };
    for (member, value) in change {
        match (member.as_str(), value) {
            ("Target", Value::Object(target)) => {
                for (member, value) in target {
                    request["Target"][member] = value;
                }
            }
            (member, value) => request[member] = value,
        }
    }
    request
}
