//! What a schedule may be: CreateSchedule's and UpdateSchedule's requests, checked.

use hearth_store::schedules::{Place, Settings, Target};
use hearth_types::arn::role_account;
use hearth_types::destination::Destination;
use hearth_types::name::{AccountId, Region};
use hearth_types::time::Timestamp;

use crate::delivery::is_allowed;
use crate::error::ScheduleError;
use crate::payload;
use crate::wire::{self, FlexibleTimeWindow, ScheduleRequest};

/// Most bytes of an input (EventBridge Scheduler user guide, "Quotas": a target's payload).
const INPUT_BYTES: usize = 256 << 10;
/// Bounds of the service model.
const EXPRESSION_CHARACTERS: usize = 256;
const ZONE_CHARACTERS: usize = 50;
const DESCRIPTION_CHARACTERS: usize = 512;
const GROUP_ID_CHARACTERS: usize = 128;
const WINDOW_MINUTES: (i64, i64) = (1, 1440);
const AGE_SECONDS: (i64, i64) = (60, 86_400);
const RETRIES: (i64, i64) = (0, 185);
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
    let message_group = target
        .sqs_parameters
        .and_then(|parameters| parameters.message_group_id);
    match destination(&arn, place, "Target.Arn")? {
        Destination::Function { .. } => {
            if message_group.is_some() {
                return Err(ScheduleError::invalid(
                    "Target.SqsParameters goes with a queue as target.",
                ));
            }
            check_json(target.input.as_deref())?;
        }
        Destination::Queue(queue) => match &message_group {
            Some(group) => length(group, GROUP_ID_CHARACTERS, "SqsParameters.MessageGroupId")?,
            None if queue.name.as_str().ends_with(".fifo") => {
                return Err(ScheduleError::invalid(
                    "A FIFO queue as target needs Target.SqsParameters.MessageGroupId.",
                ));
            }
            None => {}
        },
        _ => return Err(no_target(&arn)),
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
    let dead_letters = target.dead_letter_config.and_then(|config| config.arn);
    if let Some(arn) = &dead_letters {
        const MEMBER: &str = "Target.DeadLetterConfig.Arn";
        match destination(arn, place, MEMBER)? {
            Destination::Queue(queue) if !queue.name.as_str().ends_with(".fifo") => {}
            _ => {
                return Err(ScheduleError::invalid(format!(
                    "{MEMBER} must be the ARN of a standard queue."
                )));
            }
        }
    }
    let retry = target.retry_policy.unwrap_or_default();
    let within = |value: Option<i64>, range, member| {
        value.map(|value| within(value, range, member)).transpose()
    };
    Ok(Target {
        arn,
        role,
        input: target.input,
        message_group,
        dead_letters,
        most_age_seconds: within(
            retry.maximum_event_age_in_seconds,
            AGE_SECONDS,
            "RetryPolicy.MaximumEventAgeInSeconds",
        )?,
        most_retries: within(
            retry.maximum_retry_attempts,
            RETRIES,
            "RetryPolicy.MaximumRetryAttempts",
        )?,
    })
}

fn no_target(arn: &str) -> ScheduleError {
    let shown: String = arn.chars().take(200).collect();
    ScheduleError::invalid(format!(
        "{shown} can't be fired at: Hearth fires at functions (arn:aws:lambda:…) and queues (arn:aws:sqs:…). For anything \
         else, fire at a function that does it."
    ))
}

fn destination(arn: &str, place: &Place, member: &str) -> Result<Destination, ScheduleError> {
    let of_service = |service| arn.split(':').nth(2) == Some(service);
    if !of_service("lambda") && !of_service("sqs") {
        return Err(no_target(arn));
    }
    let found: Destination = arn
        .parse()
        .map_err(|error| ScheduleError::invalid(format!("{member} is invalid: {error}.")))?;
    let is_near =
        |account: &AccountId, region: &Region| (account, region) == (&place.account, &place.region);
    let near = match &found {
        Destination::Function { key, .. } => is_near(&key.account, &key.region),
        Destination::Queue(queue) => is_near(&queue.account, &queue.region),
        _ => false,
    };
    if near {
        return Ok(found);
    }
    Err(ScheduleError::invalid(format!(
        "{member} must be of the schedule's account and region."
    )))
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
