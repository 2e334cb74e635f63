//! What a broker has as a source. A broker can't be looked at without being asked again and again: of it one message is in
//! hand, which says that a batch is due; the rest is taken when everything is there that a batch needs.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth_brokers::{Delivery, Subscription};
use hearth_patterns::Pattern;
use hearth_types::limits::REQUEST_PAYLOAD_BYTES;
use hearth_types::mapping::Mapping;
use hearth_types::wire::broker_event::{Around, BrokerRecord, CloudEvent};
use serde_json::Value;
use tokio::time::Instant;

use crate::batch::{Place, Record, Unfit, list, looked_into};
use crate::source::{Batch, Handle, Problem};
use crate::work::Rules;

/// How often a broker is asked how much waits while messages are gathered.
const COUNT_AGAIN: Duration = Duration::from_millis(500);
/// Longest that a broker is waited for where nobody needs its answer.
const FORGET: Duration = Duration::from_secs(5);

/// What a broker has.
pub(crate) struct Broker(Subscription);

impl Broker {
    pub(crate) fn new(subscription: Subscription) -> Self {
        Self(subscription)
    }

    /// Connects, if there is no connection.
    pub(crate) async fn connect(&self) -> Result<(), Problem> {
        Ok(self.0.connect().await?)
    }

    pub(crate) async fn due(&self, mapping: &Mapping) -> Result<(), Problem> {
        self.0.first().await?;
        let end = Instant::now() + Duration::from_secs(mapping.window_s.into());
        while Instant::now() < end {
            let waiting = self.0.waiting().await?;
            // And the one in hand.
            if waiting.is_some_and(|waiting| waiting + 1 >= mapping.batch_size.into()) {
                break;
            }
            tokio::time::sleep_until(end.min(Instant::now() + COUNT_AGAIN)).await;
        }
        Ok(())
    }

    pub(crate) async fn take(&self, rules: &Rules) -> Result<Batch, Problem> {
        let most = rules.mapping.batch_size as usize;
        let mut taken = self.0.take(most, REQUEST_PAYLOAD_BYTES).await?;
        let deliveries = std::mem::take(&mut taken.deliveries);
        let mut batch = Batch {
            messages: deliveries.len(),
            taken: Some(taken),
            ..Batch::default()
        };
        for delivery in deliveries {
            let handle = Handle::Tag(delivery.tag.clone());
            match record(delivery, &rules.around, &rules.filters) {
                Ok(Some(record)) => batch.records.push(record),
                Ok(None) => batch.meant_by_none.push(handle),
                Err(unfit) => batch.unfit.push(unfit),
            }
        }
        Ok(batch)
    }

    /// Whoever takes messages says what is wrong.
    pub(crate) async fn waiting(&self) -> Option<u64> {
        self.0.waiting().await.ok().flatten()
    }

    pub(crate) async fn forget(&self) -> Result<(), Problem> {
        match tokio::time::timeout(FORGET, self.0.forget()).await {
            Ok(forgotten) => Ok(forgotten?),
            Err(_) => Err(Problem("The broker did not answer".to_owned())),
        }
    }
}

/// Writes a message down; `None` if no filter means it.
fn record(
    delivery: Delivery,
    around: &Around,
    filters: &[Pattern],
) -> Result<Option<Record>, Unfit> {
    let position = match &delivery.record {
        BrokerRecord::Kafka(record) => record.offset.to_string(),
        _ => delivery.id.clone(),
    };
    let sent = delivery.bytes;
    let mut record = Record {
        id: delivery.id,
        handle: Handle::Tag(delivery.tag),
        group: delivery.group,
        place: Place {
            position,
            time: delivery.time,
        },
        text: Vec::new(),
    };
    let unfit = |record, bytes, why| Unfit {
        record: Box::new(record),
        bytes,
        why,
    };
    let text = match written(&delivery.record, filters) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(error) => return Err(unfit(record, sent, error.to_string())),
    };
    let list = list(&record, around).map_or(0, |list| list.len() + "]".len());
    let bytes = around.before.len() + list + text.len() + around.after.len();
    if bytes > REQUEST_PAYLOAD_BYTES {
        let why = format!(
            "as an event it has {bytes} bytes, and functions are given {REQUEST_PAYLOAD_BYTES}"
        );
        return Err(unfit(record, bytes, why));
    }
    record.text = text;
    Ok(Some(record))
}

/// The text of a message; `None` if no filter means it.
fn written(
    record: &BrokerRecord,
    filters: &[Pattern],
) -> Result<Option<Vec<u8>>, serde_json::Error> {
    if !filters.is_empty() {
        let event = event(record)?;
        if !filters.iter().any(|filter| filter.matches(&event)) {
            return Ok(None);
        }
    }
    serde_json::to_vec(record).map(Some)
}

/// A record as filters see it: the body of RabbitMQ's message as the JSON or the text that it is (developer guide,
/// "Filter events from an Amazon MQ event source"), and so key and value of Kafka's, the body of SQS's and the values of a Redis
/// entry.
fn event(record: &BrokerRecord) -> Result<Value, serde_json::Error> {
    let mut event = serde_json::to_value(record)?;
    let mut decode = |member: &str, base64: &str| {
        // What is no text stays base64.
        if let Ok(bytes) = STANDARD.decode(base64)
            && let Ok(text) = String::from_utf8(bytes)
        {
            event[member] = looked_into(&text).unwrap_or(Value::String(text));
        }
    };
    if let BrokerRecord::Rabbit(record) = record {
        decode("data", &record.data);
    }
    if let BrokerRecord::Kafka(record) = record {
        for (member, base64) in [("key", &record.key), ("value", &record.value)] {
            if let Some(base64) = base64 {
                decode(member, base64);
            }
        }
    }
    if let BrokerRecord::Sqs(record) = record
        && let Some(body) = looked_into(&record.body)
    {
        event["body"] = body;
    }
    if event["type"] == CloudEvent::REDIS
        && let Some(fields) = event["data"].as_object_mut()
    {
        for value in fields.values_mut() {
            if let Some(read) = value.as_str().and_then(looked_into) {
                *value = read;
            }
        }
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use hearth_brokers::Tag;
    use hearth_types::wire::broker_event::RabbitRecord;

    use super::*;

    fn delivery(body: &[u8]) -> Delivery {
        Delivery {
            id: "7".to_owned(),
            group: None,
            time: None,
            bytes: body.len(),
            tag: Tag::Number(7),
            record: BrokerRecord::Rabbit(Box::new(RabbitRecord {
                basic_properties: Default::default(),
                redelivered: false,
                data: STANDARD.encode(body),
                delivery_tag: "7".to_owned(),
            })),
        }
    }

    fn is_meant(body: &[u8], filter: &str) -> bool {
        let around = Around::rabbit_records("arn", "q", "/").unwrap();
        let filters = [filter.parse().unwrap()];
        matches!(record(delivery(body), &around, &filters), Ok(Some(_)))
    }

    #[test]
    fn filters_look_into_bodies() {
        let object = r#"{"data":{"n":[{"numeric":[">",1]}]}}"#;
        let text = r#"{"data":[{"prefix":"pl"}]}"#;
        for (body, filter, expected) in [
            (r#"{"n":2}"#.as_bytes(), object, true),
            (br#"{"n":1}"#, object, false),
            (b"plain", object, false),
            (b"plain", text, true),
            (b"other", text, false),
            (b"\xff\xfe", r#"{"data":["//4="]}"#, true),
            (b"x", r#"{"redelivered":[false]}"#, true),
        ] {
            assert_eq!(is_meant(body, filter), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_larger_than_an_event_is_no_record() {
        let around = Around::rabbit_records("arn", "q", "/").unwrap();
        let body = vec![0; REQUEST_PAYLOAD_BYTES / 4 * 3];
        let unfit = record(delivery(&body), &around, &[]).err().unwrap();
        assert!(unfit.bytes > REQUEST_PAYLOAD_BYTES && unfit.record.text.is_empty());
        assert!(record(delivery(&body[..body.len() - 1_000]), &around, &[]).is_ok());
    }
}
