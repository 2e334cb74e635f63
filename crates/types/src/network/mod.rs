//! What functions may reach outside, in words that every wall shares: ranges of addresses ([`Prefix`]), which of them
//! are closed ([`ranges`]), and lists of hosts ([`Hosts`]).

mod hosts;
mod prefix;
pub mod ranges;

pub use hosts::{Host, HostError, Hosts, HostsError, Scheme};
pub use prefix::{Prefix, PrefixError};
