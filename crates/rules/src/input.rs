//! What a target is given of an event (EventBridge user guide, "Input transformation").

use std::collections::BTreeMap;

use hearth_store::rules::{RuleDelivery, RuleInput};
use hearth_types::time::Timestamp;
use serde_json::Value;

use crate::event;
use crate::path::Path;

/// Variables that need no path: what they are is said at [`Context::predefined`].
const PREDEFINED: [&str; 5] = [
    "aws.events.rule-arn",
    "aws.events.rule-name",
    "aws.events.event.ingestion-time",
    "aws.events.event",
    "aws.events.event.json",
];

/// A template that was read: texts, and variables between them.
#[derive(Clone, Debug)]
pub struct Template<'t> {
    pieces: Vec<Piece<'t>>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Piece<'t> {
    Text(&'t str),
    Variable {
        /// Where its value is; `None` for one that needs no path.
        path: Option<Path>,
        name: &'t str,
        /// Whether it is within a JSON text.
        quoted: bool,
    },
}

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// JSON, in which each variable is a value, or a part of a text.
    Json,
    /// Text, in which each variable is text.
    Text,
}

/// What a template is filled in with.
struct Context<'a> {
    rule: &'a str,
    accepted: Timestamp,
    event: &'a Value,
}

impl Context<'_> {
    fn predefined(&self, name: &str) -> Value {
        match name {
            "aws.events.rule-arn" => self.rule.into(),
            "aws.events.rule-name" => {
                let name = self.rule.rsplit_once('/').map_or("", |(_, name)| name);
                name.into()
            }
            "aws.events.event.ingestion-time" => event::time(self.accepted).into(),
            "aws.events.event" => {
                let mut event = self.event.clone();
                if let Value::Object(members) = &mut event {
                    members.remove("detail");
                }
                event
            }
            _ => self.event.clone(),
        }
    }
}

impl<'t> Template<'t> {
    /// Reads a template, whose variables are at `paths`.
    ///
    /// # Errors
    /// A sentence.
    pub fn read(paths: &BTreeMap<String, String>, text: &'t str) -> Result<Self, String> {
        let mut read = BTreeMap::new();
        for (name, path) in paths {
            let good = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
            if !(1..=256).contains(&name.len()) || !name.bytes().all(good) {
                return Err(
                    "InputPathsMap must have names of 1 to 256 letters, digits, '-' and '_'."
                        .to_owned(),
                );
            }
            if name.to_ascii_lowercase().starts_with("aws.") {
                return Err("InputPathsMap can't name what begins with 'AWS.'.".to_owned());
            }
            let path: Path = path
                .parse()
                .map_err(|why| format!("InputPathsMap: {why}"))?;
            read.insert(name.as_str(), path);
        }
        let form = form(text);
        let (mut pieces, mut quoted, mut from, mut at) = (Vec::new(), false, 0, 0);
        let bytes = text.as_bytes();
        while let Some(byte) = bytes.get(at) {
            match byte {
                // What follows is escaped.
                b'\\' if quoted => at += 2,
                b'"' if form == Form::Json => {
                    quoted = !quoted;
                    at += 1;
                }
                b'<' => match variable(&text[at + 1..]) {
                    None => at += 1,
                    Some(name) => {
                        let path = read.get(name).cloned();
                        if path.is_none() && !PREDEFINED.contains(&name) {
                            return Err(format!(
                                "InputTemplate has <{name}>, which InputPathsMap does not name."
                            ));
                        }
                        pieces.push(Piece::Text(&text[from..at]));
                        pieces.push(Piece::Variable { path, name, quoted });
                        at += name.len() + 2;
                        from = at;
                    }
                },
                _ => at += 1,
            }
        }
        pieces.push(Piece::Text(&text[from..]));
        Ok(Self { pieces, form })
    }

    /// Makes sure that it makes JSON, as functions are given.
    ///
    /// # Errors
    /// A sentence.
    pub fn check_json(&self) -> Result<(), String> {
        if self.form == Form::Text {
            // It becomes a JSON text.
            return Ok(());
        }
        let text = self.fill(|_, _| None);
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!(
                "InputTemplate must make JSON for a function once its variables are filled in: {error}."
            )),
        }
    }

    /// Fills variables in. What is not there is `null`, and nothing within a text.
    fn fill(&self, value: impl Fn(&str, Option<&Path>) -> Option<Value>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Variable { path, name, quoted } => {
                    let value = value(name, path.as_ref());
                    text.push_str(&match (value, self.form, quoted) {
                        (None, Form::Json, false) => "null".to_owned(),
                        (None, ..) => String::new(),
                        (Some(value), Form::Json, false) => value.to_string(),
                        (Some(value), Form::Json, true) => {
                            let quoted = Value::String(plain(value)).to_string();
                            quoted[1..quoted.len() - 1].to_owned()
                        }
                        (Some(value), Form::Text, _) => plain(value),
                    });
                }
            }
        }
        text
    }
}

/// A value within a text.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The variable whose name a text begins with, up to `>`.
fn variable(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('>')?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (!name.is_empty() && name.bytes().all(good)).then_some(name)
}

/// A template that begins as JSON does, or that is one variable, makes JSON.
fn form(text: &str) -> Form {
    let text = text.trim();
    let is_variable = text
        .strip_prefix('<')
        .and_then(variable)
        .is_some_and(|name| name.len() + 2 == text.len());
    if is_variable || text.starts_with(['{', '[', '"']) {
        Form::Json
    } else {
        Form::Text
    }
}

/// What the target of a delivery is given; `json`: it takes nothing but JSON.
pub fn of(delivery: &RuleDelivery, json: bool) -> String {
    // Both were read before they were stored; null is what a function can take in any case.
    let null = || Value::Null.to_string();
    let event = || serde_json::from_str::<Value>(&delivery.body).unwrap_or_default();
    match &delivery.told.target.input {
        RuleInput::Whole => delivery.body.clone(),
        RuleInput::Constant(text) => text.clone(),
        RuleInput::Path(path) => {
            let found = path.parse::<Path>().ok();
            let found = found.and_then(|path| path.find(&event()));
            escaped(&found.unwrap_or_default().to_string())
        }
        RuleInput::Template { paths, text } => {
            let Ok(template) = Template::read(paths, text) else {
                return null();
            };
            let event = event();
            let context = Context {
                rule: &delivery.told.rule,
                accepted: delivery.accepted,
                event: &event,
            };
            let filled = template.fill(|name, path| match path {
                Some(path) => path.find(&event),
                None => Some(context.predefined(name)),
            });
            let filled = escaped(&filled);
            match template.form {
                Form::Text if json => Value::String(filled).to_string(),
                _ => filled,
            }
        }
    }
}

/// Without the characters that messages can't have, though values of events may: escaped as JSON escapes them.
fn escaped(text: &str) -> String {
    if text.chars().all(hearth_targets::is_allowed) {
        return text.to_owned();
    }
    let escape = |c: char| match hearth_targets::is_allowed(c) {
        true => c.to_string(),
        false => format!("\\u{:04x}", u32::from(c)),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use hearth_store::rules::{RuleTarget, Told};
    use serde_json::json;

    use super::*;

    fn given(input: RuleInput, json: bool) -> String {
        let body = json!({
            "id": "i", "source": "shop", "detail-type": "order", "resources": ["r"],
            "detail": { "name": "a \"b\"\n", "count": 3, "tags": ["x", "y"], "odd": "\u{FFFE}" },
        });
        let delivery = RuleDelivery {
            number: 1,
            accepted: Timestamp::from_millis(1_767_323_045_678),
            failed: 0,
            body: body.to_string(),
            trace: None,
            told: Told {
                rule: "arn:aws:events:us-east-1:000000000000:rule/bus/r1".to_owned(),
                target: RuleTarget {
                    arn: String::new(),
                    role: None,
                    input,
                    message_group: None,
                    dead_letters: None,
                    most_age_seconds: None,
                    most_retries: None,
                },
            },
        };
        of(&delivery, json)
    }

    fn template(text: &str, json: bool) -> String {
        let names = ["name", "count", "tags", "odd", "none"];
        let paths = names.map(|name| (name.to_owned(), format!("$.detail.{name}")));
        let input = RuleInput::Template {
            paths: BTreeMap::from(paths),
            text: text.to_owned(),
        };
        given(input, json)
    }

    #[test]
    fn a_path_gives_what_is_there_or_null() {
        let path = |path: &str| given(RuleInput::Path(path.to_owned()), true);
        assert_eq!(path("$.detail.tags"), r#"["x","y"]"#);
        assert_eq!(path("$.detail.count"), "3");
        assert_eq!(path("$.detail.gone"), "null");
        assert_eq!(path("$.detail.odd"), r#""\ufffe""#);
    }

    #[test]
    fn variables_are_values_and_parts_of_texts() {
        assert_eq!(
            template(
                r#"{"n": <name>, "c": <count>, "t": <tags>, "m": <none>}"#,
                true
            ),
            r#"{"n": "a \"b\"\n", "c": 3, "t": ["x","y"], "m": null}"#
        );
        assert_eq!(
            template(r#"{"s": "<count> of \"<name>\" <tags><none>"}"#, true),
            r#"{"s": "3 of \"a \"b\"\n\" [\"x\",\"y\"]"}"#.replace(r#"a "b"\n"#, r#"a \"b\"\n"#)
        );
        assert_eq!(template(r#""<count> orders""#, true), r#""3 orders""#);
        assert_eq!(template("<tags>", true), r#"["x","y"]"#);
        assert_eq!(template(r#"["<odd>"]"#, true), r#"["\ufffe"]"#);
    }

    #[test]
    fn a_text_is_a_text_and_json_for_functions() {
        assert_eq!(template("<count> of <name>!", false), "3 of a \"b\"\n!");
        assert_eq!(template("<count> of <name>!", true), r#""3 of a \"b\"\n!""#);
        assert_eq!(template("1 < 2 > 0 </b>", false), "1 < 2 > 0 </b>");
    }

    #[test]
    fn some_variables_need_no_path() {
        let text = r#"["<aws.events.rule-name>", <aws.events.rule-arn>, <aws.events.event.ingestion-time>]"#;
        assert_eq!(
            template(text, true),
            r#"["r1", "arn:aws:events:us-east-1:000000000000:rule/bus/r1", "2026-01-02T03:04:05Z"]"#
        );
        let whole: Value =
            serde_json::from_str(&template("<aws.events.event.json>", true)).unwrap();
        assert_eq!(whole["detail"]["count"], 3);
        let head: Value = serde_json::from_str(&template("<aws.events.event>", true)).unwrap();
        assert_eq!((&head["id"], head.get("detail")), (&json!("i"), None));
    }

    #[test]
    fn templates_are_checked() {
        let paths = BTreeMap::from([("a".to_owned(), "$.detail.a".to_owned())]);
        let check = |text| Template::read(&paths, text).and_then(|read| read.check_json());
        for good in [
            r#"{"a": <a>}"#,
            r#"{"a": "x<a>"}"#,
            "<a>",
            "<a> is",
            "{\"\\\\\": <a>}",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            r#"{"a": <b>}"#,
            r#"{<a>: 1}"#,
            r#"{"a": <a>"#,
            r#"{"a": x<a>}"#,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let bad = BTreeMap::from([("a b".to_owned(), "$".to_owned())]);
        assert!(Template::read(&bad, "x").is_err());
        let bad = BTreeMap::from([("a".to_owned(), "x".to_owned())]);
        assert!(Template::read(&bad, "x").is_err());
    }
}
