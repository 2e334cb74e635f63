//! A front door on a free port, with a real registry behind it and an invoker that plays the functions.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "code of tests")]

mod http_player;
mod stream_player;

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use hearth_cloudflare::{Cloudflare, Parts};
use hearth_code::Packages;
use hearth_events::Events;
use hearth_gateway::auth::{RootKey, Sessions};
use hearth_gateway::{ConnectionOptions, Gateway, GatewayOptions};
use hearth_queues::Queues;
use hearth_registry::{Registry, Scope};
use hearth_rules::{Options as RuleOptions, Rules};
use hearth_schedules::{Schedules, time_zones};
use hearth_storage::{Options as StorageOptions, Storage};
use hearth_store::{
    EventOptions, KeyValueOptions, QueueBounds, RuleBounds, ScheduleBounds, SqliteEventStore,
    SqliteKeyValueStore, SqliteQueueStore, SqliteRuleStore, SqliteScheduleStore,
    SqliteStorageStore, SqliteStore, StorageBounds,
};
use hearth_telemetry::logs::{LogOptions, LogStore};
use hearth_telemetry::tails::Tails;
use hearth_types::ApiError;
use hearth_types::function::{Deployment, DeploymentId, Reason};
use hearth_types::invoke::{
    Body, BoxFuture, FunctionError, HttpInvocation, Invocation, Invoker, Outcome, Report, Served,
    Streamed,
};
use hearth_types::name::{FunctionKey, Version};
use hearth_types::wire::lambda::{Blob, CreateFunctionRequest, FunctionCode, FunctionState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const NODE_SECRET: [u8; 32] = [9; 32];
/// Nothing here takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The event of a request at a function URL, if that is what it is.
fn at_url(payload: &[u8]) -> Option<hearth_types::wire::function_url::Event> {
    serde_json::from_slice(payload)
        .ok()
        .filter(|event: &hearth_types::wire::function_url::Event| event.version == "2.0")
}

/// Plays every function: it returns its event, unless the event says otherwise. Those whose names begin with `http`
/// take HTTP.
#[derive(Debug)]
pub(crate) struct Player {
    /// Invocations that were begun.
    pub(crate) begun: AtomicU32,
    /// Invocations that have ended.
    pub(crate) ended: AtomicU32,
    /// One more for each invocation that holds.
    pub(crate) holding: Semaphore,
    /// One more lets one go on.
    pub(crate) release: Semaphore,
    /// One more for each endless response that was given up.
    pub(crate) dropped: Arc<Semaphore>,
    /// Context and trace of the last invocation.
    pub(crate) last: std::sync::Mutex<Option<Invocation>>,
}

impl Default for Player {
    fn default() -> Self {
        Self {
            begun: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            holding: Semaphore::new(0),
            release: Semaphore::new(0),
            dropped: Arc::new(Semaphore::new(0)),
            last: std::sync::Mutex::default(),
        }
    }
}

impl Invoker for Player {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'_, Result<Outcome, ApiError>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            *self.last.lock().unwrap() = Some(invocation.clone());
            let mut error = None;
            match &invocation.payload[..] {
                b"\"hold\"" => {
                    self.holding.add_permits(1);
                    self.release.acquire().await.unwrap().forget();
                }
                b"\"fail\"" => error = Some(FunctionError::Unhandled),
                b"\"panic\"" => panic!("asked to"),
                _ => {}
            }
            let mut payload = invocation.payload;
            if let Some(asked) = at_url(&payload) {
                payload = match &asked.raw_path[..] {
                    "/fail" => {
                        error = Some(FunctionError::Unhandled);
                        payload
                    }
                    "/return" => asked.body.unwrap_or_default().into(),
                    _ => payload,
                };
            }
            self.ended.fetch_add(1, Ordering::SeqCst);
            Ok(Outcome {
                payload,
                error,
                log_tail: invocation
                    .log_tail
                    .then(|| Bytes::from_static(b"REPORT\n\xff")),
                report: Report::default(),
            })
        })
    }

    fn stream(&self, invocation: Invocation) -> BoxFuture<'_, Result<Streamed, ApiError>> {
        Box::pin(async move {
            let asked = at_url(&invocation.payload);
            match asked.and_then(|asked| stream_player::stream(&asked, &self.dropped)) {
                Some(streamed) => Ok(streamed),
                None => self.invoke(invocation).await.map(Streamed::Whole),
            }
        })
    }

    fn serve(
        &self,
        invocation: HttpInvocation,
        request: http::Request<Body>,
    ) -> BoxFuture<'_, Result<Served, ApiError>> {
        Box::pin(async move {
            if invocation.deployment.key.name.as_str().starts_with("http") {
                self.begun.fetch_add(1, Ordering::SeqCst);
                Ok(http_player::serve(request, &self.dropped))
            } else {
                Ok(Served::TakesEvents(request))
            }
        })
    }

    fn prepare(&self, _: Arc<Deployment>) -> BoxFuture<'_, Result<(), Reason>> {
        Box::pin(async { Ok(()) })
    }

    fn retire(&self, _: &FunctionKey, _: Version, _: Option<DeploymentId>) {}
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) player: Arc<Player>,
    pub(crate) gateway: Gateway,
    pub(crate) registry: Registry,
    pub(crate) logs: LogStore,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

pub(crate) fn zip() -> Bytes {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("main.py", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(b"def handler(event, context): return event\n")
        .unwrap();
    zip.finish().unwrap().into_inner().into()
}

pub(crate) fn scope() -> Scope {
    Scope {
        account: ACCOUNT.parse().unwrap(),
        region: REGION.parse().unwrap(),
    }
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(ConnectionOptions::default(), 512 << 20).await
    }

    pub(crate) async fn with(connections: ConnectionOptions, body_memory_bytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(dir.path().join("hearth.db")).unwrap());
        let packages = Packages::open(hearth_code::Options {
            packages: hearth_code::PackageStore::Local(dir.path().join("packages")),
            cache_dir: dir.path().join("cache"),
            cache_bytes: 1 << 30,
            source: None,
        })
        .await
        .unwrap();
        let player = Arc::new(Player::default());
        let registry = Registry::open(
            store,
            packages.clone(),
            Arc::clone(&player) as Arc<dyn Invoker>,
            hearth_registry::Options::default(),
        )
        .await
        .unwrap();
        let logs = LogStore::open(LogOptions::new(dir.path().join("logs"))).unwrap();
        let root = RootKey {
            access_key_id: KEY_ID.to_owned(),
            secret_access_key: SECRET.to_owned(),
            account: ACCOUNT.parse().unwrap(),
        };
        let queue = dir.path().join("events.db");
        let queue = SqliteEventStore::open(queue, EventOptions::default()).unwrap();
        let events = Events::new(Arc::new(queue), Arc::new(|| SystemTime::now().into()));
        let queues = dir.path().join("queues.db");
        let now = SystemTime::now().into();
        let queues = SqliteQueueStore::open(queues, QueueBounds::default(), now).unwrap();
        let shutdown = CancellationToken::new();
        let clock = Arc::new(|| SystemTime::now().into());
        let queues = Queues::new(Arc::new(queues), clock.clone(), shutdown.clone());
        let schedules = dir.path().join("schedules.db");
        let schedules = SqliteScheduleStore::open(schedules, ScheduleBounds::default()).unwrap();
        let schedules = Schedules::new(schedules, time_zones(), clock.clone());
        let storage = dir.path().join("storage.db");
        let storage = SqliteStorageStore::open(storage, StorageBounds::default()).unwrap();
        let options = StorageOptions {
            buckets: BTreeMap::new(),
            registry: registry.clone(),
            queues: queues.clone(),
            clock: clock.clone(),
        };
        let storage = Storage::open(storage, options).await.unwrap();
        let rules = dir.path().join("rules.db");
        let rules = SqliteRuleStore::open(rules, RuleBounds::default()).unwrap();
        let options = RuleOptions {
            senders: Vec::new(),
            clock,
        };
        let rules = Rules::open(rules, options).await.unwrap();
        let keyvalue = dir.path().join("keyvalue.db");
        let keyvalue = SqliteKeyValueStore::open(&keyvalue, KeyValueOptions::default()).unwrap();
        let gateway = Gateway::new(
            GatewayOptions {
                connections,
                body_memory_bytes,
                ..GatewayOptions::new(vec![root], NODE_SECRET)
            },
            registry.clone(),
            packages.clone(),
            Arc::clone(&player) as Arc<dyn Invoker>,
            events,
            queues.clone(),
            schedules.clone(),
            storage,
            rules,
            logs.clone(),
            Cloudflare::new(Parts {
                registry: registry.clone(),
                packages,
                keyvalue: Arc::new(keyvalue),
                queues,
                schedules,
                tails: Tails::default(),
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = {
            let (gateway, shutdown) = (gateway.clone(), shutdown.clone());
            tokio::spawn(async move { gateway.serve(listener, None, shutdown).await })
        };
        let node = Self {
            address,
            player,
            gateway,
            registry,
            logs,
            shutdown,
            serving,
            _dir: dir,
        };
        node.create("f").await;
        node
    }

    /// Makes a function, and waits until it can be invoked.
    pub(crate) async fn create(&self, name: &str) {
        let request = CreateFunctionRequest {
            function_name: Some(name.to_owned()),
            runtime: Some("python3.12".to_owned()),
            handler: Some("main.handler".to_owned()),
            role: Some(format!("arn:aws:iam::{ACCOUNT}:role/test")),
            code: Some(FunctionCode {
                zip_file: Some(Blob(zip())),
                ..FunctionCode::default()
            }),
            ..CreateFunctionRequest::default()
        };
        self.registry
            .create_function(&scope(), request)
            .await
            .unwrap();
        let function = name.parse().unwrap();
        let ready = async {
            loop {
                let found = self
                    .registry
                    .get_function_configuration(&scope(), &function, None)
                    .unwrap();
                if found.state == Some(FunctionState::Active) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
    }

    pub(crate) async fn connect(&self) -> Wire {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire {
            stream,
            read: Vec::new(),
        }
    }

    /// Signs a request with the root key, sends it on a connection of its own, and reads the answer.
    pub(crate) async fn call(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let request = Request::new(method, target, headers, body).signed(self.address);
        let mut wire = self.connect().await;
        wire.send(&request.to_bytes()).await;
        wire.answer().await
    }

    pub(crate) async fn invoke(&self, body: &[u8]) -> Answer {
        self.call("POST", INVOKE, &[], body).await
    }

    pub(crate) fn sessions(&self) -> Sessions {
        Sessions::new(&NODE_SECRET)
    }
}

pub(crate) const INVOKE: &str = "/2015-03-31/functions/f/invocations";

/// Credentials and time to sign with.
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
    pub(crate) service: &'static str,
    pub(crate) location: SignatureLocation,
    pub(crate) at: SystemTime,
}

impl Default for Signer {
    fn default() -> Self {
        Self {
            id: KEY_ID.to_owned(),
            secret: SECRET.to_owned(),
            token: None,
            service: "lambda",
            location: SignatureLocation::Headers,
            at: SystemTime::now(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            body: body.to_vec(),
        }
    }

    pub(crate) fn signed(self, address: SocketAddr) -> Self {
        self.signed_by(address, &Signer::default())
    }

    pub(crate) fn signed_by(mut self, address: SocketAddr, signer: &Signer) -> Self {
        self.headers
            .insert(0, ("host".to_owned(), address.to_string()));
        let credentials = aws_credential_types::Credentials::new(
            signer.id.clone(),
            signer.secret.clone(),
            signer.token.clone(),
            None,
            "test",
        );
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.signature_location = signer.location;
        if signer.location == SignatureLocation::QueryParams {
            settings.expires_in = Some(Duration::from_secs(900));
        }
        let params = SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name(signer.service)
            .time(signer.at)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let request = SignableRequest::new(
            &self.method,
            format!("http://{address}{}", self.target),
            self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())),
            SignableBody::Bytes(&self.body),
        )
        .unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let mut signed = http::Request::builder().uri(&self.target).body(()).unwrap();
        instructions.apply_to_request_http1x(&mut signed);
        let made = signed.headers().iter();
        self.headers
            .extend(made.map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())));
        self.target = signed.uri().to_string();
        self
    }

    /// The head with these framing headers, without the body.
    pub(crate) fn head(&self, framing: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(framing);
        head.push_str("\r\n");
        head.into_bytes()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(&format!("content-length: {}\r\n", self.body.len()));
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// One connection, byte by byte.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The error's code, as clients read it.
    pub(crate) fn code(&self) -> &str {
        self.header("x-amzn-errortype").unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status, self.code()),
            (status, code),
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }
}

impl Wire {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("an answer before the end")
    }

    /// Reads one answer; `None` if the connection ends first.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        tokio::time::timeout(PATIENCE, self.read_answer())
            .await
            .expect("an answer in time")
    }

    /// Reads the answer to a HEAD: whatever length it announces, it has no body.
    pub(crate) async fn head_answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_part(false))
            .await
            .expect("an answer in time")
            .expect("an answer before the end")
    }

    /// Whether these bytes have been read and not yet been taken.
    pub(crate) fn has(&self, bytes: &[u8]) -> bool {
        self.read.windows(bytes.len()).any(|part| part == bytes)
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        self.read_part(true).await
    }

    async fn read_part(&mut self, has_body: bool) -> Option<Answer> {
        let head_end = loop {
            if let Some(at) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read[..head_end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect();
        if !has_body {
            self.read.drain(..head_end);
            return Some(Answer {
                status,
                headers,
                body: Vec::new(),
            });
        }
        if headers.iter().any(|(n, _)| n == "transfer-encoding") {
            self.read.drain(..head_end);
            let body = self.read_chunks().await?;
            return Some(Answer {
                status,
                headers,
                body,
            });
        }
        let length = headers.iter().find(|(n, _)| n == "content-length");
        let length: usize = length.map_or(0, |(_, v)| v.parse().unwrap());
        while self.read.len() < head_end + length {
            self.more().await?;
        }
        let body = self.read[head_end..head_end + length].to_vec();
        self.read.drain(..head_end + length);
        Some(Answer {
            status,
            headers,
            body,
        })
    }

    async fn read_chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                if let Some(at) = self.read.windows(2).position(|w| w == b"\r\n") {
                    break at;
                }
                self.more().await?;
            };
            let line = std::str::from_utf8(&self.read[..line_end]).unwrap();
            let size = usize::from_str_radix(line, 16).unwrap();
            let end = line_end + 2 + size + 2;
            while self.read.len() < end {
                self.more().await?;
            }
            body.extend_from_slice(&self.read[line_end + 2..end - 2]);
            self.read.drain(..end);
            if size == 0 {
                return Some(body);
            }
        }
    }

    pub(crate) async fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => None,
            Ok(read) => {
                self.read.extend_from_slice(&buffer[..read]);
                Some(())
            }
        }
    }

    /// Reads to the end; the connection must be closed by the node.
    pub(crate) async fn end(mut self) {
        let end = async { while self.more().await.is_some() {} };
        tokio::time::timeout(PATIENCE, end)
            .await
            .expect("the connection is closed");
        assert!(
            self.read.is_empty(),
            "more than the answer: {}",
            String::from_utf8_lossy(&self.read)
        );
    }
}

/// Runs one of the scripts beside the tests with the service's own Python client against a node; `prepare` comes first.
pub(crate) async fn python_client(script: &str, prepare: impl AsyncFnOnce(&Node)) {
    let Ok(python) = std::env::var("HEARTH_TEST_PYTHON") else {
        eprintln!("skipped: HEARTH_TEST_PYTHON names no Python that has boto3");
        return;
    };
    let node = Node::start().await;
    prepare(&node).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(script);
    let output = tokio::process::Command::new(python)
        .arg(script)
        .arg(format!("http://{}", node.address))
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_DEFAULT_REGION", REGION)
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_PROFILE")
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.stdout, b"done\n");
}
