//! `hearth mappings`: whose messages call which function, how much waits, and how the last batch ended.

use clap::Args;
use serde_json::Value;

use super::functions::all_pages;
use super::{Done, output};
use crate::client::{CallError, Client, Connection};

#[derive(Args, Debug)]
pub(super) struct MappingsArgs {}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    _: MappingsArgs,
) -> Result<Done, CallError> {
    let target = "/2015-03-31/event-source-mappings?";
    let mappings = all_pages(client, target, "EventSourceMappings").await?;
    if connection.json {
        output::print_json(&Value::Array(mappings));
        return Ok(Done::Ok);
    }
    if mappings.is_empty() {
        output::note(&format!(
            "no event source mappings in {}",
            connection.region
        ));
        return Ok(Done::Ok);
    }
    let row = |mapping: &Value| {
        let member = |name| output::member(mapping, name);
        vec![
            member("UUID"),
            source(mapping),
            function(&member("FunctionArn")),
            member("State"),
            member("Lag"),
            member("LastProcessingResult"),
        ]
    };
    let header = ["MAPPING", "SOURCE", "FUNCTION", "STATE", "LAG", "LAST"];
    output::print(&output::table(&header, mappings.iter().map(row).collect()));
    Ok(Done::Ok)
}

/// What tells sources apart: account and region are the same for all.
fn source(mapping: &Value) -> String {
    if let Some(topic) = mapping["Topics"][0].as_str() {
        let servers = &mapping["SelfManagedEventSource"]["Endpoints"]["KAFKA_BOOTSTRAP_SERVERS"];
        return format!("kafka {}/{topic}", servers[0].as_str().unwrap_or_default());
    }
    let arn = output::member(mapping, "EventSourceArn");
    let mut parts = arn.splitn(6, ':');
    let service = parts.nth(2).unwrap_or_default();
    let resource = parts.nth(2).unwrap_or_default();
    match mapping["Queues"][0].as_str() {
        Some(queue) => format!("{service} {resource} {queue}"),
        None => format!("{service} {resource}"),
    }
}

/// The name, and the version or alias.
fn function(arn: &str) -> String {
    arn.splitn(7, ':').nth(6).unwrap_or_default().to_owned()
}
