//! What is told.

use bytes::Bytes;
use hearth_events::destinations::{Form, Told, record};
use hearth_mappings as mappings;
use hearth_store::events::{End, Event};
use hearth_types::event_invoke::Condition;
use hearth_types::invoke::RequestId;
use hearth_types::lineage;
use hearth_types::time::Timestamp;
use sha2::{Digest as _, Sha256};

/// One end in one form, or what a mapping gave up at once.
#[derive(Debug)]
pub(crate) struct Message {
    /// The same however often this is told in this form, and never that of anything else: a UUID.
    pub(crate) id: RequestId,
    /// Where it is among a bucket's.
    pub(crate) folder: String,
    /// When it came about.
    pub(crate) at: Timestamp,
    /// The trace, with the function in its chain.
    pub(crate) trace: String,
    /// Whether it tells that a chain has run a function too often.
    pub(crate) ends_loop: bool,
    /// JSON.
    pub(crate) body: Bytes,
    /// What goes with a dead letter, as a queue's message has it (guide, "Dead-letter queues").
    pub(crate) attributes: Vec<(&'static str, String)>,
}

impl Message {
    /// # Errors
    /// If the record can't be written.
    pub(crate) fn of_end(told: Told<'_>) -> Result<Self, String> {
        let Told {
            form, event, end, ..
        } = told;
        let (body, attributes) = match form {
            Form::Record => {
                let body = serde_json::to_vec(&record(event, end));
                let body =
                    body.map_err(|error| format!("The record can't be written: {error}."))?;
                (body.into(), Vec::new())
            }
            Form::DeadLetter => (event.payload.clone(), attributes(event, end)),
        };
        Ok(Self {
            id: id(event, end, form),
            folder: format!("async/{}", event.function.name),
            at: end.at,
            trace: lineage::with(&event.trace_id, &event.function),
            ends_loop: end.condition == Condition::RecursiveInvocation,
            body,
            attributes,
        })
    }

    pub(crate) fn of_batch(told: mappings::Told<'_>) -> Self {
        let uuid = told.mapping.uuid.as_str();
        // It names the records and their last attempt: those of another mapping, or given up once more, are others.
        let mut hash = Sha256::new();
        hash.update(uuid);
        hash.update(&told.body);
        Self {
            id: first_of(hash),
            folder: uuid.to_owned(),
            at: told.at,
            trace: told.trace_id.to_owned(),
            ends_loop: false,
            body: told.body,
            attributes: Vec::new(),
        }
    }
}

fn attributes(event: &Event, end: &End) -> Vec<(&'static str, String)> {
    // "The HTTP status code", as an invocation that waits would have had it.
    let code = match (end.version, end.condition) {
        (Some(_), _) => 200,
        (None, Condition::ZeroReservedConcurrency) => 429,
        (None, _) => 500,
    };
    vec![
        ("RequestID", event.id.to_string()),
        ("ErrorCode", code.to_string()),
        ("ErrorMessage", end.message.clone()),
    ]
}

/// Made of what it tells apart, so that a node that was restarted knows it as well. An event that was redriven ends at
/// another time.
fn id(event: &Event, end: &End, form: Form) -> RequestId {
    let mut hash = Sha256::new();
    hash.update(event.id.as_str());
    hash.update(end.at.as_millis().to_le_bytes());
    hash.update([match form {
        Form::Record => 0,
        Form::DeadLetter => 1,
    }]);
    first_of(hash)
}

fn first_of(hash: Sha256) -> RequestId {
    let hash: [u8; 32] = hash.finalize().into();
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    RequestId::from_random(first)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::LazyLock;

    use hearth_types::event_invoke::DestinationArn;
    use hearth_types::invoke::FunctionError;
    use hearth_types::name::Version;

    use super::*;

    pub(crate) fn event() -> Event {
        Event {
            id: RequestId::from_random([3; 16]),
            function: hearth_store::conformance::samples::key("broken"),
            qualifier: None,
            payload: Bytes::from_static(b"{\"n\":1}"),
            client_context: None,
            trace_id: "Root=1-5759e988-bd862e3fe1be46a994272793".to_owned(),
            accepted: Timestamp::from_millis(1_767_323_040_000),
            due: Timestamp::from_millis(1_767_323_040_000),
        }
    }

    pub(crate) fn end() -> End {
        End {
            at: Timestamp::from_millis(1_767_323_045_678),
            condition: Condition::RetriesExhausted,
            attempts: 3,
            version: Some(Version::Latest),
            error: Some(FunctionError::Unhandled),
            message: "ValueError: no".to_owned(),
            response: None,
        }
    }

    pub(crate) fn message(event: &Event, end: &End, form: Form) -> Message {
        static ANY: LazyLock<DestinationArn> =
            LazyLock::new(|| "arn:aws:s3:::failed".parse().unwrap());
        Message::of_end(Told {
            destination: &ANY,
            form,
            event,
            end,
        })
        .unwrap()
    }

    #[test]
    fn a_dead_letter_is_the_event_with_what_became_of_it() {
        let (event, end) = (event(), end());
        let letter = message(&event, &end, Form::DeadLetter);
        assert_eq!(letter.body, "{\"n\":1}");
        assert_eq!(
            letter.attributes,
            [
                ("RequestID", event.id.to_string()),
                ("ErrorCode", "200".to_owned()),
                ("ErrorMessage", "ValueError: no".to_owned())
            ]
        );
        let never_run = End {
            version: None,
            condition: Condition::ZeroReservedConcurrency,
            ..end
        };
        let letter = message(&event, &never_run, Form::DeadLetter);
        assert_eq!(letter.attributes[1].1, "429");
    }

    #[test]
    fn identifiers_are_of_one_end_in_one_form() {
        let (event, end) = (event(), end());
        let id = message(&event, &end, Form::Record).id;
        assert_eq!(message(&event, &end, Form::Record).id, id);
        assert_ne!(message(&event, &end, Form::DeadLetter).id, id);
        let later = End {
            at: Timestamp::from_millis(end.at.as_millis() + 1),
            ..end
        };
        assert_ne!(message(&event, &later, Form::Record).id, id);
    }

    #[test]
    fn what_a_mapping_gave_up_is_known_by_what_is_said_of_it() {
        let destination = "arn:aws:s3:::failed".parse().unwrap();
        let message = |n, body: &'static [u8]| {
            Message::of_batch(mappings::Told {
                destination: &destination,
                mapping: &hearth_store::conformance::samples::mapping_id(n),
                at: Timestamp::from_millis(1_767_323_045_678),
                trace_id: "Root=1",
                body: Bytes::from_static(body),
            })
        };
        let one = message(1, b"{}");
        assert_eq!(one.id, message(1, b"{}").id);
        assert_eq!(one.folder, "00000000-0000-4000-8000-000000000001");
        assert_ne!(one.id, message(2, b"{}").id);
        assert_ne!(one.id, message(1, b"{\"n\":1}").id);
    }
}
