//! `hearth schedules`: when each is due next, and what became of earlier times.

use clap::Args;
use serde_json::Value;

use super::functions::all_pages;
use super::{Done, output};
use crate::client::{CallError, Client, Connection};

#[derive(Args, Debug)]
pub(super) struct SchedulesArgs {}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    _: SchedulesArgs,
) -> Result<Done, CallError> {
    let schedules = all_pages(client, "/hearth/2026-11-01/schedules?", "Schedules").await?;
    if connection.json {
        output::print_json(&Value::Array(schedules));
        return Ok(Done::Ok);
    }
    if schedules.is_empty() {
        output::note(&format!("no schedules in {}", connection.region));
        return Ok(Done::Ok);
    }
    let row = |schedule: &Value| {
        let member = |name| output::member(schedule, name);
        vec![
            format!("{}/{}", member("GroupName"), member("Name")),
            member("ScheduleExpression"),
            member("ScheduleExpressionTimezone"),
            member("State"),
            member("Next"),
            member("Last"),
            member("Missed"),
            member("Failed"),
        ]
    };
    let header = [
        "SCHEDULE",
        "EXPRESSION",
        "ZONE",
        "STATE",
        "NEXT",
        "LAST",
        "MISSED",
        "FAILED",
    ];
    output::print(&output::table(&header, schedules.iter().map(row).collect()));
    Ok(Done::Ok)
}
