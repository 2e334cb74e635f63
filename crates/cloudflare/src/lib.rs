//! Cloudflare's API, as far as Wrangler uses it: `wrangler deploy` and what goes with it, for workers that are functions.
//!
//! ```text
//! gateway: token → account, body ─▶ [`Cloudflare::call`]: method and path → one call
//!   upload ─▶ form ─▶ bindings, package ─▶ registry: code, then a version, then the alias `production`
//!   all else ─▶ registry, queues, schedules, the store of keys and values
//! ```
//!
//! A script is a function of the runtime `worker`, an upload is a published version of it, and what is deployed is what
//! the alias [`worker::DEPLOYED`] says. So everything that knows functions knows scripts.
//!
//! Reading order: [`api`] (the handle, and which call is which), [`turns`] (who waits for whom), [`answer`] (the
//! envelope), [`worker`] (scripts as functions), [`form`], [`bindings`] and [`package`] (from an upload to a package), then one module a group of calls:
//! [`account`], [`scripts`], [`versions`], [`deployments`], [`secrets`], [`subdomain`], [`schedules`], [`assets`],
//! [`keyvalue`], [`queues`], [`tails`]. [`notes`] keeps what only this API knows.
//!
//! Nobody here authenticates, listens, or starts what runs a worker. Everything that a caller sends is bounded before it
//! is looked at.

mod account;
mod answer;
mod api;
mod assets;
mod bindings;
mod deployments;
mod form;
mod keyvalue;
mod notes;
mod package;
mod queues;
mod schedules;
mod scripts;
mod secrets;
mod subdomain;
mod tails;
mod turns;
mod versions;
mod worker;

pub use answer::{Failure, Reply};
pub use api::{Caller, Cloudflare, PREFIX, Parts, Request, body_bytes};
