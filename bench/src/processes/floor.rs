//! The floor: a language's client loop with no platform at all.
//!
//! The same bootstrap that runs inside an environment asks this process for work over loopback. What a caller waits
//! here is what the language and its runtime client cost; what Hearth adds is the rest.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot};

use crate::load::Sample;

/// A bare language runtime: a program, its bootstrap and the folder of the function.
pub(crate) struct Language {
    pub(crate) argv: Vec<PathBuf>,
    pub(crate) handler: &'static str,
    pub(crate) folder: PathBuf,
}

/// A Runtime API that only hands events over.
#[derive(Default)]
struct Desk {
    state: Mutex<DeskState>,
    asked: Notify,
}

#[derive(Default)]
struct DeskState {
    waiting: VecDeque<oneshot::Sender<Bytes>>,
    running: std::collections::HashMap<u64, oneshot::Sender<Bytes>>,
    last: u64,
}

impl Desk {
    fn state(&self) -> std::sync::MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn invoke(&self) -> anyhow::Result<Bytes> {
        let (answer, answered) = oneshot::channel();
        self.state().waiting.push_back(answer);
        self.asked.notify_one();
        answered.await.context("wait for the function")
    }

    async fn next(&self) -> u64 {
        loop {
            {
                let mut state = self.state();
                if let Some(answer) = state.waiting.pop_front() {
                    state.last += 1;
                    let id = state.last;
                    state.running.insert(id, answer);
                    return id;
                }
            }
            self.asked.notified().await;
        }
    }

    async fn handle(
        &self,
        event: Bytes,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().to_owned();
        if path.ends_with("/next") {
            let id = self.next().await;
            let response = Response::builder()
                .header("content-type", "application/json")
                .header("lambda-runtime-aws-request-id", id.to_string())
                .header("lambda-runtime-deadline-ms", "4102444800000")
                .header(
                    "lambda-runtime-invoked-function-arn",
                    "arn:aws:lambda:us-east-1:000000000000:function:floor",
                )
                .header(
                    "lambda-runtime-trace-id",
                    "Root=1-00000000-000000000000000000000000;Sampled=0",
                )
                .body(Full::new(event));
            return Ok(response.unwrap_or_default());
        }
        let body = request
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        let id = path
            .rsplit('/')
            .nth(1)
            .and_then(|id| id.parse::<u64>().ok());
        if let Some(answer) = id.and_then(|id| self.state().running.remove(&id)) {
            // The caller may be gone: the measurement is over.
            let _ = answer.send(body);
        }
        let accepted = Response::builder().status(202).body(Full::default());
        Ok(accepted.unwrap_or_default())
    }
}

/// Language processes that serve a [`Desk`].
pub(crate) struct Floor {
    desk: Arc<Desk>,
    _processes: Vec<Child>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Floor {
    pub(crate) async fn start(
        language: &Language,
        processes: usize,
        event: &str,
    ) -> anyhow::Result<Self> {
        let desk = Arc::new(Desk::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("listen")?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(serve(
            listener,
            desk.clone(),
            Bytes::copy_from_slice(event.as_bytes()),
        ));
        let processes = (0..processes)
            .map(|_| spawn(language, address))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            desk,
            _processes: processes,
            server,
        })
    }

    pub(crate) async fn run(&self, callers: usize, duration: Duration) -> anyhow::Result<Sample> {
        let start = Instant::now();
        let end = start + duration;
        let caller = |desk: Arc<Desk>| async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let start = Instant::now();
                desk.invoke().await?;
                latencies.push(start.elapsed());
            }
            anyhow::Ok(latencies)
        };
        let tasks: Vec<_> = (0..callers)
            .map(|_| tokio::spawn(caller(self.desk.clone())))
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.context("run a caller")??);
        }
        Ok(Sample::of(latencies, start.elapsed()))
    }

    /// Waits for the first answer: everything is loaded then.
    pub(crate) async fn warm(&self) -> anyhow::Result<Bytes> {
        self.desk.invoke().await
    }
}

async fn serve(listener: TcpListener, desk: Arc<Desk>, event: Bytes) {
    while let Ok((stream, _)) = listener.accept().await {
        // A benchmark's own socket: if this fails, the figures say so.
        let _ = stream.set_nodelay(true);
        let (desk, event) = (desk.clone(), event.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| desk.handle(event.clone(), request));
            // A language process that ends cuts its connection: that is how every measurement stops.
            let _ = hyper::server::conn::http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn spawn(language: &Language, address: SocketAddr) -> anyhow::Result<Child> {
    let (program, arguments) = language.argv.split_first().context("name a program")?;
    Command::new(program)
        .args(arguments)
        .current_dir(&language.folder)
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("LAMBDA_TASK_ROOT", &language.folder)
        .env("_HANDLER", language.handler)
        .env("AWS_LAMBDA_FUNCTION_NAME", "floor")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/floor")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "floor")
        .env("AWS_REGION", "us-east-1")
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", Path::new(program).display()))
}
