//! Event source mappings: the messages of queues and brokers, handed to functions in batches.
//!
//! ```text
//! source ─▶ poller    looks, and takes nothing: is a batch due?
//!       ─▶ pace       may the mapping have one batch more? is it to rest?
//!       ─▶ turns      one batch of all that the node runs at the same time; mappings take turns
//!       ─▶ registry   resolved and admitted, as a request
//!       ─▶ work       taken, filtered, written as events, invoked
//!       ─▶ course     part by part: handed over, settled, given up
//!       ─▶ answer     what the function says of each message: gone, or back when its visibility has run out
//!       ─▶ attempts   how often a stream's record has failed: once more, or given up when a destination has been told
//! ```
//!
//! - [`Mappings`]: follows the registry: a poller for each mapping that is enabled.
//! - `poller`: one mapping; it waits for the source to tell of itself, and costs nothing until then.
//! - `source`: where messages come from: `queue`, of the node, or `broker`, outside.
//! - [`Destinations`]: who is told of what was given up; `failure`: what they are told.
//! - `pace`, `answer`, `attempts`, `batch`, `parts`: rules alone, without waiting.
//!
//! Messages are taken only when everything is there that they need, so that a function that is throttled, or not
//! ready, doesn't use up their receive counts. What a node that was killed has taken is due again by the source's own
//! hand: nothing of it is kept here. How often a record has failed is in memory alone.

mod answer;
mod attempts;
mod batch;
mod broker;
mod course;
mod destinations;
mod failure;
mod mappings;
mod pace;
mod parts;
mod poller;
mod queue;
mod source;
mod work;

pub use destinations::{Destinations, Told};
pub use mappings::Mappings;
