//! Routes: the vocabulary of their hosts and paths, and the pure part of what happens at one.
//!
//! - [`host`]: which hosts a route is for, and a request's host in the form that is compared.
//! - [`path`]: patterns of paths, and a request's path in the form that is compared.
//! - [`template`]: paths made of what a pattern has captured.
//!
//! Nobody here knows what routes there are, who may ask or where a request goes on.

pub mod host;
pub mod path;
pub mod template;

pub use host::HostPattern;
pub use path::PathPattern;
pub use template::Template;

/// First segments of paths that are the platform's on every host that no route names, besides those that begin with a
/// digit or an underscore: what is there today (`events` is where CloudEvents come in), and what APIs that Hearth speaks have
/// elsewhere (EventBridge Scheduler's `schedules`, `schedule-groups` and `tags`, Cloudflare's `client`).
const RESERVED: [&str; 9] = [
    "health",
    "metrics",
    "hearth",
    "console",
    "events",
    "schedules",
    "schedule-groups",
    "tags",
    "client",
];

/// Whether a path, by its first segment, is the platform's on hosts that no route names. The path itself, `/`, is.
pub fn is_reserved(first_segment: &str) -> bool {
    first_segment.is_empty()
        || first_segment.starts_with(|c: char| c.is_ascii_digit() || c == '_')
        || RESERVED.contains(&first_segment)
}

/// The first segment of a path.
pub fn first_segment(path: &str) -> &str {
    path.trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default()
}
