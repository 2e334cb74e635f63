//! `hearth dlq`: events that were given up.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::events::{all_queues, path};
use super::functions::all_pages;
use super::{Done, output};
use crate::client::{CallError, Client, Connection, encode};

#[derive(Args, Debug)]
pub(super) struct DlqArgs {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Subcommand, Debug)]
enum DlqCommand {
    /// List events that were given up, the oldest first
    List {
        /// Name of a function [default: all]
        function: Option<String>,
    },
    /// Print one, with its payload and what the function answered last
    Show {
        /// Its request ID
        request_id: String,
    },
    /// Queue them again, as if they had been accepted now
    Redrive(Which),
    /// Remove them
    Purge(Which),
}

#[derive(Args, Debug)]
struct Which {
    /// Name of the function
    function: String,
    /// Only this event
    #[arg(long, value_name = "REQUEST-ID")]
    id: Option<String>,
}

/// A dead event, whole.
pub(super) async fn get(client: &Client, request_id: &str) -> Result<Value, CallError> {
    let target = format!("/hearth/2026-11-01/dead-events/{}", encode(request_id));
    client.lambda("GET", target, None).await
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: DlqArgs,
) -> Result<Done, CallError> {
    match args.command {
        DlqCommand::List { function } => list(client, connection, function).await?,
        DlqCommand::Show { request_id } => {
            let dead = get(client, &request_id).await?;
            if connection.json {
                output::print_json(&dead);
            } else {
                show(&dead);
            }
        }
        DlqCommand::Redrive(which) => {
            let moved = act(client, "redrive", &which).await?;
            said(connection, &moved, "queued again", &which.function);
        }
        DlqCommand::Purge(which) => {
            let removed = act(client, "purge", &which).await?;
            said(connection, &removed, "removed", &which.function);
        }
    }
    Ok(Done::Ok)
}

async fn list(
    client: &Client,
    connection: &Connection,
    function: Option<String>,
) -> Result<(), CallError> {
    let functions = match function {
        Some(function) => vec![function],
        None => all_queues(client)
            .await?
            .iter()
            .filter(|queue| queue["Dead"] != json!(0))
            .map(|queue| output::member(queue, "FunctionName"))
            .collect(),
    };
    let (mut events, mut rows) = (Vec::new(), Vec::new());
    for function in functions {
        let target = format!("{}?State=Dead&", path(&function));
        for mut event in all_pages(client, &target, "Events").await? {
            let mut row = vec![function.clone()];
            row.extend(
                ["RequestId", "Ended", "Condition", "Attempts", "Cause"]
                    .map(|m| output::member(&event, m)),
            );
            rows.push(row);
            event["FunctionName"] = json!(function);
            events.push(event);
        }
    }
    if connection.json {
        output::print_json(&Value::Array(events));
    } else if rows.is_empty() {
        output::note("no event was given up");
    } else {
        let header = [
            "FUNCTION",
            "REQUEST ID",
            "ENDED",
            "CONDITION",
            "ATTEMPTS",
            "CAUSE",
        ];
        output::print(&output::table(&header, rows));
    }
    Ok(())
}

fn show(dead: &Value) {
    for (label, name) in [
        ("request ID", "RequestId"),
        ("function", "FunctionName"),
        ("qualifier", "Qualifier"),
        ("accepted", "Accepted"),
        ("ended", "Ended"),
        ("condition", "Condition"),
        ("attempts", "Attempts"),
        ("version", "ExecutedVersion"),
        ("message", "Message"),
        ("payload", "Payload"),
        ("response", "Response"),
    ] {
        output::print(&format!("{label}: {}", output::member(dead, name)));
    }
}

async fn act(client: &Client, what: &str, which: &Which) -> Result<Value, CallError> {
    let mut target = format!("{}/{what}", path(&which.function));
    if let Some(id) = &which.id {
        target += &format!("?RequestId={}", encode(id));
    }
    client.lambda("POST", target, None).await
}

fn said(connection: &Connection, moved: &Value, what: &str, function: &str) {
    if connection.json {
        output::print_json(moved);
    } else {
        output::note(&format!(
            "{what}: {} events of {function}",
            output::member(moved, "Events")
        ));
    }
}
