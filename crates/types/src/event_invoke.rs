//! How a function's asynchronous invocations are tried, and where their ends are told: what
//! `PutFunctionEventInvokeConfig` sets.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arn::ArnError;
use crate::text::as_text;

/// Further attempts after a function has failed (service model, `MaximumRetryAttempts`).
pub const RETRY_ATTEMPTS: RangeInclusive<u32> = 0..=2;
/// Further attempts when none are asked for (guide, "Error handling for asynchronous invocation").
pub const DEFAULT_RETRY_ATTEMPTS: u32 = 2;
/// How long an event is tried, seconds (service model, `MaximumEventAgeInSeconds`).
pub const EVENT_AGE_S: RangeInclusive<u32> = 60..=21_600;
/// How long an event is tried when nothing is asked for, seconds (guide: up to 6 hours).
pub const DEFAULT_EVENT_AGE_S: u32 = 21_600;
/// Characters of a destination's ARN (service model, `DestinationArn`).
pub const DESTINATION_ARN_CHARS: usize = 350;

/// What a function, a version or an alias says of its asynchronous invocations. A member that is `None` was not said:
/// the API shows it so, and the accessors give what holds then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventInvokeConfig {
    /// Further attempts after the function has failed ([`RETRY_ATTEMPTS`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_retry_attempts: Option<u32>,
    /// How long an event is tried, seconds ([`EVENT_AGE_S`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_event_age_s: Option<u32>,
    /// Who is told of each success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_success: Option<DestinationArn>,
    /// Who is told of each event that was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<DestinationArn>,
}

impl EventInvokeConfig {
    /// Further attempts after the function has failed.
    pub fn retry_attempts(&self) -> u32 {
        self.maximum_retry_attempts
            .unwrap_or(DEFAULT_RETRY_ATTEMPTS)
    }

    /// How long an event is tried.
    pub fn event_age(&self) -> Duration {
        let seconds = self.maximum_event_age_s.unwrap_or(DEFAULT_EVENT_AGE_S);
        Duration::from_secs(seconds.into())
    }
}

/// All that happens to a function's event besides being run: its settings, and the dead-letter queue of its
/// configuration (`DeadLetterConfig`), which is older than destinations and stands beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSettings {
    /// Of the qualifier that the event was sent to.
    pub invoke: EventInvokeConfig,
    /// Where the raw event goes when it is given up.
    pub dead_letter: Option<DestinationArn>,
}

/// In what way an event ended: `condition` of the record that destinations get (guide, "Capturing records of Lambda
/// asynchronous invocations"), and Hearth's own `Damaged`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// The function succeeded.
    Success,
    /// The function failed as often as it may.
    RetriesExhausted,
    /// The event became too old.
    EventAgeExceeded,
    /// The function's reserved concurrency is 0.
    ZeroReservedConcurrency,
    /// The chain of invocations that it is of has run the function too often. AWS has no name for it here.
    RecursiveInvocation,
    /// What the disk holds is not what was accepted: it is never given to a function.
    Damaged,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Success,
        Self::RetriesExhausted,
        Self::EventAgeExceeded,
        Self::ZeroReservedConcurrency,
        Self::RecursiveInvocation,
        Self::Damaged,
    ];

    /// The value on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
            Self::ZeroReservedConcurrency => "ZeroReservedConcurrency",
            Self::RecursiveInvocation => "RecursiveInvocation",
            Self::Damaged => "Damaged",
        }
    }
}

/// Where the end of an event is told: an ARN. That it has the form of one is all that is known of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationArn(String);

impl DestinationArn {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DestinationArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let mut parts = text.splitn(6, ':');
        let is_arn = parts.next() == Some("arn")
            && parts
                .next()
                .is_some_and(|partition| partition.starts_with("aws"))
            && parts.next().is_some_and(|service| !service.is_empty())
            && parts.nth(2).is_some_and(|resource| !resource.is_empty());
        let is_plain =
            text.len() <= DESTINATION_ARN_CHARS && text.bytes().all(|b| b.is_ascii_graphic());
        if is_arn && is_plain {
            return Ok(Self(text.to_owned()));
        }
        Err(ArnError::Form {
            kind: "destination ARN",
            expected: "arn:aws:service:region:123456789012:resource",
        })
    }
}

impl fmt::Display for DestinationArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DestinationArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

as_text!(DestinationArn);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_said_is_the_default() {
        let config = EventInvokeConfig::default();
        assert_eq!(config.retry_attempts(), 2);
        assert_eq!(config.event_age(), Duration::from_secs(6 * 3_600));
        assert_eq!(serde_json::to_string(&config).unwrap(), "{}");
    }

    #[test]
    fn destinations_are_arns() {
        for good in [
            "arn:aws:lambda:us-east-1:000000000000:function:f:live",
            "arn:aws:sqs:us-east-1:000000000000:q",
            "arn:aws:s3:::bucket",
            "arn:aws:ec2:us-east-1:000000000000:x",
        ] {
            assert_eq!(good.parse::<DestinationArn>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "f",
            "arn:aws:sqs:us-east-1:000000000000:",
            "arn:aws:sqs:us-east-1",
            "arn:aws:sqs:us-east-1:000000000000:a b",
            &format!("arn:aws:sqs:us-east-1:0:{}", "q".repeat(400)),
        ] {
            assert!(bad.parse::<DestinationArn>().is_err(), "{bad}");
        }
    }
}
