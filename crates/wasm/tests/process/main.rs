//! Functions whose guests run in a process: both ends of the line, without the wall between them.

mod hostile;
mod streams;
mod way_out;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_egress::{Outside, ThisHost};
use hearth_wasm::process::{Process, Reach, Settings, work};
use hearth_wasm::{
    Call, Ending, Failure, Function, Grants, Output, OutputStream, Wall, WallOptions,
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::sync::oneshot;

/// Longer than any test waits for what does happen.
const LONG: Duration = Duration::from_secs(60);

/// What the lines between node and process hold, bytes.
const LINE: usize = 64 << 10;

/// A node's side, with a process whose other side is anybody's.
struct Rig {
    wall: Wall,
    process: Process,
    _artefacts: TempDir,
}

impl Rig {
    /// With a process that `play` plays: it is given the far ends of the lines and the folder of artefacts.
    async fn new<F>(play: impl FnOnce([DuplexStream; 2], &Path) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let wall = Wall::new(WallOptions {
            cache_dir: Path::new(env!("CARGO_TARGET_TMPDIR")).join("process"),
            cache_bytes: 1 << 30,
            secret: [7; 32],
            parallel_compilations: 2,
            loaded_programs: 16,
            loaded_bytes: 1 << 30,
            instances: 16,
            memory_bytes: 1 << 30,
            wait: LONG,
            outside: Outside {
                this_host: ThisHost::Open,
                ..Outside::default()
            },
        })
        .expect("a wall");
        let artefacts = tempfile::tempdir().expect("a folder");
        let [(line, far_line), (way_out, far_way_out)] = [(); 2].map(|()| tokio::io::duplex(LINE));
        tokio::spawn(play([far_line, far_way_out], artefacts.path()));
        let process = Process::connect(line, way_out, artefacts.path().to_owned())
            .await
            .expect("a process");
        // Whoever starts processes ends them, and says why.
        let owned = process.clone();
        tokio::spawn(async move {
            let reason = owned.condemned().await;
            owned.ended(reason);
        });
        Self {
            wall,
            process,
            _artefacts: artefacts,
        }
    }

    /// With a process that works.
    async fn working() -> Self {
        Self::new(|[line, way_out], artefacts| {
            let artefacts = artefacts.to_owned();
            async move {
                let settings = Settings {
                    node: ([127, 0, 0, 1], 0).into(),
                    instances: 16,
                    memory_bytes: 1 << 30,
                    wait_ms: 60_000,
                };
                // Ends when the test does.
                let _ = work(line, way_out, artefacts, &settings).await;
            }
        })
        .await
    }

    async fn function(&self, name: &str, change: impl FnOnce(&mut Grants)) -> Function {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fixtures/wasm")
            .join(name);
        let program = self.wall.program(&fixture).await.expect("a program");
        let mut grants = Grants {
            memory_bytes: 128 << 20,
            reuse: 1,
            output_bytes: 64 << 20,
            ..Grants::default()
        };
        change(&mut grants);
        let process = self.process.clone();
        let reach: Reach = Arc::new(move || {
            let process = process.clone();
            Box::pin(async move { Ok(process) })
        });
        self.wall.function_in_process(program, grants, reach)
    }
}

/// A guest's log.
#[derive(Default)]
struct Lines(Mutex<Vec<u8>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("the log")).into_owned()
    }
}

impl Output for Lines {
    fn write(&self, _: OutputStream, bytes: &[u8]) {
        self.0.lock().expect("the log").extend_from_slice(bytes);
    }
}

/// A call, its log, and its end when it comes.
fn call(within: Duration) -> (Call, Arc<Lines>, oneshot::Receiver<Ending>) {
    let (told, ended) = oneshot::channel();
    let log = Arc::new(Lines::default());
    let call = Call {
        output: Arc::clone(&log) as Arc<dyn Output>,
        deadline: Instant::now() + within,
        ended: Box::new(move |ending| {
            let _ = told.send(ending);
        }),
    };
    (call, log, ended)
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://localhost{path}"))
        .body(Full::default())
        .expect("a request")
}

/// A whole exchange: the response with its body, or how it failed; the end and the log.
async fn exchange(
    function: &Function,
    path: &str,
) -> (Result<Response<Bytes>, Failure>, Ending, String) {
    let (call, log, ended) = call(LONG);
    let answer = async {
        let (head, body) = function.request(get(path), call).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    let answer = answer.await;
    let ending = ended.await.expect("an end that was told");
    (answer, ending, log.text())
}

/// The text of a response that has to be one.
async fn text(function: &Function, path: &str) -> String {
    let (answer, ending, log) = exchange(function, path).await;
    assert_eq!(ending.failure, None, "{log}");
    String::from_utf8_lossy(answer.expect("a response").body()).into_owned()
}
