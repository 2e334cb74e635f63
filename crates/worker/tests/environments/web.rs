//! Functions that are web servers: HTTP as it is, many requests at once in one environment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_types::function::{Configuration, Deployment};
use hearth_types::invoke::{Body, HttpInvocation, Invoker as _, Outcome, RequestId, Served};
use hearth_types::walls::{NetworkAccess, Walls};
use hearth_types::web::WebPort;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Barrier;

use crate::rig::{PATIENCE, PYTHON, Rig, invocation, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        a_request_reaches_the_server_as_it_is,
        many_requests_meet_in_one_environment,
        more_than_an_environment_has_places_for_get_another,
        connections_are_kept,
        a_kept_connection_that_the_server_closed_is_no_error,
        a_response_streams,
        a_request_streams,
        a_caller_who_goes_away_ends_its_own_request_alone,
        a_slow_request_is_cut_and_the_others_run_on,
        time_runs_for_a_request_after_any_silence,
        a_server_that_is_stuck_is_replaced,
        a_server_that_dies_is_replaced,
        whoever_comes_and_goes_leaves_nothing_behind,
        shutdown_ends_requests_that_do_not_finish,
        a_server_that_never_listens_says_so,
        a_server_that_exits_at_once_says_why,
        responses_that_are_none_are_failures_of_their_own_request,
        an_event_becomes_a_request,
        a_connection_becomes_another_protocols,
        a_script_and_the_web_adapters_variables_start_a_server,
        node_serves,
    ]
}

/// A server whose paths do what the tests want. `{}` stands for what is added to it.
const SERVER: &str = r#"
import json, os, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
barrier = threading.Barrier(8)
go = threading.Event()
gone = threading.Event()
connections = 0
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def setup(self):
        global connections
        connections += 1
        super().setup()
    def log_message(self, *_): pass
    def answer(self, body, status=200):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()
    def begin(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
    def raw(self, data, close=True):
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = close
    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/meet": barrier.wait(60); self.answer(1)
        elif path == "/connections": self.answer(connections)
        elif path == "/door":
            s = socket.create_connection(("127.0.0.1", 9002)); s.sendall(b"!"); s.recv(1); self.answer(1)
        elif path == "/bye": self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
        elif path == "/stream":
            self.begin(); self.chunk(b"first"); go.wait(60); self.chunk(b"second"); self.chunk(b"")
        elif path == "/go": go.set(); self.answer(1)
        elif path == "/flood":
            self.begin()
            try:
                while True: self.chunk(b"x" * 65536)
            except OSError: gone.set()
        elif path == "/gone": self.answer(gone.wait(60))
        elif path == "/hang": time.sleep(1000)
        elif path == "/die": print("last words", file=sys.stderr, flush=True); os._exit(3)
        elif path == "/garbage": self.raw(b"\x16\x03\x01 not HTTP\r\n\r\n")
        elif path == "/long-head": self.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300000 + b"\r\n\r\n")
        elif path == "/short": self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.")
        elif path == "/bad-chunk": self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        elif path == "/silence": self.raw(b"")
        elif path == "/switch": self.raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        elif path == "/upgrade":
            self.raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            while True:
                data = self.connection.recv(100)
                if not data: break
                self.connection.sendall(data)
        else: self.do_POST()
    def do_POST(self):
        if self.path == "/echo":
            self.begin()
            while True:
                size = int(self.rfile.readline(), 16)
                data = self.rfile.read(size); self.rfile.readline()
                self.chunk(data)
                if size == 0: return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        print("asked for", self.path)
        self.answer({"method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body.decode()})
    do_PUT = do_HEAD = do_DELETE = do_GET
ThreadingHTTPServer.request_queue_size = 64
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn walls(concurrency: Option<u32>) -> Walls {
    Walls {
        network: NetworkAccess::None,
        web: Some(WebPort::Any),
        concurrency,
        ..Walls::default()
    }
}

/// A web server of this source.
async fn python(
    rig: &Rig,
    source: &str,
    concurrency: Option<u32>,
    change: impl FnOnce(&mut Configuration),
) -> Arc<Deployment> {
    let code = rig.pack(&[("app.py", source)]).await;
    rig.deploy_package(PYTHON, code, walls(concurrency), |configuration| {
        configuration.handler = "app.py".to_owned();
        change(configuration);
    })
}

/// [`SERVER`] with places for 8 requests.
async fn server(rig: &Rig) -> Arc<Deployment> {
    python(rig, SERVER, Some(8), |_| {}).await
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn get(path: &str) -> Request<Body> {
    let request = Request::get(path).header("host", "example.com");
    request.body(empty()).unwrap()
}

async fn serve(rig: &Rig, function: &Arc<Deployment>, request: Request<Body>) -> Served {
    // Only its identifier is of use.
    let request_id: RequestId = invocation(function, json!(null)).request_id;
    let invocation = HttpInvocation {
        request_id,
        deployment: Arc::clone(function),
        trace_id: "Root=1-5759e988-bd862e3fe1be46a994272793".to_owned(),
    };
    rig.worker.serve(invocation, request).await.unwrap()
}

fn response(served: Served) -> Response<Body> {
    match served {
        Served::Response(response) => response,
        Served::Failed(outcome) => panic!("failed: {:?}", outcome.payload),
        Served::TakesEvents(_) => panic!("it is a web server"),
    }
}

fn failure(served: Served) -> (String, String) {
    match served {
        Served::Failed(Outcome { payload, .. }) => {
            let error: Value = serde_json::from_slice(&payload).unwrap();
            let text = |name: &str| error[name].as_str().unwrap().to_owned();
            (text("errorType"), text("errorMessage"))
        }
        Served::Response(response) => panic!("answered: {response:?}"),
        Served::TakesEvents(_) => panic!("it is a web server"),
    }
}

/// The body of a response, as JSON.
async fn read(served: Served) -> Value {
    let response = response(served);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

async fn ask(rig: &Rig, function: &Arc<Deployment>, path: &str) -> Value {
    read(serve(rig, function, get(path)).await).await
}

async fn a_request_reaches_the_server_as_it_is() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    let request = Request::builder()
        .method(Method::PUT)
        .uri("/a%20b/c?x=1&y=%26")
        .header("host", "example.com")
        .header("x-mine", "1")
        .header("content-length", "4")
        .header("lambda-runtime-deadline-ms", "1")
        .body(whole("body"))
        .unwrap();
    let seen = read(serve(&rig, &function, request).await).await;
    assert_eq!(seen["method"], "PUT");
    assert_eq!(seen["path"], "/a%20b/c?x=1&y=%26");
    assert_eq!(seen["body"], "body");
    let headers = &seen["headers"];
    assert_eq!(headers["host"], "example.com");
    assert_eq!(headers["x-mine"], "1");
    assert_eq!(headers["lambda-runtime-deadline-ms"], Value::Null);
    assert_eq!(
        headers["x-amzn-trace-id"],
        "Root=1-5759e988-bd862e3fe1be46a994272793"
    );
    let id = headers["x-amzn-requestid"].as_str().unwrap();
    rig.until("it has ended", |stats| stats.idle == 1).await;
    let log = rig.log().await;
    let at = |line: &str| {
        log.iter()
            .position(|one| one.starts_with(line))
            .unwrap_or_else(|| panic!("{line}: {log:?}"))
    };
    let start = at(&format!("START RequestId: {id}"));
    let own = at("asked for /a%20b/c");
    let end = at(&format!("END RequestId: {id}"));
    let report = at(&format!("REPORT RequestId: {id}"));
    assert!(start < own && own < end && end < report, "{log:?}");
    assert!(log[report].contains("Init Duration"), "{log:?}");
    rig.end().await;
}

async fn many_requests_meet_in_one_environment() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    // None of them is answered before all eight are there.
    let all = (0..8).map(|_| ask(&rig, &function, "/meet"));
    futures_util::future::join_all(all).await;
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn more_than_an_environment_has_places_for_get_another() {
    // The door answers when four have asked, and an environment has places for two.
    let rig = Rig::new(crate::concurrency::meeting(Arc::new(Barrier::new(4)))).await;
    let function = python(&rig, SERVER, Some(2), |_| {}).await;
    let all = (0..4).map(|_| ask(&rig, &function, "/door"));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers, [1, 1, 1, 1]);
    assert_eq!(rig.stats().started, 2);
    rig.end().await;
}

async fn connections_are_kept() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    let first = ask(&rig, &function, "/connections").await;
    for _ in 0..20 {
        assert_eq!(ask(&rig, &function, "/connections").await, first);
    }
    rig.end().await;
}

async fn a_kept_connection_that_the_server_closed_is_no_error() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    for _ in 0..50 {
        assert_eq!(ask(&rig, &function, "/bye").await, json!(1));
    }
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn frame(body: &mut Body) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

async fn a_response_streams() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    let mut body = response(serve(&rig, &function, get("/stream")).await).into_body();
    assert_eq!(frame(&mut body).await, "first");
    // The server goes on only when another request has told it to.
    assert_eq!(ask(&rig, &function, "/go").await, json!(1));
    assert_eq!(frame(&mut body).await, "second");
    assert!(body.frame().await.is_none());
    rig.end().await;
}

async fn a_request_streams() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    let (send, receive) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(receive, |mut receive| async {
        let data = receive.recv().await?;
        Some((Ok(Frame::data(data)), receive))
    });
    let request = Request::post("/echo")
        .body(StreamBody::new(frames).boxed_unsync())
        .unwrap();
    send.send("one".into()).await.unwrap();
    let mut body = response(serve(&rig, &function, request).await).into_body();
    assert_eq!(frame(&mut body).await, "one");
    send.send("two".into()).await.unwrap();
    assert_eq!(frame(&mut body).await, "two");
    drop(send);
    assert!(body.frame().await.is_none());
    rig.end().await;
}

async fn a_caller_who_goes_away_ends_its_own_request_alone() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    let mut other = response(serve(&rig, &function, get("/stream")).await).into_body();
    assert_eq!(frame(&mut other).await, "first");
    let mut body = response(serve(&rig, &function, get("/flood")).await).into_body();
    frame(&mut body).await;
    drop(body);
    assert_eq!(ask(&rig, &function, "/gone").await, json!(true));
    ask(&rig, &function, "/go").await;
    assert_eq!(frame(&mut other).await, "second");
    assert!(other.frame().await.is_none());
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn a_slow_request_is_cut_and_the_others_run_on() {
    let rig = Rig::new(|_| {}).await;
    let function = python(&rig, SERVER, Some(8), |configuration| {
        configuration.timeout_s = 2;
    })
    .await;
    ask(&rig, &function, "/connections").await;
    let hanging = serve(&rig, &function, get("/hang"));
    let busy = async {
        // The server works: while the other hangs, these are answered.
        loop {
            ask(&rig, &function, "/connections").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let hung = tokio::select! {
        hung = hanging => hung,
        () = busy => unreachable!(),
    };
    let (kind, message) = failure(hung);
    assert_eq!(kind, "Sandbox.Timedout");
    assert!(message.ends_with("Task timed out after 2.00 seconds"));
    ask(&rig, &function, "/connections").await;
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn time_runs_for_a_request_after_any_silence() {
    let rig = Rig::new(|_| {}).await;
    let function = python(&rig, SERVER, Some(8), |configuration| {
        configuration.timeout_s = 1;
    })
    .await;
    // The environment's task looks again when the time of the one before would be up, and then not at all.
    for silence_ms in [0, 600, 1_300] {
        ask(&rig, &function, "/connections").await;
        tokio::time::sleep(Duration::from_millis(silence_ms)).await;
        let (kind, message) = failure(serve(&rig, &function, get("/hang")).await);
        assert_eq!(kind, "Sandbox.Timedout", "after {silence_ms} ms");
        assert!(message.ends_with("Task timed out after 1.00 seconds"));
    }
    rig.end().await;
}

async fn a_server_that_is_stuck_is_replaced() {
    let rig = Rig::new(|_| {}).await;
    let function = python(&rig, SERVER, Some(8), |configuration| {
        configuration.timeout_s = 1;
    })
    .await;
    let (kind, _) = failure(serve(&rig, &function, get("/hang")).await);
    assert_eq!(kind, "Sandbox.Timedout");
    rig.until("its environment is gone", |stats| stats.environments == 0)
        .await;
    ask(&rig, &function, "/connections").await;
    assert_eq!(rig.stats().started, 2);
    rig.end().await;
}

async fn a_server_that_dies_is_replaced() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    let mut other = response(serve(&rig, &function, get("/stream")).await).into_body();
    assert_eq!(frame(&mut other).await, "first");
    let (kind, message) = failure(serve(&rig, &function, get("/die")).await);
    assert_eq!(kind, "Runtime.ExitError");
    assert!(message.contains("exit status 3"), "{message}");
    assert!(
        other.frame().await.unwrap().is_err(),
        "it broke off, and does not look whole"
    );
    ask(&rig, &function, "/connections").await;
    assert_eq!(rig.stats().started, 2);
    assert!(rig.log().await.iter().any(|line| line == "last words"));
    rig.end().await;
}

async fn whoever_comes_and_goes_leaves_nothing_behind() {
    let rig = Arc::new(Rig::new(|_| {}).await);
    let function = server(&rig).await;
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..24_u64 {
        let (rig, function) = (Arc::clone(&rig), Arc::clone(&function));
        callers.spawn(async move {
            for turn in 0..30_u64 {
                let path = match (n * 7 + turn * 13) % 31 {
                    0 => "/die",
                    1..4 => "/silence",
                    4..8 => "/flood",
                    _ => "/connections",
                };
                // Some go away before anything comes, or in the middle of it.
                let patience = Duration::from_micros((n * 389 + turn * 997) % 8_000);
                let patience = match path {
                    "/connections" if turn % 3 > 0 => PATIENCE,
                    "/silence" | "/die" => PATIENCE,
                    _ => patience,
                };
                let whole = async {
                    if let Served::Response(response) = serve(&rig, &function, get(path)).await {
                        let _ = response.into_body().collect().await;
                    }
                };
                let done = tokio::time::timeout(patience, whole).await;
                assert!(done.is_ok() || patience < PATIENCE, "{path} has no end");
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    rig.until("nothing runs or waits", |stats| {
        (stats.busy, stats.waiting, stats.starting) == (0, 0, 0)
    })
    .await;
    ask(&rig, &function, "/connections").await;
    Arc::into_inner(rig).unwrap().end().await;
}

async fn shutdown_ends_requests_that_do_not_finish() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    let mut body = response(serve(&rig, &function, get("/stream")).await).into_body();
    assert_eq!(frame(&mut body).await, "first");
    // Longer than it is waited for, and shorter than a request's time.
    rig.worker.shutdown(Duration::from_millis(200)).await;
    assert!(body.frame().await.unwrap().is_err(), "it broke off");
    rig.end().await;
}

async fn a_server_that_never_listens_says_so() {
    let rig = Rig::new(|options| options.init_timeout = Duration::from_millis(400)).await;
    let source = "import sys, time\nprint('thinking', file=sys.stderr)\ntime.sleep(1000)";
    let function = python(&rig, source, None, |configuration| {
        configuration.timeout_s = 1;
    })
    .await;
    let (kind, message) = failure(serve(&rig, &function, get("/")).await);
    assert_eq!(kind, "Runtime.ServerNotReady");
    assert!(
        message.ends_with("nothing listened on 127.0.0.1:8080"),
        "{message}"
    );
    let log = rig.log().await;
    assert!(log.iter().any(|line| line == "thinking"), "{log:?}");
    assert!(
        log.iter().any(|line| line.starts_with("INIT_REPORT")),
        "{log:?}"
    );
    rig.end().await;
}

async fn a_server_that_exits_at_once_says_why() {
    let rig = Rig::new(|_| {}).await;
    let function = python(&rig, "raise SystemExit('no database')", None, |_| {}).await;
    let (kind, message) = failure(serve(&rig, &function, get("/")).await);
    assert_eq!(kind, "Runtime.ExitError");
    assert!(message.contains("exit status 1"), "{message}");
    assert!(rig.log().await.iter().any(|line| line == "no database"));
    // The handler must name a file.
    let nothing = python(&rig, SERVER, None, |configuration| {
        configuration.handler = "other.py".to_owned();
    })
    .await;
    let (kind, message) = failure(serve(&rig, &nothing, get("/")).await);
    assert_eq!(kind, "Runtime.InvalidEntrypoint");
    assert!(message.contains("other.py"), "{message}");
    rig.end().await;
}

async fn responses_that_are_none_are_failures_of_their_own_request() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    for path in ["/garbage", "/long-head", "/silence", "/switch"] {
        let (kind, message) = failure(serve(&rig, &function, get(path)).await);
        assert_eq!(kind, "Runtime.InvalidResponse", "{path}: {message}");
    }
    for path in ["/short", "/bad-chunk"] {
        let body = response(serve(&rig, &function, get(path)).await).into_body();
        assert!(body.collect().await.is_err(), "{path}");
    }
    let seen = ask(&rig, &function, "/fine").await;
    assert_eq!(seen["body"], "", "nothing of the others is left");
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn an_event_becomes_a_request() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    let seen = rig.result(&function, json!({"key": 1})).await;
    assert_eq!(
        (&seen["method"], &seen["path"]),
        (&json!("POST"), &json!("/"))
    );
    assert_eq!(seen["body"], "{\"key\":1}");
    let event = json!({
        "version": "2.0", "rawPath": "/items", "rawQueryString": "q=1",
        "headers": {"x-mine": "1"},
        "requestContext": {"http": {"method": "DELETE", "path": "/items"}},
    });
    let result = rig.result(&function, event).await;
    assert_eq!(result["statusCode"], 200);
    let seen: Value = serde_json::from_str(result["body"].as_str().unwrap()).unwrap();
    assert_eq!(seen["method"], "DELETE");
    assert_eq!(seen["path"], "/items?q=1");
    assert_eq!(seen["headers"]["x-mine"], "1");
    let ended = rig.invoke(&function, json!({"tail": 1})).await.unwrap();
    assert!(ended.tail().contains("asked for /\n"), "{}", ended.tail());
    assert!(ended.tail().contains("END RequestId: <id>\n"));
    let event = json!({
        "version": "2.0", "rawPath": "/die",
        "requestContext": {"http": {"method": "GET", "path": "/die"}},
    });
    let (kind, _) = rig.invoke(&function, event).await.unwrap().error();
    assert_eq!(kind, "Runtime.ExitError");
    rig.end().await;
}

async fn a_connection_becomes_another_protocols() {
    let rig = Rig::new(|_| {}).await;
    let function = server(&rig).await;
    let request = Request::get("/upgrade")
        .header("host", "example.com")
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(empty())
        .unwrap();
    let mut response = response(serve(&rig, &function, request).await);
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
    let mut stream = hyper_util::rt::TokioIo::new(upgraded);
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");
    assert_eq!(rig.stats().busy, 1, "it counts while it lasts");
    let mut stay = response.into_body();
    let shutdown = tokio::spawn({
        let worker = rig.worker.clone();
        async move { worker.shutdown(Duration::from_secs(60)).await }
    });
    assert!(stay.frame().await.unwrap().is_err(), "shutdown ends it");
    drop((stay, stream));
    shutdown.await.unwrap();
    rig.end().await;
}

async fn a_script_and_the_web_adapters_variables_start_a_server() {
    let rig = Rig::new(|_| {}).await;
    let script = "#!/bin/sh\nexec python3 app.py";
    let code = rig.pack(&[("run.sh*", script), ("app.py", SERVER)]).await;
    let plain = Walls {
        network: NetworkAccess::None,
        ..Walls::default()
    };
    let function = rig.deploy_package(PYTHON, code, plain, |configuration| {
        configuration.handler = "run.sh".to_owned();
        let variables = [
            ("AWS_LAMBDA_EXEC_WRAPPER", "/opt/bootstrap"),
            ("AWS_LWA_PORT", "3000"),
            ("AWS_LWA_READINESS_CHECK_PATH", "/ready?yes"),
            ("AWS_LWA_REMOVE_BASE_PATH", "/api"),
            ("AWS_LWA_PASS_THROUGH_PATH", "/events"),
        ];
        configuration.environment = variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    });
    let seen = ask(&rig, &function, "/api/x?y=1").await;
    assert_eq!(seen["path"], "/x?y=1");
    let seen = rig.result(&function, json!({})).await;
    assert_eq!(seen["path"], "/events");
    assert!(
        rig.log()
            .await
            .iter()
            .any(|line| line == "asked for /ready?yes"),
        "it was asked whether it is ready"
    );
    rig.end().await;
}

async fn node_serves() {
    let rig = Rig::new(|_| {}).await;
    let source = "require('http').createServer((request, response) => {
        response.end(JSON.stringify([request.url, process.version]));
    }).listen(process.env.PORT);";
    let script = "node --version && exec node server.js";
    let code = rig
        .pack(&[("server.js", source), ("start.sh", script)])
        .await;
    for handler in ["server.js", "start.sh"] {
        let function = rig.deploy_package("nodejs20.x", code, walls(None), |configuration| {
            configuration.handler = handler.to_owned();
        });
        assert_eq!(ask(&rig, &function, "/x?y").await[0], "/x?y");
    }
    rig.end().await;
}
