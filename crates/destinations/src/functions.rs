//! To a function: an asynchronous invocation of it.

use hearth_store::EventStore;
use hearth_store::events::Event;
use hearth_types::lineage::{self, MOST_RUNS};
use hearth_types::name::{FunctionKey, Qualifier};
use hearth_types::time::Timestamp;

use crate::message::Message;

/// Queues the message as an event of `function`; it is on disk when this answers. The trace goes with it, and with it the
/// chain of invocations by which loops are found. The end of a loop is not told to a function of the loop: that would go
/// on for ever.
///
/// # Errors
/// If it can't be accepted.
pub(crate) async fn invoke(
    events: &dyn EventStore,
    function: FunctionKey,
    qualifier: Option<Qualifier>,
    message: &Message,
    now: Timestamp,
) -> Result<(), String> {
    let is_of_loop = message.ends_loop && lineage::runs(&message.trace, &function) >= MOST_RUNS;
    if is_of_loop {
        tracing::warn!(%function, id = %message.id, "the end of a loop is not told to a function of it");
        return Ok(());
    }
    let event = Event {
        // One that was told twice is known by it.
        id: message.id,
        function,
        qualifier,
        payload: message.body.clone(),
        client_context: None,
        trace_id: message.trace.clone(),
        accepted: now,
        due: now,
    };
    events
        .accept(event)
        .await
        .map_err(|error| format!("The function's queue does not take it: {error}."))
}
