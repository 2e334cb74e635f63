//! Targets of schedules, of rules and of storage events: a function, which gets an event, or a queue, which gets a message.
//!
//! - [`wire`]: the members that both APIs have; [`check`]: what of them is refused.
//! - [`Targets`]: the way there. A target takes a parcel in once, in the transaction that notes its mark.
//! - [`policy`]: what becomes of a parcel that a target has not taken.
//! - [`Letter`]: what goes to a dead-letter queue in the end.
//!
//! When something is due, and what it says, is the business of who sends it.

pub mod check;
mod delivery;
mod letter;
pub mod policy;
pub mod wire;

pub use delivery::{Failure, Functions, Parcel, Targets};
pub use letter::Letter;

/// How names of queues that keep order end.
pub const FIFO: &str = ".fifo";

/// Whether messages may have a character (service model of SQS, `SendMessage`).
pub fn is_allowed(character: char) -> bool {
    matches!(
        character,
        '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..
    )
}
