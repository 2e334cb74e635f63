//! How far requests reach. Everything comes in as a value (INV-6).

use std::time::Duration;

use hearth_types::network::Prefix;

/// How far functions' requests reach. Which hosts a function may ask for is its grant; this is about addresses.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Private ranges that are open all the same: as `allowed_private` of the process wall. Addresses of this host,
    /// loopback and metadata services stay closed inside of them.
    pub allowed_private: Vec<Prefix>,
    /// Ranges that are closed whatever else is said: addresses that the process wall gives to its sandboxes.
    pub closed: Vec<Prefix>,
    /// Requests of all functions at the same time, at least 1; more wait. Each has a connection and so a descriptor.
    pub requests: usize,
    /// Whether this host itself can be reached.
    pub this_host: ThisHost,
}

impl Default for Outside {
    fn default() -> Self {
        Self {
            allowed_private: Vec::new(),
            closed: Vec::new(),
            // Half of the descriptors that a process has where nobody raised its limit (`ulimit -n`: 1024).
            requests: 512,
            this_host: ThisHost::Closed,
        }
    }
}

/// Whether functions reach the host that they run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThisHost {
    /// By none of its addresses.
    #[default]
    Closed,
    /// By all of them: for tests, whose servers listen on loopback.
    Open,
}

/// From the request to a connection that can be used, name and TLS included, unless the function asks for less.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// Until the head of the response, and between two parts of its body, unless the function says otherwise: what Node's
/// own client waits. The function's deadline comes before, mostly.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Most that a function can ask for: the longest time that it may run.
pub(crate) const MOST_PATIENCE: Duration = Duration::from_secs(900);

/// How long a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) between_bytes: Duration,
}

impl Times {
    /// As the function asks, within bounds; `None`: the default.
    #[must_use]
    pub fn within_bounds(
        connect: Option<Duration>,
        first_byte: Option<Duration>,
        between_bytes: Option<Duration>,
    ) -> Self {
        Self {
            connect: connect.unwrap_or(CONNECT).min(CONNECT),
            first_byte: first_byte.unwrap_or(PATIENCE).min(MOST_PATIENCE),
            between_bytes: between_bytes.unwrap_or(PATIENCE).min(MOST_PATIENCE),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::within_bounds(None, None, None)
    }
}
