//! To a queue: a message.

use std::collections::BTreeMap;

use hearth_queues::Queues;
use hearth_queues::wire::{MessageAttribute, SendMessage};
use hearth_types::name::QueueId;

use crate::message::Message;

/// Sends the message; it is on disk when this answers. The trace goes with it, and with it the chain of invocations by
/// which loops are found.
///
/// # Errors
/// If the queue does not take it.
pub(crate) async fn send(queues: &Queues, to: &QueueId, message: &Message) -> Result<(), String> {
    let body = std::str::from_utf8(&message.body)
        .map_err(|_| "The event is not text, which messages are.".to_owned())?;
    let request = SendMessage {
        message_body: Some(escaped(body)),
        message_attributes: Some(attributes(message)),
        message_system_attributes: Some(BTreeMap::from([(
            "AWSTraceHeader".to_owned(),
            attribute("String", &message.trace),
        )])),
        ..SendMessage::default()
    };
    let sent = queues.send(to.into(), message.id, request).await;
    sent.map_err(|error| format!("The queue does not take it: {}", error.message))
}

/// The same JSON without the two characters that may stand in it and not in a message (service model, `SendMessage`).
fn escaped(json: &str) -> String {
    json.replace('\u{FFFE}', "\\ufffe")
        .replace('\u{FFFF}', "\\uffff")
}

/// What goes with a dead letter. An attribute can't be empty: one that is says nothing, and is left out.
fn attributes(message: &Message) -> BTreeMap<String, MessageAttribute> {
    let given = message.attributes.iter();
    given
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            // Guide, "Dead-letter queues": the code is a number.
            let kind = if *name == "ErrorCode" {
                "Number"
            } else {
                "String"
            };
            ((*name).to_owned(), attribute(kind, value))
        })
        .collect()
}

/// Text of functions may hold control characters, which attributes may not.
fn attribute(kind: &str, value: &str) -> MessageAttribute {
    let is_allowed = |c: char| !c.is_control() && !matches!(c, '\u{FFFE}' | '\u{FFFF}');
    let clean = |c: char| if is_allowed(c) { c } else { ' ' };
    MessageAttribute {
        data_type: kind.to_owned(),
        string_value: Some(value.chars().map(clean).collect()),
        binary_value: None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use hearth_events::destinations::Form;
    use hearth_store::{QueueBounds, SqliteQueueStore};
    use hearth_types::destination::Destination;
    use hearth_types::lineage;
    use serde_json::{Value, json};

    use super::*;
    use crate::message::tests::{end, event, message};

    struct World {
        queues: Queues,
        caller: hearth_queues::Caller,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("queues.db");
            let now = SystemTime::now().into();
            let store = SqliteQueueStore::open(path, QueueBounds::default(), now).unwrap();
            let clock = Arc::new(|| SystemTime::now().into());
            Self {
                queues: Queues::new(Arc::new(store), clock, Default::default()),
                caller: hearth_queues::Caller {
                    account: "000000000000".parse().unwrap(),
                    region: "us-east-1".parse().unwrap(),
                    base: String::new(),
                    trace: None,
                },
                _folder: folder,
            }
        }

        async fn call(&self, operation: &str, body: Value) -> Value {
            let body = serde_json::to_vec(&body).unwrap();
            self.queues
                .call(&self.caller, operation, &body)
                .await
                .unwrap()
        }
    }

    fn dead() -> QueueId {
        let arn: Destination = "arn:aws:sqs:us-east-1:000000000000:dead".parse().unwrap();
        match arn {
            Destination::Queue(id) => id,
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn a_dead_letter_is_a_message_whatever_the_function_said() {
        let world = World::new();
        let mut event = event();
        event.payload = "{\"n\":\"\u{FFFE}\u{FFFF}é\"}".into();
        let mut end = end();
        end.message = "no\u{0}\nway".to_owned();
        let letter = message(&event, &end, Form::DeadLetter);
        let missing = send(&world.queues, &dead(), &letter).await.unwrap_err();
        assert!(missing.contains("does not exist"), "{missing}");

        world
            .call("CreateQueue", json!({"QueueName": "dead"}))
            .await;
        send(&world.queues, &dead(), &letter).await.unwrap();
        let all = json!({
            "QueueUrl": "/000000000000/dead",
            "MessageAttributeNames": ["All"],
            "MessageSystemAttributeNames": ["AWSTraceHeader"],
        });
        let got = &world.call("ReceiveMessage", all).await["Messages"][0];
        assert_eq!(got["MessageId"], letter.id.as_str());
        let body: Value = serde_json::from_str(got["Body"].as_str().unwrap()).unwrap();
        assert_eq!(body, json!({"n": "\u{FFFE}\u{FFFF}é"}), "the same JSON");
        let attributes = &got["MessageAttributes"];
        assert_eq!(attributes["RequestID"]["StringValue"], event.id.as_str());
        assert_eq!(
            attributes["ErrorCode"],
            json!({"DataType": "Number", "StringValue": "200"})
        );
        assert_eq!(attributes["ErrorMessage"]["StringValue"], "no  way");
        let trace = got["Attributes"]["AWSTraceHeader"].as_str().unwrap();
        assert_eq!(lineage::runs(trace, &event.function), 1);
    }
}
