//! Why a request has no response.

use std::fmt;

use serde::Deserialize;

/// What a worker threw, or the engine in its place. Hostile.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Thrown {
    /// The error's name: `TypeError`.
    #[serde(default)]
    pub name: String,
    /// Its message.
    #[serde(default)]
    pub message: String,
    /// Where it was thrown, a line each.
    #[serde(default)]
    pub stack: Option<String>,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The worker threw.
    Thrown(Thrown),
    /// Its isolate could not be made; a sentence for its author.
    NotStarted(String),
    /// The engine ended during the request, which may have been worked on.
    Crashed {
        /// How it ended; completes "The engine".
        why: String,
        /// No other request was running: this one ended it.
        alone: bool,
    },
    /// The request's own body broke off.
    Cancelled,
    /// The engine can't be started; for the operator.
    NoEngine(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thrown(thrown) => write!(f, "{}: {}", thrown.name, thrown.message),
            Self::NotStarted(why) | Self::NoEngine(why) => f.write_str(why),
            Self::Crashed { why, .. } => write!(f, "the engine ended: {why}"),
            Self::Cancelled => f.write_str("the request broke off"),
        }
    }
}

impl std::error::Error for Failure {}

/// How the engine begins what it says of workers that it can't start.
const NOT_STARTED: &str = "Failed to start Worker:";

/// What the loader says without that beginning.
const REFUSED: [&str; 2] = [
    "No such compatibility flag",
    "This Worker requires compatibility date",
];

impl Failure {
    /// The worker's promise can't settle any more.
    pub(crate) fn hung() -> Self {
        Self::Thrown(Thrown {
            name: "Error".to_owned(),
            message: "The worker's code had hung and would never have given a response.".to_owned(),
            stack: None,
        })
    }

    /// The worker's response begins a protocol that nobody has asked for.
    pub(crate) fn unasked() -> Self {
        Self::Thrown(Thrown {
            name: "TypeError".to_owned(),
            message: "The response has a webSocket, and the request asked for none.".to_owned(),
            stack: None,
        })
    }

    /// Reads what the dispatcher or the worker's entry says was thrown.
    pub(crate) fn of(thrown: Thrown) -> Self {
        if let Some(why) = thrown.message.strip_prefix(NOT_STARTED) {
            return Self::NotStarted(sentence(why));
        }
        if REFUSED
            .iter()
            .any(|begin| thrown.message.starts_with(begin))
        {
            return Self::NotStarted(sentence(&thrown.message));
        }
        Self::Thrown(thrown)
    }
}

/// The engine's lines as one, without what is about the entry that Hearth adds.
fn sentence(why: &str) -> String {
    let lines = why.lines().map(str::trim);
    let own = |line: &&str| !line.is_empty() && !line.contains(crate::source::ENTRY);
    let text = lines.filter(own).collect::<Vec<_>>().join(" ");
    text.strip_prefix("Uncaught ")
        .map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: &str) -> Failure {
        Failure::of(Thrown {
            name: "Error".to_owned(),
            message: message.to_owned(),
            stack: None,
        })
    }

    #[test]
    fn what_does_not_start_is_told_from_what_throws() {
        let syntax =
            "Failed to start Worker:\nUncaught SyntaxError: Unexpected number\n  at src/m.js:2:18";
        assert_eq!(
            of(syntax),
            Failure::NotStarted("SyntaxError: Unexpected number at src/m.js:2:18".to_owned())
        );
        let entry =
            "Failed to start Worker:\nUncaught TypeError: No default.\n  at hearth-entry.js:5:42";
        assert_eq!(
            of(entry),
            Failure::NotStarted("TypeError: No default.".to_owned())
        );
        assert!(matches!(
            of("No such compatibility flag: x"),
            Failure::NotStarted(_)
        ));
        assert!(matches!(of("I failed"), Failure::Thrown(_)));
    }
}
