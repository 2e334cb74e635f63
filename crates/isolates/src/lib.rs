//! The isolate wall: JavaScript workers (`export default { fetch }`) in V8 isolates.
//!
//! The engine is `workerd`, an npm package that is found on the host ([`Program`]). Each account has a process of it
//! behind the process wall ([`Engines`]), without a network; isolates are made in it on demand, of code that it asks
//! the node for through the door of its sandbox. What a package has to say to the engine is read by [`Source`].
//!
//! ```text
//! Engines::load, Engines::send ─▶ the account's engine: kept, or started now
//!   engine   a kept connection into the sandbox ─▶ dispatcher (JavaScript, `runtimes/workerd`) ─▶ the function's isolate
//!   linked   the same without the dispatcher, for workers that are asked much: parts of the engine's configuration
//!   door     ◀─ code that is asked for
//!            ◀─ what a worker was granted ([`Grants`]): requests to the outside, its key-value stores, other
//!              functions, queues, its package's files
//!   trace    ◀─ what a request's isolate wrote, on the engine's standard output
//! ```
//!
//! The engine has one thread for all isolates of an account and no limits of its own: a function that computes without
//! an end holds the account's others up until the engine is found not to answer, and replaced. Its memory is bounded by
//! the sandbox. What comes out of an engine is hostile (INV-8).

mod account;
mod assets;
mod config;
mod door;
mod engine;
mod engines;
mod equipment;
mod failure;
mod grants;
mod handlers;
mod keyvalue;
mod linked;
mod outside;
mod program;
mod queue;
mod source;
mod suspects;
mod trace;
mod wrangler;

pub use assets::Assets;
pub use engine::{Answer, Response};
pub use engines::{Code, Engines, LauncherNow, Options};
pub use failure::{Failure, Thrown};
pub use grants::{Ask, Enqueue, Grants, Means, Message, SendTo, Service};
pub use handlers::{Entry, Handlers};
pub use hearth_store::key_value::BucketId;
pub use program::{Program, Search};
pub use source::{Kind, Source, SourceError};
pub use trace::{Expected, Line};
pub use wrangler::Deployed;
