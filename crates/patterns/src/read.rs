//! From text to a pattern, and what is refused on the way.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::test::{Kind, Range, Test};
use crate::wildcard::Wildcard;
use crate::{Field, Fields, Pattern};

/// Most characters of a pattern (service models: `FilterPattern` of Lambda, `EventPattern` of EventBridge).
pub const MOST_CHARACTERS: usize = 4096;
/// Most objects within each other. Ten times what events have; reading goes down by calling itself.
pub const MOST_DEPTH: usize = 64;
/// Most combinations of fields that `$or`s make (EventBridge user guide, "Rule combinations": fewer than 1,000).
pub const MOST_COMBINATIONS: usize = 1000;
/// What `numeric` compares with (EventBridge user guide, "Numeric matching").
const NUMBERS: std::ops::RangeInclusive<f64> = -5e9..=5e9;

/// Why a text is no pattern, and where: `detail.state[0].prefix`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PatternError {
    path: String,
    why: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}", self.why)
        } else {
            write!(f, "at {}: {}", self.path, self.why)
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let path = Path::default();
        if text.chars().count() > MOST_CHARACTERS {
            return path.refuse(format!(
                "a pattern has at most {MOST_CHARACTERS} characters"
            ));
        }
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return path.refuse(format!("it is not JSON: {error}")),
        };
        let Value::Object(object) = value else {
            return path.refuse("a pattern is a JSON object");
        };
        let fields = fields(&object, &path)?;
        if fields.combinations() > MOST_COMBINATIONS {
            return path.refuse(format!(
                "$or makes more than {MOST_COMBINATIONS} combinations; use several patterns"
            ));
        }
        Ok(Self(fields))
    }
}

impl Fields {
    /// How many patterns without `$or` say the same.
    fn combinations(&self) -> usize {
        let within = self.all.iter().map(|(_, field)| match field {
            Field::Within(fields) => fields.combinations(),
            Field::Value(_) => 1,
        });
        let all = within.fold(1, usize::saturating_mul);
        let either = self.either.iter().map(Self::combinations);
        all.saturating_mul(either.fold(0, usize::saturating_add).max(1))
    }
}

/// Where one is.
#[derive(Clone, Default)]
struct Path {
    text: String,
    depth: usize,
}

impl Path {
    fn field(&self, name: &str) -> Self {
        let dot = if self.text.is_empty() { "" } else { "." };
        Self {
            text: format!("{}{dot}{name}", self.text),
            depth: self.depth + 1,
        }
    }

    fn element(&self, at: usize) -> Self {
        Self {
            text: format!("{}[{at}]", self.text),
            depth: self.depth,
        }
    }

    fn refuse<T>(&self, why: impl Into<String>) -> Result<T, PatternError> {
        /// What is shown of a path: its end is where the fault is.
        const SHOWN: usize = 200;
        let skipped = self.text.chars().count().saturating_sub(SHOWN);
        let more = if skipped > 0 { "…" } else { "" };
        Err(PatternError {
            path: more
                .chars()
                .chain(self.text.chars().skip(skipped))
                .collect(),
            why: why.into(),
        })
    }
}

fn fields(object: &Map<String, Value>, path: &Path) -> Result<Fields, PatternError> {
    if object.is_empty() {
        return path.refuse("an empty object says nothing; leave it out");
    }
    if path.depth > MOST_DEPTH {
        return path.refuse(format!("objects are more than {MOST_DEPTH} deep"));
    }
    let mut fields = Fields::default();
    for (name, value) in object {
        let path = path.field(name);
        if name == "$or" {
            fields.either = either(value, &path)?;
            continue;
        }
        let field = match value {
            Value::Object(object) => Field::Within(self::fields(object, &path)?),
            Value::Array(tests) if tests.is_empty() => {
                return path.refuse("an empty list matches nothing; name a value");
            }
            Value::Array(tests) => Field::Value(elements(tests, &path, test)?),
            _ => return path.refuse("write the value in a list, as [\"value\"]"),
        };
        fields.all.push((name.clone(), field));
    }
    Ok(fields)
}

fn either(value: &Value, path: &Path) -> Result<Vec<Fields>, PatternError> {
    match value.as_array() {
        Some(objects) if objects.len() > 1 => elements(objects, path, |value, path| match value {
            Value::Object(object) => fields(object, path),
            _ => path.refuse("$or chooses between objects"),
        }),
        _ => path.refuse("$or is a list of two objects or more"),
    }
}

fn elements<T>(
    values: &[Value],
    path: &Path,
    read: impl Fn(&Value, &Path) -> Result<T, PatternError>,
) -> Result<Vec<T>, PatternError> {
    let numbered = values.iter().enumerate();
    numbered
        .map(|(at, value)| read(value, &path.element(at)))
        .collect()
}

fn test(value: &Value, path: &Path) -> Result<Test, PatternError> {
    let Value::Object(object) = value else {
        return Ok(Test::Is(plain(value, path)?));
    };
    let (name, value, path) = operator(object, path)?;
    match name {
        "exists" => match value {
            Value::Bool(there) => Ok(Test::Exists(*there)),
            _ => path.refuse("exists is true or false"),
        },
        "anything-but" => Ok(Test::AnythingBut(anything_but(value, &path)?)),
        _ => Ok(Test::Is(kind(name, value, &path)?)),
    }
}

/// The one member of an object that says how a value must be.
fn operator<'v>(
    object: &'v Map<String, Value>,
    path: &Path,
) -> Result<(&'v str, &'v Value, Path), PatternError> {
    let mut members = object.iter();
    match (members.next(), members.next()) {
        (Some((name, value)), None) => Ok((name, value, path.field(name))),
        _ => path.refuse("an object in a list has exactly one member, an operator as prefix"),
    }
}

/// A value that must be met as it is.
fn plain(value: &Value, path: &Path) -> Result<Kind, PatternError> {
    match value {
        Value::Null => Ok(Kind::Null),
        Value::Bool(truth) => Ok(Kind::Truth(*truth)),
        Value::Number(number) => Ok(Kind::Number(number.clone())),
        Value::String(text) => Ok(Kind::Text(text.clone())),
        Value::Array(_) | Value::Object(_) => {
            path.refuse("a value is a text, a number, true, false, null or an operator")
        }
    }
}

fn kind(name: &str, value: &Value, path: &Path) -> Result<Kind, PatternError> {
    match name {
        "prefix" => affix(value, path, Kind::Prefix, Kind::PrefixIgnoringCase),
        "suffix" => affix(value, path, Kind::Suffix, Kind::SuffixIgnoringCase),
        "equals-ignore-case" => Ok(Kind::TextIgnoringCase(text(value, path)?.to_lowercase())),
        "wildcard" => match Wildcard::read(text(value, path)?) {
            Ok(wildcard) => Ok(Kind::Wildcard(wildcard)),
            Err(why) => path.refuse(why),
        },
        "numeric" => Ok(Kind::Numeric(range(value, path)?)),
        "cidr" => match text(value, path)?.parse() {
            Ok(range) => Ok(Kind::Cidr(range)),
            Err(_) => path.refuse("cidr is a range of addresses, as 10.0.0.0/24 or 2001:db8::/32"),
        },
        _ => path.refuse(
            "there is no such operator; there are prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, \
             exists and cidr",
        ),
    }
}

fn text<'v>(value: &'v Value, path: &Path) -> Result<&'v str, PatternError> {
    match value.as_str() {
        Some(text) => Ok(text),
        None => path.refuse("it takes a text"),
    }
}

/// `prefix` and `suffix`: a text, or one whose case does not matter.
fn affix(
    value: &Value,
    path: &Path,
    exact: impl Fn(String) -> Kind,
    ignoring_case: impl Fn(String) -> Kind,
) -> Result<Kind, PatternError> {
    let Value::Object(object) = value else {
        return Ok(exact(text(value, path)?.to_owned()));
    };
    match operator(object, path)? {
        ("equals-ignore-case", value, path) => {
            Ok(ignoring_case(text(value, &path)?.to_lowercase()))
        }
        (_, _, path) => path.refuse("only equals-ignore-case can stand here"),
    }
}

/// What `anything-but` excludes: texts, or numbers, or one operator with texts.
fn anything_but(value: &Value, path: &Path) -> Result<Vec<Kind>, PatternError> {
    let kinds = match value {
        Value::Object(object) => {
            let (name, value, path) = operator(object, path)?;
            if !["prefix", "suffix", "equals-ignore-case", "wildcard"].contains(&name) {
                return path.refuse(
                    "anything-but goes with prefix, suffix, equals-ignore-case and wildcard",
                );
            }
            one_or_more(value, &path, |value, path| match text(value, path)? {
                "" => path.refuse("anything-but takes no empty text here"),
                _ => kind(name, value, path),
            })?
        }
        _ => one_or_more(value, path, |value, path| match value {
            Value::String(_) | Value::Number(_) => plain(value, path),
            _ => path.refuse("anything-but takes texts, numbers or an operator"),
        })?,
    };
    let is_number = |kind: &Kind| matches!(kind, Kind::Number(_));
    if kinds.iter().any(is_number) && !kinds.iter().all(is_number) {
        return path.refuse("anything-but takes texts or numbers, not both");
    }
    Ok(kinds)
}

fn one_or_more(
    value: &Value,
    path: &Path,
    read: impl Fn(&Value, &Path) -> Result<Kind, PatternError>,
) -> Result<Vec<Kind>, PatternError> {
    match value {
        Value::Array(values) if values.is_empty() => path.refuse("an empty list excludes nothing"),
        Value::Array(values) => elements(values, path, read),
        one => Ok(vec![read(one, path)?]),
    }
}

/// `["=", 5]`, `[">", 0]`, `[">", 0, "<=", 5]`.
fn range(value: &Value, path: &Path) -> Result<Range, PatternError> {
    let bound = |pair: &[Value]| -> Option<(String, f64)> {
        let [operator, number] = pair else {
            return None;
        };
        let number = number.as_f64().filter(|number| NUMBERS.contains(number))?;
        Some((operator.as_str()?.to_owned(), number))
    };
    let bounds: Option<Vec<_>> = value
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .chunks(2)
        .map(bound)
        .collect();
    let mut range = Range {
        from: (f64::NEG_INFINITY, true),
        to: (f64::INFINITY, true),
    };
    let bounds = bounds.unwrap_or_default();
    let bounds: Vec<_> = bounds.iter().map(|(o, n)| (o.as_str(), *n)).collect();
    let mut set = |operator: &str, number: f64| match operator {
        ">" | ">=" => range.from = (number, operator == ">="),
        _ => range.to = (number, operator == "<="),
    };
    match bounds[..] {
        [("=", number)] => {
            set(">=", number);
            set("<=", number);
        }
        [(one @ (">" | ">=" | "<" | "<="), number)] => set(one, number),
        [(from @ (">" | ">="), low), (to @ ("<" | "<="), high)] if low < high => {
            set(from, low);
            set(to, high);
        }
        _ => {
            return path.refuse(
                "numeric is [\"=\", 5], [\">\", 0], or from and to as [\">\", 0, \"<=\", 5], with numbers of -5e9 to 5e9",
            );
        }
    }
    Ok(range)
}
