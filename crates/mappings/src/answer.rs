//! What a function says of a batch (developer guide, "Reporting batch item failures", "Success and failure conditions").

use std::collections::HashSet;

use hearth_types::wire::broker_event::KafkaRecord;
use serde_json::Value;

use crate::batch::Record;

/// Which messages of a batch have failed, by their places in it.
///
/// A function that says nothing (no answer, no list, an empty one) has taken all. One that names a message that is not
/// there, or none where it should, has failed as a whole, for nobody can know which it means. In a FIFO queue and in a
/// partition of Kafka those behind a failed one of the same group have failed with it: given again, they must come after it.
pub(crate) fn failed(answer: &[u8], records: &[Record]) -> HashSet<usize> {
    let all = || (0..records.len()).collect();
    let Some(names) = names(answer) else {
        return all();
    };
    let mut failed = HashSet::new();
    for name in names {
        match records.iter().position(|record| record.id == name) {
            Some(at) => failed.insert(at),
            None => return all(),
        };
    }
    let mut stopped = HashSet::new();
    for (at, record) in records.iter().enumerate() {
        let Some(group) = &record.group else { continue };
        if failed.contains(&at) {
            stopped.insert(group);
        } else if stopped.contains(group) {
            failed.insert(at);
        }
    }
    failed
}

/// The names in `batchItemFailures`; `None` if it can't be told what is meant.
fn names(answer: &[u8]) -> Option<Vec<String>> {
    let answer: Value = match answer.trim_ascii() {
        b"" => Value::Null,
        text => serde_json::from_slice(text).ok()?,
    };
    let failures = match answer {
        Value::Null => return Some(Vec::new()),
        Value::Object(mut members) => members.remove("batchItemFailures").unwrap_or_default(),
        _ => return None,
    };
    let failures = match failures {
        Value::Null => return Some(Vec::new()),
        Value::Array(failures) => failures,
        _ => return None,
    };
    let name = |failure: Value| match failure.get("itemIdentifier") {
        Some(Value::String(name)) if !name.is_empty() => Some(name.clone()),
        // Of Kafka (developer guide, "Configuring error handling controls for Kafka event sources").
        Some(Value::Object(place)) => {
            let (partition, offset) = (place.get("partition")?, place.get("offset")?);
            Some(KafkaRecord::id(partition.as_str()?, offset.as_i64()?))
        }
        _ => None,
    };
    failures.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Handle;

    fn record(id: &str, group: Option<&str>) -> Record {
        Record {
            id: id.to_owned(),
            handle: Handle::Receipt(String::new()),
            group: group.map(str::to_owned),
            text: Vec::new(),
        }
    }

    fn of_standard(answer: &str) -> Vec<usize> {
        let records = ["a", "b", "c"].map(|id| record(id, None));
        let mut failed: Vec<_> = failed(answer.as_bytes(), &records).into_iter().collect();
        failed.sort_unstable();
        failed
    }

    #[test]
    fn named_messages_have_failed() {
        let names =
            r#"{"batchItemFailures":[{"itemIdentifier":"c"},{"itemIdentifier":"a","more":1}]}"#;
        assert_eq!(of_standard(names), [0, 2]);
        let twice = r#"{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"b"}]}"#;
        assert_eq!(of_standard(twice), [1]);
    }

    #[test]
    fn saying_nothing_is_success() {
        for answer in [
            "",
            "null",
            "{}",
            r#"{"batchItemFailures":null}"#,
            r#"{"batchItemFailures":[]}"#,
            r#"{"something":"else"}"#,
        ] {
            assert_eq!(of_standard(answer), [] as [usize; 0], "{answer}");
        }
    }

    #[test]
    fn what_can_not_be_understood_is_the_failure_of_all() {
        for answer in [
            "{",
            "\"done\"",
            "[]",
            "1",
            r#"{"batchItemFailures":{}}"#,
            r#"{"batchItemFailures":"a"}"#,
            r#"{"batchItemFailures":["a"]}"#,
            r#"{"batchItemFailures":[null]}"#,
            r#"{"batchItemFailures":[{}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":7}]}"#,
            r#"{"batchItemFailures":[{"itemId":"a"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"unknown"}]}"#,
        ] {
            assert_eq!(of_standard(answer), [0, 1, 2], "{answer}");
        }
    }

    #[test]
    fn a_group_stops_at_its_first_failure() {
        let records = [
            record("a", Some("g")),
            record("b", Some("h")),
            record("c", Some("g")),
            record("d", Some("h")),
            record("e", Some("g")),
        ];
        let answer = r#"{"batchItemFailures":[{"itemIdentifier":"c"}]}"#;
        let mut failed: Vec<_> = failed(answer.as_bytes(), &records).into_iter().collect();
        failed.sort_unstable();
        assert_eq!(failed, [2, 4]);
    }

    #[test]
    fn a_record_of_kafka_is_named_by_its_partition_and_offset() {
        let records = ["t-0-5", "t-0-6", "t-1-5"].map(|id| record(id, Some(&id[..3])));
        for (name, expected) in [
            (r#"{"partition":"t-0","offset":5}"#, &[0, 1][..]),
            (r#"{"partition":"t-1","offset":5}"#, &[2]),
            (r#""t-0-6""#, &[1]),
            (r#"{"partition":"t-0","offset":7}"#, &[0, 1, 2]),
            (r#"{"partition":"t-0"}"#, &[0, 1, 2]),
            (r#"{"partition":0,"offset":5}"#, &[0, 1, 2]),
        ] {
            let answer = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{name}}}]}}"#);
            let mut failed: Vec<_> = failed(answer.as_bytes(), &records).into_iter().collect();
            failed.sort_unstable();
            assert_eq!(failed, expected, "{name}");
        }
    }
}
