//! The handle of whoever accepts events and looks at them.

use std::fmt;
use std::sync::Arc;

use hearth_registry::Scope;
use hearth_store::StoreError;
use hearth_store::events::{
    Counts, DeadEvent, Event, EventError, EventPage, EventStore, FullQueue, MOST_DEAD, Position,
    State,
};
use hearth_types::ApiError;
use hearth_types::error::{ErrorKind, ThrottleReason};
use hearth_types::invoke::RequestId;
use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;

use std::time::Duration;

use crate::Clock;

/// When to ask again if a queue is full: it empties by whole invocations.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The queue of events. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    store: Arc<dyn EventStore>,
    clock: Clock,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// The events of `store`.
    pub fn new(store: Arc<dyn EventStore>, clock: Clock) -> Self {
        Self { store, clock }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Queues an event, and answers once it is on disk.
    ///
    /// # Errors
    /// [`TooManyRequests`](ErrorKind::TooManyRequests) if a queue is full,
    /// [`ServiceUnavailable`](ErrorKind::ServiceUnavailable) if the store can't: nothing was accepted.
    pub async fn accept(&self, event: Event) -> Result<(), ApiError> {
        self.store.accept(event).await.map_err(refusal)
    }

    /// How many events an account has in a region, by function.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn counts(&self, scope: &Scope) -> Result<Vec<(FunctionKey, Counts)>, ApiError> {
        let mut counts = self.store.counts().await.map_err(unavailable)?;
        counts.retain(|(key, _)| key.account == scope.account && key.region == scope.region);
        Ok(counts)
    }

    /// A part of a function's events in one state.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(
        &self,
        function: &FunctionKey,
        state: State,
        after: Option<Position>,
        limit: usize,
    ) -> Result<EventPage, ApiError> {
        let page = self.store.list(function, state, after, limit).await;
        page.map_err(unavailable)
    }

    /// A dead event of an account, whole.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound); those of the store.
    pub async fn dead(&self, scope: &Scope, id: RequestId) -> Result<DeadEvent, ApiError> {
        let found = self.store.dead(id).await.map_err(unavailable)?;
        let own = found.filter(|dead| {
            let key = &dead.event.function;
            key.account == scope.account && key.region == scope.region
        });
        own.ok_or_else(|| {
            ApiError::not_found(format!(
                "No event {id} was given up, or it is not kept any more."
            ))
        })
    }

    /// Queues dead events of a function again, one or all that there are, and says how many.
    ///
    /// # Errors
    /// [`TooManyRequests`](ErrorKind::TooManyRequests) if the queue is full before the first; those of the store. Those
    /// before it stay queued.
    pub async fn redrive(
        &self,
        function: &FunctionKey,
        which: Option<RequestId>,
    ) -> Result<usize, ApiError> {
        let mut moved = 0;
        // What dies meanwhile is not moved again, or this would never end.
        let most = self.dead_now(function).await?;
        loop {
            match self.store.redrive(function, which, self.now()).await {
                Ok(0) => return Ok(moved),
                Ok(more) => moved += more,
                Err(_) if moved > 0 => return Ok(moved),
                Err(error) => return Err(refusal(error)),
            }
            if moved as u64 >= most {
                return Ok(moved);
            }
        }
    }

    /// Removes dead events of a function, one or all that there are, and says how many.
    ///
    /// # Errors
    /// Those of the store. Those before it are removed.
    pub async fn purge(
        &self,
        function: &FunctionKey,
        which: Option<RequestId>,
    ) -> Result<usize, ApiError> {
        let mut removed = 0;
        let most = self.dead_now(function).await?;
        loop {
            let more = self.store.purge(function, which).await;
            let more = more.map_err(unavailable)?;
            removed += more;
            if more < MOST_DEAD || removed as u64 >= most {
                return Ok(removed);
            }
        }
    }

    async fn dead_now(&self, function: &FunctionKey) -> Result<u64, ApiError> {
        let counts = self.store.counts().await.map_err(unavailable)?;
        let own = counts.into_iter().find(|(key, _)| key == function);
        Ok(own.map_or(0, |(_, counts)| counts.dead))
    }
}

fn refusal(error: EventError) -> ApiError {
    let message = match error {
        EventError::Full(FullQueue::Function) => {
            "The function has as many events queued as it may have. Try again when some of them have been run."
        }
        EventError::Full(FullQueue::Node) => {
            "There are as many events queued as there may be. Try again when some of them have been run."
        }
        EventError::Store(error) => return unavailable(error),
    };
    ApiError {
        message: message.into(),
        retry_after: Some(RETRY_AFTER),
        ..ApiError::throttled(ThrottleReason::CallerRateLimitExceeded)
    }
}

fn unavailable(error: StoreError) -> ApiError {
    tracing::error!(%error, "the store of events refused");
    let message = match error {
        StoreError::Full(_) => {
            "The node has no space left to store the event. Free some and try again."
        }
        StoreError::Corrupt(_) => {
            return ApiError::service("The store of events is damaged; the node's log says where.");
        }
        _ => "The store of events can't be used now. Try again.",
    };
    ApiError::new(ErrorKind::ServiceUnavailable, message)
}
