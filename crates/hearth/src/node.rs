//! The composition root: every component of a node, in the order in which they start, and stopped in the reverse.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use hearth_cloudflare::Cloudflare;
use hearth_code::{Options as CodeOptions, PackageStore, Packages, StoreUrl};
use hearth_egress::{Egress, Outside};
use hearth_events::Events;
use hearth_gateway::auth::{RootKey as GatewayKey, Sessions};
use hearth_gateway::{FrontThreads, Gateway, GatewayOptions, UrlDomain};
use hearth_isolates::{Ask, Enqueue, Means, Program, Search, Service};
use hearth_mappings::Mappings;
use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_sandbox::network::NetworkOptions;
use hearth_sandbox::{HostReport, Launcher, LauncherOptions};
use hearth_schedules::Delivery;
use hearth_store::{SqliteKeyValueStore, SqliteStore};
use hearth_telemetry::logs::{LogOptions, LogStore};
use hearth_telemetry::tails::Tails;
use hearth_types::invoke::Body;
use hearth_types::time::Timestamp;
use hearth_wasm::{Wall, WallOptions};
use hearth_worker::{
    Buckets, ComponentOptions, Credentials, Door, IsolateOptions, Mint, ProcessOptions,
    RuntimeOptions, Runtimes, Worker, WorkerOptions,
};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::brokers;
use crate::buckets;
use crate::cli::installed_workerd;
use crate::client::endpoint_path;
use crate::config::{Config, ObjectStore, WasmProcess, url_address};
use crate::events;
use crate::folders;
use crate::keys::{self, RootKey, write_private};
use crate::queues;
use crate::rules;
use crate::schedules;
use crate::storage;
use crate::targets;
use crate::tls::CertificateFiles;

/// Bytes of disk that unpacked packages which no environment uses may take: some hundred functions of usual size.
const CACHE_BYTES: u64 = 4 << 30;
/// Compiled components that stay loaded though no function was called for a while: each has a descriptor and some
/// mappings, of which a process has 1,024 and 65,530 where nobody raised the limits.
const LOADED_PROGRAMS: usize = 256;
/// Their bytes, mapped from the cache's files.
const LOADED_BYTES: u64 = 1 << 30;
/// Instances of a wall that only compiles: what one component may have of memories, so that it takes what the accounts'
/// processes take.
const INSTANCES_WITHOUT_GUESTS: u32 = 16;
/// Longest that a call waits for an instance: as an invocation waits for an environment.
const INSTANCE_WAIT: Duration = Duration::from_secs(30);
/// How often packages that nothing refers to are removed.
const COLLECTION_INTERVAL: Duration = Duration::from_secs(3_600);
/// How long a package is kept though nothing refers to it: an upload whose function is being created.
const COLLECTION_GRACE: Duration = Duration::from_secs(3_600);

/// A running node.
pub(crate) struct Node {
    address: SocketAddr,
    root_key: RootKey,
    is_empty: bool,
    no_workers: Option<String>,
    endpoint_file: PathBuf,
    worker: Worker,
    launcher: Launcher,
    logs: LogStore,
    tasks: TaskTracker,
    stop: CancellationToken,
    fronts: FrontThreads,
}

impl Node {
    /// Starts every component. What fails on the way is undone by dropping what was started.
    pub(crate) async fn start(config: &Config) -> anyhow::Result<Self> {
        create_data_folder(&config.data)?;
        // The store first: it is what keeps two nodes from sharing a data folder.
        let store = SqliteStore::open(config.data.join("hearth.db"))
            .with_context(|| format!("open the data folder {}", config.data.display()))?;
        // Then the address: when it is taken, nothing else needs to be started.
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.with_context(|| {
            format!(
                "listen on {}; name another address with --listen, port 0 for a free one",
                config.listen
            )
        })?;
        let address = listener
            .local_addr()
            .context("read the address that is listened on")?;
        let tls = match &config.tls {
            None => None,
            Some(tls) => {
                let listener = TcpListener::bind(tls.listen).await;
                let listener =
                    listener.with_context(|| format!("listen on {} of [tls]", tls.listen))?;
                Some((listener, CertificateFiles::load(tls)?))
            }
        };
        let tls_address = match &tls {
            None => None,
            Some((listener, _)) => {
                Some(listener.local_addr().context("read the address of [tls]")?)
            }
        };
        let root_key = RootKey::load_or_create(&config.data)?;
        let node_secret = keys::node_secret(&config.data)?;
        let sessions = Sessions::new(&node_secret);

        let launcher_options = launcher_options(config)?;
        let launcher = Launcher::start(launcher_options.clone())
            .await
            .context("start the process wall")?;
        let packages = Packages::open(CodeOptions {
            packages: match &config.packages {
                None => PackageStore::Local(config.data.join("packages")),
                Some(store) => PackageStore::Url(store_url(store)),
            },
            cache_dir: config.data.join("cache"),
            cache_bytes: CACHE_BYTES,
            source: config.object_store.as_ref().map(store_url),
        });
        let packages = packages.await.context("open code storage")?;
        let logs = LogStore::open(LogOptions {
            bytes_per_function: config.logs.mib_per_function << 20,
            total_bytes: config.logs.total_mib << 20,
            age: Duration::from_secs(config.logs.age_days * 24 * 3_600),
            ..LogOptions::new(config.data.join("logs"))
        });
        let logs = logs.context("open the functions' logs")?;

        // Functions reach the gateway through their door, and the gateway reaches functions through the worker: the
        // worker learns of the gateway last.
        let gateway: Arc<OnceLock<Gateway>> = Arc::default();
        let stop = CancellationToken::new();
        let keyvalue = buckets::open(&config.data)?;
        let outside = Outside {
            allowed_private: launcher_options.network.allowed_private.clone(),
            closed: vec![launcher_options.network.veth_range],
            ..Outside::default()
        };
        let queue_store = queues::open(&config.data)?;
        let queues = Queues::new(Arc::clone(&queue_store), events::clock(), stop.clone());
        let isolates = isolates(
            config,
            outside.clone(),
            keyvalue.clone(),
            ask(gateway.clone()),
            queues::enqueue(queues.clone()),
        );
        let isolates = isolates.await;
        let tails = Tails::default();
        let no_workers = isolates.as_ref().err().cloned();
        let folders = Arc::new(folders::of(config)?);
        let options = WorkerOptions {
            folders: Arc::clone(&folders),
            restart_launcher: Some(launcher_options.clone()),
            memory_bytes: config.memory_mib << 20,
            max_environments: config.max_environments,
            keep_warm: config.keep_warm,
            components: components(
                config,
                outside,
                &node_secret,
                buckets::for_components(keyvalue.clone()),
            )?,
            isolates,
            tails: tails.clone(),
            ..WorkerOptions::new(
                launcher.clone(),
                packages.clone(),
                logs.clone(),
                runtime_options(config),
                mint(sessions),
                door(gateway.clone(), stop.clone()),
            )
        };
        let worker = Worker::start(options).await;
        let worker = worker.context("start the worker")?;
        let queue = events::open(&config.data)?;
        let schedules = schedules::open(&config.data)?;
        let rules = rules::open(config).await?;
        let brokers = brokers::of(&config.brokers);
        let registry = Registry::open(
            Arc::new(store),
            packages.clone(),
            Arc::new(worker.clone()),
            hearth_registry::Options {
                buckets: config.destinations.buckets.keys().cloned().collect(),
                folders,
                brokers: brokers.known(),
                loopback_webhooks: config.destinations.loopback_webhooks,
                queues: Some(queue_store),
                ..hearth_registry::Options::default()
            },
        );
        let registry = registry.await.context("read the functions")?;
        let is_empty = registry.live_packages().is_empty();
        let network = &launcher_options.network;
        let deliverers = events::deliverers(
            config,
            network,
            registry.clone(),
            Arc::clone(&queue),
            queues.clone(),
        )?;
        let deliverers = Arc::new(deliverers);

        let storage = storage::open(config, registry.clone(), queues.clone()).await?;

        let root = GatewayKey {
            access_key_id: root_key.access_key_id.clone(),
            secret_access_key: root_key.secret_access_key.clone(),
            account: config.account.clone(),
        };
        let fronts = FrontThreads::start().context("start the threads for connections")?;
        let options = GatewayOptions {
            url_domain: url_domain(config, address, tls_address)?,
            spread: fronts.spread(),
            ..GatewayOptions::new(vec![root], node_secret)
        };
        let front = Gateway::new(
            options,
            registry.clone(),
            packages.clone(),
            Arc::new(worker.clone()),
            Events::new(Arc::clone(&queue), events::clock()),
            queues.clone(),
            schedules.clone(),
            storage.clone(),
            rules.clone(),
            logs.clone(),
            Cloudflare::new(hearth_cloudflare::Parts {
                registry: registry.clone(),
                packages: packages.clone(),
                keyvalue,
                queues: queues.clone(),
                schedules: schedules.clone(),
                tails,
            }),
        );
        let front = gateway.get_or_init(|| front).clone();

        let tasks = TaskTracker::new();
        if let Some((listener, (files, certificates))) = tls {
            let (front, until) = (front.clone(), stop.clone());
            let shown = certificates.clone();
            tasks.spawn(async move { front.serve(listener, Some(&shown), until).await });
            tasks.spawn(files.follow(certificates, stop.clone()));
        }
        let targets = targets::of(registry.clone(), Arc::clone(&queue), queues.clone());
        storage::start(config, &storage, targets.clone(), &tasks, &stop)?;
        let delivery = Delivery::new(targets.clone());
        let scheduler = hearth_schedules::Dispatcher::new(schedules, delivery);
        tasks.spawn(scheduler.run(stop.clone()));
        let ruled = hearth_rules::Dispatcher::new(rules, targets);
        tasks.spawn(ruled.run(stop.clone()));
        let dispatcher = events::dispatcher(
            queue,
            registry.clone(),
            Arc::new(worker.clone()),
            Arc::clone(&deliverers),
        );
        tasks.spawn(dispatcher.run(stop.clone()));
        let mappings = Mappings::new(
            registry.clone(),
            Arc::new(worker.clone()),
            queues.clone(),
            brokers,
            deliverers,
            events::clock(),
        );
        tasks.spawn(mappings.run(stop.clone()));
        tasks.spawn(queues.clone().run_moves());
        tasks.spawn(queues.sweep());
        let until = stop.clone();
        tasks.spawn(async move { front.serve(listener, None, until).await });
        tasks.spawn(collect_packages(registry, packages, stop.clone()));
        let endpoint_file = endpoint_path(&config.data);
        write_private(&endpoint_file, format!("http://{address}\n").as_bytes())?;
        Ok(Self {
            address,
            root_key,
            is_empty,
            no_workers,
            endpoint_file,
            worker,
            launcher,
            logs,
            tasks,
            stop,
            fronts,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn root_key(&self) -> &RootKey {
        &self.root_key
    }

    /// Whether no function was there when the node started.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Why functions of the runtime `worker` can't be run, if they can't: a clause.
    pub(crate) fn no_workers(&self) -> Option<&str> {
        self.no_workers.as_deref()
    }

    /// How functions are walled, for the table of the samples.
    pub(crate) fn wall(&self) -> &'static str {
        if self.launcher.host().weaknesses().is_empty() {
            "process"
        } else {
            "process (weak)"
        }
    }

    /// Takes no more requests, lets running invocations finish within `bound`, and leaves nothing behind.
    pub(crate) async fn stop(self, bound: Duration) {
        if let Err(error) = std::fs::remove_file(&self.endpoint_file) {
            tracing::warn!("remove {}: {error}", self.endpoint_file.display());
        }
        self.stop.cancel();
        self.tasks.close();
        // Answers still travel while the worker waits for what runs; the worker's own bound ends both.
        tokio::join!(self.worker.shutdown(bound), async {
            if tokio::time::timeout(bound, self.tasks.wait())
                .await
                .is_err()
            {
                tracing::info!("connections were still open when the time to stop was over");
            }
        });
        self.logs.flush().await;
        self.launcher.shutdown().await;
        // What it takes is dropping tasks: what they ran has ended.
        drop(self.fronts);
    }
}

/// What a host has.
pub(crate) struct Examined {
    pub(crate) host: HostReport,
    pub(crate) interpreters: Vec<hearth_worker::Interpreter>,
    /// The engine of workers, or why there is none.
    pub(crate) workerd: Result<Program, String>,
}

/// The host and its interpreters, as a node would find them: for `hearth doctor`.
pub(crate) async fn examine(config: &Config) -> anyhow::Result<Examined> {
    let folder = std::env::temp_dir().join(format!("hearth-doctor-{}", std::process::id()));
    let mut options = launcher_options(config)?;
    options.run_dir = folder.join("run");
    let host = hearth_sandbox::probe(&options)
        .await
        .context("examine the host")?;
    let runtimes = Runtimes::find(RuntimeOptions {
        runtime_dir: folder.join("runtimes"),
        ..runtime_options(config)
    })
    .await?;
    // It held nothing but an empty mount point.
    let _ = std::fs::remove_dir_all(&folder);
    Ok(Examined {
        host,
        interpreters: runtimes.installed().to_vec(),
        workerd: workerd(config).await,
    })
}

/// Where function URLs are: on the TLS listener if there is one.
fn url_domain(
    config: &Config,
    plain: SocketAddr,
    tls: Option<SocketAddr>,
) -> anyhow::Result<UrlDomain> {
    let (name, port) = url_address(&config.domain)?;
    Ok(match tls {
        Some(tls) => UrlDomain::secure(name, port.unwrap_or(tls.port())),
        None => UrlDomain::plain(name, port.unwrap_or(plain.port())),
    })
}

fn create_data_folder(path: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        // Keys, code and logs: nobody else's business.
        .mode(0o700)
        .create(path)
        .with_context(|| format!("create the data folder {}", path.display()))
}

fn launcher_options(config: &Config) -> anyhow::Result<LauncherOptions> {
    let mut network = NetworkOptions::default();
    for range in &config.network.allowed_private {
        let read = range
            .parse()
            .with_context(|| format!("read '{range}' of network.allowed_private"));
        network.allowed_private.push(read?);
    }
    for resolver in &config.network.resolvers {
        let read = resolver
            .parse()
            .with_context(|| format!("read '{resolver}' of network.resolvers"));
        network.resolvers.push(read?);
    }
    Ok(LauncherOptions {
        run_dir: config.data.join("run"),
        allow_weak_walls: config.allow_weak_walls,
        network,
    })
}

/// The wall of components. A host that can't give it runs everything else; functions that need it are refused.
fn components(
    config: &Config,
    outside: Outside,
    node_secret: &[u8; 32],
    buckets: Buckets,
) -> anyhow::Result<Option<ComponentOptions>> {
    let wasm = &config.wasm;
    let (instances, processes) = match wasm.process {
        WasmProcess::Shared => (wasm.instances, None),
        WasmProcess::PerAccount => (
            INSTANCES_WITHOUT_GUESTS,
            Some(ProcessOptions {
                dir: config.data.join("wasm-processes"),
                memory_mib: wasm.process_memory_mib,
            }),
        ),
    };
    let options = WallOptions {
        cache_dir: config.data.join("wasm-cache"),
        cache_bytes: wasm.cache_mib << 20,
        secret: keys::derived(node_secret, "compiled components")?,
        parallel_compilations: wasm.parallel_compilations,
        loaded_programs: LOADED_PROGRAMS,
        loaded_bytes: LOADED_BYTES,
        instances,
        memory_bytes: wasm.memory_mib << 20,
        wait: INSTANCE_WAIT,
        outside,
    };
    match Wall::new(options) {
        Ok(wall) => Ok(Some(ComponentOptions {
            wall,
            allowed_hosts: wasm.allowed_hosts.clone(),
            buckets: Some(buckets),
            processes,
        })),
        Err(error) => {
            tracing::warn!(
                "WebAssembly components can't be run on this host: {error}; a smaller wasm.instances may help"
            );
            Ok(None)
        }
    }
}

/// The wall of workers, or why there is none: functions that need it are then refused.
async fn isolates(
    config: &Config,
    outside: Outside,
    keyvalue: Arc<SqliteKeyValueStore>,
    ask: Ask,
    enqueue: Enqueue,
) -> Result<IsolateOptions, String> {
    Ok(IsolateOptions {
        program: workerd(config).await?,
        dir: config.data.join("engines"),
        memory_mib: config.isolates.memory_mib,
        allowed_hosts: config.isolates.allowed_hosts.clone(),
        means: Means {
            egress: Arc::new(Egress::new(outside)),
            keyvalue,
            ask,
            enqueue,
        },
    })
}

/// The engine of workers on this host.
async fn workerd(config: &Config) -> Result<Program, String> {
    let search = Search {
        program: config.isolates.workerd.clone(),
        installed: Some(installed_workerd(&config.data)),
        path: runtime_options(config).search_path,
    };
    Program::find(&search).await
}

fn runtime_options(config: &Config) -> RuntimeOptions {
    RuntimeOptions {
        search_path: std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect(),
        home: std::env::home_dir(),
        forbid_nearest: config.runtimes.forbid_nearest,
        runtime_dir: config.data.join("runtimes"),
    }
}

/// Makes functions' credentials.
fn mint(sessions: Sessions) -> Mint {
    Arc::new(move |function| {
        let expires = SystemTime::now() + SESSION_LIFETIME;
        let minted = sessions.mint(function, Timestamp::from(expires));
        Credentials {
            access_key_id: minted.access_key_id,
            secret_access_key: minted.secret_access_key,
            session_token: minted.session_token,
        }
    })
}

/// Serves functions' connections to the platform as the gateway serves everybody's.
fn door(gateway: Arc<OnceLock<Gateway>>, stop: CancellationToken) -> Door {
    Arc::new(move |_, stream| {
        let (gateway, stop) = (gateway.clone(), stop.clone());
        Box::pin(async move {
            // Not there yet: the node is starting, and nothing can have been invoked.
            if let Some(gateway) = gateway.get() {
                gateway.serve_connection(stream, stop).await;
            }
        })
    })
}

/// Asks other functions for workers, through the gateway.
fn ask(gateway: Arc<OnceLock<Gateway>>) -> Ask {
    Arc::new(move |service, request| {
        let (gateway, service) = (gateway.clone(), service.clone());
        Box::pin(async move {
            match gateway.get() {
                Some(gateway) => {
                    let Service { caller, service } = &service;
                    gateway.between_functions(caller, service, request).await
                }
                // Not there yet: the node is starting, and nothing can have been invoked.
                None => unavailable(),
            }
        })
    })
}

fn unavailable() -> http::Response<Body> {
    let body = http_body_util::Empty::new().map_err(|never| match never {});
    let mut response = http::Response::new(body.boxed_unsync());
    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// How long a function's credentials are good: as long as an environment may live, and an invocation more.
const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3_600);

pub(crate) fn store_url(store: &ObjectStore) -> StoreUrl {
    StoreUrl {
        url: store.url.clone(),
        options: store.options.clone(),
    }
}

async fn collect_packages(registry: Registry, packages: Packages, stop: CancellationToken) {
    let mut interval = tokio::time::interval(COLLECTION_INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stop.cancelled() => return,
        }
        // What could not be removed now is there the next time.
        if let Err(error) = packages
            .collect(&registry.live_packages(), COLLECTION_GRACE)
            .await
        {
            tracing::warn!("remove packages that nothing refers to: {error}");
        }
    }
}
