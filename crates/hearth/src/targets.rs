//! The way to the targets of schedules, of rules and of storage events.

use std::sync::Arc;

use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_store::EventStore;
use hearth_targets::Targets;

/// Functions of `registry` are given events of theirs, in `queue`; queues are those of `queues`.
pub(crate) fn of(registry: Registry, queue: Arc<dyn EventStore>, queues: Queues) -> Targets {
    let functions = Arc::new(move |key: &_, qualifier: Option<&_>| {
        // Whichever of an alias's versions: it is drawn anew when the event is run.
        registry.resolve_key(key, qualifier, 0.0).map(drop)
    });
    Targets::new(queue, queues, functions)
}
