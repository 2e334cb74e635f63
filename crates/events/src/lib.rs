//! Event router: what is accepted is on disk, is tried as configured, and reaches a recorded end (INV-4).
//!
//! ```text
//! accept ─▶ store: on disk, then answered            (Events)
//!           news ─▶ turns: whose turn it is ─▶ take: leases
//!                   ─▶ attempt: resolve, admit, invoke ─▶ policy: what becomes of it ─▶ settle
//!                                                        success, or again at … , or tell ─▶ dead
//! ```
//!
//! - [`Events`]: the handle of whoever accepts events and looks at them.
//! - [`policy`]: what becomes of an event after an attempt, as a pure function of times and counts.
//! - [`turns`]: whose turn it is, so that one function's flood does not delay another's events.
//! - [`attempt`]: the seam to what runs functions, and the way through registry and invoker.
//! - [`destinations`]: the seam to whoever is told of an end, and what is told.
//! - [`Dispatcher`]: the loop that joins them; it alone waits.
//!
//! Nobody here runs code itself: that is for the same [`hearth_types::invoke::Invoker`] as the front door's.

pub mod attempt;
pub mod destinations;
mod dispatcher;
mod handle;
pub mod policy;
pub mod turns;
mod work;

pub use dispatcher::{Dispatcher, DispatcherOptions};
pub use handle::Events;
pub use hearth_store::events::{Event, Position, State};

/// Tells the time.
pub type Clock = std::sync::Arc<dyn Fn() -> hearth_types::time::Timestamp + Send + Sync>;
