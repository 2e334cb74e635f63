//! What every store promises.

use async_trait::async_trait;
use hearth_types::arn::LayerVersionArn;
use hearth_types::mapping::MappingId;
use hearth_types::name::{
    AccountId, AliasName, FunctionKey, LayerName, Qualifier, Region, RouteId, TopicId, Version,
};

use crate::record::{
    AliasRecord, EventInvokeRecord, FunctionRecord, FunctionUrlRecord, LayerVersionRecord,
    MappingRecord, PolicyRecord, RouteKeyRecord, RouteRecord, TopicRecord, VersionRecord,
};

/// Durable state. Implementations: [`crate::sqlite`]; PostgreSQL for a cluster plugs in here.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads everything, as of one moment.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if anything can't be read back as it was written: never a partial answer.
    async fn load(&self) -> Result<Contents, StoreError>;

    /// Applies `changes` in order, all or none, and answers once they are on disk (after the covering fsync).
    ///
    /// Cancel safety: a dropped future leaves it open whether the changes were applied; they are never half applied.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if a change does not fit what is stored (nothing was applied; read again and
    /// decide again); [`StoreError::Full`] and [`StoreError::Unavailable`] when the disk or the database gives up
    /// (nothing was applied; safe to retry).
    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError>;
}

/// Everything that is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// Functions with all that belongs to them, by key.
    pub functions: Vec<StoredFunction>,
    /// Layer versions that were not deleted, by ARN.
    pub layer_versions: Vec<LayerVersionRecord>,
    /// For each layer that ever had a version: the highest number used.
    pub layer_counters: Vec<LayerCounter>,
    /// Routes, by their owner and name.
    pub routes: Vec<RouteRecord>,
    /// API keys for routes, by their owner and name.
    pub route_keys: Vec<RouteKeyRecord>,
    /// Topics, by their owner and name.
    pub topics: Vec<TopicRecord>,
    /// Event source mappings, by their owner and UUID.
    pub mappings: Vec<MappingRecord>,
}

/// A function with all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFunction {
    /// The function and its `$LATEST`.
    pub function: FunctionRecord,
    /// Published versions, by number.
    pub versions: Vec<VersionRecord>,
    /// Aliases, by name.
    pub aliases: Vec<AliasRecord>,
    /// Its URL and those of its aliases, by qualifier.
    pub urls: Vec<FunctionUrlRecord>,
    /// Its policy and those of its versions and aliases, by qualifier.
    pub policies: Vec<PolicyRecord>,
    /// How its events are handled and those of its versions and aliases, by qualifier.
    pub event_invokes: Vec<EventInvokeRecord>,
}

/// The highest version number that a layer has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerCounter {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// The layer.
    pub layer: LayerName,
    /// The number.
    pub last: u64,
}

/// One change. Each says what it expects to find; otherwise the whole commit is a conflict.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds a function (generation 1); it must not be there.
    CreateFunction(FunctionRecord),
    /// Replaces a function's record; the stored generation must be one less than the record's.
    UpdateFunction(FunctionRecord),
    /// Removes a function with all that belongs to it; the stored generation must be `generation`.
    DeleteFunction {
        /// Which.
        key: FunctionKey,
        /// The generation that the caller saw.
        generation: u64,
    },
    /// Adds a published version; function must be there, the version not.
    CreateVersion(FunctionKey, VersionRecord),
    /// Replaces the state of a published version (its configuration never changes, INV-2); it must be there with
    /// the same configuration.
    UpdateVersion(FunctionKey, VersionRecord),
    /// Removes a published version; it must be there.
    DeleteVersion(FunctionKey, Version),
    /// Adds an alias; function must be there, the alias not.
    CreateAlias(FunctionKey, AliasRecord),
    /// Replaces an alias; its stored revision must be `expected`.
    UpdateAlias {
        /// The function.
        key: FunctionKey,
        /// The new record.
        record: AliasRecord,
        /// The revision that the caller saw.
        expected: String,
    },
    /// Removes an alias; it must be there.
    DeleteAlias(FunctionKey, AliasName),
    /// Adds a URL (generation 1); the function must be there, a URL for the same qualifier not.
    CreateFunctionUrl(FunctionKey, FunctionUrlRecord),
    /// Replaces a URL; the stored generation must be one less than the record's, its identifier the same.
    UpdateFunctionUrl(FunctionKey, FunctionUrlRecord),
    /// Removes a URL; it must be there.
    DeleteFunctionUrl(FunctionKey, Qualifier),
    /// Adds or replaces a policy; the function must be there.
    PutPolicy {
        /// The function.
        key: FunctionKey,
        /// The new record.
        record: PolicyRecord,
        /// The revision that the caller saw; `None`: there must be no such policy.
        expected: Option<String>,
    },
    /// Removes a policy; it must be there.
    DeletePolicy(FunctionKey, Qualifier),
    /// Adds or replaces how events are handled; the function must be there.
    PutEventInvoke {
        /// The function.
        key: FunctionKey,
        /// The new record.
        record: EventInvokeRecord,
        /// The revision that the caller saw; `None`: there must be no such record.
        expected: Option<String>,
    },
    /// Removes how events are handled; it must be there.
    DeleteEventInvoke(FunctionKey, Qualifier),
    /// Adds a layer version; its number must be one more than the highest that the layer has used.
    CreateLayerVersion(LayerVersionRecord),
    /// Removes a layer version; it must be there. Its number stays used.
    DeleteLayerVersion(LayerVersionArn),
    /// Adds or replaces a route.
    PutRoute {
        /// The new record.
        record: RouteRecord,
        /// The revision that the caller saw; `None`: there must be no such route.
        expected: Option<String>,
    },
    /// Removes a route; its stored revision must be `expected`.
    DeleteRoute {
        /// Which.
        id: RouteId,
        /// The revision that the caller saw.
        expected: String,
    },
    /// Adds or replaces an API key for routes.
    PutRouteKey {
        /// The new record.
        record: RouteKeyRecord,
        /// The revision that the caller saw; `None`: there must be no such key.
        expected: Option<String>,
    },
    /// Removes an API key for routes; its stored revision must be `expected`.
    DeleteRouteKey {
        /// Which.
        id: RouteId,
        /// The revision that the caller saw.
        expected: String,
    },
    /// Adds or replaces a topic.
    PutTopic {
        /// The new record.
        record: TopicRecord,
        /// The revision that the caller saw; `None`: there must be no such topic.
        expected: Option<String>,
    },
    /// Removes a topic; its stored revision must be `expected`.
    DeleteTopic {
        /// Which.
        id: TopicId,
        /// The revision that the caller saw.
        expected: String,
    },
    /// Adds or replaces an event source mapping.
    PutMapping {
        /// The new record.
        record: MappingRecord,
        /// The revision that the caller saw; `None`: there must be no such mapping.
        expected: Option<String>,
    },
    /// Removes an event source mapping; its stored revision must be `expected`.
    DeleteMapping {
        /// Which.
        id: MappingId,
        /// The revision that the caller saw.
        expected: String,
    },
}

/// Why a store could not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A change does not fit what is stored. Nothing was applied.
    #[error("{0}")]
    Conflict(String),
    /// The disk is full. Nothing was applied.
    #[error("no space left to store: {0}")]
    Full(String),
    /// The data folder is held by another node.
    #[error("the store is in use by another process: {0}")]
    Locked(String),
    /// Something stored can't be read back as it was written.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// Anything else that the disk or the database says.
    #[error("the store can't be used: {0}")]
    Unavailable(String),
}
