//! The handle, what it knows, and taking events in.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use hearth_store::rules::{BusId, NewRuleEvent, RuleStoreError};
use hearth_store::{SqliteRuleStore, StoreError};
use hearth_types::invoke::RequestId;
use hearth_types::name::{AccountId, Region};
use hearth_types::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Clock;
use crate::error::{Kind, RuleError};
use crate::event::Written;
use crate::known::Known;
use crate::senders::Sender;

/// What [`Rules`] works with.
#[derive(Clone)]
pub struct Options {
    /// Who may send CloudEvents with a token.
    pub senders: Vec<Sender>,
    /// The time.
    pub clock: Clock,
}

/// Rules. Cheap to clone.
#[derive(Clone)]
pub struct Rules(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: SqliteRuleStore,
    pub(crate) options: Options,
    known: RwLock<Known>,
    /// One change of buses and rules at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose rules.
    pub account: AccountId,
    /// Where.
    pub region: Region,
    /// `X-Amzn-Trace-Id` of the request: events have it that have no other.
    pub trace: Option<String>,
}

/// An event that is to be taken in.
pub(crate) struct Arriving {
    pub(crate) bus: BusId,
    pub(crate) event: Written,
    pub(crate) trace: Option<String>,
}

impl Rules {
    /// Reads the buses and rules of `store`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(store: SqliteRuleStore, options: Options) -> Result<Self, StoreError> {
        let known = Known::new(store.buses().await?, store.rules().await?)?;
        Ok(Self(Arc::new(Inner {
            store,
            options,
            known: RwLock::new(known),
            changing: tokio::sync::Mutex::default(),
        })))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0.options.clock)()
    }

    pub(crate) fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, after the store has.
    pub(crate) fn learn(&self, change: impl FnOnce(&mut Known)) {
        let known = &self.0.known;
        change(&mut known.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Does an operation of the API.
    ///
    /// # Errors
    /// [`RuleError`]; nothing was changed.
    pub async fn call(
        &self,
        caller: &Caller,
        operation: &str,
        body: &[u8],
    ) -> Result<Value, RuleError> {
        match operation {
            "PutRule" => self.put_rule(caller, read(body)?).await,
            "DescribeRule" => self.describe_rule(caller, read(body)?),
            "ListRules" => self.list_rules(caller, read(body)?),
            "DeleteRule" => self.delete_rule(caller, read(body)?).await,
            "EnableRule" => self.set_enabled(caller, read(body)?, true).await,
            "DisableRule" => self.set_enabled(caller, read(body)?, false).await,
            "PutTargets" => self.put_targets(caller, read(body)?).await,
            "ListTargetsByRule" => self.list_targets(caller, read(body)?),
            "ListRuleNamesByTarget" => self.list_names_by_target(caller, read(body)?),
            "RemoveTargets" => self.remove_targets(caller, read(body)?).await,
            "PutEvents" => self.put_events(caller, read(body)?).await,
            "TestEventPattern" => crate::put_events::test_pattern(&read(body)?),
            "CreateEventBus" => self.create_bus(caller, read(body)?).await,
            "UpdateEventBus" => self.update_bus(caller, read(body)?).await,
            "DescribeEventBus" => self.describe_bus(caller, &read(body)?),
            "ListEventBuses" => self.list_buses(caller, read(body)?),
            "DeleteEventBus" => self.delete_bus(caller, read(body)?).await,
            "TagResource" => self.tag(caller, read(body)?).await,
            "UntagResource" => self.untag(caller, read(body)?).await,
            "ListTagsForResource" => self.list_tags(caller, &read(body)?),
            other => {
                let shown: String = other.chars().take(80).collect();
                Err(RuleError::new(
                    Kind::UnknownOperation,
                    format!("Hearth does not have the operation {shown} of EventBridge."),
                ))
            }
        }
    }

    /// Takes events in, all or none: when this answers they are on disk for each target that is meant.
    ///
    /// # Errors
    /// [`RuleError`]: `Throttling` if as much is on its way as may be, or the store's.
    pub(crate) async fn take(&self, arriving: Vec<Arriving>) -> Result<(), RuleError> {
        let meant: Vec<NewRuleEvent> = {
            let known = self.known();
            let events = arriving.into_iter().map(|one| NewRuleEvent {
                told: known.told(&one.bus, &one.event.value),
                body: one.event.text,
                trace: one.trace,
            });
            events.filter(|event| !event.told.is_empty()).collect()
        };
        if meant.is_empty() {
            return Ok(());
        }
        match self.0.store.accept(meant, self.now()).await {
            Ok(()) => Ok(()),
            Err(RuleStoreError::Full) => Err(RuleError::new(
                Kind::Throttling,
                "As many events are on their way to targets as may be. Send it again later.",
            )),
            Err(RuleStoreError::FullTarget(target)) => Err(RuleError::new(
                Kind::Throttling,
                format!(
                    "As many events are on their way to {target} as may be: it takes none. Look at it, or take it out of its \
                     rule, and send it again."
                ),
            )),
            Err(RuleStoreError::Store(error)) => Err(error.into()),
        }
    }
}

/// A request's members. No body is an object without any.
fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, RuleError> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Ok(T::default());
    }
    let bad = |why: String| RuleError::new(Kind::Serialization, why);
    // Serde would take a list for an object too, member by member.
    if body.first() != Some(&b'{') {
        return Err(bad("The request's body must be a JSON object.".to_owned()));
    }
    serde_json::from_slice(body)
        .map_err(|error| bad(format!("The request's body can't be read: {error}.")))
}

pub(crate) fn to_value(answer: &impl Serialize) -> Result<Value, RuleError> {
    serde_json::to_value(answer).map_err(|error| {
        tracing::error!(%error, "write an answer as JSON");
        RuleError::new(Kind::Internal, "The answer can't be written.")
    })
}

/// An identifier for an event.
pub(crate) fn new_id() -> Result<RequestId, RuleError> {
    let mut random = [0; 16];
    match getrandom::fill(&mut random) {
        Ok(()) => Ok(RequestId::from_random(random)),
        Err(error) => {
            tracing::error!(%error, "read random bytes from the operating system");
            Err(RuleError::new(
                Kind::Internal,
                "The node has no random bytes. Try again.",
            ))
        }
    }
}
