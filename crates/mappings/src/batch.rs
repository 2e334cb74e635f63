//! From messages to events: which are meant, how each is written, and how many go into one event.

use std::collections::BTreeMap;

use hearth_patterns::Pattern;
use hearth_queues::wire::Message;
use hearth_types::destination::Destination;
use hearth_types::limits::REQUEST_PAYLOAD_BYTES;
use hearth_types::name::QueueId;
use hearth_types::time::Timestamp;
use hearth_types::wire::broker_event::Around;
use hearth_types::wire::queue_event::{QueueRecord, QueueRecordAttribute};
use serde_json::Value;

use crate::source::Handle;

/// A message as it is handed to a function.
#[derive(Debug)]
pub(crate) struct Record {
    /// The message's identifier.
    pub(crate) id: String,
    pub(crate) handle: Handle,
    /// What it is in one order with: the message group of a FIFO queue, the partition of Kafka.
    pub(crate) group: Option<String>,
    pub(crate) place: Place,
    /// JSON.
    pub(crate) text: Vec<u8>,
}

/// Where a record is in its stream, and since when. Of a queue nobody asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The offset in its partition, or the identifier in its stream.
    pub(crate) position: String,
    /// When it came into being, if that is known.
    pub(crate) time: Option<Timestamp>,
}

/// A message that no function can be given. It is not kept.
#[derive(Debug)]
pub(crate) struct Unfit {
    /// Without its text.
    pub(crate) record: Box<Record>,
    /// Of the event that it would be, or of the message if it can't be written.
    pub(crate) bytes: usize,
    pub(crate) why: String,
}

/// Writes a queue's message down; `None` if no filter means it.
///
/// # Errors
/// If it can't be written.
pub(crate) fn queue_record(
    message: Message,
    queue: &QueueId,
    filters: &[Pattern],
) -> Result<Option<Record>, serde_json::Error> {
    let is_fifo = message.attributes.contains_key("SequenceNumber");
    let group = message.attributes.get("MessageGroupId").cloned();
    let attributes = message.attributes.into_iter();
    let own = message.message_attributes.into_iter();
    let own: BTreeMap<_, _> = own
        .map(|(name, attribute)| {
            let attribute = QueueRecordAttribute {
                string_value: attribute.string_value,
                binary_value: attribute.binary_value,
                string_list_values: Vec::new(),
                binary_list_values: Vec::new(),
                data_type: attribute.data_type,
            };
            (name, attribute)
        })
        .collect();
    let record = QueueRecord {
        message_id: message.message_id,
        receipt_handle: message.receipt_handle,
        body: message.body,
        attributes: attributes
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        message_attributes: own,
        md5_of_message_attributes: message.md5_of_message_attributes,
        md5_of_body: message.md5_of_body,
        event_source: QueueRecord::SOURCE.to_owned(),
        event_source_arn: Destination::Queue(queue.clone()).to_string(),
        aws_region: queue.region.to_string(),
    };
    if !filters.is_empty() && !is_meant(&record, filters)? {
        return Ok(None);
    }
    Ok(Some(Record {
        text: serde_json::to_vec(&record)?,
        id: record.message_id,
        handle: Handle::Receipt(record.receipt_handle),
        group: group.filter(|_| is_fifo),
        place: Place::default(),
    }))
}

/// Whether a filter means the record. A body that is a JSON object or list is looked into (developer guide, "Properly
/// filtering Amazon SQS messages").
fn is_meant(record: &QueueRecord, filters: &[Pattern]) -> Result<bool, serde_json::Error> {
    let mut event = serde_json::to_value(record)?;
    if let Some(body) = looked_into(&record.body) {
        event["body"] = body;
    }
    Ok(filters.iter().any(|filter| filter.matches(&event)))
}

/// A JSON object or list, if the text is one: filters look into it.
pub(crate) fn looked_into(text: &str) -> Option<Value> {
    let read: Value = serde_json::from_str(text).ok()?;
    (read.is_object() || read.is_array()).then_some(read)
}

/// Parts of a batch that each fit into an event, in order.
pub(crate) fn parts(mut records: Vec<Record>, around: &Around) -> Vec<Vec<Record>> {
    if around.in_groups {
        // Those of a group stay in their order.
        records.sort_by(|one, other| one.group.cmp(&other.group));
    }
    let most = REQUEST_PAYLOAD_BYTES.saturating_sub(around.before.len() + around.after.len());
    let mut parts: Vec<Vec<Record>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        // A comma with each, and its group, as if it were the first of it.
        let added = record.text.len() + 1 + list(&record, around).map_or(0, |list| list.len() + 1);
        match parts.last_mut() {
            Some(part) if bytes + added <= most => {
                bytes += added;
                part.push(record);
            }
            _ => {
                bytes = added;
                parts.push(vec![record]);
            }
        }
    }
    parts
}

/// How the list of a record's group begins, if there are lists by groups.
pub(crate) fn list(record: &Record, around: &Around) -> Option<String> {
    let group = around.in_groups.then_some(record.group.as_deref());
    let group = group.map(|group| Value::from(group.unwrap_or_default()));
    group.map(|group| format!("{group}:["))
}

/// The event of a part.
pub(crate) fn event(records: &[Record], around: &Around) -> Vec<u8> {
    let Around { before, after, .. } = around;
    let bytes: usize = records.iter().map(|record| record.text.len() + 1).sum();
    let mut event = Vec::with_capacity(before.len() + bytes + after.len());
    event.extend_from_slice(before);
    let mut last: Option<&Record> = None;
    for record in records {
        let is_same = last.is_some_and(|last| last.group == record.group);
        match (last, list(record, around)) {
            (Some(_), Some(list)) if !is_same => {
                event.extend_from_slice(b"],");
                event.extend_from_slice(list.as_bytes());
            }
            (None, Some(list)) => event.extend_from_slice(list.as_bytes()),
            (Some(_), _) => event.push(b','),
            (None, None) => {}
        }
        event.extend_from_slice(&record.text);
        last = Some(record);
    }
    if around.in_groups && last.is_some() {
        event.push(b']');
    }
    event.extend_from_slice(after);
    event
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(body: &str) -> Message {
        Message {
            message_id: "m".to_owned(),
            receipt_handle: "r".to_owned(),
            md5_of_body: "d".to_owned(),
            body: body.to_owned(),
            attributes: [("SenderId", "1".to_owned())].into(),
            md5_of_message_attributes: None,
            message_attributes: BTreeMap::new(),
        }
    }

    fn queue() -> QueueId {
        let arn: Destination = "arn:aws:sqs:eu-west-1:123456789012:q".parse().unwrap();
        match arn {
            Destination::Queue(id) => id,
            other => panic!("{other}"),
        }
    }

    fn is_meant(body: &str, filters: &[&str]) -> bool {
        let filters: Vec<_> = filters.iter().map(|text| text.parse().unwrap()).collect();
        let record = queue_record(message(body), &queue(), &filters).unwrap();
        record.is_some()
    }

    #[test]
    fn filters_look_into_bodies_that_are_json() {
        let object = r#"{"body":{"n":[{"numeric":[">",1]}]}}"#;
        let text = r#"{"body":["plain",{"prefix":"{"}]}"#;
        let around = r#"{"attributes":{"SenderId":["1"]}}"#;
        for (body, filters, expected) in [
            (r#"{"n":2}"#, &[object][..], true),
            (r#"{"n":1}"#, &[object], false),
            (r#"[{"n":0},{"n":5}]"#, &[object], true),
            ("plain", &[object], false),
            ("plain", &[text], true),
            ("other", &[text], false),
            (r#"{"n":2}"#, &[text], false),
            ("{ no JSON", &[text], true),
            ("7", &[r#"{"body":["7"]}"#], true),
            ("7", &[r#"{"body":[7]}"#], false),
            ("whatever", &[around], true),
            ("plain", &[object, text], true),
            ("whatever", &[], true),
        ] {
            assert_eq!(is_meant(body, filters), expected, "{body} {filters:?}");
        }
    }

    #[test]
    fn events_hold_what_fits_and_all_of_it_in_order() {
        let body = "\"".repeat(900_000);
        let records = (0..10).map(|_| {
            let record = queue_record(message(&body), &queue(), &[]).unwrap();
            record.unwrap()
        });
        let around = Around::queue_records();
        let parts = parts(records.collect(), &around);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3, 1]);
        for part in &parts {
            let event = event(part, &around);
            assert!(event.len() <= REQUEST_PAYLOAD_BYTES);
            let event: Value = serde_json::from_slice(&event).unwrap();
            assert_eq!(event["Records"].as_array().unwrap().len(), part.len());
        }
        let one = queue_record(message("x"), &queue(), &[]).unwrap();
        let one = event(&[one.unwrap()], &around);
        let one: Value = serde_json::from_slice(&one).unwrap();
        assert_eq!(
            one,
            json!({"Records": [{
                "messageId": "m",
                "receiptHandle": "r",
                "body": "x",
                "attributes": {"SenderId": "1"},
                "messageAttributes": {},
                "md5OfBody": "d",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:q",
                "awsRegion": "eu-west-1",
            }]})
        );
    }

    #[test]
    fn records_of_partitions_are_in_lists_and_in_order() {
        let record = |group: &str, text: &str| Record {
            id: text.to_owned(),
            handle: Handle::Receipt(String::new()),
            group: Some(group.to_owned()),
            place: Place::default(),
            text: text.as_bytes().to_vec(),
        };
        let around = Around::kafka_records(&["a:1".to_owned()]).unwrap();
        let records = vec![record("t-1", "1"), record("t-0", "2"), record("t-1", "3")];
        let parts = parts(records, &around);
        let read = |event: Vec<u8>| serde_json::from_slice::<Value>(&event).unwrap();
        assert_eq!(parts.len(), 1);
        assert_eq!(
            read(event(&parts[0], &around)),
            json!({
                "eventSource": "SelfManagedKafka",
                "bootstrapServers": "a:1",
                "records": {"t-0": [2], "t-1": [1, 3]},
            })
        );
        assert_eq!(read(event(&[], &around))["records"], json!({}));
        // However many partitions there are, and however little of each: an event is not too large.
        let text = format!("\"{}\"", "x".repeat(20_000));
        let many = (0..1_000).map(|n| record(&format!("topic-{n}"), &text));
        let parts = super::parts(many.collect(), &around);
        for part in &parts {
            let event = event(part, &around);
            assert!(event.len() <= REQUEST_PAYLOAD_BYTES);
            assert_eq!(
                read(event)["records"].as_object().unwrap().len(),
                part.len()
            );
        }
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 1_000);
    }
}
