//! `hearth logs`: a function's log, through CloudWatch Logs' read operations.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};

use super::{Done, output};
use crate::client::{CallError, Client, Connection};

#[derive(Args, Debug)]
pub(super) struct LogsArgs {
    /// Name of the function
    name: String,
    /// Wait for new lines
    #[arg(long, short)]
    follow: bool,
    /// How far back to start: 30s, 10m, 2h, 1d
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = duration)]
    since: Duration,
    /// Only lines that match this CloudWatch Logs filter pattern
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let form = || format!("'{text}' is not a duration such as 30s, 10m, 2h or 1d");
    let unit = text.chars().last().ok_or_else(form)?;
    let count: u64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| form())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(form()),
    };
    count
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(form)
}

/// How often a follower asks for more: fast enough to feel live, slow enough to cost nothing.
const POLL: Duration = Duration::from_millis(500);

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: LogsArgs,
) -> Result<Done, CallError> {
    let start = SystemTime::now()
        .checked_sub(args.since)
        .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
    let mut request = json!({
        "logGroupName": format!("/aws/lambda/{}", args.name),
        "startTime": start.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
    });
    if let Some(pattern) = &args.filter {
        request["filterPattern"] = json!(pattern);
    }
    // Lines of several environments can arrive a little out of order: the last moments are asked for again, and
    // what was shown of them is remembered.
    const OVERLAP_MS: u64 = 5_000;
    let mut newest = 0;
    let mut shown = std::collections::HashMap::new();
    loop {
        let mut token = None::<String>;
        loop {
            let mut page = request.clone();
            if let Some(token) = &token {
                page["nextToken"] = json!(token);
            }
            let page = call(client, "FilterLogEvents", &page).await?;
            for event in page["events"].as_array().into_iter().flatten() {
                let (at, id) = (
                    event["timestamp"].as_u64().unwrap_or(0),
                    event["eventId"].as_str().unwrap_or_default(),
                );
                newest = newest.max(at);
                if shown.insert(id.to_owned(), at).is_none() {
                    show(connection, event);
                }
            }
            token = page["nextToken"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        if !args.follow {
            return Ok(Done::Ok);
        }
        if let Some(overlap) = newest.checked_sub(OVERLAP_MS) {
            request["startTime"] = json!(request["startTime"].as_u64().unwrap_or(0).max(overlap));
            shown.retain(|_, at| *at >= overlap);
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Done::Ok),
        }
    }
}

fn show(connection: &Connection, event: &Value) {
    if connection.json {
        output::print(&event.to_string());
        return;
    }
    let at = event["timestamp"]
        .as_i64()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or_default();
    let message = event["message"].as_str().unwrap_or_default().trim_end();
    output::print(&format!(
        "{} {message}",
        at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    ));
}

async fn call(client: &Client, operation: &str, body: &Value) -> Result<Value, CallError> {
    let target = format!("Logs_20140328.{operation}");
    client.json11("logs", &target, body).await
}
