//! What this host can offer for the process wall, in words for a person and for policy.

use serde::{Deserialize, Serialize};

/// The parts of the wall that the host was asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct HostReport {
    /// Each part once, in the order in which the wall is set up.
    pub parts: Vec<Part>,
}

/// One part of the wall.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Part {
    /// A short name, for example `user namespace`.
    pub name: String,
    /// Whether it works here: it was tried, not looked up.
    pub available: bool,
    /// What follows for the wall when it is missing.
    pub need: Need,
    /// How it works here, or why it does not.
    pub detail: String,
    /// What a person can do to get it; empty if there is nothing to do.
    pub advice: String,
}

/// How much the wall depends on a part.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// No function runs without it.
    Required,
    /// Without it the wall is weak: functions run only with `allow_weak_walls`.
    Strong,
    /// Its absence costs comfort, not safety.
    Comfort,
}

impl HostReport {
    /// The missing parts that make the wall weak; empty on a host that offers everything.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<&Part> {
        self.missing(Need::Strong)
    }

    /// The missing parts without which nothing runs.
    #[must_use]
    pub fn obstacles(&self) -> Vec<&Part> {
        self.missing(Need::Required)
    }

    fn missing(&self, need: Need) -> Vec<&Part> {
        self.parts
            .iter()
            .filter(|part| !part.available && part.need == need)
            .collect()
    }
}
