//! A second wall: an account's guests run in a process of the account's own.
//!
//! The process is the same program started again behind the process wall, by whoever knows that wall; here is what the
//! two say to each other. A guest that finds a fault of the runtime has then got hold of a process that sees no file, no
//! network and no other account, and that node and kernel hold in bounds.
//!
//! Reading order: [`wire`] (what both agree on), [`frame`], [`head`] and [`message`] (the forms); in the node [`link`] (a
//! process), [`remote`] (a function in it), [`reader`] and [`remote_body`] (what comes back: hostile, INV-8); in the
//! process [`guest`] (its main), [`serve`] (its functions), [`rest`], [`answer`] and [`log`] (one call). What a
//! guest asks of the outside goes through [`way_out`] in the process to [`lead_out`] in the node, which decides.

mod answer;
mod call_body;
mod frame;
mod guest;
mod head;
mod lead_out;
mod link;
mod log;
mod message;
mod reader;
mod remote;
mod remote_body;
mod rest;
mod serve;
mod way_out;
mod wire;

use std::pin::Pin;
use std::sync::Arc;

pub use guest::{Settings, run_if_asked, work};
pub use link::Process;
pub(crate) use remote::Remote;
pub(crate) use remote_body::RemoteBody;
pub use way_out::WayOut;

use crate::call::Failure;

/// Where the process sees its artefacts.
pub const ARTEFACTS: &str = "/var/task";

/// Gives an account's process, started if there is none.
///
/// # Errors
/// [`Failure::NoRoom`] if it can be tried again, else [`Failure::Internal`].
pub type Reach =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Process, Failure>> + Send>> + Send + Sync>;
