//! Event source mappings: whose messages a function is given, and how. Where they come from is [`source`](crate::source).

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event_invoke::DestinationArn;
use crate::name::{AccountId, FunctionKey, Qualifier, Region};
use crate::source::Source;
use crate::text::as_text;

/// Messages of a batch (service model, `BatchSize`), and how many if nothing was said (guide, "Amazon SQS").
pub const BATCH_SIZE: RangeInclusive<u32> = 1..=10_000;
/// Batch size if nothing was said, and the largest of a FIFO queue and of a mapping without a window (guide, "Amazon SQS").
pub const DEFAULT_BATCH_SIZE: u32 = 10;
/// Batch size of a broker if nothing was said (guide, "Amazon MQ": 100, as of streams).
pub const DEFAULT_BROKER_BATCH_SIZE: u32 = 100;
/// How long messages are gathered, seconds (service model, `MaximumBatchingWindowInSeconds`).
pub const WINDOW_S: RangeInclusive<u32> = 0..=300;
/// Batches at the same time (service model, `ScalingConfig`).
pub const MAXIMUM_CONCURRENCY: RangeInclusive<u32> = 2..=1_000;
/// Filters of a mapping (guide, "Control which events Lambda sends to your function").
pub const FILTERS: usize = 5;
/// Further attempts of a record of a stream (service model, `MaximumRetryAttempts`); [`NO_BOUND`] besides.
pub const RECORD_RETRIES: RangeInclusive<u32> = 0..=10_000;
/// Age of a record of a stream, seconds (service model, `MaximumRecordAgeInSeconds`); [`NO_BOUND`] besides.
pub const RECORD_AGE_S: RangeInclusive<u32> = 60..=604_800;
/// How the API says that there is no bound.
pub const NO_BOUND: i64 = -1;
/// Mappings of an account in a region (Hearth's own): each that is enabled has a task.
pub const MAPPINGS: usize = 1_000;

/// The UUID of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MappingUuid(String);

as_text!(MappingUuid);

impl MappingUuid {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MappingUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a UUID in lower case")]
pub struct MappingUuidError;

impl FromStr for MappingUuid {
    type Err = MappingUuidError;

    fn from_str(text: &str) -> Result<Self, MappingUuidError> {
        let is_good = |(at, byte): (usize, u8)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        if text.len() == 36 && text.bytes().enumerate().all(is_good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MappingUuidError)
        }
    }
}

/// Where a mapping lives, and its UUID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MappingId {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// Which.
    pub uuid: MappingUuid,
}

impl MappingId {
    /// Its ARN.
    pub fn arn(&self) -> String {
        let Self {
            account,
            region,
            uuid,
        } = self;
        format!("arn:aws:lambda:{region}:{account}:event-source-mapping:{uuid}")
    }

    /// Reads an ARN.
    pub fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.split(':');
        let (partition, service) = match (parts.next(), parts.next(), parts.next()) {
            (Some("arn"), Some(partition), Some(service)) => (partition, service),
            _ => return None,
        };
        let (region, account) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let kind = parts.next()?;
        let uuid = parts.next()?.parse().ok()?;
        let is_one = partition.starts_with("aws")
            && (service, kind) == ("lambda", "event-source-mapping")
            && parts.next().is_none();
        is_one.then_some(Self {
            account,
            region,
            uuid,
        })
    }
}

/// What a mapping says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Whose messages. Records name it by its kind.
    #[serde(flatten)]
    pub source: Source,
    /// Who is given them.
    pub function: FunctionKey,
    /// Which version or alias, if that was said.
    pub qualifier: Option<Qualifier>,
    /// Whether anybody is given any.
    pub enabled: bool,
    /// Most messages of a batch.
    pub batch_size: u32,
    /// How long messages are gathered, seconds.
    pub window_s: u32,
    /// Patterns of which a message matches one, as they were given; none: all messages are meant.
    pub filters: Vec<String>,
    /// Whether the function says which messages of a batch have failed.
    pub reports_failures: bool,
    /// Most batches at the same time, if that was said.
    pub maximum_concurrency: Option<u32>,
    /// When a record of a stream is given up. Records that were stored before there was such a thing don't say.
    #[serde(default, skip_serializing_if = "Retries::is_default")]
    pub retries: Retries,
}

/// When a record that a function fails for is given up, and who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// Attempts after the first ([`RECORD_RETRIES`]); without it there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Age at which it is not tried any more, seconds ([`RECORD_AGE_S`]); without it there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u32>,
    /// Whether a batch that failed is tried in halves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bisects: bool,
    /// Who is told of what was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<DestinationArn>,
}

impl Retries {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it matters how often a record was tried.
    pub const fn counts(&self) -> bool {
        self.attempts.is_some() || self.age_s.is_some() || self.bisects
    }
}

/// Where a mapping is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MappingState {
    /// It was made, and its poller has not begun.
    Creating,
    /// It was enabled, and its poller has not begun.
    Enabling,
    /// Messages are given to the function.
    Enabled,
    /// It was disabled, and its poller has not stopped.
    Disabling,
    /// Nothing is done.
    Disabled,
    /// It was changed, and its poller does not know yet.
    Updating,
    /// It is removed when its poller has stopped.
    Deleting,
}

impl MappingState {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
        }
    }

    /// Whether nothing is under way.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Enabled | Self::Disabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_before_there_were_retries_is_read() {
        let old = r#"{"queue":{"account":"123456789012","region":"eu-west-1","name":"q"},"function":{"account":"123456789012","region":"eu-west-1","name":"f"},"qualifier":null,"enabled":true,"batch_size":10,"window_s":0,"filters":[],"reports_failures":false,"maximum_concurrency":null}"#;
        let mut mapping: Mapping = serde_json::from_str(old).unwrap();
        assert_eq!(mapping.retries, Retries::default());
        assert_eq!(serde_json::to_string(&mapping).unwrap(), old);
        mapping.retries = Retries {
            attempts: Some(0),
            age_s: Some(60),
            bisects: true,
            on_failure: Some("arn:aws:s3:::failed".parse().unwrap()),
        };
        let text = serde_json::to_string(&mapping).unwrap();
        assert_eq!(serde_json::from_str::<Mapping>(&text).unwrap(), mapping);
    }

    #[test]
    fn arns_read_back_and_others_do_not() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f1";
        assert_eq!(MappingId::of_arn(arn).unwrap().arn(), arn);
        for bad in [
            "",
            "arn:aws:lambda",
            &arn.replace("lambda", "sqs"),
            &arn.replace("event-source-mapping", "function"),
            &arn.to_uppercase(),
            &arn[..arn.len() - 1],
            &format!("{arn}:1"),
            &arn.replace("0f1e", "xxxx"),
            &arn.replace("123456789012", "1"),
        ] {
            assert_eq!(MappingId::of_arn(bad), None, "{bad}");
        }
    }
}
