//! The network of a sandbox.

use serde::{Deserialize, Serialize};

/// What a function may reach.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Network {
    /// Only its own loopback and Hearth's doors.
    None,
    /// The outside world, never the host.
    #[default]
    Egress,
}

/// How sandboxes reach the outside.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct NetworkOptions {}
