//! A node's queues of events: filled, and looked at.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::Options;
use crate::hearth::Hearth;
use crate::load::{Connection, Target};
use crate::wasm::functions::{self, Package, Settings};

/// What runs at once, and answers at once.
pub(super) const QUICK: &str = "quick";
/// What sleeps: its first events run through a whole measurement, and the others wait.
pub(super) const ASLEEP: &str = "asleep";

/// Longer than any measurement, and the longest timeout of a function.
const SLEEP_S: u32 = 900;

/// A node with both functions.
pub(super) async fn node(options: &Options) -> anyhow::Result<Hearth> {
    let guest = |name: &str| options.places.root.join("tests/fixtures/wasm").join(name);
    let node = Hearth::start(&options.places.hearth).await?;
    deploy(&node, QUICK, &guest("hello.wasm"), None).await?;
    deploy(&node, ASLEEP, &guest("abuse.wasm"), Some(SLEEP_S)).await?;
    Ok(node)
}

async fn deploy(
    node: &Hearth,
    name: &str,
    component: &Path,
    timeout_s: Option<u32>,
) -> anyhow::Result<()> {
    let settings = Settings {
        timeout_s,
        ..Settings::default()
    };
    functions::deploy(node, name, &Package::read(component)?, &settings).await
}

/// The event that each function is given: a request of payload format 2.0.
pub(super) fn event(function: &str) -> String {
    let (path, query) = match function {
        ASLEEP => ("/sleep", format!("ms={}", SLEEP_S * 1_000)),
        _ => ("/", String::new()),
    };
    json!({
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": { "content-type": "application/json", "x-order": "7" },
        "requestContext": { "http": { "method": "GET", "path": path } },
    })
    .to_string()
}

/// What queues an event for a function.
pub(super) fn target(node: &Hearth, function: &str) -> anyhow::Result<Target> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let access = &node.access;
    let headers = [("x-amz-invocation-type", "Event")];
    let request = access.signed_with("POST", &path, &headers, event(function).as_bytes())?;
    Ok(Target {
        address: access.address,
        request: request.into(),
        expected: Vec::new().into(),
    })
}

/// Queues that many events, by that many callers.
pub(super) async fn fill(target: &Target, events: usize, callers: usize) -> anyhow::Result<()> {
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let mine = events / callers + usize::from(caller < events % callers);
            let target = target.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(target.address).await?;
                for _ in 0..mine {
                    connection.call(&target).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await.context("fill a queue")??;
    }
    Ok(())
}

/// Waits until all events of a function have ended, none of them among the dead.
pub(super) async fn emptied(node: &Hearth, function: &str) -> anyhow::Result<()> {
    let mut api = node.access.api().await?;
    loop {
        let answer = api.call("GET", "/hearth/2026-11-01/events", None).await?;
        let queues = answer["Queues"].as_array().context("read the queues")?;
        let queue = queues
            .iter()
            .find(|queue| queue["FunctionName"] == function);
        let count = |member: &str| queue.map_or(0, |queue| queue[member].as_u64().unwrap_or(0));
        let failed = count("Dead") + count("Retrying");
        anyhow::ensure!(failed == 0, "events of {function} failed: {queue:?}");
        if count("Queued") + count("Running") == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
