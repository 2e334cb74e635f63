//! Figures, for a person: `cargo test -p hearth-worker --test environments -- speed --ignored --nocapture`.
//!
//! Each runtime's warm invocation beside its floor: the same bootstrap outside of every wall, driven by a loop of
//! blocking calls on one socket. What the platform adds is the difference.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::{Body, Rig, invocation};
use hearth_types::invoke::Invoker as _;

const ROUNDS: usize = 3_000;
const COLD_ROUNDS: usize = 10;

/// The least that a runtime can do: it answers with a constant.
const C_BOOTSTRAP: &str = r#"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#define NEXT "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
int main(void) {
    char *api = getenv("AWS_LAMBDA_RUNTIME_API"), *colon = strrchr(api, ':');
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(colon + 1))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (connect(s, (struct sockaddr *)&to, sizeof to)) return 1;
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    static char in[65536], out[1024];
    size_t have = 0;
    if (write(s, NEXT, strlen(NEXT)) < 0) return 1;
    for (;;) {
        ssize_t got = read(s, in + have, sizeof in - 1 - have);
        if (got <= 0) return 1;
        in[have += got] = 0;
        char *id = strcasestr(in, "Request-Id: ");
        char *end = id ? strstr(id, "\r\n\r\n") : 0;
        if (!end) continue;
        char *length = strcasestr(id < strcasestr(in, "200") ? in : strstr(in, "HTTP/1.1 200"), "Content-Length: ");
        if (!length || have < (size_t)(end + 4 - in) + atoi(length + 16)) continue;
        int n = snprintf(out, sizeof out, "POST /2018-06-01/runtime/invocation/%.36s/response HTTP/1.1\r\n"
            "Host: x\r\nContent-Length: 2\r\n\r\n{}" NEXT, id + 12);
        have = 0;
        if (write(s, out, n) != n) return 1;
    }
}
"#;

pub(crate) fn report() -> Body {
    Box::pin(async {
        let rig = Rig::new(|options| options.memory_bytes = 1 << 40).await;
        let dir = tempfile::tempdir().unwrap();
        for (runtime, file, source) in [
            ("provided.al2023", "bootstrap*", "C"),
            (
                "python3.11",
                "app.py",
                "def handler(event, context): return event",
            ),
            (
                "nodejs20.x",
                "app.js",
                "exports.handler = async (event) => event;",
            ),
        ] {
            let contents = if source == "C" {
                compile(dir.path())
            } else {
                source.as_bytes().to_vec()
            };
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(file.trim_end_matches('*')), &contents).unwrap();
            let floor = {
                let (runtime, folder) = (runtime.to_owned(), folder.path().to_path_buf());
                tokio::task::spawn_blocking(move || floor(&runtime, &folder))
                    .await
                    .unwrap()
            };
            let package = rig.pack_bytes(&[(file, &contents)]).await;
            if source == "C" {
                println!(
                    "behind the wall: {}",
                    shown(behind_the_wall(&rig, package).await)
                );
            }
            let deploy = || {
                rig.deploy(runtime, &[("unused", "")], |configuration| {
                    configuration.code = package;
                    // A whole processor each: with less, the figures are those of the processor's share.
                    configuration.memory_mib = 1_769;
                })
            };
            let mut cold = Vec::new();
            for _ in 0..COLD_ROUNDS {
                let function = deploy().await;
                rig.worker.prepare(function.clone()).await.unwrap();
                let began = Instant::now();
                rig.invoke(&function, json!({})).await.unwrap();
                cold.push(began.elapsed());
                rig.worker
                    .retire(&crate::rig::key(), function.version, None);
            }
            let function = deploy().await;
            rig.invoke(&function, json!({})).await.unwrap();
            let mut warm = Vec::with_capacity(ROUNDS);
            let mut inside = Vec::with_capacity(ROUNDS);
            // From a task of its own, as a server would: `block_on`'s thread is woken by other means.
            let (warm, inside) = tokio::spawn({
                let (worker, function) = (rig.worker.clone(), function.clone());
                async move {
                    for _ in 0..ROUNDS {
                        let mut invocation = invocation(&function, json!({"hello": "world"}));
                        invocation.log_tail = false;
                        let began = Instant::now();
                        let outcome = worker.invoke(invocation).await.unwrap();
                        warm.push(began.elapsed());
                        inside.push(outcome.report.duration);
                    }
                    (warm, inside)
                }
            })
            .await
            .unwrap();
            println!(
                "{runtime}: floor {}; warm invoke() to outcome {}, of it handed over to answered {}; cold {}",
                shown(floor),
                shown(warm),
                shown(inside),
                shown(cold)
            );
            for callers in [1_usize, 16, 64] {
                let began = Instant::now();
                let each = 6_400 / callers;
                let tasks: Vec<_> = (0..callers)
                    .map(|_| {
                        let (worker, function) = (rig.worker.clone(), function.clone());
                        tokio::spawn(async move {
                            for _ in 0..each {
                                worker
                                    .invoke(invocation(&function, json!({})))
                                    .await
                                    .unwrap();
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                let rate = (each * callers) as f64 / began.elapsed().as_secs_f64();
                println!(
                    "{runtime}: {callers} callers: {rate:.0}/s with {} environments",
                    rig.stats().environments
                );
            }
        }
        rig.end().await;
    })
}

/// Times of the same bootstrap outside of every wall, driven by a blocking loop.
fn floor(runtime: &str, folder: &std::path::Path) -> Vec<Duration> {
    let runtimes = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../runtimes");
    let mut command = if runtime.starts_with("python") {
        let mut python = Command::new("/usr/bin/python3");
        python.arg(runtimes.join("python/bootstrap.py"));
        python
    } else if runtime.starts_with("nodejs") {
        let mut node = Command::new("node");
        node.arg(runtimes.join("node/bootstrap.cjs"));
        node
    } else {
        use std::os::unix::fs::PermissionsExt as _;
        let program = folder.join("bootstrap");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Command::new(program)
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = command
        .env(
            "AWS_LAMBDA_RUNTIME_API",
            listener.local_addr().unwrap().to_string(),
        )
        .env("_HANDLER", "app.handler")
        .env("LAMBDA_TASK_ROOT", folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder)
        .spawn()
        .unwrap();
    let times = drive(&listener);
    child.kill().unwrap();
    child.wait().unwrap();
    times
}

/// Times of a loop of blocking calls that does the platform's part and no more.
fn drive(listener: &TcpListener) -> Vec<Duration> {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let mut until_next = |stream: &mut std::net::TcpStream| {
        let mut have = 0;
        while !String::from_utf8_lossy(&buffer[..have])
            .contains("GET /2018-06-01/runtime/invocation/next")
        {
            have += stream.read(&mut buffer[have..]).unwrap();
        }
    };
    until_next(&mut stream);
    let body = r#"{"hello":"world"}"#;
    let accepted = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
    let event = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: \
         00000000-0000-4000-8000-000000000000\r\nLambda-Runtime-Deadline-Ms: 99999999999999\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:hello\r\n\
         Lambda-Runtime-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            stream.write_all(event.as_bytes()).unwrap();
            until_next(&mut stream);
            let took = began.elapsed();
            stream.write_all(accepted.as_bytes()).unwrap();
            took
        })
        .collect()
}

/// Times of the least bootstrap behind the wall, driven by the same loop: what the wall alone costs.
async fn behind_the_wall(rig: &Rig, package: hearth_types::function::Package) -> Vec<Duration> {
    let code = rig.packages.unpacked(&package).await.unwrap();
    let spec = hearth_sandbox::Spec {
        name: "floor".to_owned(),
        code: code.path().to_path_buf(),
        layers: None,
        mounts: Vec::new(),
        folders: Vec::new(),
        argv: vec!["/var/task/bootstrap".to_owned()],
        env: vec![(
            "AWS_LAMBDA_RUNTIME_API".to_owned(),
            "127.0.0.1:9001".to_owned(),
        )],
        memory_mib: 1_769,
        tmp_mib: 512,
        network: hearth_sandbox::Network::None,
        start_cpu: hearth_sandbox::StartCpu::Share,
    };
    let mut sandbox = rig.launcher.launch(spec).await.unwrap();
    let listener = sandbox.take_runtime_api().unwrap();
    listener.set_nonblocking(false).unwrap();
    let times = tokio::task::spawn_blocking(move || drive(&listener))
        .await
        .unwrap();
    sandbox.destroy().await;
    times
}

fn compile(dir: &std::path::Path) -> Vec<u8> {
    let (source, program) = (dir.join("bootstrap.c"), dir.join("bootstrap"));
    std::fs::write(&source, C_BOOTSTRAP).unwrap();
    let status = Command::new("cc")
        .args(["-O2", "-D_GNU_SOURCE", "-o"])
        .args([&program, &source])
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(program).unwrap()
}

fn shown(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    format!("p50 {:.3} ms p99 {:.3} ms", at(50), at(99))
}
