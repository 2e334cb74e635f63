//! What is kept. These are the serialised shapes (INV-7): a change to one must still read what was written before.

use std::collections::BTreeMap;

use hearth_types::arn::LayerVersionArn;
use hearth_types::digest::Digest;
use hearth_types::event_invoke::EventInvokeConfig;
use hearth_types::function::{
    Architecture, Configuration, DeploymentId, Package, RecursiveLoop, State, UpdateStatus,
};
use hearth_types::function_url::cors::Cors;
use hearth_types::function_url::{InvokeMode, UrlAuth, UrlId};
use hearth_types::mapping::{Mapping, MappingId, MappingState};
use hearth_types::name::{AliasName, FunctionKey, Qualifier, RouteId, TopicId, Version};
use hearth_types::time::Timestamp;
use hearth_types::webhook::{WebhookSecret, WebhookUrl};
use hearth_types::wire::route::Route;
use serde::{Deserialize, Serialize};

/// A function: what is common to its versions, and `$LATEST`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionRecord {
    /// Which function.
    pub key: FunctionKey,
    /// Counts the writes of this record, from 1. A write names the count that it saw, so that two writers never
    /// overwrite each other unseen.
    pub generation: u64,
    /// When it was created.
    pub created: Timestamp,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its reserved concurrency, if it has any.
    pub reserved_concurrency: Option<u32>,
    /// The number of the version that was published last, 0 before the first. Numbers are never used again.
    pub last_published: u64,
    /// What becomes of events that have led the function to itself too often. Records from before there was a choice
    /// have none, and read and write as they did.
    #[serde(default, skip_serializing_if = "is_default")]
    pub recursive_loop: RecursiveLoop,
    /// `$LATEST`.
    pub latest: VersionRecord,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One version of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// `$LATEST` or a number.
    pub version: Version,
    /// Names this code and configuration to the workers.
    pub deployment: DeploymentId,
    /// `RevisionId`: a UUID that changes with every change that a caller can see.
    pub revision: String,
    /// `LastModified`.
    pub modified: Timestamp,
    /// What it is.
    pub configuration: Configuration,
    /// Whether it can be invoked.
    pub state: State,
    /// How the last update went.
    pub update: UpdateStatus,
    /// While an update is made ready: what is run until then.
    pub running: Option<Running>,
}

/// The code and configuration that run while an update is being made ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Names them to the workers.
    pub deployment: DeploymentId,
    /// What they are.
    pub configuration: Configuration,
    /// When they were made.
    pub modified: Timestamp,
}

/// An alias of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AliasRecord {
    /// Its name.
    pub name: AliasName,
    /// The version that it points to.
    pub version: Version,
    /// A second version, and the share of invocations that it gets, 0.0 to 1.0.
    pub weighted: Option<(Version, f64)>,
    /// Free text.
    pub description: String,
    /// `RevisionId`.
    pub revision: String,
}

/// The URL of a function, or of one of its aliases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionUrlRecord {
    /// Its identifier, for ever.
    pub id: UrlId,
    /// What it invokes: `$LATEST` or an alias. There is one URL for each at most.
    pub qualifier: Qualifier,
    /// Counts the writes of this record, from 1.
    pub generation: u64,
    /// Who may use it.
    pub auth: UrlAuth,
    /// How responses are sent.
    pub mode: InvokeMode,
    /// What it allows pages of other origins, if it says anything about that.
    pub cors: Option<Cors>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed.
    pub modified: Timestamp,
}

/// What a function, or one of its versions or aliases, says of its asynchronous invocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventInvokeRecord {
    /// What is invoked: `$LATEST`, a version or an alias. There is one record for each at most.
    pub qualifier: Qualifier,
    /// A UUID that changes with every change.
    pub revision: String,
    /// When it was changed.
    pub modified: Timestamp,
    /// What it says.
    pub config: EventInvokeConfig,
}

/// The resource policy of a function, or of one of its versions or aliases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// What it is about: `$LATEST` for the function itself, a version or an alias.
    pub qualifier: Qualifier,
    /// `RevisionId`.
    pub revision: String,
    /// What is allowed, in the order in which it was added; never empty.
    pub statements: Vec<StatementRecord>,
}

/// One statement of a policy. All conditions that are there must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementRecord {
    /// Its name within the policy.
    pub id: String,
    /// What is allowed, as it was given: `lambda:InvokeFunction`, `lambda:*`, `*`.
    pub action: String,
    /// Who is, as it was given: a service, an account, an ARN, or `*` for everyone.
    pub principal: String,
    /// The resource on whose behalf.
    pub source_arn: Option<String>,
    /// The account on whose behalf.
    pub source_account: Option<String>,
    /// A token that the caller must have.
    pub event_source_token: Option<String>,
    /// The organisation that the caller must be of.
    pub principal_org_id: Option<String>,
    /// What the URL's `AuthType` must be.
    pub url_auth: Option<UrlAuth>,
    /// Whether the call must come, or must not come, through a function URL.
    pub via_url: Option<bool>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteRecord {
    /// Which route.
    pub id: RouteId,
    /// `RevisionId`: a UUID that changes with every change.
    pub revision: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed.
    pub modified: Timestamp,
    /// What it is, as it was asked for: the API's shape is kept whole, so that what is shown is what was given. Its name,
    /// revision and times are absent.
    pub route: Route,
}

/// An API key for routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteKeyRecord {
    /// Its owner and its name.
    pub id: RouteId,
    /// `RevisionId`: a UUID that changes with every change.
    pub revision: String,
    /// The part of the key that is no secret: how it is found. Never used again.
    pub key_id: String,
    /// SHA-256 of the key. It is 256 random bits, so that a slower hash would hide nothing better.
    pub sha256: Digest,
    /// Whether it lets anybody in.
    pub enabled: bool,
    /// When it was created.
    pub created: Timestamp,
}

/// A topic: a list of webhooks under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    /// Which topic.
    pub id: TopicId,
    /// `RevisionId`: a UUID that changes with every change.
    pub revision: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed.
    pub modified: Timestamp,
    /// Its webhooks, in the order in which they were given; no two have the same URL.
    pub webhooks: Vec<WebhookRecord>,
}

/// A webhook of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRecord {
    /// Where it is.
    pub url: WebhookUrl,
    /// What it is signed with: whoever signs needs the secret itself.
    pub secret: WebhookSecret,
}

/// An event source mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingRecord {
    /// Which.
    pub id: MappingId,
    /// A UUID that changes with every change.
    pub revision: String,
    /// When a caller changed it.
    pub modified: Timestamp,
    /// Where it is in its life.
    pub state: MappingState,
    /// What it says.
    pub mapping: Mapping,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// One version of a layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerVersionRecord {
    /// Which version of which layer.
    pub arn: LayerVersionArn,
    /// Its package.
    pub package: Package,
    /// Free text.
    pub description: String,
    /// Free text, or a link.
    pub license: Option<String>,
    /// When it was published.
    pub created: Timestamp,
    /// Runtimes that it is said to be for, as given.
    pub compatible_runtimes: Vec<String>,
    /// Processors that it is said to be for.
    pub compatible_architectures: Vec<Architecture>,
}
