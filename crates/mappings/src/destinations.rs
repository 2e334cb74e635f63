//! The seam to whoever is told of records that were given up.

use bytes::Bytes;
use hearth_types::event_invoke::DestinationArn;
use hearth_types::invoke::BoxFuture;
use hearth_types::mapping::MappingId;
use hearth_types::time::Timestamp;

/// Tells destinations.
pub trait Destinations: Send + Sync + 'static {
    /// Tells a destination, and answers once that is safe there. It may be called again with the same.
    ///
    /// # Errors
    /// Why it could not be told, in a sentence; it is tried again.
    fn tell<'a>(&'a self, told: Told<'a>) -> BoxFuture<'a, Result<(), String>>;
}

/// One thing to tell.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    /// Whom.
    pub destination: &'a DestinationArn,
    /// Whose records were given up.
    pub mapping: &'a MappingId,
    /// When that was.
    pub at: Timestamp,
    /// The trace of the last invocation that they were part of, with the function in its chain.
    pub trace_id: &'a str,
    /// What is said: JSON.
    pub body: Bytes,
}
