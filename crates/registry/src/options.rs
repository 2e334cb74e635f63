//! What the node decides for the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use hearth_store::SqliteQueueStore;
use hearth_types::folder::Folders;
use hearth_types::function::{Architecture, Runtime};
use hearth_types::limits::ACCOUNT_CONCURRENCY;
use hearth_types::name::{BrokerName, BucketName};
use hearth_types::source::KnownBroker;
use hearth_types::time::Timestamp;

/// Tells the time. The registry reads no clock of its own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the node decides for the registry.
#[derive(Clone)]
pub struct Options {
    /// Environments that an account may have at the same time, in a region.
    pub account_concurrency: u32,
    /// The processor of the machines that run functions.
    pub architecture: Architecture,
    /// Which runtimes a function may name.
    pub runtimes: RuntimePolicy,
    /// Buckets that records of failed events may be told to.
    pub buckets: BTreeSet<BucketName>,
    /// Folders that functions may have.
    pub folders: Arc<Folders>,
    /// Brokers that event source mappings may name.
    pub brokers: BTreeMap<BrokerName, KnownBroker>,
    /// Where queues are, if there are any.
    pub queues: Option<Arc<SqliteQueueStore>>,
    /// Whether webhooks may be on loopback addresses of the node.
    pub loopback_webhooks: bool,
    /// Tells the time.
    pub clock: Clock,
}

/// Which runtimes a function may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimePolicy {
    /// Every runtime of the service that Hearth has a bootstrap for; one that the host lacks runs on the nearest
    /// installed version of its language.
    Nearest,
    /// These only; others are refused when a function is configured.
    Exactly(Vec<Runtime>),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            account_concurrency: ACCOUNT_CONCURRENCY,
            architecture: if cfg!(target_arch = "aarch64") {
                Architecture::Arm64
            } else {
                Architecture::X86_64
            },
            runtimes: RuntimePolicy::Nearest,
            buckets: BTreeSet::new(),
            folders: Arc::default(),
            brokers: BTreeMap::new(),
            queues: None,
            loopback_webhooks: false,
            clock: Arc::new(|| SystemTime::now().into()),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("account_concurrency", &self.account_concurrency)
            .field("architecture", &self.architecture)
            .field("runtimes", &self.runtimes)
            .field("buckets", &self.buckets)
            .field("folders", &self.folders)
            .field("brokers", &self.brokers)
            .field("loopback_webhooks", &self.loopback_webhooks)
            .finish_non_exhaustive()
    }
}
