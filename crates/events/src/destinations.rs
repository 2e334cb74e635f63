//! Who is told of an event's end, and what.

use hearth_store::events::{End, Event};
use hearth_types::arn::FunctionArn;
use hearth_types::event_invoke::{Condition, DestinationArn, EventSettings};
use hearth_types::invoke::BoxFuture;
use hearth_types::name::{Qualifier, Version};
use hearth_types::wire::destination::{InvocationRecord, RequestContext, ResponseContext};
use serde_json::value::RawValue;

/// Tells destinations.
pub trait Destinations: Send + Sync + 'static {
    /// Tells one destination of the end of `event`, which is a function's of the same account, and answers once that is
    /// safe there. It may be called again for the same end.
    ///
    /// # Errors
    /// Why it could not be told, in a sentence; it is tried again.
    fn tell<'a>(&'a self, told: Told<'a>) -> BoxFuture<'a, Result<(), String>>;
}

/// One thing to tell.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Whom.
    pub destination: &'a DestinationArn,
    /// In which form.
    pub form: Form,
    /// The event.
    pub event: &'a Event,
    /// How it ended.
    pub end: &'a End,
}

/// In which form an end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The invocation record, as `OnSuccess` and `OnFailure` get it.
    Record,
    /// The event itself, with the attributes RequestID, ErrorCode and ErrorMessage, as a dead-letter queue gets it.
    DeadLetter,
}

/// Whom `settings` want to be told of an end, and in which form.
pub fn wanted(
    settings: &EventSettings,
    condition: Condition,
) -> impl Iterator<Item = (&DestinationArn, Form)> {
    let (record, dead_letter) = match condition {
        Condition::Success => (&settings.invoke.on_success, None),
        _ => (&settings.invoke.on_failure, settings.dead_letter.as_ref()),
    };
    record
        .as_ref()
        .map(|destination| (destination, Form::Record))
        .into_iter()
        .chain(dead_letter.map(|destination| (destination, Form::DeadLetter)))
}

/// The invocation record of an end.
pub fn record(event: &Event, end: &End) -> InvocationRecord {
    let qualifier = event
        .qualifier
        .clone()
        .unwrap_or(Qualifier::Version(Version::Latest));
    let arn = FunctionArn {
        key: &event.function,
        qualifier: Some(qualifier),
    };
    InvocationRecord {
        version: "1.0".to_owned(),
        timestamp: end.at.to_iso_string(),
        request_context: RequestContext {
            request_id: event.id.to_string(),
            function_arn: arn.to_string(),
            condition: end.condition.as_str().to_owned(),
            approximate_invoke_count: end.attempts,
        },
        request_payload: raw(&event.payload),
        response_context: end.version.map(|version| ResponseContext {
            status_code: 200,
            executed_version: version.to_string(),
            function_error: end.error.map(|error| error.as_str().to_owned()),
        }),
        response_payload: end.response.as_deref().map(raw),
    }
}

/// Bytes as JSON: as they are if they are a JSON value, else as a text.
fn raw(bytes: &[u8]) -> Box<RawValue> {
    let as_is = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| RawValue::from_string(text.to_owned()).ok());
    as_is.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(bytes);
        serde_json::value::to_raw_value(&text).unwrap_or_else(|_| RawValue::NULL.to_owned())
    })
}

/// No destinations: nobody can be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Destinations for Nobody {
    fn tell<'a>(&'a self, told: Told<'a>) -> BoxFuture<'a, Result<(), String>> {
        let why = format!("This node can't send anything to {}.", told.destination);
        Box::pin(async move { Err(why) })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hearth_types::invoke::{FunctionError, RequestId};
    use hearth_types::name::FunctionKey;
    use hearth_types::time::Timestamp;

    use super::*;

    fn event() -> Event {
        Event {
            id: RequestId::from_random([0; 16]),
            function: FunctionKey {
                account: "123456789012".parse().unwrap(),
                region: "us-east-2".parse().unwrap(),
                name: "my-function".parse().unwrap(),
            },
            qualifier: None,
            payload: Bytes::from_static(b"{\"ORDER_IDS\": [1]}"),
            client_context: None,
            trace_id: String::new(),
            accepted: Timestamp::default(),
            due: Timestamp::default(),
        }
    }

    #[test]
    fn a_record_has_the_shape_that_the_guide_shows() {
        let end = End {
            at: Timestamp::from_millis(1_573_752_411_303),
            condition: Condition::RetriesExhausted,
            attempts: 3,
            version: Some(Version::Latest),
            error: Some(FunctionError::Unhandled),
            message: String::new(),
            response: Some(Bytes::from_static(b"{\"errorMessage\":\"x\"}")),
        };
        let expected = serde_json::json!({
            "version": "1.0",
            "timestamp": "2019-11-14T17:26:51.303Z",
            "requestContext": {
                "requestId": "00000000-0000-4000-8000-000000000000",
                "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:my-function:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3
            },
            "requestPayload": {"ORDER_IDS": [1]},
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled"
            },
            "responsePayload": {"errorMessage": "x"}
        });
        let shown = serde_json::to_value(record(&event(), &end)).unwrap();
        assert_eq!(shown, expected);

        let never_run = End {
            condition: Condition::ZeroReservedConcurrency,
            version: None,
            error: None,
            response: None,
            ..end
        };
        let shown = serde_json::to_value(record(&event(), &never_run)).unwrap();
        assert!(shown.get("responseContext").is_none());
        assert!(shown.get("responsePayload").is_none());
        assert_eq!(raw(b"\xff{").get(), "\"\u{fffd}{\"");
    }

    #[test]
    fn success_and_failure_have_their_own_destinations() {
        let mut settings = EventSettings::default();
        assert_eq!(wanted(&settings, Condition::Success).count(), 0);
        let arn = |name: &str| -> DestinationArn {
            let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
            arn.parse().unwrap()
        };
        settings.invoke.on_success = Some(arn("success"));
        settings.invoke.on_failure = Some(arn("failure"));
        settings.dead_letter = Some(arn("dead"));
        let told = |condition| -> Vec<_> {
            wanted(&settings, condition)
                .map(|(destination, form)| (destination.clone(), form))
                .collect()
        };
        assert_eq!(told(Condition::Success), [(arn("success"), Form::Record)]);
        assert_eq!(
            told(Condition::EventAgeExceeded),
            [
                (arn("failure"), Form::Record),
                (arn("dead"), Form::DeadLetter)
            ]
        );
    }
}
