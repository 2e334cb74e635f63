//! Front door: listeners, authentication, routing, translation.
//!
//! In the order of a request's way: [`Gateway::serve`] takes connections (`server`, `fronts`, `connection`, `opening`), a
//! request's head is authenticated before its body is read ([`auth`], `body`), its method and path name an
//! operation (`operation`), which is the registry's (`lambda`), an invocation (`lambda::invoke`, once the registry has
//! let it in; `lambda::invoke_stream` answers with an `event_stream`), or a look at a function's log (`logs_api`).
//! `sqs_api` leads to the queues, `events_api` to the rules and `sts_api` tells callers who they are; CloudEvents come in by
//! HTTP's own means (`cloud_events`). Cloudflare's API has a door of its own (`cloudflare_api`, `tail_socket`). Packages are fetched through links of the node's own (`package_url`).
//!
//! Requests at a function URL go their own way (`function_url`): signed or not, and with bodies that stream
//! (`response_body`). Routes (`routes`) lead requests at hosts and paths of their own to the same way, and so do bindings
//! by which functions ask each other (`services`). `running` is common to all ways.
//!
//! Nobody here validates a function's configuration, starts an environment or knows where one runs: that is for the
//! registry, and for whoever implements [`hearth_types::invoke::Invoker`].

mod amz_target;
pub mod auth;
mod body;
mod cloud_events;
mod cloudflare_api;
mod connection;
mod error_response;
mod event_stream;
mod events_api;
mod fronts;
mod function_url;
mod gateway;
mod head_timer;
mod lambda;
mod logs_api;
mod opening;
mod operation;
mod package_url;
mod random;
mod response_body;
mod routes;
mod running;
mod scheduler_api;
mod server;
mod services;
mod sqs_api;
mod storage_inbox;
mod sts_api;
mod tail_socket;
mod tls;
mod trace_id;

pub use body::Pace;
pub use connection::ConnectionOptions;
pub use fronts::{FrontThreads, Spread};
pub use function_url::UrlDomain;
pub use gateway::{Gateway, GatewayOptions};
pub use tls::{CertificateError, Certificates};
