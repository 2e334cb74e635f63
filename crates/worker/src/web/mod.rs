//! Functions that are web servers: HTTP reaches them as it is, and many requests at once.
//!
//! ```text
//! serve, invoke ─▶ the pool, its queue ─▶ a place in an environment: a `Visit`, START
//!               ─▶ exchange    a kept connection or a new one ─▶ the request ─▶ the response's head
//!               ─▶ download    its body streams to the caller; its end is the visit's end ─▶ END, REPORT
//! ```
//!
//! Reading order: [`program`] (what is started), [`ready`] (when it is ready), [`server`] (connections to it, which
//! are [`prompt`]), [`visit`] and [`visits`] (one request's stay, as its caller and as its environment see it),
//! [`exchange`] and [`download`] (the request and its response), [`serve`] and [`invoke`] (the ways in).
//!
//! The request stays in the task of its caller, from its beginning to its end; the environment's task sees to what its caller
//! can't: that its time is up, or that the server's process has ended. A request has a connection to itself while it runs, so that cutting one touches no other; connections
//! are kept for later requests only after a response and a request that were both whole (nothing of one request can
//! reach another one). What comes from the server is hostile (INV-8).

mod download;
mod exchange;
mod invoke;
mod program;
mod prompt;
mod ready;
mod serve;
mod server;
mod visit;
mod visits;

pub(crate) use invoke::invoke;
pub(crate) use program::program;
pub(crate) use ready::{Impression, wait as wait_until_ready};
pub(crate) use serve::serve;
pub(crate) use server::Server;
pub(crate) use visit::{Unserved, Visit};
pub(crate) use visits::{Door, Inside, Visits};
