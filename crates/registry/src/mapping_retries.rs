//! What a request may say of records that a function fails for: how often they are tried, for how long, and who is told when
//! they are given up. Streams alone have that.

use std::ops::RangeInclusive;

use hearth_types::ApiError;
use hearth_types::event_invoke::DestinationArn;
use hearth_types::mapping::{NO_BOUND, RECORD_AGE_S, RECORD_RETRIES, Retries};
use hearth_types::wire::lambda::{DestinationConfig, EventSourceMappingRequest, OnEnd};

use crate::constraints::Constraints;
use crate::destination;

/// What a request asks for; what is absent was not said.
pub(crate) struct AskedRetries {
    attempts: Option<Option<u32>>,
    age_s: Option<Option<u32>>,
    bisects: Option<bool>,
    on_failure: Option<Option<DestinationArn>>,
}

impl AskedRetries {
    /// Breaches of the service model go to `constraints`.
    pub(crate) fn read(request: &EventSourceMappingRequest, constraints: &mut Constraints) -> Self {
        let mut bound = |member, value: Option<i64>, range: &RangeInclusive<u32>| {
            let value = value?;
            constraints.range(member, value, NO_BOUND..=i64::from(*range.end()));
            Some(u32::try_from(value).ok())
        };
        let attempts = bound(
            "maximumRetryAttempts",
            request.maximum_retry_attempts,
            &RECORD_RETRIES,
        );
        let age_s = bound(
            "maximumRecordAgeInSeconds",
            request.maximum_record_age_in_seconds,
            &RECORD_AGE_S,
        );
        let on_failure = request.destination_config.as_ref().map(|config| {
            // The shape is good: `check` says why there is none.
            let text = named(&config.on_failure).filter(|text| !is_topic_of_kafka(text));
            destination::read("destinationConfig.onFailure.destination", text, constraints)
        });
        Self {
            attempts,
            age_s,
            bisects: request.bisect_batch_on_function_error,
            on_failure,
        }
    }

    pub(crate) fn over(&self, base: Retries) -> Retries {
        Retries {
            attempts: self.attempts.unwrap_or(base.attempts),
            age_s: self.age_s.unwrap_or(base.age_s),
            bisects: self.bisects.unwrap_or(base.bisects),
            on_failure: self.on_failure.clone().unwrap_or(base.on_failure),
        }
    }
}

/// What a request may not say of a stream.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn check(request: &EventSourceMappingRequest) -> Result<(), ApiError> {
    let age_s = request.maximum_record_age_in_seconds;
    // The service model lets these through, and its documentation doesn't.
    if age_s.is_some_and(|age_s| (0..i64::from(*RECORD_AGE_S.start())).contains(&age_s)) {
        return Err(ApiError::invalid(format!(
            "MaximumRecordAgeInSeconds must be {NO_BOUND}, for records of every age, or from {} to {}.",
            RECORD_AGE_S.start(),
            RECORD_AGE_S.end()
        )));
    }
    let config = request.destination_config.as_ref();
    if config.is_some_and(|config| named(&config.on_failure).is_some_and(is_topic_of_kafka)) {
        return Err(ApiError::invalid(
            "Hearth has no topics of Kafka as destinations. Use the ARN of a queue, a topic, a bucket or a function.",
        ));
    }
    if config.is_some_and(|config| named(&config.on_success).is_some()) {
        return Err(ApiError::invalid(
            "Event source mappings have no DestinationConfig.OnSuccess. Leave it out; OnFailure is told of what was given up.",
        ));
    }
    Ok(())
}

/// What is there of it in a request, for sources that don't have it. Empty forms are taken, as clients send them.
pub(crate) fn of_streams(request: &EventSourceMappingRequest) -> [(bool, &'static str); 4] {
    let tells = |config: &DestinationConfig| {
        named(&config.on_success).is_some() || named(&config.on_failure).is_some()
    };
    [
        (
            request.maximum_record_age_in_seconds.is_some(),
            "MaximumRecordAgeInSeconds",
        ),
        (
            request.bisect_batch_on_function_error == Some(true),
            "BisectBatchOnFunctionError",
        ),
        (
            request.maximum_retry_attempts.is_some(),
            "MaximumRetryAttempts",
        ),
        (
            request.destination_config.as_ref().is_some_and(tells),
            "DestinationConfig",
        ),
    ]
}

/// The destination of an end, if it has one.
fn named(end: &Option<OnEnd>) -> Option<&str> {
    let text = end.as_ref().and_then(|end| end.destination.as_deref());
    text.filter(|text| !text.is_empty())
}

fn is_topic_of_kafka(text: &str) -> bool {
    text.starts_with("kafka://")
}

/// A bound as the API shows it.
pub(crate) fn shown(bound: Option<u32>) -> i64 {
    bound.map_or(NO_BOUND, i64::from)
}

/// The destination as the API shows it.
pub(crate) fn shown_destination(retries: &Retries) -> DestinationConfig {
    let destination = retries.on_failure.as_ref().map(ToString::to_string);
    DestinationConfig {
        on_success: None,
        on_failure: Some(OnEnd { destination }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> EventSourceMappingRequest {
        serde_json::from_str(json).unwrap()
    }

    fn asked(json: &str) -> Result<Retries, ApiError> {
        let mut constraints = Constraints::default();
        let asked = AskedRetries::read(&request(json), &mut constraints);
        constraints.finish()?;
        check(&request(json))?;
        Ok(asked.over(Retries {
            attempts: Some(1),
            age_s: Some(100),
            bisects: true,
            on_failure: Some("arn:aws:s3:::old".parse().unwrap()),
        }))
    }

    #[test]
    fn what_is_absent_stays_and_what_is_said_holds() {
        let stays = asked("{}").unwrap();
        assert_eq!((stays.attempts, stays.age_s), (Some(1), Some(100)));
        assert!(stays.bisects && stays.on_failure.is_some());
        let none = r#"{"MaximumRetryAttempts":-1,"MaximumRecordAgeInSeconds":-1,"BisectBatchOnFunctionError":false,"DestinationConfig":{}}"#;
        assert_eq!(asked(none).unwrap(), Retries::default());
        let all = r#"{"MaximumRetryAttempts":0,"MaximumRecordAgeInSeconds":604800,"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:sqs:us-east-1:000000000000:q"}}}"#;
        let all = asked(all).unwrap();
        assert_eq!((all.attempts, all.age_s), (Some(0), Some(604_800)));
        let config = shown_destination(&all);
        let shown_end = config.on_failure.unwrap().destination.unwrap();
        assert_eq!(shown_end, "arn:aws:sqs:us-east-1:000000000000:q");
        assert_eq!((shown(all.attempts), shown(None)), (0, -1));
    }

    #[test]
    fn bounds_are_the_services() {
        for (bad, says) in [
            (
                r#"{"MaximumRetryAttempts":-2}"#,
                "greater than or equal to -1",
            ),
            (
                r#"{"MaximumRetryAttempts":10001}"#,
                "less than or equal to 10000",
            ),
            (
                r#"{"MaximumRecordAgeInSeconds":604801}"#,
                "less than or equal to 604800",
            ),
            (r#"{"MaximumRecordAgeInSeconds":0}"#, "from 60 to 604800"),
            (r#"{"MaximumRecordAgeInSeconds":59}"#, "from 60 to 604800"),
            (
                r#"{"DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:s3:::b"}}}"#,
                "no DestinationConfig.OnSuccess",
            ),
            (
                r#"{"DestinationConfig":{"OnFailure":{"Destination":"queue"}}}"#,
                "regular expression",
            ),
            (
                r#"{"DestinationConfig":{"OnFailure":{"Destination":"kafka://failed"}}}"#,
                "no topics of Kafka",
            ),
        ] {
            let error = asked(bad).unwrap_err();
            assert!(error.message.contains(says), "{bad}: {}", error.message);
        }
    }
}
