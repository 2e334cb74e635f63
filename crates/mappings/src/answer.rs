//! What a function says of a batch (developer guide, "Reporting batch item failures", "Success and failure conditions").

use std::collections::HashSet;

use hearth_types::wire::broker_event::KafkaRecord;
use serde_json::Value;

use crate::batch::Record;

/// Which messages of a batch come again, by their places in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Those that the function failed for, as far as it says.
    pub(crate) themselves: HashSet<usize>,
    /// Those that are behind one of them in its group. The function may not have come to them, or have taken them.
    pub(crate) behind: HashSet<usize>,
}

impl Failed {
    /// All of so many.
    pub(crate) fn all(messages: usize) -> Self {
        Self {
            themselves: (0..messages).collect(),
            behind: HashSet::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.themselves.len() + self.behind.len()
    }

    pub(crate) fn contains(&self, at: usize) -> bool {
        self.themselves.contains(&at) || self.behind.contains(&at)
    }
}

/// Which messages of a batch have failed.
///
/// A function that says nothing (no answer, no list, an empty one) has taken all. One that names a message that is not
/// there, or none where it should, has failed as a whole, for nobody can know which it means. In a FIFO queue and in a
/// partition of Kafka those behind a failed one of the same group come again with it, after it.
pub(crate) fn failed(answer: &[u8], records: &[Record]) -> Failed {
    let all = || Failed::all(records.len());
    let Some(names) = names(answer) else {
        return all();
    };
    let mut failed = Failed::default();
    for name in names {
        match records.iter().position(|record| record.id == name) {
            Some(at) => failed.themselves.insert(at),
            None => return all(),
        };
    }
    let mut stopped = HashSet::new();
    for (at, record) in records.iter().enumerate() {
        let Some(group) = &record.group else { continue };
        if failed.themselves.contains(&at) {
            stopped.insert(group);
        } else if stopped.contains(group) {
            failed.behind.insert(at);
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
    use crate::batch::Place;
    use crate::source::Handle;

    fn record(id: &str, group: Option<&str>) -> Record {
        Record {
            id: id.to_owned(),
            handle: Handle::Receipt(String::new()),
            group: group.map(str::to_owned),
            place: Place::default(),
            text: Vec::new(),
        }
    }

    fn of_standard(answer: &str) -> Vec<usize> {
        let records = ["a", "b", "c"].map(|id| record(id, None));
        let (themselves, behind) = of(answer, &records);
        assert!(behind.is_empty());
        themselves
    }

    /// Those that have failed themselves, and those that are behind them.
    fn of(answer: &str, records: &[Record]) -> (Vec<usize>, Vec<usize>) {
        let Failed { themselves, behind } = failed(answer.as_bytes(), records);
        let sorted = |places: HashSet<usize>| {
            let mut places: Vec<_> = places.into_iter().collect();
            places.sort_unstable();
            places
        };
        (sorted(themselves), sorted(behind))
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
        assert_eq!(of(answer, &records), (vec![2], vec![4]));
    }

    #[test]
    fn a_record_of_kafka_is_named_by_its_partition_and_offset() {
        let records = ["t-0-5", "t-0-6", "t-1-5"].map(|id| record(id, Some(&id[..3])));
        for (name, themselves, behind) in [
            (r#"{"partition":"t-0","offset":5}"#, &[0][..], &[1][..]),
            (r#"{"partition":"t-1","offset":5}"#, &[2], &[]),
            (r#""t-0-6""#, &[1], &[]),
            (r#"{"partition":"t-0","offset":7}"#, &[0, 1, 2], &[]),
            (r#"{"partition":"t-0"}"#, &[0, 1, 2], &[]),
            (r#"{"partition":0,"offset":5}"#, &[0, 1, 2], &[]),
        ] {
            let answer = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{name}}}]}}"#);
            let expected = (themselves.to_vec(), behind.to_vec());
            assert_eq!(of(&answer, &records), expected, "{name}");
        }
    }
}
