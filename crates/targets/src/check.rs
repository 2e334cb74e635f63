//! What a request may say of a target. What is refused is refused with a sentence, whose error is the API's.

use hearth_types::destination::Destination;
use hearth_types::name::{AccountId, Region};

use crate::FIFO;
use crate::wire::{DeadLetterConfig, RetryPolicy, SqsParameters};

/// Bounds of the service models.
const GROUP_ID_CHARACTERS: usize = 128;
const AGE_SECONDS: (i64, i64) = (60, 86_400);
const RETRIES: (i64, i64) = (0, 185);

/// Whose targets may be named.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The region.
    pub region: &'a Region,
}

/// The function or queue of `owner` that an ARN names.
///
/// # Errors
/// A sentence about `member`.
pub fn destination(arn: &str, owner: Owner<'_>, member: &str) -> Result<Destination, String> {
    let shown = || arn.chars().take(200).collect::<String>();
    let of_service = |service| arn.split(':').nth(2) == Some(service);
    if !of_service("lambda") && !of_service("sqs") {
        return Err(format!(
            "{} can't be a target: Hearth's are functions (arn:aws:lambda:…) and queues (arn:aws:sqs:…). For anything \
             else, name a function that does it.",
            shown()
        ));
    }
    let found: Destination = arn
        .parse()
        .map_err(|error| format!("{member} is invalid: {error}."))?;
    let is_near =
        |account: &AccountId, region: &Region| (account, region) == (owner.account, owner.region);
    let near = match &found {
        Destination::Function { key, .. } => is_near(&key.account, &key.region),
        Destination::Queue(queue) => is_near(&queue.account, &queue.region),
        Destination::Topic(_) | Destination::Bucket(_) => false,
    };
    if near {
        return Ok(found);
    }
    Err(format!(
        "{member} must be of the account and region of what names it."
    ))
}

/// The message group for a target, which queues that keep order need, and functions don't have.
///
/// # Errors
/// A sentence.
pub fn message_group(
    parameters: Option<SqsParameters>,
    target: &Destination,
) -> Result<Option<String>, String> {
    let group = parameters.and_then(|parameters| parameters.message_group_id);
    match (target, &group) {
        (Destination::Queue(_), Some(group)) => {
            if (1..=GROUP_ID_CHARACTERS).contains(&group.chars().count()) {
                return Ok(Some(group.clone()));
            }
            Err(format!(
                "SqsParameters.MessageGroupId must have 1 to {GROUP_ID_CHARACTERS} characters."
            ))
        }
        (Destination::Queue(queue), None) if queue.name.as_str().ends_with(FIFO) => {
            Err("A FIFO queue as target needs SqsParameters.MessageGroupId.".to_owned())
        }
        (_, None) => Ok(None),
        (_, Some(_)) => Err("SqsParameters goes with a queue as target.".to_owned()),
    }
}

/// The ARN of a dead-letter queue.
///
/// # Errors
/// A sentence.
pub fn dead_letters(
    config: Option<DeadLetterConfig>,
    owner: Owner<'_>,
) -> Result<Option<String>, String> {
    const MEMBER: &str = "DeadLetterConfig.Arn";
    let Some(arn) = config.and_then(|config| config.arn) else {
        return Ok(None);
    };
    match destination(&arn, owner, MEMBER)? {
        Destination::Queue(queue) if !queue.name.as_str().ends_with(FIFO) => Ok(Some(arn)),
        _ => Err(format!("{MEMBER} must be the ARN of a standard queue.")),
    }
}

/// Most seconds and most retries, where they are said.
///
/// # Errors
/// A sentence.
pub fn retries(policy: Option<RetryPolicy>) -> Result<(Option<u32>, Option<u32>), String> {
    let policy = policy.unwrap_or_default();
    Ok((
        within(
            policy.maximum_event_age_in_seconds,
            AGE_SECONDS,
            "RetryPolicy.MaximumEventAgeInSeconds",
        )?,
        within(
            policy.maximum_retry_attempts,
            RETRIES,
            "RetryPolicy.MaximumRetryAttempts",
        )?,
    ))
}

fn within(
    value: Option<i64>,
    (least, most): (i64, i64),
    member: &str,
) -> Result<Option<u32>, String> {
    let Some(value) = value else {
        return Ok(None);
    };
    let found = u32::try_from(value).ok();
    match found.filter(|_| (least..=most).contains(&value)) {
        Some(found) => Ok(Some(found)),
        None => Err(format!(
            "{member} must be from {least} to {most}, not {value}."
        )),
    }
}
