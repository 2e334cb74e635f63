//! `hearth logs`: a function's log, through CloudWatch Logs' read operations.

use std::collections::HashMap;
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
    let mut follower = Follower::new(&args.name, args.since, args.filter.as_deref());
    loop {
        follower
            .more(client, |event| show(connection, event))
            .await?;
        if !args.follow {
            return Ok(Done::Ok);
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Done::Ok),
        }
    }
}

/// Reads a function's log on and on.
pub(super) struct Follower {
    request: Value,
    newest: u64,
    /// Lines that were given already, by identifier, with their times.
    shown: HashMap<String, u64>,
}

impl Follower {
    /// From so far back on, only what matches the filter pattern.
    pub(super) fn new(function: &str, since: Duration, filter: Option<&str>) -> Self {
        let start = SystemTime::now()
            .checked_sub(since)
            .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        let mut request = json!({
            "logGroupName": format!("/aws/lambda/{function}"),
            "startTime": start.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        });
        if let Some(pattern) = filter {
            request["filterPattern"] = json!(pattern);
        }
        Self {
            request,
            newest: 0,
            shown: HashMap::new(),
        }
    }

    /// Gives the lines that have come since it was last asked.
    pub(super) async fn more(
        &mut self,
        client: &Client,
        mut show: impl FnMut(&Value),
    ) -> Result<(), CallError> {
        let mut page = self.request.clone();
        loop {
            let answer = call(client, "FilterLogEvents", &page).await?;
            for event in answer["events"].as_array().into_iter().flatten() {
                let (at, id) = (
                    event["timestamp"].as_u64().unwrap_or(0),
                    event["eventId"].as_str().unwrap_or_default(),
                );
                self.newest = self.newest.max(at);
                if self.shown.insert(id.to_owned(), at).is_none() {
                    show(event);
                }
            }
            match answer["nextToken"].as_str() {
                Some(token) => page["nextToken"] = json!(token),
                None => break,
            }
        }
        // Lines of several environments can arrive a little out of order: the last moments are asked for again, and
        // what was shown of them is remembered.
        const OVERLAP_MS: u64 = 5_000;
        if let Some(overlap) = self.newest.checked_sub(OVERLAP_MS) {
            let start = self.request["startTime"].as_u64().unwrap_or(0);
            self.request["startTime"] = json!(start.max(overlap));
            self.shown.retain(|_, at| *at >= overlap);
        }
        Ok(())
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
