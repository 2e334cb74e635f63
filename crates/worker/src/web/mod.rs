//! Functions that are web servers: HTTP reaches them as it is, and many requests at once.
//!
//! ```text
//! serve, invoke ─▶ the pool's queue ─▶ a place in an environment: a `Visit`
//!               ─▶ exchange    a kept connection or a new one ─▶ the request ─▶ the response's head
//!               ─▶ download    its body streams to the caller; its end is the visit's end ─▶ END, REPORT
//! ```
//!
//! Reading order: [`program`] (what is started), [`ready`] (when it is ready), [`server`] (connections to it, which
//! are [`prompt`]), [`visit`] and [`attend`] (one request's stay, as its caller and as its environment see it),
//! [`exchange`] and [`download`] (the request and its response), [`serve`] and [`invoke`] (the ways in).
//!
//! The request stays in the task of its caller; the environment's task knows of it by the visit alone: it bounds it, and
//! measures it. A request has a connection to itself while it runs, so that cutting one touches no other; connections
//! are kept for later requests only after a response and a request that were both whole (nothing of one request can
//! reach another one). What comes from the server is hostile (INV-8).

mod attend;
mod download;
mod exchange;
mod invoke;
mod program;
mod prompt;
mod ready;
mod serve;
mod server;
mod visit;

pub(crate) use attend::attend;
pub(crate) use invoke::invoke;
pub(crate) use program::program;
pub(crate) use ready::{Impression, wait as wait_until_ready};
pub(crate) use serve::serve;
pub(crate) use server::Server;
pub(crate) use visit::{Unserved, Visit};
