//! The wall with guests: what they may take, how they fail, and what stays of them.
//!
//! The guests are the prebuilt ones of `tests/fixtures/wasm` at the repository's root.

mod commands;
mod failures;
mod files;
mod keyvalue;
mod limits;
mod neighbours;
mod outgoing;
mod responses;
mod reuse;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_egress::Outside;
use hearth_wasm::{
    Body, Call, Ending, Failure, Function, Grants, Output, OutputStream, Program, Wall, WallOptions,
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Longer than any test waits for what does happen.
const LONG: Duration = Duration::from_secs(60);

/// Instances of the wall that most tests share.
const INSTANCES: u32 = 64;

/// One runtime and one wall for all tests: a component is compiled once.
static SHARED: LazyLock<(Runtime, Wall)> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let wall = {
        let _inside = runtime.enter();
        Wall::new(options(INSTANCES, 8 << 30)).expect("a wall")
    };
    (runtime, wall)
});

fn options(instances: u32, memory_bytes: u64) -> WallOptions {
    WallOptions {
        cache_dir: Path::new(env!("CARGO_TARGET_TMPDIR")).join("wall"),
        cache_bytes: 1 << 30,
        secret: [7; 32],
        parallel_compilations: 2,
        loaded_programs: 16,
        loaded_bytes: 1 << 30,
        instances,
        memory_bytes,
        wait: LONG,
        outside: Outside::default(),
    }
}

/// Runs a test on the shared runtime.
fn run<T>(test: impl Future<Output = T>) -> T {
    SHARED.0.block_on(test)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/wasm")
        .join(name)
}

async fn program(wall: &Wall, name: &str) -> Arc<Program> {
    wall.program(&fixture(name)).await.expect("a program")
}

/// A function of the shared wall.
async fn function(name: &str, change: impl FnOnce(&mut Grants)) -> Function {
    let wall = &SHARED.1;
    let mut grants = grants();
    change(&mut grants);
    wall.function(program(wall, name).await, grants)
}

fn grants() -> Grants {
    Grants {
        memory_bytes: 128 << 20,
        reuse: 1,
        output_bytes: 8 << 20,
        ..Grants::default()
    }
}

/// A guest's log.
#[derive(Default)]
struct Lines(Mutex<HashMap<&'static str, Vec<u8>>>);

impl Lines {
    fn text(&self, stream: &'static str) -> String {
        let lines = self.0.lock().expect("the log");
        String::from_utf8_lossy(lines.get(stream).map_or(&[][..], Vec::as_slice)).into_owned()
    }
}

impl Output for Lines {
    fn write(&self, stream: OutputStream, bytes: &[u8]) {
        let stream = match stream {
            OutputStream::Stdout => "stdout",
            OutputStream::Stderr => "stderr",
        };
        let mut lines = self.0.lock().expect("the log");
        lines.entry(stream).or_default().extend_from_slice(bytes);
    }
}

/// A call, its log, and its end when it comes.
struct Watch {
    log: Arc<Lines>,
    ended: oneshot::Receiver<Ending>,
}

impl Watch {
    async fn ending(&mut self) -> Ending {
        tokio::time::timeout(LONG, &mut self.ended)
            .await
            .expect("an end")
            .expect("an end that was told")
    }
}

fn call(within: Duration) -> (Call, Watch) {
    let (told, ended) = oneshot::channel();
    let log = Arc::new(Lines::default());
    let call = Call {
        output: Arc::clone(&log) as Arc<dyn Output>,
        deadline: Instant::now() + within,
        ended: Box::new(move |ending| {
            let _ = told.send(ending);
        }),
    };
    (call, Watch { log, ended })
}

fn get(path: &str) -> Request<Full<Bytes>> {
    request("GET", path, Bytes::new())
}

fn request(method: &str, path: &str, body: Bytes) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "guest.example")
        .body(Full::new(body))
        .expect("a request")
}

/// A whole exchange: the response with its body or how it broke off, and the end.
async fn exchange(
    function: &Function,
    request: Request<Full<Bytes>>,
    within: Duration,
) -> (
    Result<Response<Result<Bytes, Failure>>, Failure>,
    Ending,
    Arc<Lines>,
) {
    let (call, mut watch) = call(within);
    let answer = match function.request(request, call).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes());
            Ok(Response::from_parts(head, body))
        }
        Err(failure) => Err(failure),
    };
    let ending = watch.ending().await;
    (answer, ending, watch.log)
}

/// The text of a response that has to be one.
async fn text(function: &Function, path: &str) -> String {
    let (answer, ending, log) = exchange(function, get(path), LONG).await;
    assert_eq!(ending.failure, None, "{}", log.text("stderr"));
    let body = answer.expect("a response").into_body().expect("a body");
    String::from_utf8(body.to_vec()).expect("text")
}

/// How a request failed that had to fail before its response began.
async fn failure(function: &Function, path: &str) -> Failure {
    let (answer, ending, _) = exchange(function, get(path), LONG).await;
    let failure = answer.expect_err("a failure");
    assert_eq!(ending.failure.as_ref(), Some(&failure));
    failure
}

/// The next frame's bytes.
async fn chunk(body: &mut Body) -> Option<Result<Bytes, Failure>> {
    let frame = Pin::new(body).frame().await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}
