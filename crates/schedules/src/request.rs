//! What a schedule may be: CreateSchedule's and UpdateSchedule's requests, checked.

use hearth_store::schedules::{Place, Settings, Target};
use hearth_targets::{check, is_allowed};
use hearth_types::arn::role_account;
use hearth_types::destination::Destination;
use hearth_types::time::Timestamp;

use crate::error::ScheduleError;
use crate::payload;
use crate::wire::{self, FlexibleTimeWindow, ScheduleRequest};

/// Most bytes of an input (EventBridge Scheduler user guide, "Quotas": a target's payload).
const INPUT_BYTES: usize = 256 << 10;
/// Bounds of the service model.
const EXPRESSION_CHARACTERS: usize = 256;
const ZONE_CHARACTERS: usize = 50;
const DESCRIPTION_CHARACTERS: usize = 512;
const WINDOW_MINUTES: (i64, i64) = (1, 1440);
/// The zone if none was named.
const UTC: &str = "UTC";
/// The first millisecond that a date may be, and the last: years 1970 to 9999.
const DATES_MS: (f64, f64) = (0.0, 253_402_300_799_999.0);

fn required<T>(value: Option<T>, member: &str) -> Result<T, ScheduleError> {
    value.ok_or_else(|| ScheduleError::invalid(format!("The request must have {member}.")))
}

fn length(text: &str, most: usize, member: &str) -> Result<(), ScheduleError> {
    if (1..=most).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(ScheduleError::invalid(format!(
        "{member} must have 1 to {most} characters."
    )))
}

fn within(value: i64, (least, most): (i64, i64), member: &str) -> Result<u32, ScheduleError> {
    let found = u32::try_from(value)
        .ok()
        .filter(|_| (least..=most).contains(&value));
    found.ok_or_else(|| {
        ScheduleError::invalid(format!(
            "{member} must be from {least} to {most}, not {value}."
        ))
    })
}

fn choice(
    value: Option<&str>,
    (usual, other): (&str, &str),
    member: &str,
) -> Result<bool, ScheduleError> {
    match value {
        None => Ok(false),
        Some(value) if value == usual => Ok(false),
        Some(value) if value == other => Ok(true),
        Some(_) => Err(ScheduleError::invalid(format!(
            "{member} must be {usual} or {other}."
        ))),
    }
}

fn date(seconds: Option<f64>, member: &str) -> Result<Option<Timestamp>, ScheduleError> {
    let Some(millis) = seconds.map(|seconds| (seconds * 1_000.0).round()) else {
        return Ok(None);
    };
    if (DATES_MS.0..=DATES_MS.1).contains(&millis) {
        return Ok(Some(Timestamp::from_millis(millis as i64)));
    }
    Err(ScheduleError::invalid(format!(
        "{member} must be a date from 1970 to 9999."
    )))
}

/// The settings that a request wants. Expression and zone are checked by [`crate::timing::Timing`].
pub(crate) fn settings(request: ScheduleRequest, place: &Place) -> Result<Settings, ScheduleError> {
    if request.kms_key_arn.is_some() {
        return Err(ScheduleError::invalid(
            "Hearth has no keys of KMS to encrypt schedules with. Leave KmsKeyArn out.",
        ));
    }
    let expression = required(request.schedule_expression, "ScheduleExpression")?;
    length(&expression, EXPRESSION_CHARACTERS, "ScheduleExpression")?;
    let zone = request.schedule_expression_timezone;
    let zone = zone.unwrap_or_else(|| UTC.to_owned());
    length(&zone, ZONE_CHARACTERS, "ScheduleExpressionTimezone")?;
    if let Some(description) = request
        .description
        .as_deref()
        .filter(|text| !text.is_empty())
    {
        length(description, DESCRIPTION_CHARACTERS, "Description")?;
    }
    let start = date(request.start_date, "StartDate")?;
    let end = date(request.end_date, "EndDate")?;
    if let (Some(start), Some(end)) = (start, end)
        && end <= start
    {
        return Err(ScheduleError::invalid("EndDate must be after StartDate."));
    }
    let disabled = choice(request.state.as_deref(), ("ENABLED", "DISABLED"), "State")?;
    let action = request.action_after_completion;
    let delete_after = choice(
        action.as_deref(),
        ("NONE", "DELETE"),
        "ActionAfterCompletion",
    )?;
    Ok(Settings {
        expression,
        zone,
        start,
        end,
        description: request.description,
        enabled: !disabled,
        window_minutes: window(required(
            request.flexible_time_window,
            "FlexibleTimeWindow",
        )?)?,
        delete_after,
        target: target(required(request.target, "Target")?, place)?,
    })
}

fn window(window: FlexibleTimeWindow) -> Result<Option<u32>, ScheduleError> {
    const MINUTES: &str = "FlexibleTimeWindow.MaximumWindowInMinutes";
    let mode = required(window.mode.as_deref(), "FlexibleTimeWindow.Mode")?;
    let flexible = choice(Some(mode), ("OFF", "FLEXIBLE"), "FlexibleTimeWindow.Mode")?;
    match (flexible, window.maximum_window_in_minutes) {
        (true, minutes) => within(required(minutes, MINUTES)?, WINDOW_MINUTES, MINUTES).map(Some),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(ScheduleError::invalid(format!(
            "{MINUTES} goes with the mode FLEXIBLE. Leave it out, or set that mode."
        ))),
    }
}

fn target(target: wire::Target, place: &Place) -> Result<Target, ScheduleError> {
    if let Some((member, _)) = target.others.iter().find(|(_, value)| !value.is_null()) {
        let shown: String = member.chars().take(80).collect();
        return Err(ScheduleError::invalid(format!(
            "Target.{shown} is for targets that Hearth does not have: it fires at functions and queues."
        )));
    }
    let arn = required(target.arn, "Target.Arn")?;
    let role = required(target.role_arn, "Target.RoleArn")?;
    match role_account(&role) {
        Ok(account) if account == place.account => {}
        Ok(_) => {
            return Err(ScheduleError::invalid(
                "Target.RoleArn must be a role of this account.",
            ));
        }
        Err(error) => {
            return Err(ScheduleError::invalid(format!(
                "Target.RoleArn is {error}."
            )));
        }
    }
    let owner = check::Owner {
        account: &place.account,
        region: &place.region,
    };
    let invalid = |why: String| ScheduleError::invalid(format!("Target is not valid: {why}"));
    let destination = check::destination(&arn, owner, "Arn").map_err(invalid)?;
    let message_group =
        check::message_group(target.sqs_parameters, &destination).map_err(invalid)?;
    if let Destination::Function { .. } = destination {
        check_json(target.input.as_deref())?;
    }
    if let Some(input) = &target.input
        && !(1..=INPUT_BYTES).contains(&input.len())
    {
        return Err(ScheduleError::invalid(format!(
            "Target.Input must have 1 to {INPUT_BYTES} bytes."
        )));
    }
    if target
        .input
        .as_deref()
        .is_some_and(|input| !input.chars().all(is_allowed))
    {
        return Err(ScheduleError::invalid(
            "Target.Input has a character that messages can't have: a control character, U+FFFE or U+FFFF. Escape it, or \
             send other bytes in base64.",
        ));
    }
    let dead_letters = check::dead_letters(target.dead_letter_config, owner).map_err(invalid)?;
    let (most_age_seconds, most_retries) = check::retries(target.retry_policy).map_err(invalid)?;
    Ok(Target {
        arn,
        role,
        input: target.input,
        message_group,
        dead_letters,
        most_age_seconds,
        most_retries,
    })
}

/// A function takes JSON, once the context attributes are filled in.
fn check_json(input: Option<&str>) -> Result<(), ScheduleError> {
    let Some(input) = input else {
        return Ok(());
    };
    let filled = payload::fill(input, "arn", "time", "id", 1);
    match serde_json::from_str::<serde::de::IgnoredAny>(&filled) {
        Ok(_) => Ok(()),
        Err(error) => Err(ScheduleError::invalid(format!(
            "Target.Input must be JSON for a function: {error}."
        ))),
    }
}
