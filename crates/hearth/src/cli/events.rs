//! `hearth events`: what waits, runs or was given up of asynchronous invocations.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::functions::all_pages;
use super::{Done, output};
use crate::client::{CallError, Client, Connection, encode};

#[derive(Args, Debug)]
pub(super) struct EventsArgs {
    /// Name of a function: list its events instead of how many each function has
    function: Option<String>,
    /// Which of its events
    #[arg(long, value_enum, default_value_t = State::Waiting, requires = "function")]
    state: State,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    /// Those that wait to be tried, for the first time or again
    Waiting,
    /// Those that are being tried
    Running,
    /// Those that were given up
    Dead,
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: EventsArgs,
) -> Result<Done, CallError> {
    match args.function {
        None => queues(client, connection).await,
        Some(function) => list(client, connection, &function, args.state).await,
    }
}

/// Where a function's events are.
pub(super) fn path(function: &str) -> String {
    format!("/hearth/2026-11-01/events/{}", encode(function))
}

/// How many events each function has.
pub(super) async fn all_queues(client: &Client) -> Result<Vec<Value>, CallError> {
    all_pages(client, "/hearth/2026-11-01/events?", "Queues").await
}

async fn queues(client: &Client, connection: &Connection) -> Result<Done, CallError> {
    let queues = all_queues(client).await?;
    if connection.json {
        output::print_json(&Value::Array(queues));
        return Ok(Done::Ok);
    }
    if queues.is_empty() {
        output::note(&format!("no events in {}", connection.region));
        return Ok(Done::Ok);
    }
    let row = |queue: &Value| {
        ["FunctionName", "Queued", "Running", "Retrying", "Dead"]
            .map(|m| output::member(queue, m))
            .into()
    };
    let header = ["FUNCTION", "QUEUED", "RUNNING", "RETRYING", "DEAD"];
    output::print(&output::table(&header, queues.iter().map(row).collect()));
    Ok(Done::Ok)
}

async fn list(
    client: &Client,
    connection: &Connection,
    function: &str,
    state: State,
) -> Result<Done, CallError> {
    let state = match state {
        State::Waiting => "Waiting",
        State::Running => "Running",
        State::Dead => "Dead",
    };
    let target = format!("{}?State={state}&", path(function));
    let events = all_pages(client, &target, "Events").await?;
    if connection.json {
        output::print_json(&Value::Array(events));
        return Ok(Done::Ok);
    }
    let row = |event: &Value| {
        ["RequestId", "Accepted", "Due", "Attempts", "Cause"]
            .map(|m| output::member(event, m))
            .into()
    };
    let header = ["REQUEST ID", "ACCEPTED", "DUE", "ATTEMPTS", "CAUSE"];
    output::print(&output::table(&header, events.iter().map(row).collect()));
    Ok(Done::Ok)
}
