//! Routes as requests meet them: found by host, path and method, with all that a request needs made beforehand.
//!
//! - `route`: one route, read out of its record; `read`: the rules on what a record may hold.
//! - `site`: the routes of one host, in a radix tree.
//! - `table`: all hosts, and whose they are. A value like the rest of the snapshot: the next one shares all but the
//!   sites that changed, so that a change copies one branch of a tree and a look-up never waits (INV-9).
//! - `limit`: token buckets.

mod limit;
mod read;
mod route;
mod site;
pub(crate) mod table;

#[cfg(test)]
mod tests;

pub use limit::Throttled;
pub use route::{Access, FixedResponse, HeaderEdits, Jwt, NewPath, Route, RouteTarget};
pub use site::{Found, Matched, Site};
