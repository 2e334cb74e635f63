//! Webhooks of topics: where they may be, and what they are signed with (Standard Webhooks, version 1.0.0).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::name::NameError;
use crate::network::{is_loopback, is_safe_url};
use crate::text::as_text;

/// What a secret begins with ("Signature scheme").
const PREFIX: &str = "whsec_";
/// Characters of a URL: what HTTP recommends that everybody takes has 8,000 (RFC 9110, section 4.1), and a table of
/// webhooks is read by people.
const URL_CHARS: usize = 2_048;

/// The URL of a webhook: `https`, or `http` on a loopback address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it says that it is on the machine that it is used on.
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| is_loopback(&url))
    }
}

impl FromStr for WebhookUrl {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() <= URL_CHARS && is_safe_url(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError {
                kind: "URL of a webhook",
                rule: "https:// and a host, or http:// and a loopback address, without a user or a fragment, at most \
                       2048 characters",
                value: text.chars().take(80).collect(),
            })
        }
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

as_text!(WebhookUrl);

/// What a webhook is signed with. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// Bytes of a secret that is made here.
    pub const BYTES: usize = 32;
    /// Bytes that a secret may have (192 bits at least, 512 at most).
    const ALLOWED: std::ops::RangeInclusive<usize> = 24..=64;

    /// A secret from random bytes.
    pub fn from_random(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes.to_vec())
    }

    /// The key itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The form in which it is given to whoever verifies.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

impl FromStr for WebhookSecret {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.strip_prefix(PREFIX)
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .filter(|bytes| Self::ALLOWED.contains(&bytes.len()))
            .map(Self)
            .ok_or(NameError {
                kind: "secret of a webhook",
                rule: "whsec_ and 24 to 64 bytes in base64",
                // It may be a secret with a slip of the pen.
                value: "…".to_owned(),
            })
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl Serialize for WebhookSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.reveal())
    }
}

impl<'de> Deserialize<'de> for WebhookSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_read_back_and_are_never_shown() {
        let secret = WebhookSecret::from_random([7; WebhookSecret::BYTES]);
        let text = secret.reveal();
        assert!(text.starts_with("whsec_"));
        assert_eq!(text.parse::<WebhookSecret>().unwrap(), secret);
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        let long = format!("whsec_{}", STANDARD.encode([1; 65]));
        for bad in ["", "whsec_", "whsec_!", &text[6..], &short, &long] {
            let error = bad.parse::<WebhookSecret>().unwrap_err();
            assert!(bad.len() < 10 || !error.to_string().contains(bad), "{bad}");
        }
    }

    #[test]
    fn urls_are_safe_and_short() {
        let good = "https://example.com/hook?x=1";
        assert_eq!(good.parse::<WebhookUrl>().unwrap().as_str(), good);
        let long = format!("https://example.com/{}", "a".repeat(2_048));
        for bad in ["", "http://example.com", "ftp://example.com", &long] {
            assert!(bad.parse::<WebhookUrl>().is_err(), "{bad}");
        }
    }
}
