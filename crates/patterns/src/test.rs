//! What can be said of a value.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Number, Value};

use crate::wildcard::Wildcard;

/// One alternative of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// The field has a value, or has none: `exists`.
    Exists(bool),
    /// One of its values is so.
    Is(Kind),
    /// One of its values is none of these: `anything-but`.
    AnythingBut(Vec<Kind>),
}

/// How a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Truth(bool),
    Number(Number),
    Text(String),
    /// `equals-ignore-case`; in lower case, as the following two.
    TextIgnoringCase(String),
    Prefix(String),
    PrefixIgnoringCase(String),
    Suffix(String),
    SuffixIgnoringCase(String),
    Wildcard(Wildcard),
    Numeric(Range),
    Cidr(IpNet),
}

/// `numeric`: from and to, each with whether it is included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) from: (f64, bool),
    pub(crate) to: (f64, bool),
}

impl Test {
    pub(crate) fn matches(&self, values: &[&Value]) -> bool {
        match self {
            Self::Exists(there) => values.is_empty() != *there,
            Self::Is(kind) => values.iter().any(|value| kind.is(value)),
            Self::AnythingBut(kinds) => values
                .iter()
                .any(|value| !kinds.iter().any(|kind| kind.is(value))),
        }
    }
}

impl Kind {
    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Truth(one), Value::Bool(other)) => one == other,
            (Self::Number(one), Value::Number(other)) => are_equal(one, other),
            (Self::Numeric(range), Value::Number(number)) => {
                number.as_f64().is_some_and(|number| range.has(number))
            }
            (kind, Value::String(text)) => kind.is_text(text),
            _ => false,
        }
    }

    fn is_text(&self, text: &str) -> bool {
        match self {
            Self::Text(other) => text == other,
            Self::TextIgnoringCase(other) => text.to_lowercase() == *other,
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::PrefixIgnoringCase(prefix) => text.to_lowercase().starts_with(prefix),
            Self::Suffix(suffix) => text.ends_with(suffix),
            Self::SuffixIgnoringCase(suffix) => text.to_lowercase().ends_with(suffix),
            Self::Wildcard(wildcard) => wildcard.matches(text),
            Self::Cidr(range) => text
                .parse::<IpAddr>()
                .is_ok_and(|address| range.contains(&address)),
            Self::Null | Self::Truth(_) | Self::Number(_) | Self::Numeric(_) => false,
        }
    }
}

/// Whole numbers to the last digit, others as the events' own JSON has them.
fn are_equal(one: &Number, other: &Number) -> bool {
    one == other || (one.is_f64() != other.is_f64() && one.as_f64() == other.as_f64())
}

impl Range {
    fn has(self, number: f64) -> bool {
        let ((from, from_included), (to, to_included)) = (self.from, self.to);
        (number > from || (from_included && number == from))
            && (number < to || (to_included && number == to))
    }
}
