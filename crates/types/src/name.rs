//! Names of accounts, regions, functions, versions and aliases. Patterns and lengths are those of the Lambda
//! service model; a value of these types has passed them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// A name that breaks the rules of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{value}' is not a valid {kind}: {rule}")]
pub struct NameError {
    /// What it was meant to be: `function name`.
    pub kind: &'static str,
    /// The rule in words.
    pub rule: &'static str,
    /// What was given, cut to a length that can be shown.
    pub value: String,
}

impl NameError {
    fn new(kind: &'static str, rule: &'static str, value: &str) -> Self {
        // Long enough for every name that is nearly right; a hostile one must not be echoed whole.
        const SHOWN: usize = 80;
        Self {
            kind,
            rule,
            value: value.chars().take(SHOWN).collect(),
        }
    }
}

fn word(text: &str, longest: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(allowed)
}

fn letters_digits_hyphen_underscore(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// A newtype over shared text, made only by its checked `FromStr`; cheap to clone.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(NameError::new($kind, $rule, text)) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        as_text!($type);
    };
}

name!(
    /// An account: the owner of everything else.
    AccountId,
    "account id",
    "12 digits",
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
);

name!(
    /// A region. Functions of different regions are apart; one node serves all of them.
    Region,
    "region",
    "lower-case words and a digit joined by hyphens, such as us-east-1",
    |text| {
        // Longer than every region there is, short enough for a path component.
        word(text, 32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
    }
);

name!(
    /// The name of a function within an account and region.
    FunctionName,
    "function name",
    "1 to 64 letters, digits, hyphens and underscores",
    |text| word(text, 64, letters_digits_hyphen_underscore)
);

name!(
    /// The name of a layer within an account and region.
    LayerName,
    "layer name",
    "1 to 140 letters, digits, hyphens and underscores",
    |text| word(text, 140, letters_digits_hyphen_underscore)
);

name!(
    /// The name of an alias. Never digits alone: those are versions.
    AliasName,
    "alias name",
    "1 to 128 letters, digits, hyphens and underscores, not digits alone",
    |text| word(text, 128, letters_digits_hyphen_underscore) && !text.bytes().all(|b| b.is_ascii_digit())
);

name!(
    /// The name of a route, or of an API key for routes, within an account and region.
    RouteName,
    "route name",
    "1 to 64 letters, digits, hyphens and underscores",
    |text| word(text, 64, letters_digits_hyphen_underscore)
);

name!(
    /// The name of a queue within an account and region (SQS API reference, `CreateQueue`).
    QueueName,
    "queue name",
    "1 to 80 letters, digits, hyphens and underscores, with .fifo at the end for a FIFO queue",
    |text| {
        let base = text.strip_suffix(".fifo").unwrap_or(text);
        text.len() <= 80 && word(base, 80, letters_digits_hyphen_underscore)
    }
);

name!(
    /// The name of a topic within an account and region (SNS API reference, `CreateTopic`; there are no FIFO topics here).
    TopicName,
    "topic name",
    "1 to 256 letters, digits, hyphens and underscores",
    |text| word(text, 256, letters_digits_hyphen_underscore)
);

name!(
    /// The name of a bucket: S3's rules, as far as they keep a name within its place in a URL and a path.
    BucketName,
    "bucket name",
    "3 to 63 letters, digits, dots, hyphens and underscores, without a dot at its beginning or two in a row",
    |text| {
        text.len() >= 3
            && word(text, 63, |b| letters_digits_hyphen_underscore(b) || b == b'.')
            && !text.starts_with('.')
            && !text.contains("..")
    }
);

name!(
    /// The name of a broker: as brokers of Amazon MQ are called.
    BrokerName,
    "broker name",
    "1 to 50 letters, digits, hyphens and underscores",
    |text| word(text, 50, letters_digits_hyphen_underscore)
);

name!(
    /// The name of a folder that functions may have: a word of a configuration and the end of an ARN.
    FolderName,
    "folder name",
    "1 to 64 letters, digits, hyphens and underscores",
    |text| word(text, 64, letters_digits_hyphen_underscore)
);

/// Where a queue lives: whose it is, in which region, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueId {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// The name within both.
    pub name: QueueName,
}

/// Where a topic lives: whose it is, in which region, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// The name within both.
    pub name: TopicName,
}

/// Where a route, or an API key for routes, lives: whose it is, in which region, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteId {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// The name within both.
    pub name: RouteName,
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.region, self.name)
    }
}

/// Where a function lives: whose it is, in which region, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FunctionKey {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// The name within both.
    pub name: FunctionName,
}

impl fmt::Display for FunctionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.region, self.name)
    }
}

/// `$LATEST`, or the number of a published version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// The one that updates change.
    Latest,
    /// A published one, from 1; never changes (INV-2).
    Number(u64),
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("$LATEST"),
            Self::Number(n) => write!(f, "{n}"),
        }
    }
}

impl FromStr for Version {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = || {
            NameError::new(
                "version",
                "$LATEST or a number from 1 without leading zeros",
                text,
            )
        };
        if text == "$LATEST" {
            return Ok(Self::Latest);
        }
        if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        text.parse().map(Self::Number).map_err(|_| bad())
    }
}

as_text!(Version);

/// What follows a function's name: a version or an alias.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qualifier {
    /// `$LATEST` or a number.
    Version(Version),
    /// An alias.
    Alias(AliasName),
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Alias(alias) => alias.fmt(f),
        }
    }
}

impl FromStr for Qualifier {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Ok(version) = text.parse() {
            return Ok(Self::Version(version));
        }
        match text.parse() {
            Ok(alias) => Ok(Self::Alias(alias)),
            Err(_) => Err(NameError::new(
                "qualifier",
                "$LATEST, a version number or an alias",
                text,
            )),
        }
    }
}

as_text!(Qualifier);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet_and_length() {
        assert!("my-fn_1".parse::<FunctionName>().is_ok());
        assert!("a".repeat(64).parse::<FunctionName>().is_ok());
        for bad in ["", "a b", "../etc", "a/b", "naïve", &"a".repeat(65)] {
            assert!(bad.parse::<FunctionName>().is_err(), "{bad}");
        }
        assert!("000000000000".parse::<AccountId>().is_ok());
        assert!("00000000000x".parse::<AccountId>().is_err());
        assert!("eu-central-1".parse::<Region>().is_ok());
        for bad in ["", "-a", "EU", "a-", "../x", "1"] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }

    #[test]
    fn digits_are_a_version_and_never_an_alias() {
        assert_eq!(
            "7".parse::<Qualifier>().unwrap(),
            Qualifier::Version(Version::Number(7))
        );
        assert_eq!(
            "$LATEST".parse::<Qualifier>().unwrap(),
            Qualifier::Version(Version::Latest)
        );
        assert!(matches!(
            "live".parse::<Qualifier>().unwrap(),
            Qualifier::Alias(_)
        ));
        for bad in ["", "0", "07", "$latest", "99999999999999999999999", "a.b"] {
            assert!(bad.parse::<Qualifier>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_hostile_name_is_cut_in_the_error() {
        let error = "/".repeat(100_000).parse::<FunctionName>().unwrap_err();
        assert!(error.to_string().len() < 300);
    }
}
