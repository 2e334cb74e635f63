//! What a target is given: the schedule's input, with its context attributes filled in, or a notification.

use hearth_store::schedules::Firing;
use hearth_types::time::Timestamp;
use serde_json::json;

use crate::delivery::execution_id;

/// A time as the service writes it in payloads: seconds of UTC.
pub(crate) fn time(at: Timestamp) -> String {
    let text = at.to_iso_string();
    // From `2026-01-02T03:04:05.678Z`.
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// The payload of a firing's next attempt.
pub(crate) fn of(firing: &Firing) -> String {
    match &firing.order.target.input {
        Some(input) => fill(
            input,
            &firing.order.arn,
            &time(firing.scheduled),
            execution_id(firing).as_str(),
            firing.failed + 1,
        ),
        None => notification(firing),
    }
}

/// Fills context attributes in (EventBridge Scheduler user guide, "Adding context attributes"). None of their values has
/// a character that JSON would escape.
pub(crate) fn fill(
    input: &str,
    arn: &str,
    scheduled: &str,
    execution: &str,
    attempt: u32,
) -> String {
    if !input.contains("<aws.scheduler.") {
        return input.to_owned();
    }
    input
        .replace("<aws.scheduler.schedule-arn>", arn)
        .replace("<aws.scheduler.scheduled-time>", scheduled)
        .replace("<aws.scheduler.execution-id>", execution)
        .replace("<aws.scheduler.attempt-number>", &attempt.to_string())
}

/// What a target without an input is given.
fn notification(firing: &Firing) -> String {
    json!({
        "version": "0",
        "id": execution_id(firing).as_str(),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": firing.order.account,
        "time": time(firing.scheduled),
        "region": firing.order.region,
        "resources": [firing.order.arn],
        "detail": "{}",
    })
    .to_string()
}
