//! What functions may reach outside, in words that every wall shares: ranges of addresses ([`Prefix`]), which of them
//! are closed ([`ranges`]), and lists of hosts ([`Hosts`]); and which URLs the node itself may be told to use.

mod hosts;
mod prefix;
pub mod ranges;
mod safe_url;

pub use hosts::{Host, HostError, Hosts, HostsError, Scheme};
pub use prefix::{Prefix, PrefixError};
pub(crate) use safe_url::is_loopback;
pub use safe_url::is_safe_url;
