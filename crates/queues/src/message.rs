//! What a message may hold, and the digests by which clients see that it came whole.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};

use crate::error::{Kind, QueueError};
use crate::wire::MessageAttribute;

/// Attributes of a message.
pub(crate) type Attributes = BTreeMap<String, MessageAttribute>;

/// Most attributes of a message (SQS developer guide, "Message metadata").
const MOST_ATTRIBUTES: usize = 10;
/// Most characters of an attribute's name or type, and of group and deduplication ids (the same; service model).
const NAME_CHARACTERS: usize = 256;
const ID_CHARACTERS: usize = 128;

/// Checks a body's characters: those of the service model (`SendMessage`).
pub(crate) fn check_body(body: &str) -> Result<(), QueueError> {
    if body.is_empty() {
        return Err(QueueError::missing_parameter("MessageBody"));
    }
    if body.chars().all(is_allowed) {
        return Ok(());
    }
    Err(QueueError::new(
        Kind::InvalidMessageContents,
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | \
         #x10000 to #x10FFFF. Send other bytes in base64.",
    ))
}

fn is_allowed(character: char) -> bool {
    matches!(
        character,
        '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..
    )
}

/// Checks a message group's or deduplication id: letters, digits and punctuation.
pub(crate) fn check_id(id: &str, parameter: &str) -> Result<(), QueueError> {
    if (1..=ID_CHARACTERS).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(QueueError::value(
        id,
        parameter,
        "Can only include alphanumeric and punctuation characters. 1 to 128 in length.",
    ))
}

/// Checks attributes, and says what they count.
pub(crate) fn check_attributes(attributes: &Attributes) -> Result<usize, QueueError> {
    let bad = |message: String| QueueError::new(Kind::InvalidParameterValue, message);
    if attributes.len() > MOST_ATTRIBUTES {
        return Err(bad(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MOST_ATTRIBUTES}].",
            attributes.len()
        )));
    }
    let mut bytes = 0;
    for (name, attribute) in attributes {
        let shown: String = name.chars().take(80).collect();
        let lower = name.to_ascii_lowercase();
        let is_good = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        if name.is_empty()
            || name.len() > NAME_CHARACTERS
            || !name.bytes().all(is_good)
            || name.starts_with('.')
            || name.ends_with('.')
            || name.contains("..")
            || lower.starts_with("aws.")
            || lower.starts_with("amazon.")
        {
            return Err(bad(format!(
                "The message attribute name '{shown}' is not valid: letters, digits, '_', '-' and single '.' inside, at most 256, not beginning with AWS. or Amazon."
            )));
        }
        bytes += name.len() + attribute.data_type.len();
        bytes += value(attribute)
            .ok_or_else(|| {
                bad(format!(
                    "The message attribute '{shown}' must have a type (String, Number or Binary, with an own label after a '.' if wanted) and a value of it that is not empty."
                ))
            })?
            .1
            .len();
    }
    Ok(bytes)
}

/// How digests tell texts from bytes, and the value's bytes; `None` if it is not of its type.
fn value(attribute: &MessageAttribute) -> Option<(u8, Vec<u8>)> {
    let kind = &attribute.data_type;
    if kind.len() > NAME_CHARACTERS || !kind.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let base = kind.split_once('.').map_or(kind.as_str(), |(base, _)| base);
    let text = |text: &String| (1, text.clone().into_bytes());
    let found = match (base, &attribute.string_value, &attribute.binary_value) {
        ("String", Some(value), None) if value.chars().all(is_allowed) => text(value),
        ("Number", Some(value), None) if value.parse().is_ok_and(f64::is_finite) => text(value),
        ("Binary", None, Some(value)) => (2, BASE64_STANDARD.decode(value).ok()?),
        _ => return None,
    };
    Some(found).filter(|(_, bytes)| !bytes.is_empty())
}

/// The MD5 of a text.
pub(crate) fn md5_of_text(text: &str) -> String {
    hex::encode(Md5::digest(text))
}

/// The MD5 of attributes, as clients compute it (SQS developer guide, "Calculating the MD5 message digest for message
/// attributes"); `None` of none.
pub(crate) fn md5_of_attributes(attributes: &Attributes) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    for (name, attribute) in attributes {
        // What was taken in has a value.
        let (kind, bytes) = value(attribute).unwrap_or_default();
        add(&mut digest, name.as_bytes());
        add(&mut digest, attribute.data_type.as_bytes());
        digest.update([kind]);
        add(&mut digest, &bytes);
    }
    Some(hex::encode(digest.finalize()))
}

fn add(digest: &mut Md5, part: &[u8]) {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    digest.update(length.to_be_bytes());
    digest.update(part);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    fn text(kind: &str, value: &str) -> MessageAttribute {
        MessageAttribute {
            data_type: kind.to_owned(),
            string_value: Some(value.to_owned()),
            binary_value: None,
        }
    }

    #[test]
    fn bodies_have_the_characters_of_the_model() {
        for good in ["a", "\t\r\n", "ü\u{FFFD}\u{1F600}"] {
            check_body(good).unwrap();
        }
        for bad in ["\0", "a\u{B}", "\u{FFFE}", "\u{FFFF}"] {
            let error = check_body(bad).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidMessageContents, "{bad:?}");
        }
    }

    #[test]
    fn attributes_are_of_their_type() {
        let one = |name: &str, attribute| Attributes::from([(name.to_owned(), attribute)]);
        check_attributes(&one("a.b", text("String", "x"))).unwrap();
        check_attributes(&one("a", text("Number.int", "-1.5e3"))).unwrap();
        for (name, attribute) in [
            ("", text("String", "x")),
            (".a", text("String", "x")),
            ("a..b", text("String", "x")),
            ("AWS.a", text("String", "x")),
            ("a b", text("String", "x")),
            ("a", text("String", "")),
            ("a", text("Number", "one")),
            ("a", text("Binary", "x")),
            ("a", text("", "x")),
            ("a", MessageAttribute::default()),
        ] {
            assert!(
                check_attributes(&one(name, attribute.clone())).is_err(),
                "{name} {attribute:?}"
            );
        }
    }
}
