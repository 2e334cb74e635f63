//! Function URLs: their vocabulary, and the pure part of what happens at one.
//!
//! - [`UrlId`], [`UrlAuth`], [`InvokeMode`]: what a URL is; [`cors`]: what it allows pages of other origins.
//! - [`fields`]: header fields that end at the front door, on the way in and on the way out.
//! - [`event`] and [`result`]: an HTTP request as the event of a function that takes events, and the function's
//!   result as an HTTP response (payload format 2.0, [`crate::wire::function_url`]); [`prelude`]: the head of a response
//!   that such a function streams; [`media`]: which bodies are text.
//!
//! Nobody here knows who may ask or where a function runs.

pub mod cors;
pub mod event;
pub mod fields;
pub mod media;
pub mod prelude;
pub mod result;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::NameError;
use crate::text::as_text;

/// The identifier of a function URL: the first label of its host. 32 characters of `a` to `z` and `2` to `7`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UrlId([u8; Self::LENGTH]);

impl UrlId {
    /// Characters of an identifier.
    pub const LENGTH: usize = 32;

    /// An identifier from 160 random bits, in the base-32 alphabet of RFC 4648, lower case.
    pub fn from_random(bytes: [u8; 20]) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut text = [0; Self::LENGTH];
        for (five, eight) in bytes.chunks_exact(5).zip(text.chunks_exact_mut(8)) {
            let bits = five
                .iter()
                .fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
            for (at, character) in eight.iter_mut().enumerate() {
                *character = ALPHABET[((bits >> (35 - 5 * at)) & 31) as usize];
            }
        }
        Self(text)
    }

    /// Reads an identifier; upper case is not one, but see [`UrlId::from_host`].
    pub fn read(text: &[u8]) -> Option<Self> {
        let id: [u8; Self::LENGTH] = text.try_into().ok()?;
        Self::checked(id)
    }

    /// Reads an identifier from a host name, in which letters of either case are the same.
    pub fn from_host(text: &[u8]) -> Option<Self> {
        let mut id: [u8; Self::LENGTH] = text.try_into().ok()?;
        id.make_ascii_lowercase();
        Self::checked(id)
    }

    fn checked(id: [u8; Self::LENGTH]) -> Option<Self> {
        id.iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
            .then_some(Self(id))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for UrlId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UrlId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for UrlId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::read(text.as_bytes()).ok_or_else(|| NameError {
            kind: "function URL's identifier",
            rule: "32 characters of a to z and 2 to 7",
            value: text.chars().take(80).collect(),
        })
    }
}

as_text!(UrlId);

/// Who may use a function URL (`AuthType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UrlAuth {
    /// Whoever signs, if the account or the resource policy lets them.
    #[serde(rename = "AWS_IAM")]
    AwsIam,
    /// Everyone, if the resource policy says so.
    #[serde(rename = "NONE")]
    None,
}

impl UrlAuth {
    /// All values, as the API spells them.
    pub const NAMES: [&'static str; 2] = ["NONE", "AWS_IAM"];

    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwsIam => "AWS_IAM",
            Self::None => "NONE",
        }
    }

    /// Reads the API's spelling.
    pub fn read(text: &str) -> Option<Self> {
        [Self::AwsIam, Self::None]
            .into_iter()
            .find(|value| value.as_str() == text)
    }
}

/// Whether responses are sent whole or as they are made (`InvokeMode`). Functions that take HTTP themselves stream in
/// both modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InvokeMode {
    /// Whole.
    #[default]
    #[serde(rename = "BUFFERED")]
    Buffered,
    /// As they are made.
    #[serde(rename = "RESPONSE_STREAM")]
    ResponseStream,
}

impl InvokeMode {
    /// All values, as the API spells them.
    pub const NAMES: [&'static str; 2] = ["BUFFERED", "RESPONSE_STREAM"];

    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buffered => "BUFFERED",
            Self::ResponseStream => "RESPONSE_STREAM",
        }
    }

    /// Reads the API's spelling.
    pub fn read(text: &str) -> Option<Self> {
        [Self::Buffered, Self::ResponseStream]
            .into_iter()
            .find(|value| value.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_base_32() {
        assert_eq!(UrlId::from_random([0; 20]).as_str(), "a".repeat(32));
        assert_eq!(UrlId::from_random([0xff; 20]).as_str(), "7".repeat(32));
        // RFC 4648, section 10: "fooba" is MZXW6YTB.
        let id = UrlId::from_random(*b"foobafoobafoobafooba");
        assert_eq!(id.as_str(), "mzxw6ytb".repeat(4));
        assert_eq!(id.as_str().parse::<UrlId>().unwrap(), id);
        assert_eq!(UrlId::from_host("MZXW6YTB".repeat(4).as_bytes()), Some(id));
        for bad in ["", "a", &"A".repeat(32), &"1".repeat(32), &"a".repeat(33)] {
            assert!(bad.parse::<UrlId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn words_of_the_api_read_back() {
        for name in UrlAuth::NAMES {
            assert_eq!(UrlAuth::read(name).unwrap().as_str(), name);
        }
        for name in InvokeMode::NAMES {
            assert_eq!(InvokeMode::read(name).unwrap().as_str(), name);
        }
        assert_eq!(UrlAuth::read("none"), None);
    }
}
