//! What schedules cost when there are few and when there are many, on this host and the disk of the temporary folder.
//!
//! `cargo build --workspace --examples`, then `target/debug/examples/schedules 100000` (the number of schedules).

#![allow(clippy::unwrap_used, reason = "a measurement that can't go on ends")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use hearth_queues::Queues;
use hearth_schedules::{Call, Delivery, Dispatcher, Place, Schedules, time_zones};
use hearth_store::{
    EventOptions, QueueBounds, ScheduleBounds, SqliteEventStore, SqliteQueueStore,
    SqliteScheduleStore,
};
use hearth_targets::Targets;
use hearth_types::time::Timestamp;
use tokio_util::sync::CancellationToken;

/// Requests at the same time while schedules are made.
const TOGETHER: usize = 256;
/// Look-ups that are measured.
const LOOKUPS: usize = 2_000;

#[tokio::main]
async fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(10_000);
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name| folder.path().join(name);
    let clock = Arc::new(|| Timestamp::from(SystemTime::now()));
    let events = SqliteEventStore::open(path("events.db"), EventOptions::default()).unwrap();
    let queues = SqliteQueueStore::open(path("queues.db"), QueueBounds::default(), clock());
    let queues = Arc::new(queues.unwrap());
    let queues = Queues::new(queues, clock.clone(), CancellationToken::new());
    let store = SqliteScheduleStore::open(path("schedules.db"), ScheduleBounds::default()).unwrap();
    let schedules = Schedules::new(store, time_zones(), clock.clone());
    let targets = Targets::new(
        Arc::new(events),
        queues,
        Arc::new(|_: &_, _: Option<&_>| Ok(())),
    );
    let dispatcher = Dispatcher::new(schedules.clone(), Delivery::new(targets));
    let place = Place {
        account: "000000000000".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
    };
    let call = async |operation: &str, name: String, body: &[u8]| {
        let call = Call {
            operation,
            name: &name,
            query: &[],
            body,
        };
        schedules.call(&place, call).await.unwrap()
    };
    let body = r#"{"ScheduleExpression": "cron(0 0 1 1 ? *)", "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": "arn:aws:lambda:us-east-1:000000000000:function:f", "RoleArn": "arn:aws:iam::000000000000:role/r"}}"#;
    let begun = Instant::now();
    for first in (0..count).step_by(TOGETHER) {
        let names = first..count.min(first + TOGETHER);
        join_all(names.map(|n| call("CreateSchedule", format!("s{n}"), body.as_bytes()))).await;
    }
    say("made", begun.elapsed(), count);

    let begun = Instant::now();
    for n in 0..LOOKUPS {
        call("GetSchedule", format!("s{}", n * 7919 % count), b"").await;
    }
    say("looked up", begun.elapsed(), LOOKUPS);

    let begun = Instant::now();
    let mut next = None;
    for _ in 0..LOOKUPS {
        next = dispatcher.turn(clock()).await.unwrap();
    }
    say("turns with nothing due", begun.elapsed(), LOOKUPS);

    // All are due at the same moment.
    let begun = Instant::now();
    dispatcher.turn(next.unwrap()).await.unwrap();
    say("fired", begun.elapsed(), count);
}

fn say(what: &str, time: Duration, count: usize) {
    let each = time / u32::try_from(count).unwrap_or(u32::MAX);
    println!("{count} {what} in {time:.1?}: {each:.1?} each");
}
