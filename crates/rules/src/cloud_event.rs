//! CloudEvents 1.0 as HTTP carries them ("CloudEvents HTTP Protocol Binding" 1.0.2): one whose attributes are header
//! fields (binary), one that is the body (structured), or several that are (batch); and how patterns and targets see them.
//!
//! | CloudEvent | event |
//! |---|---|
//! | `id`, `source`, `type` | `id`, `source`, `detail-type` |
//! | `time`, else when it came | `time`, in seconds of UTC |
//! | `subject` | `resources`, alone |
//! | `data`: JSON, or text | `detail` |
//! | all attributes as they came, and data that is neither in base64 | `cloudevent` |

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hearth_types::time::Timestamp;
use percent_encoding::percent_decode;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::event::{self, EVENT_BYTES, Event, RESERVED_SOURCE, Written};
use crate::rules::Caller;

/// Most events of a batch: with their targets they are one transaction.
pub const MOST_IN_BATCH: usize = 100;
/// Media types of the structured and of the batch mode (JSON event format, 3 and 4).
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
/// How all of them begin, in whatever format.
const FAMILY: &str = "application/cloudevents";
/// The version that is read.
const VERSION: &str = "1.0";
/// The member for data that is neither JSON nor text.
const BASE64: &str = "data_base64";

/// A request, as far as it matters.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// Fields whose names begin with `ce-`, without that, in lower case.
    pub fields: Vec<(&'a str, &'a [u8])>,
    /// The body.
    pub body: &'a [u8],
}

/// Why a request is not taken, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is in no mode, or in a format, that is read.
    MediaType(String),
    /// It is no CloudEvent.
    Invalid(String),
}

/// A CloudEvent.
#[derive(Clone, Debug)]
pub struct CloudEvent {
    id: String,
    source: String,
    kind: String,
    time: Option<Timestamp>,
    resources: Vec<String>,
    attributes: Map<String, Value>,
    data: Box<RawValue>,
}

/// Reads the events of a request.
///
/// # Errors
/// [`Refused`].
pub fn read(post: &Post<'_>) -> Result<Vec<CloudEvent>, Refused> {
    let media = post.content_type.map(media_type).unwrap_or_default();
    match media.as_str() {
        STRUCTURED => Ok(vec![structured(post.body).map_err(Refused::Invalid)?]),
        BATCH => batch(post.body).map_err(Refused::Invalid),
        other if other.starts_with(FAMILY) => Err(Refused::MediaType(format!(
            "CloudEvents are read in JSON: send {STRUCTURED}, {BATCH}, or the attributes as ce- fields."
        ))),
        _ if post.fields.is_empty() => Err(Refused::MediaType(format!(
            "The request is no CloudEvent: send ce-specversion, ce-id, ce-source and ce-type as fields, or {STRUCTURED}, or \
             {BATCH}."
        ))),
        _ => Ok(vec![binary(post).map_err(Refused::Invalid)?]),
    }
}

/// Without parameters, in lower case.
fn media_type(content_type: &str) -> String {
    let media = content_type.split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

fn binary(post: &Post<'_>) -> Result<CloudEvent, String> {
    let mut attributes = Map::new();
    for (name, value) in &post.fields {
        if matches!(*name, "data" | "datacontenttype") {
            return Err(format!(
                "ce-{name} is no attribute's field: the body is the data, and Content-Type says what it is."
            ));
        }
        let value = unescaped(value)
            .ok_or_else(|| format!("the attribute {name} is not UTF-8 once it is unescaped."))?;
        if attributes
            .insert((*name).to_owned(), value.into())
            .is_some()
        {
            return Err(format!("the attribute {name} comes twice."));
        }
    }
    if let Some(content_type) = post.content_type {
        attributes.insert("datacontenttype".to_owned(), content_type.into());
    }
    of_bytes(attributes, post.body)
}

/// A field's value: percent-encoded UTF-8, in quotes or without (HTTP binding, 3.1.3.2).
fn unescaped(value: &[u8]) -> Option<String> {
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let value: Cow<'_, [u8]> = match quoted {
        None => value.into(),
        Some(inner) => {
            let mut plain = Vec::with_capacity(inner.len());
            let mut bytes = inner.iter();
            while let Some(byte) = bytes.next() {
                let escaped = (*byte == b'\\').then(|| bytes.next()).flatten();
                plain.push(*escaped.unwrap_or(byte));
            }
            plain.into()
        }
    };
    let text = percent_decode(&value).decode_utf8().ok()?;
    Some(text.into_owned())
}

fn batch(body: &[u8]) -> Result<Vec<CloudEvent>, String> {
    let events: Vec<Box<RawValue>> = serde_json::from_slice(body)
        .map_err(|error| format!("the batch is no JSON list: {error}."))?;
    if events.len() > MOST_IN_BATCH {
        return Err(format!("a batch may have {MOST_IN_BATCH} events."));
    }
    let numbered = events.iter().enumerate();
    numbered
        .map(|(at, event)| {
            let event = structured(event.get().as_bytes());
            event.map_err(|why| format!("event {at} of the batch: {why}"))
        })
        .collect()
}

fn structured(body: &[u8]) -> Result<CloudEvent, String> {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body)
        .map_err(|error| format!("the event is no JSON object: {error}."))?;
    let (mut attributes, mut data, mut bytes) = (Map::new(), None, None);
    for (name, raw) in members {
        match name.as_str() {
            "data" => data = Some(raw),
            BASE64 => {
                let text: String = serde_json::from_str(raw.get())
                    .map_err(|_| format!("{BASE64} must be a text."))?;
                let read = BASE64_STANDARD.decode(text);
                bytes = Some(read.map_err(|_| format!("{BASE64} must be base64."))?);
            }
            _ => {
                let value = serde_json::from_str(raw.get())
                    .map_err(|error| format!("the attribute {name} can't be read: {error}."))?;
                // Null is as good as not there (JSON event format, 2.2).
                if value != Value::Null {
                    attributes.insert(name, value);
                }
            }
        }
    }
    match (data, bytes) {
        (Some(_), Some(_)) => Err(format!("it may have one of data and {BASE64}.")),
        (None, Some(bytes)) => of_bytes(attributes, &bytes),
        (Some(data), None) => CloudEvent::new(attributes, data),
        (None, None) => CloudEvent::new(attributes, none()),
    }
}

/// What stands for data that is not there.
fn none() -> Box<RawValue> {
    to_raw_value(&Map::new()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// An event whose data are bytes of the type that `datacontenttype` says: JSON, if it says nothing.
fn of_bytes(mut attributes: Map<String, Value>, bytes: &[u8]) -> Result<CloudEvent, String> {
    if bytes.is_empty() {
        return CloudEvent::new(attributes, none());
    }
    let media = attributes.get("datacontenttype").and_then(Value::as_str);
    let media = media.map(media_type);
    let is = |is: fn(&str) -> bool| media.as_deref().is_some_and(is);
    if media.is_none() || is(|m| m.ends_with("/json") || m.ends_with("+json")) {
        let data = serde_json::from_slice(bytes).map_err(|error| {
            format!("the data is no JSON, which datacontenttype says or implies: {error}.")
        })?;
        return CloudEvent::new(attributes, data);
    }
    let is_text = is(|m| m.starts_with("text/") || m.ends_with("/xml") || m.ends_with("+xml"));
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text => {
            let data = to_raw_value(text).map_err(|error| error.to_string())?;
            CloudEvent::new(attributes, data)
        }
        _ => {
            attributes.insert(BASE64.to_owned(), BASE64_STANDARD.encode(bytes).into());
            CloudEvent::new(attributes, none())
        }
    }
}

impl CloudEvent {
    /// Checks attributes (CloudEvents 1.0.2, 3).
    fn new(attributes: Map<String, Value>, data: Box<RawValue>) -> Result<Self, String> {
        for (name, value) in &attributes {
            check(name, value)?;
        }
        let text = |name: &str| attributes.get(name).and_then(Value::as_str);
        let required = |name: &str| {
            text(name)
                .map(str::to_owned)
                .ok_or_else(|| format!("the attribute {name} is missing."))
        };
        match required("specversion")?.as_str() {
            VERSION => {}
            _ => return Err(format!("the attribute specversion must be {VERSION}.")),
        }
        let source = required("source")?;
        if source.contains(' ') {
            return Err("the attribute source must be a URI reference.".to_owned());
        }
        if source.starts_with(RESERVED_SOURCE) {
            return Err(format!(
                "the attribute source can't begin with {RESERVED_SOURCE}, which is reserved."
            ));
        }
        if text("dataschema").is_some_and(|schema| !schema.contains(':')) {
            return Err("the attribute dataschema must be a URI.".to_owned());
        }
        if text("datacontenttype").is_some_and(|media| !media.contains('/')) {
            return Err("the attribute datacontenttype must be a media type.".to_owned());
        }
        let time = text("time").map(|time| {
            let read = time.parse::<jiff::Timestamp>();
            read.map(|read| Timestamp::from_millis(read.as_millisecond()))
                .map_err(|_| {
                    "the attribute time must be a time as 2026-01-02T03:04:05Z.".to_owned()
                })
        });
        Ok(Self {
            id: required("id")?,
            kind: required("type")?,
            time: time.transpose()?,
            resources: text("subject").map(str::to_owned).into_iter().collect(),
            source,
            attributes,
            data,
        })
    }

    /// As patterns and targets see it.
    ///
    /// # Errors
    /// A sentence: it is too large, or nested too deeply.
    pub(crate) fn write(&self, caller: &Caller, now: Timestamp) -> Result<Written, String> {
        let event = Event {
            version: "0",
            id: &self.id,
            detail_type: &self.kind,
            source: &self.source,
            account: &caller.account,
            time: event::time(self.time.unwrap_or(now)),
            region: &caller.region,
            resources: &self.resources,
            detail: &self.data,
            cloudevent: Some(&self.attributes),
        };
        let written = event
            .write()
            .map_err(|error| format!("its data can't be read: {error}."))?;
        if written.text.len() > EVENT_BYTES {
            return Err(format!(
                "with its attributes it may have {EVENT_BYTES} bytes."
            ));
        }
        Ok(written)
    }
}

/// Attributes that are texts and, where they are there, not empty.
const TEXTS: [&str; 8] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "dataschema",
    "datacontenttype",
];

fn check(name: &str, value: &Value) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_name = !name.is_empty() && name.bytes().all(good);
    if !is_name && name != BASE64 {
        let shown: String = name.chars().take(80).collect();
        return Err(format!(
            "the attribute '{shown}' must have a name of lower-case letters and digits."
        ));
    }
    match value {
        Value::String(text) if TEXTS.contains(&name) && text.is_empty() => {
            Err(format!("the attribute {name} must not be empty."))
        }
        Value::String(text) if text.chars().any(char::is_control) => Err(format!(
            "the attribute {name} must not have control characters."
        )),
        Value::String(_) => Ok(()),
        _ if TEXTS.contains(&name) => Err(format!("the attribute {name} must be a text.")),
        Value::Bool(_) => Ok(()),
        // CloudEvents 1.0.2, "Type System": whole numbers of 32 bits.
        Value::Number(number) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
            Ok(())
        }
        _ => Err(format!(
            "the attribute {name} must be a text, true, false or a whole number of 32 bits."
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_all(
        content_type: Option<&str>,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Result<Vec<Value>, String> {
        let fields = fields
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        let post = Post {
            content_type,
            fields,
            body: body.as_bytes(),
        };
        let caller = Caller {
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            trace: None,
        };
        let now = Timestamp::from_millis(1_767_323_045_678);
        let events = read(&post).map_err(|refused| match refused {
            Refused::MediaType(why) => format!("media type: {why}"),
            Refused::Invalid(why) => why,
        })?;
        events
            .iter()
            .map(|event| event.write(&caller, now).map(|written| written.value))
            .collect()
    }

    const FIELDS: [(&str, &str); 4] = [
        ("specversion", "1.0"),
        ("id", "1"),
        ("source", "/shop"),
        ("type", "order.made"),
    ];

    fn event() -> Value {
        json!({ "specversion": "1.0", "id": "1", "source": "/shop", "type": "order.made" })
    }

    fn one(content_type: &str, body: &Value) -> Result<Value, String> {
        let mut read = read_all(Some(content_type), &[], &body.to_string())?;
        assert_eq!(read.len(), 1);
        Ok(read.remove(0))
    }

    #[test]
    fn all_modes_say_the_same() {
        let mut fields = FIELDS.to_vec();
        fields.extend([
            ("subject", "o%2F1"),
            ("time", "2026-01-02T05:04:05.5+02:00"),
            ("tenant", "\"a \\\"b\\\"\""),
        ]);
        let binary = read_all(Some("application/json"), &fields, r#"{"n": 1}"#).unwrap();
        let mut whole = event();
        whole["subject"] = json!("o/1");
        whole["time"] = json!("2026-01-02T05:04:05.5+02:00");
        whole["tenant"] = json!("a \"b\"");
        whole["datacontenttype"] = json!("application/json");
        let attributes = whole.clone();
        whole["data"] = json!({"n": 1});
        let expected = json!({
            "version": "0", "id": "1", "source": "/shop", "detail-type": "order.made",
            "account": "000000000000", "region": "us-east-1", "time": "2026-01-02T03:04:05Z",
            "resources": ["o/1"], "detail": {"n": 1}, "cloudevent": attributes,
        });
        assert_eq!(binary, std::slice::from_ref(&expected));
        assert_eq!(one(STRUCTURED, &whole).unwrap(), expected);
        let structured = "Application/CloudEvents+JSON; charset=utf-8";
        assert_eq!(one(structured, &whole).unwrap(), expected);
        let both = read_all(Some(BATCH), &[], &json!([whole, whole]).to_string()).unwrap();
        assert_eq!(both, [expected.clone(), expected]);
        assert_eq!(
            read_all(Some(BATCH), &[], "[]").unwrap(),
            Vec::<Value>::new()
        );
    }

    #[test]
    fn data_is_what_its_type_says() {
        let of =
            |media: Option<&str>, body: &str| read_all(media, &FIELDS, body).unwrap().remove(0);
        assert_eq!(of(Some("text/plain"), "hello")["detail"], "hello");
        assert_eq!(
            of(Some("application/vnd.x+json"), "[1]")["detail"],
            json!([1])
        );
        assert_eq!(of(None, "")["detail"], json!({}));
        let bytes = of(Some("image/png"), "\u{1}");
        assert_eq!(bytes["detail"], json!({}));
        assert_eq!(bytes["cloudevent"]["data_base64"], "AQ==");
        let mut whole = event();
        whole["data_base64"] = json!("eyJuIjoxfQ==");
        assert_eq!(one(STRUCTURED, &whole).unwrap()["detail"], json!({"n": 1}));
        whole["datacontenttype"] = json!("application/octet-stream");
        assert_eq!(
            one(STRUCTURED, &whole).unwrap()["cloudevent"]["data_base64"],
            "eyJuIjoxfQ=="
        );
        let mut whole = event();
        whole["data"] = json!(3);
        assert_eq!(one(STRUCTURED, &whole).unwrap()["detail"], 3);
        assert_eq!(
            one(STRUCTURED, &event()).unwrap()["time"],
            "2026-01-02T03:04:05Z"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |name: &str, value: Value| {
            let mut event = event();
            event[name] = value;
            one(STRUCTURED, &event).unwrap_err()
        };
        for name in ["specversion", "id", "source", "type"] {
            assert_eq!(
                with(name, Value::Null),
                format!("the attribute {name} is missing.")
            );
            assert!(with(name, json!("")).contains(&format!("{name} must not be empty")));
            assert!(with(name, json!(1)).contains(&format!("{name} must be a text")));
        }
        assert!(with("specversion", json!("0.3")).contains("specversion"));
        assert!(with("source", json!("aws.s3")).contains("reserved"));
        assert!(with("source", json!("a b")).contains("source"));
        assert!(with("time", json!("yesterday")).contains("time"));
        assert!(with("dataschema", json!("x")).contains("dataschema"));
        assert!(with("datacontenttype", json!("json")).contains("datacontenttype"));
        assert!(with("Tenant", json!("x")).contains("'Tenant'"));
        assert!(with("tenant", json!({"a": 1})).contains("tenant"));
        assert!(with("tenant", json!(1.5)).contains("tenant"));
        assert!(with("tenant", json!(3_000_000_000_i64)).contains("tenant"));
        assert!(with("tenant", json!("a\u{7}b")).contains("tenant"));
        assert!(with("data_base64", json!("*")).contains("base64"));
        assert!(with("data", json!("x".repeat(EVENT_BYTES))).contains("bytes"));
        let text = event().to_string();
        let both = text.replace('}', r#","data":1,"data_base64":""}"#);
        assert!(
            read_all(Some(STRUCTURED), &[], &both)
                .unwrap_err()
                .contains("one of data")
        );
        let list = format!("[{text},{{}}]");
        assert!(
            read_all(Some(BATCH), &[], &list)
                .unwrap_err()
                .contains("event 1 of the batch")
        );
        let many = format!("[{}]", vec![text.clone(); MOST_IN_BATCH + 1].join(","));
        assert!(
            read_all(Some(BATCH), &[], &many)
                .unwrap_err()
                .contains("may have")
        );
        for bad in ["", "[", "1", "{}", &text[1..]] {
            assert!(read_all(Some(STRUCTURED), &[], bad).is_err(), "{bad}");
        }
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert!(
            read_all(Some("application/json"), &FIELDS, &deep)
                .unwrap_err()
                .contains("data")
        );
        let mut twice = FIELDS.to_vec();
        twice.push(("id", "2"));
        assert!(
            read_all(None, &twice, "")
                .unwrap_err()
                .contains("id comes twice")
        );
        for field in [("data", "x"), ("datacontenttype", "x/y"), ("tenant", "%FF")] {
            let mut fields = FIELDS.to_vec();
            fields.push(field);
            assert!(read_all(None, &fields, "").unwrap_err().contains(field.0));
        }
        assert!(
            read_all(Some("application/json"), &FIELDS, "{")
                .unwrap_err()
                .contains("data")
        );
        for media in [
            Some("application/json"),
            None,
            Some("application/cloudevents+avro"),
        ] {
            let refused = read_all(media, &[], "{}").unwrap_err();
            assert!(refused.starts_with("media type"), "{refused}");
        }
    }
}
