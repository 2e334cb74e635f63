//! What one guest may have: nothing that is not named here.

use hearth_types::network::Hosts;

use crate::host::KeyValueGrant;
use crate::process::WayOut;

/// What one guest may have. Everything that is not granted is denied.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// All linear memories and tables of one instance together, bytes.
    pub memory_bytes: u64,
    /// `wasi:cli/environment`, and `wasi:config` from the same.
    pub environment: Vec<(String, String)>,
    /// Requests that one instance serves, one at a time, before it is dropped; 1: a fresh instance for each.
    pub reuse: u32,
    /// Most bytes of one response body or of a command's standard output.
    pub output_bytes: u64,
    /// Room of `/tmp`, bytes; `None`: there is no `/tmp`. It counts against [`crate::WallOptions::memory_bytes`], not
    /// against the guest's own memory. Needs what [`crate::Wall::tmp`] looks for.
    pub tmp_bytes: Option<u64>,
    /// Hosts that outgoing requests may go to; empty: none.
    pub hosts: Hosts,
    /// `wasi:keyvalue`; `None`: every bucket is denied.
    pub keyvalue: Option<KeyValueGrant>,
    /// Set in an account's process alone: where requests to the outside are sent, whatever `hosts` says.
    pub way_out: Option<WayOut>,
}
