//! Functions that are JavaScript workers in V8 isolates.
//!
//! ```text
//! serve, invoke ─▶ table   deployment → guest: loaded, no lock; else load
//!               ─▶ guest   hands out a lane and takes it back
//!               ─▶ turn    START … the wall sends the request … the trace: lines, END, REPORT
//! ```
//!
//! Reading order: [`table`] (which deployments are loaded, and how), [`grants`]
//! (what each may have), [`guest`], [`turn`] (one call), [`serve`] and
//! [`invoke`] (the ways in), [`fault`] (what goes wrong, in Lambda's words), [`lines`] (what `console` writes), [`tail`] (who
//! watches meanwhile).
//!
//! What a worker writes comes when its request is over, with all that it left to run on (`waitUntil`): a call's lines
//! stand together, and END follows the last of them, while the caller has had its response before.

mod fault;
mod grants;
mod guest;
mod invoke;
mod lines;
mod serve;
mod table;
mod tail;
mod turn;

pub(crate) use guest::Guest;
pub(crate) use invoke::invoke;
pub(crate) use serve::serve;
pub(crate) use table::Workers;
