//! Function registry: every control operation of the Lambda API, validated and atomic.
//!
//! ```text
//! request ─▶ shape (constraints, settings) ─▶ package stored ─▶ decided on the current snapshot ─▶ committed ─▶ seen
//!                                                                        │ one change of a function at a time
//! resolve ─▶ snapshot: no lock, no wait ─▶ admit: counts what runs
//! ```
//!
//! - [`Registry`]: the handle; `registry` also holds the one way in which anything is changed.
//! - `snapshot`: what is known, as a value; `resolve`, `admission`: the parts that are on the request's path.
//! - `scope`, [`parse_function`], [`parse_qualifier`]: who asks and what for.
//! - one module an operation group: `function_create`, `function_read`, `function_update`, `function_delete`,
//!   `version`, `alias`, `layer`, `tag`, `concurrency`, `function_url`, `permission`, `event_invoke`, `recursion`,
//!   `topic`, `route`, `route_key`, `mapping`.
//! - rules on what requests hold: `constraints` (the words), `settings`, `environment`, `runtimes`, `layer_use`,
//!   `code_source`, `tag_rules`, `destination`, `mapping_rules`,
//!   `mapping_source`, `mapping_retries`; `page` for listings.
//! - `routing`: routes as requests meet them.
//! - `policy`: what a resource policy allows, and how it is written.
//! - `prepare`: `Pending` to `Active`, off the request's path. `present`, `mapping_shown`: records as the API shows them.
//!
//! The registry never invokes. It checks whose a function is, not who may do what with it: that is the front
//! door's.

mod admission;
mod alias;
mod answers;
mod capacity_provider;
mod code_source;
mod concurrency;
mod constraints;
mod destination;
mod environment;
mod event_invoke;
mod folder_use;
mod function_create;
mod function_delete;
mod function_read;
mod function_update;
mod function_url;
mod layer;
mod layer_use;
mod mapping;
mod mapping_kafka;
mod mapping_retries;
mod mapping_rules;
mod mapping_shown;
mod mapping_source;
mod options;
mod page;
mod permission;
mod policy;
mod prepare;
mod present;
mod recursion;
mod registry;
mod resolve;
mod route;
mod route_key;
mod routing;
mod runtimes;
mod scope;
mod settings;
mod snapshot;
mod tag;
mod tag_rules;
mod topic;
mod version;

#[cfg(test)]
mod tests;

pub use admission::Permit;
pub use answers::{
    FunctionDescription, LayerFilter, LayerVersionDescription, PageRequest, Resolved,
};
pub use function_url::FunctionUrlDescription;
pub use mapping::MappingFilter;
pub use options::{Clock, Options, RuntimePolicy};
pub use registry::Registry;
pub use resolve::{FunctionUrl, draw};
pub use route_key::KnownKey;
pub use routing::{
    Access, FixedResponse, Found, HeaderEdits, Jwt, Matched, NewPath, Route, RouteTarget, Site,
    Throttled,
};
pub use scope::{Scope, parse_function, parse_qualifier};
