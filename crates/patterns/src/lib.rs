//! Event patterns: which events are meant, in the language of Amazon EventBridge ("Amazon EventBridge event patterns" of
//! its user guide). Filters of event source mappings are written in it.
//!
//! ```text
//! {"body": {"state": ["running", {"prefix": "stop"}], "$or": [{"n": [{"numeric": [">", 5]}]}, {"urgent": [true]}]}}
//! ```
//!
//! A pattern is read once ([`Pattern::from_str`](std::str::FromStr); `read`) and then asked ([`Pattern::matches`]). All
//! fields must match; of the alternatives of one field, one. Where an event has a list, one of its elements must match all
//! that the pattern says below it. A question costs at most the size of the pattern times that of the event; nothing is
//! compiled into automata, for what is asked is one pattern at a time.
//!
//! Numbers are equal by value: `300`, `300.0` and `3e2` are one number.

mod read;
mod test;
mod wildcard;

pub use read::{MOST_CHARACTERS, MOST_COMBINATIONS, MOST_DEPTH, PatternError};

use serde_json::Value;

use crate::test::Test;

/// A pattern that was read. Comparing two compares what they say, not how it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern(Fields);

impl Pattern {
    /// Whether an event is meant.
    pub fn matches(&self, event: &Value) -> bool {
        self.0.matches(Some(event))
    }
}

/// What is said of an object.
#[derive(Clone, Debug, Default, PartialEq)]
struct Fields {
    /// All of these.
    all: Vec<(String, Field)>,
    /// One of these as well, if there are any: `$or`.
    either: Vec<Fields>,
}

/// What is said of a field.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    /// Of the fields within.
    Within(Fields),
    /// Of its value: one of these.
    Value(Vec<Test>),
}

impl Fields {
    /// Whether it is said of `value`, or, without one, whether it says nothing but that fields are not there.
    fn matches(&self, value: Option<&Value>) -> bool {
        if let Some(Value::Array(elements)) = value
            && !elements.is_empty()
        {
            return elements.iter().any(|element| self.matches(Some(element)));
        }
        let object = value.and_then(Value::as_object);
        let holds = |(name, field): &(String, Field)| {
            let value = object.and_then(|object| object.get(name));
            match field {
                Field::Within(fields) => fields.matches(value),
                Field::Value(tests) => one_of(tests, value),
            }
        };
        self.all.iter().all(holds)
            && (self.either.is_empty() || self.either.iter().any(|fields| fields.matches(value)))
    }
}

fn one_of(tests: &[Test], value: Option<&Value>) -> bool {
    let mut leaves = Vec::new();
    if let Some(value) = value {
        collect(value, &mut leaves);
    }
    tests.iter().any(|test| test.matches(&leaves))
}

/// What a field has for values: itself, or what its lists hold. Objects are no values.
fn collect<'v>(value: &'v Value, leaves: &mut Vec<&'v Value>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|one| collect(one, leaves)),
        Value::Object(_) => {}
        leaf => leaves.push(leaf),
    }
}
