//! Functions that are WebAssembly components.
//!
//! ```text
//! serve, invoke ─▶ table      deployment → guest: loaded, no lock; else load
//!               ─▶ guest      hands out a lane and takes it back
//!               ─▶ turn       START … the wall runs the guest … END, REPORT
//! ```
//!
//! Reading order: [`table`] (which deployments are loaded), [`load`] and [`recognise`] (package to program, off the
//! request's way), [`grants`] (what a component may have), [`guest`] and [`crate::lanes`] (what an execution
//! environment is on this wall), [`turn`] (one call), [`serve`], [`invoke`] with [`crate::event`], and [`command`] (the ways in), [`fault`] (what
//! goes wrong, in Lambda's words); [`processes`] and [`process`], where guests have a process of their account's.
//!
//! A *lane* serves one call at a time and has one log stream, so that lines of concurrent calls never mix in a stream;
//! which instance serves it is the wall's business. An instance may be a fresh one for each call.
//!
//! What counts as Init, and so is shown as `Init Duration` once in a lane: loading the program, if the call had to wait
//! for that, and making the instance that the lane's first call ran in. The instances of later calls are made within
//! their `Duration`: an Init in each REPORT would say that every start is a cold one, and none is.

mod command;
mod fault;
mod grants;
mod guest;
mod invoke;
mod load;
mod process;
mod processes;
mod recognise;
mod serve;
mod table;
mod turn;

pub(crate) use guest::Guest;
pub(crate) use invoke::invoke;
pub(crate) use load::Unready;
pub(crate) use processes::Processes;
pub(crate) use serve::serve;
pub(crate) use table::Components;
