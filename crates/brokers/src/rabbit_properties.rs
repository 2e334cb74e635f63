//! Properties of RabbitMQ's messages, as Amazon MQ's event has them.

use std::collections::BTreeMap;

use hearth_types::wire::broker_event::RabbitProperties;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Value, json};

/// Tables in tables of headers that are shown; deeper ones are null. Readers of JSON stop at about a hundred.
const DEPTH: usize = 32;

pub(crate) fn properties(of: &BasicProperties, body_size: usize) -> RabbitProperties {
    let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    RabbitProperties {
        content_type: text(of.content_type()),
        content_encoding: text(of.content_encoding()),
        headers: of.headers().as_ref().map(|table| members(table, DEPTH)),
        delivery_mode: *of.delivery_mode(),
        priority: *of.priority(),
        correlation_id: text(of.correlation_id()),
        reply_to: text(of.reply_to()),
        expiration: text(of.expiration()),
        message_id: text(of.message_id()),
        timestamp: of.timestamp().and_then(moment),
        kind: text(of.kind()),
        user_id: text(of.user_id()),
        app_id: text(of.app_id()),
        cluster_id: text(of.cluster_id()),
        body_size,
    }
}

/// Seconds since 1970, in the event's words. A publisher may have set whatever it liked.
fn moment(seconds: u64) -> Option<String> {
    let moment = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(moment.strftime("%b %-d, %Y, %-I:%M:%S %p").to_string())
}

fn members(table: &FieldTable, depth: usize) -> BTreeMap<String, Value> {
    let members = table.inner().iter();
    members
        .map(|(name, value)| (name.as_str().to_owned(), header(value, depth)))
        .collect()
}

/// A header's value: numbers and truth values as they are, whatever is bytes as the object that the event has for it.
fn header(value: &AMQPValue, depth: usize) -> Value {
    let Some(inner) = depth.checked_sub(1) else {
        return Value::Null;
    };
    match value {
        AMQPValue::Boolean(value) => json!(value),
        AMQPValue::ShortShortInt(value) => json!(value),
        AMQPValue::ShortShortUInt(value) => json!(value),
        AMQPValue::ShortInt(value) => json!(value),
        AMQPValue::ShortUInt(value) => json!(value),
        AMQPValue::LongInt(value) => json!(value),
        AMQPValue::LongUInt(value) => json!(value),
        AMQPValue::LongLongInt(value) => json!(value),
        AMQPValue::Float(value) => json!(value),
        AMQPValue::Double(value) => json!(value),
        AMQPValue::DecimalValue(value) => json!({"scale": value.scale, "value": value.value}),
        AMQPValue::Timestamp(value) => json!(value),
        AMQPValue::ShortString(value) => json!({"bytes": value.as_str().as_bytes()}),
        AMQPValue::LongString(value) => json!({"bytes": value.as_bytes()}),
        AMQPValue::ByteArray(value) => json!({"bytes": value.as_slice()}),
        AMQPValue::FieldArray(values) => {
            let values = values.as_slice().iter();
            values.map(|value| header(value, inner)).collect()
        }
        AMQPValue::FieldTable(table) => json!(members(table, inner)),
        AMQPValue::Void => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_numbers_truth_values_and_objects_of_bytes() {
        let mut table = FieldTable::default();
        table.insert("text".into(), AMQPValue::LongString("hé".into()));
        table.insert("number".into(), AMQPValue::LongInt(10));
        table.insert("flag".into(), AMQPValue::Boolean(true));
        table.insert("nothing".into(), AMQPValue::Void);
        let list = vec![AMQPValue::Double(1.5), AMQPValue::Double(f64::NAN)];
        table.insert("list".into(), AMQPValue::FieldArray(list.into()));
        let mut inner = FieldTable::default();
        inner.insert("n".into(), AMQPValue::ShortInt(-1));
        table.insert("table".into(), AMQPValue::FieldTable(inner));
        let of = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_timestamp(2_021)
            .with_headers(table);
        let shown = serde_json::to_value(properties(&of, 7)).unwrap();
        assert_eq!(
            shown["headers"],
            json!({
                "text": {"bytes": [104, 195, 169]},
                "number": 10,
                "flag": true,
                "nothing": null,
                "list": [1.5, null],
                "table": {"n": -1},
            })
        );
        assert_eq!(shown["contentType"], "text/plain");
        assert_eq!(shown["timestamp"], "Jan 1, 1970, 12:33:41 AM");
        assert_eq!(shown["bodySize"], 7);
        assert_eq!(shown["priority"], Value::Null);
    }

    #[test]
    fn what_is_nested_deep_is_cut() {
        let mut value = AMQPValue::Boolean(true);
        for _ in 0..1_000 {
            value = AMQPValue::FieldArray(vec![value].into());
        }
        let text = header(&value, DEPTH).to_string();
        assert_eq!(
            text,
            format!("{}null{}", "[".repeat(DEPTH), "]".repeat(DEPTH))
        );
    }

    #[test]
    fn a_moment_that_is_none_is_left_out() {
        assert_eq!(moment(u64::MAX), None);
        assert_eq!(moment(1 << 62), None);
    }
}
