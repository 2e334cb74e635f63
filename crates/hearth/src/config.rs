//! Configuration of a node: flags over environment over file over defaults (INV-6: only this crate reads them).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use hearth_types::folder::Access;
use hearth_types::name::{AccountId, BrokerName, BucketName, FolderName, Region};
use hearth_types::network::Hosts;
use serde::{Deserialize, Serialize};

use crate::brokers::Broker;

/// Fewest characters of a token: 96 bits, if each has six.
const LEAST_TOKEN: usize = 16;
/// For how long a file must not have changed: longer than copying programs rest between two writes.
const DEFAULT_SETTLE_MS: u64 = 1_000;
/// A look at a whole folder only finds what the kernel has not told.
const DEFAULT_FOLDER_S: u64 = 300;
/// A listing costs a request for a thousand objects.
const DEFAULT_LISTING_S: u64 = 60;
/// Some ten megabytes of names while a bucket is looked at.
const DEFAULT_MOST_OBJECTS: usize = 100_000;

/// What `hearth up` and `hearth config show` take.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct NodeArgs {
    /// Data folder: functions, packages, logs, credentials [default: the user's data directory]
    #[arg(long, alias = "data-folder", env = "HEARTH_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:7070]
    #[arg(long, env = "HEARTH_LISTEN", value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Domain of function URLs, which are <id>.lambda-url.<region>.<domain>; names under localhost need no DNS [default: localhost]
    #[arg(long, env = "HEARTH_DOMAIN", value_name = "DOMAIN[:PORT]")]
    pub(crate) domain: Option<String>,
    /// Account that owns the functions, 12 digits [default: 000000000000]
    #[arg(long, env = "HEARTH_ACCOUNT", value_name = "ID")]
    pub(crate) account: Option<String>,
    /// Configuration file [default: hearth.toml in the data folder, if it is there]
    #[arg(long, env = "HEARTH_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Object store that S3Bucket and S3Key name: file:///folder (a bucket is a sub-folder); s3:// with options in the configuration file
    #[arg(long, env = "HEARTH_OBJECT_STORE", value_name = "URL")]
    pub(crate) object_store: Option<String>,
    /// Memory that all execution environments together may be configured for, MiB [default: 3/4 of the host's]
    #[arg(long, env = "HEARTH_MEMORY_MIB", value_name = "MIB")]
    pub(crate) memory_mib: Option<u64>,
    /// Run functions even where this host can't give the whole wall
    #[arg(long, env = "HEARTH_ALLOW_WEAK_WALLS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) allow_weak_walls: Option<bool>,
}

/// The configuration file. Unknown keys are errors: a misspelt limit must not be silently absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    domain: Option<String>,
    account: Option<String>,
    packages: Option<ObjectStore>,
    object_store: Option<ObjectStore>,
    memory_mib: Option<u64>,
    max_environments: Option<usize>,
    keep_warm_s: Option<u64>,
    shutdown_s: Option<u64>,
    allow_weak_walls: Option<bool>,
    #[serde(default)]
    runtimes: RuntimesFile,
    #[serde(default)]
    network: NetworkFile,
    #[serde(default)]
    logs: LogsFile,
    #[serde(default)]
    wasm: WasmFile,
    #[serde(default)]
    isolates: IsolatesFile,
    #[serde(default)]
    destinations: Destinations,
    #[serde(default)]
    storage: Storage,
    #[serde(default)]
    folders: BTreeMap<FolderName, Folder>,
    #[serde(default)]
    events: Events,
    #[serde(default)]
    brokers: BTreeMap<BrokerName, Broker>,
    tls: Option<Tls>,
}

/// A second listener, which speaks TLS alone; the plain one stays for what runs on the host.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Address to listen on.
    pub(crate) listen: SocketAddr,
    /// PEM file of the certificate chain, the server's own first.
    pub(crate) certificate: PathBuf,
    /// PEM file of its private key.
    pub(crate) key: PathBuf,
}

/// An object store: a URL, and the options that reach it (`aws_endpoint`, `aws_access_key_id`, …).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectStore {
    /// `file:///folder` or `s3://bucket/prefix`.
    pub(crate) url: String,
    /// As the `object_store` crate names them. Shown masked: values may be secrets.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "masked"
    )]
    pub(crate) options: BTreeMap<String, String>,
}

/// Where the ends of events may be told, besides what the API makes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Destinations {
    /// Whether webhooks may be on loopback addresses of this host.
    #[serde(default)]
    pub(crate) loopback_webhooks: bool,
    /// What `arn:aws:s3:::NAME` names: `file:///folder` or `s3://bucket/prefix`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) buckets: BTreeMap<BucketName, ObjectStore>,
}

/// Who sends events.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Events {
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) senders: BTreeMap<String, Sender>,
}

/// Somebody who sends CloudEvents with a token.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sender {
    /// The token. Shown masked.
    #[serde(deserialize_with = "token", serialize_with = "masked_text")]
    pub(crate) token: String,
    /// Where the events are, if not in the region that commands use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<Region>,
    /// The event bus to which they come.
    #[serde(default = "default_bus")]
    pub(crate) bus: String,
}

fn token<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let token = String::deserialize(deserializer)?;
    if token.len() >= LEAST_TOKEN {
        return Ok(token);
    }
    Err(serde::de::Error::custom(format!(
        "a token must have {LEAST_TOKEN} characters or more"
    )))
}

fn masked_text<S: serde::Serializer>(_: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("…")
}

fn default_bus() -> String {
    "default".to_owned()
}

/// A folder of this host that functions may have.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Folder {
    /// Where it is, absolute.
    pub(crate) path: PathBuf,
    /// What functions may do there.
    #[serde(default)]
    pub(crate) access: Access,
    /// Whose functions may have it; without, those of the node's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accounts: Option<BTreeSet<AccountId>>,
}

/// Buckets whose changes are told of.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Storage {
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) buckets: BTreeMap<BucketName, WatchedBucket>,
}

/// A bucket whose changes are told of.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "WatchedBucketFile", into = "WatchedBucketFile")]
pub(crate) struct WatchedBucket {
    /// Where it is.
    pub(crate) place: Place,
    /// For how long a file must not have changed.
    pub(crate) settle: Duration,
    /// Time between two looks at everything.
    pub(crate) interval: Duration,
    /// More objects are not followed.
    pub(crate) most_objects: usize,
}

/// Where a bucket is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A folder of this host.
    Folder(PathBuf),
    /// An object store, which is listed.
    Store(ObjectStore),
    /// Elsewhere: others tell what changes, with this token.
    Token(String),
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WatchedBucketFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "masked"
    )]
    options: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settle_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most_objects: Option<usize>,
}

impl TryFrom<WatchedBucketFile> for WatchedBucket {
    type Error = String;

    fn try_from(file: WatchedBucketFile) -> Result<Self, String> {
        let place = match (file.folder, file.url, file.token) {
            (Some(folder), None, None) if folder.is_absolute() => Place::Folder(folder),
            (Some(folder), None, None) => {
                return Err(format!("the folder {} must be absolute", folder.display()));
            }
            (None, Some(url), None) => Place::Store(ObjectStore {
                url,
                options: file.options,
            }),
            (None, None, Some(token)) if token.len() >= LEAST_TOKEN => Place::Token(token),
            (None, None, Some(_)) => {
                return Err(format!(
                    "a token must have {LEAST_TOKEN} characters or more"
                ));
            }
            _ => return Err("a bucket needs one of folder, url and token".to_owned()),
        };
        let interval_s = match (file.interval_s, &place) {
            (Some(0), _) => return Err("interval_s must be 1 or more".to_owned()),
            (Some(interval), _) => interval,
            (None, Place::Store(_)) => DEFAULT_LISTING_S,
            (None, _) => DEFAULT_FOLDER_S,
        };
        Ok(Self {
            place,
            settle: Duration::from_millis(file.settle_ms.unwrap_or(DEFAULT_SETTLE_MS)),
            interval: Duration::from_secs(interval_s),
            most_objects: file.most_objects.unwrap_or(DEFAULT_MOST_OBJECTS),
        })
    }
}

impl From<WatchedBucket> for WatchedBucketFile {
    fn from(bucket: WatchedBucket) -> Self {
        let mut file = Self::default();
        if let Place::Folder(_) = bucket.place {
            file.settle_ms = u64::try_from(bucket.settle.as_millis()).ok();
        }
        if !matches!(bucket.place, Place::Token(_)) {
            file.interval_s = Some(bucket.interval.as_secs());
            file.most_objects = Some(bucket.most_objects);
        }
        match bucket.place {
            Place::Folder(folder) => file.folder = Some(folder),
            Place::Store(store) => {
                file.url = Some(store.url);
                file.options = store.options;
            }
            // It is a secret.
            Place::Token(_) => file.token = Some("…".to_owned()),
        }
        file
    }
}

fn masked<S: serde::Serializer>(
    options: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(options.keys().map(|name| (name, "…")))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuntimesFile {
    forbid_nearest: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFile {
    allowed_private: Option<Vec<String>>,
    resolvers: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsFile {
    mib_per_function: Option<u64>,
    total_mib: Option<u64>,
    age_days: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WasmFile {
    allowed_hosts: Option<Hosts>,
    instances: Option<u32>,
    memory_mib: Option<u64>,
    parallel_compilations: Option<usize>,
    cache_mib: Option<u64>,
    process: Option<WasmProcess>,
    process_memory_mib: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct IsolatesFile {
    workerd: Option<PathBuf>,
    allowed_hosts: Option<Hosts>,
    memory_mib: Option<u32>,
}

/// The effective configuration of a node; serialised, it is a configuration file.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Config {
    /// Not a key of the file: the file may lie in it.
    #[serde(skip)]
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Domain of function URLs, with the port that callers see if it is another than that of the listener.
    pub(crate) domain: String,
    pub(crate) account: AccountId,
    pub(crate) memory_mib: u64,
    pub(crate) max_environments: usize,
    #[serde(rename = "keep_warm_s", serialize_with = "seconds")]
    pub(crate) keep_warm: Duration,
    #[serde(rename = "shutdown_s", serialize_with = "seconds")]
    pub(crate) shutdown: Duration,
    pub(crate) allow_weak_walls: bool,
    pub(crate) runtimes: Runtimes,
    pub(crate) network: Network,
    pub(crate) logs: Logs,
    pub(crate) wasm: Wasm,
    pub(crate) isolates: Isolates,
    pub(crate) destinations: Destinations,
    pub(crate) storage: Storage,
    /// Folders of this host that functions may have, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) folders: BTreeMap<FolderName, Folder>,
    pub(crate) events: Events,
    /// Brokers whose messages call functions, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) brokers: BTreeMap<BrokerName, Broker>,
    /// The TLS listener; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    /// Where packages are kept; absent: in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) packages: Option<ObjectStore>,
    /// What `S3Bucket` and `S3Key` name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object_store: Option<ObjectStore>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Runtimes {
    /// A function whose runtime is not installed is refused instead of run on the nearest version.
    pub(crate) forbid_nearest: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Network {
    /// Private ranges that functions may reach, in CIDR notation.
    pub(crate) allowed_private: Vec<String>,
    /// DNS servers; empty: the host's.
    pub(crate) resolvers: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Logs {
    pub(crate) mib_per_function: u64,
    pub(crate) total_mib: u64,
    pub(crate) age_days: u64,
}

/// How WebAssembly components are run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wasm {
    /// Hosts that functions without the tag `hearth:allowed-hosts` may send requests to.
    pub(crate) allowed_hosts: Hosts,
    /// Instances at the same time.
    pub(crate) instances: u32,
    /// Bound on the memory that all instances together use.
    pub(crate) memory_mib: u64,
    /// Components that are compiled at the same time.
    pub(crate) parallel_compilations: usize,
    /// Bound on compiled components on the disk.
    pub(crate) cache_mib: u64,
    /// Where components run.
    pub(crate) process: WasmProcess,
    /// Memory of one account's process.
    pub(crate) process_memory_mib: u32,
}

/// How functions of the runtime `worker` are run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Isolates {
    /// The engine; absent: `workerd` of PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workerd: Option<PathBuf>,
    /// Hosts that functions without the tag `hearth:allowed-hosts` may send requests to.
    pub(crate) allowed_hosts: Hosts,
    /// Memory of one account's engine.
    pub(crate) memory_mib: u32,
}

/// Where components run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WasmProcess {
    /// In the node's own process.
    #[default]
    Shared,
    /// Each account's in a process of its own, behind the process wall as well.
    PerAccount,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

impl Config {
    /// Puts flags, environment (clap has merged it into `args`), file and defaults together.
    pub(crate) fn resolve(args: &NodeArgs) -> anyhow::Result<Self> {
        let data = match &args.data {
            Some(data) => data.clone(),
            None => default_data_dir()?,
        };
        // What sandboxes are given must be named so, and much of it lies in there.
        let data = std::path::absolute(&data)
            .with_context(|| format!("find the data folder {}", data.display()))?;
        let file = match &args.config {
            Some(path) => read_file(path)?,
            None => match data.join("hearth.toml") {
                path if path.exists() => read_file(&path)?,
                _ => File::default(),
            },
        };
        let account = args
            .account
            .clone()
            .or(file.account)
            .unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned());
        let memory_mib = match args.memory_mib.or(file.memory_mib) {
            Some(mib) => mib,
            None => host_memory_mib()? / 4 * 3,
        };
        let config = Self {
            listen: args.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            domain: args
                .domain
                .clone()
                .or(file.domain)
                .unwrap_or_else(|| DEFAULT_DOMAIN.to_owned()),
            account: account.parse().context("read the account")?,
            memory_mib,
            max_environments: file.max_environments.unwrap_or(DEFAULT_MAX_ENVIRONMENTS),
            keep_warm: Duration::from_secs(file.keep_warm_s.unwrap_or(DEFAULT_KEEP_WARM_S)),
            shutdown: Duration::from_secs(file.shutdown_s.unwrap_or(DEFAULT_SHUTDOWN_S)),
            allow_weak_walls: args
                .allow_weak_walls
                .or(file.allow_weak_walls)
                .unwrap_or(false),
            runtimes: Runtimes {
                forbid_nearest: file.runtimes.forbid_nearest.unwrap_or(false),
            },
            network: Network {
                allowed_private: file.network.allowed_private.unwrap_or_default(),
                resolvers: file.network.resolvers.unwrap_or_default(),
            },
            logs: Logs {
                mib_per_function: file.logs.mib_per_function.unwrap_or(64),
                total_mib: file.logs.total_mib.unwrap_or(2_048),
                age_days: file.logs.age_days.unwrap_or(7),
            },
            tls: file.tls,
            wasm: Wasm {
                allowed_hosts: file.wasm.allowed_hosts.unwrap_or_default(),
                instances: file.wasm.instances.unwrap_or(DEFAULT_WASM_INSTANCES),
                memory_mib: file.wasm.memory_mib.unwrap_or(memory_mib / 2),
                parallel_compilations: file
                    .wasm
                    .parallel_compilations
                    .unwrap_or_else(default_parallel_compilations),
                cache_mib: file.wasm.cache_mib.unwrap_or(DEFAULT_WASM_CACHE_MIB),
                process: file.wasm.process.unwrap_or_default(),
                process_memory_mib: file.wasm.process_memory_mib.unwrap_or_else(|| {
                    let memory_mib = file.wasm.memory_mib.unwrap_or(memory_mib / 2);
                    u32::try_from(memory_mib)
                        .unwrap_or(u32::MAX)
                        .max(LEAST_PROCESS_MEMORY_MIB)
                }),
            },
            isolates: Isolates {
                workerd: file.isolates.workerd,
                allowed_hosts: file.isolates.allowed_hosts.unwrap_or_default(),
                memory_mib: file
                    .isolates
                    .memory_mib
                    .unwrap_or(DEFAULT_ISOLATES_MEMORY_MIB),
            },
            destinations: file.destinations,
            storage: file.storage,
            folders: file.folders,
            events: file.events,
            brokers: file.brokers,
            packages: file.packages,
            object_store: match &args.object_store {
                Some(url) => Some(ObjectStore {
                    url: url.clone(),
                    options: BTreeMap::new(),
                }),
                None => file.object_store,
            },
            data,
        };
        if config.memory_mib < u64::from(*hearth_types::limits::MEMORY_MIB.start()) {
            bail!(
                "memory_mib is {}: the smallest function needs {} MiB, so nothing could run",
                config.memory_mib,
                hearth_types::limits::MEMORY_MIB.start()
            );
        }
        if config.max_environments == 0 {
            bail!("max_environments is 0: nothing could run");
        }
        url_address(&config.domain)?;
        let wasm = &config.wasm;
        if wasm.process_memory_mib < LEAST_PROCESS_MEMORY_MIB {
            bail!("wasm.process_memory_mib must be at least {LEAST_PROCESS_MEMORY_MIB}");
        }
        if wasm.instances == 0 || wasm.parallel_compilations == 0 || wasm.memory_mib == 0 {
            bail!(
                "wasm.instances, wasm.memory_mib and wasm.parallel_compilations must be at least 1"
            );
        }
        if config.isolates.memory_mib < LEAST_ISOLATES_MEMORY_MIB {
            bail!("isolates.memory_mib must be at least {LEAST_ISOLATES_MEMORY_MIB}");
        }
        Ok(config)
    }
}

/// Memory of one account's engine: four times what Workers give one isolate.
const DEFAULT_ISOLATES_MEMORY_MIB: u32 = 512;
/// The engine itself takes about 60.
const LEAST_ISOLATES_MEMORY_MIB: u32 = 128;

const DEFAULT_ACCOUNT: &str = "000000000000";
const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(
    std::net::Ipv4Addr::LOCALHOST,
    7070,
));
/// Lambda's default concurrency of an account: more than that at once is throttled anyway.
const DEFAULT_MAX_ENVIRONMENTS: usize = hearth_types::limits::ACCOUNT_CONCURRENCY as usize;
/// Long enough to bridge the pauses of a person who tries something, short enough to give the memory back.
const DEFAULT_KEEP_WARM_S: u64 = 600;
/// Every name under it is this machine, without DNS (RFC 6761, section 6.3).
const DEFAULT_DOMAIN: &str = "localhost";
/// As many as [`DEFAULT_MAX_ENVIRONMENTS`].
const DEFAULT_WASM_INSTANCES: u32 = hearth_types::limits::ACCOUNT_CONCURRENCY;
/// Native code takes a few times the bytes of its component: some hundred of usual size (a JavaScript engine compiles
/// to about 30 MiB), and many thousand small ones.
const DEFAULT_WASM_CACHE_MIB: u64 = 4_096;

/// What an account's process takes for itself, and as much for its guests.
const LEAST_PROCESS_MEMORY_MIB: u32 = 256;

/// Half of the processors: a deployment must not slow down what runs.
fn default_parallel_compilations() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).max(1)
}

/// What service managers grant by default before they kill (systemd: 90 s; Kubernetes: 30 s), with room to spare.
const DEFAULT_SHUTDOWN_S: u64 = 20;

/// `$XDG_DATA_HOME/hearth`, else `~/.local/share/hearth` (XDG base directory specification).
fn default_data_dir() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let base = base.or_else(|| std::env::home_dir().map(|home| home.join(".local/share")));
    Ok(base
        .context("find a data directory: HOME is not set; name one with --data")?
        .join("hearth"))
}

fn read_file(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("read {}", path.display()))
}

/// Reads `DOMAIN[:PORT]`.
pub(crate) fn url_address(text: &str) -> anyhow::Result<(&str, Option<u16>)> {
    let (name, port) = match text.split_once(':') {
        None => (text, None),
        Some((name, port)) => {
            let port = port.parse();
            let port = port.with_context(|| format!("read the port of the domain '{text}'"))?;
            (name, Some(port))
        }
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    // What comes before it takes up to 80 of the 253 characters of a name (RFC 1035, section 2.3.4).
    if name.len() > 173 || !name.trim_end_matches('.').split('.').all(is_label) {
        bail!("the domain '{text}' is not a domain name");
    }
    Ok((name, port))
}

fn host_memory_mib() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")
        .context("read /proc/meminfo; or set --memory-mib")?;
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    });
    let kib: u64 = kib.context("read MemTotal of /proc/meminfo; or set --memory-mib")?;
    Ok(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(dir: &Path) -> NodeArgs {
        NodeArgs {
            data: Some(dir.to_owned()),
            ..NodeArgs::default()
        }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("hearth.toml"),
            "listen = '127.0.0.1:1'\naccount = '111111111111'\n",
        )
        .unwrap();
        let listen = "127.0.0.1:2".parse().unwrap();
        let config = Config::resolve(&NodeArgs {
            listen: Some(listen),
            ..args(dir.path())
        })
        .unwrap();
        assert_eq!(config.listen, listen);
        assert_eq!(config.account.as_str(), "111111111111");
        assert_eq!(config.logs.age_days, 7);
    }

    #[test]
    fn a_data_folder_is_named_from_the_root_on() {
        let config = Config::resolve(&args(Path::new("some/folder"))).unwrap();
        assert_eq!(config.data, std::path::absolute("some/folder").unwrap());
        assert!(config.data.is_absolute());
    }

    #[test]
    fn what_is_shown_reads_back_as_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let shown = toml::to_string(&Config::resolve(&args(dir.path())).unwrap()).unwrap();
        toml::from_str::<File>(&shown).unwrap();
    }

    #[test]
    fn a_misspelt_key_and_a_useless_bound_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        for bad in [
            "memory = 1",
            "memory_mib = 64",
            "account = 'x'",
            "max_environments = 0",
            "listen = 7070",
            "domain = 'a b'",
            "domain = 'a..b'",
            "domain = 'a:b'",
            "[wasm]\ninstances = 0",
            "[wasm]\nprocess = 'own'",
            "[wasm]\nprocess_memory_mib = 255",
            "[isolates]\nmemory_mib = 127",
            "[wasm]\nallowed_hosts = 'https://example.com'",
            "[destinations.buckets.'a/b']\nurl = 'file:///tmp'",
            "[destinations.buckets.failed]\nurl = 'file:///tmp'\nkey = 'x'",
            "[destinations]\nbucket = 1",
            "[folders.'a/b']\npath = '/tmp'",
            "[folders.photos]\naccess = 'read'",
            "[folders.photos]\npath = '/tmp'\naccess = 'write'",
            "[folders.photos]\npath = '/tmp'\naccounts = ['x']",
        ] {
            std::fs::write(dir.path().join("hearth.toml"), bad).unwrap();
            assert!(Config::resolve(&args(dir.path())).is_err(), "{bad}");
        }
    }
}
