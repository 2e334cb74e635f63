//! Several invocations at the same time in one environment of a function that takes events.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hearth_types::function::{Configuration, Deployment};
use hearth_types::invoke::Invoker as _;
use hearth_types::walls::{NetworkAccess, Walls};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::concurrency::meeting;
use crate::rig::{CLIENT, MEET, PYTHON, Rig, gate, invocation, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        invocations_meet_in_one_environment,
        more_than_it_has_places_for_start_another,
        each_has_its_own_start_end_and_report,
        a_runtime_that_asks_for_one_at_a_time_gets_one_at_a_time,
        a_runtime_that_asks_for_more_than_it_may_is_refused,
        answers_reach_those_that_they_are_for,
        one_whose_time_is_up_leaves_the_others_alone,
        a_place_comes_back_when_its_late_answer_has,
        a_runtime_that_is_stuck_is_let_go,
        a_process_that_ends_ends_all_that_runs_in_it,
        a_worker_that_dies_keeps_nobody_waiting,
        many_large_answers_all_arrive,
    ]
}

/// A function of which one environment runs `most` at once.
async fn several(
    rig: &Rig,
    runtime: &str,
    (name, source): (&str, &str),
    most: u32,
    change: impl FnOnce(&mut Configuration),
) -> Arc<Deployment> {
    let walls = Walls {
        network: NetworkAccess::None,
        concurrency: Some(most),
        ..Walls::default()
    };
    let code = rig.pack(&[(name, source)]).await;
    rig.deploy_package(runtime, code, walls, change)
}

async fn python(rig: &Rig, source: &str, most: u32) -> Arc<Deployment> {
    several(rig, PYTHON, ("app.py", source), most, |_| {}).await
}

/// A bootstrap with [`CLIENT`] in front, and threads.
async fn bootstrap(
    rig: &Rig,
    source: &str,
    most: u32,
    change: impl FnOnce(&mut Configuration),
) -> Arc<Deployment> {
    let text = format!("#!/usr/bin/python3 -u\n{CLIENT}\nimport threading\n{source}");
    several(rig, "provided.al2023", ("bootstrap*", &text), most, change).await
}

async fn all(rig: &Rig, function: &Arc<Deployment>, events: Vec<Value>) -> Vec<Value> {
    let calls = events.into_iter().map(|event| rig.result(function, event));
    futures_util::future::join_all(calls).await
}

fn different(values: &[Value]) -> usize {
    values.iter().collect::<HashSet<_>>().len()
}

async fn invocations_meet_in_one_environment() {
    let rig = Rig::new(meeting(Arc::new(Barrier::new(10)))).await;
    let function = python(&rig, MEET, 10).await;
    for _ in 0..3 {
        let met = all(&rig, &function, vec![json!("meet"); 10]).await;
        assert_eq!(different(&met), 1);
    }
    assert_eq!(rig.stats().started, 1);
    rig.until("it is idle", |stats| stats.idle == 1).await;
    rig.end().await;
}

async fn more_than_it_has_places_for_start_another() {
    let rig = Rig::new(meeting(Arc::new(Barrier::new(11)))).await;
    let function = python(&rig, MEET, 10).await;
    let met = all(&rig, &function, vec![json!("meet"); 11]).await;
    assert_eq!(different(&met), 2);
    assert_eq!(rig.stats().started, 2);
    rig.end().await;
}

async fn each_has_its_own_start_end_and_report() {
    let rig = Rig::new(meeting(Arc::new(Barrier::new(3)))).await;
    let function = python(&rig, MEET, 3).await;
    let ended = futures_util::future::join_all(
        (0..3).map(|_| async { rig.invoke(&function, json!("meet")).await.unwrap() }),
    )
    .await;
    let log = rig.log().await;
    for one in &ended {
        one.result();
        let mine: Vec<_> = log
            .iter()
            .filter(|line| line.contains(&one.request_id))
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(mine, ["START", "END", "REPORT"], "{log:?}");
        let tail = one.tail();
        assert!(tail.contains("REPORT RequestId: <id>"), "{tail}");
        for other in &ended {
            let foreign = other.request_id != one.request_id && tail.contains(&other.request_id);
            assert!(!foreign, "the line of another one: {tail}");
        }
    }
    rig.end().await;
}

async fn a_runtime_that_asks_for_one_at_a_time_gets_one_at_a_time() {
    let rig = Rig::new(meeting(Arc::new(Barrier::new(3)))).await;
    let serial = r#"
ME = os.urandom(8).hex()
peer = Peer()
while True:
    id, event = peer.next()
    if event == "meet":
        s = socket.create_connection(("127.0.0.1", 9002))
        s.sendall(b"!")
        assert s.recv(1) == b"!"
    peer.respond(id, ME)
"#;
    let function = bootstrap(&rig, serial, 10, |_| {}).await;
    // Nobody waits for a place that is never asked for.
    let met = all(&rig, &function, vec![json!("meet"); 3]).await;
    assert_eq!(different(&met), 3);
    rig.until("all are idle", |stats| stats.idle == 3).await;
    let apart = all(&rig, &function, vec![json!("short"); 3]).await;
    assert!(apart.iter().all(|one| met.contains(one)));
    rig.end().await;
}

async fn a_runtime_that_asks_for_more_than_it_may_is_refused() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
def wait(peer):
    peer.send(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
first, second, third = Peer(), Peer(), Peer()
wait(first)
wait(second)
time.sleep(0.2)
refused = third.ask("GET", "invocation/next")
while True:
    for peer in (first, second):
        peer.socket.settimeout(0.05)
        try:
            status, headers, body = peer.answer()
        except OSError:
            peer.file = peer.socket.makefile("rb")
            continue
        peer.socket.settimeout(None)
        peer.respond(headers["Lambda-Runtime-Aws-Request-Id"], [refused[0], json.loads(refused[2])["errorType"]])
        wait(peer)
"#;
    let function = bootstrap(&rig, source, 2, |_| {}).await;
    for answer in all(&rig, &function, vec![json!(null); 4]).await {
        assert_eq!(answer, json!([403, "InvalidStateTransition"]));
    }
    rig.end().await;
}

/// Workers that meet before they answer, each with the answer of the one that came before it in the round.
const SWAPPING: &str = r#"
barrier = threading.Barrier(4)
running, said = {}, []
def worker():
    peer = Peer()
    while True:
        id, event = peer.next()
        running[id] = event
        if barrier.wait() == 0:
            # One worker answers for all, some twice, and in an order of its own.
            for id, event in sorted(running.items(), reverse=True):
                status = peer.respond(id, event)[0]
                again = peer.ask("POST", "invocation/%s/error" % id, b"{}")
                said.append([status, again[0], json.loads(again[2])["errorType"]])
            for id in ("00000000-0000-0000-0000-000000000000", id[::-1], "%2e%2e", ""):
                said.append(peer.ask("POST", "invocation/%s/response" % id, b"null")[0])
            running.clear()
            print(json.dumps(said), flush=True)
        barrier.wait()
for _ in range(3): threading.Thread(target=worker).start()
worker()
"#;

async fn answers_reach_those_that_they_are_for() {
    let rig = Rig::new(|_| {}).await;
    let function = bootstrap(&rig, SWAPPING, 4, |_| {}).await;
    for round in 0..5 {
        let events: Vec<_> = (0..4).map(|n| json!([round, n])).collect();
        assert_eq!(all(&rig, &function, events.clone()).await, events);
    }
    assert_eq!(rig.stats().started, 1);
    let log = rig.log().await;
    let said: Value = log
        .iter()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap();
    for said in said.as_array().unwrap() {
        match said {
            Value::Number(status) => assert_eq!(status, &400.into()),
            said => assert_eq!(*said, json!([202, 403, "InvalidStateTransition"])),
        }
    }
    rig.end().await;
}

/// Asks the door and waits for its answer, as a thread among others.
const WAITS: &str = "import os, socket\nME = os.urandom(8).hex()\n\
                     def handler(event, context):\n    if event == 'meet':\n        \
                     s = socket.create_connection(('127.0.0.1', 9002))\n        s.sendall(b'!')\n        s.recv(1)\n    \
                     return ME";

fn short_timeout(configuration: &mut Configuration) {
    configuration.timeout_s = 1;
}

async fn one_whose_time_is_up_leaves_the_others_alone() {
    let (gate, change) = gate();
    let rig = Rig::new(change).await;
    let function = several(&rig, PYTHON, ("app.py", WAITS), 4, short_timeout).await;
    let me = rig.result(&function, json!(null)).await;
    let late = rig.invoke(&function, json!("meet"));
    let others = async {
        let mut ended = 0;
        // As long as it runs, and a little longer.
        for _ in 0..24 {
            assert_eq!(rig.result(&function, json!(ended)).await, me);
            ended += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (late, ()) = tokio::join!(late, others);
    let late = late.unwrap();
    let (kind, message) = late.error();
    assert_eq!(kind, "Sandbox.Timedout");
    assert_eq!(
        message,
        "RequestId: <id> Error: Task timed out after 1.00 seconds"
    );
    gate.open.notify_one();
    rig.end().await;
}

async fn a_place_comes_back_when_its_late_answer_has() {
    let (gate, change) = gate();
    let rig = Rig::new(change).await;
    let source = r#"
ME = os.urandom(8).hex()
late = []
def worker():
    peer = Peer()
    while True:
        id, event = peer.next()
        if event == "meet":
            s = socket.create_connection(("127.0.0.1", 9002))
            s.sendall(b"!")
            s.recv(1)
            answer = peer.respond(id, ME)
            again = peer.respond(id, ME)
            late.append([answer[0], json.loads(answer[2])["errorType"], again[0] in (400, 403)])
        elif event == "busy":
            time.sleep(0.3)
            peer.respond(id, ME)
        else:
            peer.respond(id, [ME, late])
for _ in range(2): threading.Thread(target=worker).start()
worker()
"#;
    let function = bootstrap(&rig, source, 3, short_timeout).await;
    let me = rig.result(&function, json!(null)).await[0].clone();
    // Something runs all the time, so that the environment goes on.
    let busy = async {
        for _ in 0..10 {
            assert_eq!(rig.result(&function, json!("busy")).await, me);
        }
    };
    let late = async {
        let ended = rig.invoke(&function, json!("meet")).await.unwrap();
        assert_eq!(ended.error().0, "Sandbox.Timedout");
        gate.open.notify_one();
        loop {
            let seen = rig.result(&function, json!(null)).await;
            assert_eq!(seen[0], me);
            if seen[1] != json!([]) {
                break seen[1].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ((), late) = tokio::join!(busy, late);
    assert_eq!(late, json!([[410, "InvokeTimeout", true]]));
    rig.until("it is idle, with all of its places", |stats| {
        stats.idle == 1 && stats.environments == 1
    })
    .await;
    rig.end().await;
}

async fn a_runtime_that_is_stuck_is_let_go() {
    let rig = Rig::new(|_| {}).await;
    let source = "import os, threading, time\nME, meeting = os.urandom(8).hex(), threading.Barrier(4)\n\
                  def handler(event, context):\n    if event == 'all': meeting.wait()\n    \
                  if event == 'stuck': time.sleep(1000)\n    return ME";
    let function = several(&rig, PYTHON, ("app.py", source), 4, short_timeout).await;
    let me = all(&rig, &function, vec![json!("all"); 4]).await[0].clone();
    // Until it has asked everywhere: nothing is heard of it from here on.
    rig.until("all places are free", |stats| stats.idle == 1)
        .await;
    let stuck = (0..2).map(|_| rig.invoke(&function, json!("stuck")));
    for ended in futures_util::future::join_all(stuck).await {
        assert_eq!(ended.unwrap().error().0, "Sandbox.Timedout");
    }
    assert_ne!(rig.result(&function, json!(null)).await, me);
    rig.until("the first is gone", |stats| stats.environments == 1)
        .await;
    rig.end().await;
}

async fn a_process_that_ends_ends_all_that_runs_in_it() {
    let (gate, change) = gate();
    let rig = Rig::new(change).await;
    let source = format!("{WAITS}\n").replace(
        "    return ME",
        "    if event == 'exit': os._exit(3)\n    return ME",
    );
    let function = python(&rig, &source, 4).await;
    let me = rig.result(&function, json!(null)).await;
    let running = tokio::spawn({
        let worker = rig.worker.clone();
        let invocation = invocation(&function, json!("meet"));
        async move { worker.invoke(invocation).await }
    });
    gate.asked.notified().await;
    let ended = rig.invoke(&function, json!("exit")).await.unwrap();
    let exited = (
        "Runtime.ExitError".to_owned(),
        "RequestId: <id> Error: Runtime exited with error: exit status 3".to_owned(),
    );
    assert_eq!(ended.error(), exited);
    let other = running.await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&other.payload).contains("Runtime.ExitError"));
    assert_ne!(rig.result(&function, json!(null)).await, me);
    rig.end().await;
}

async fn a_worker_that_dies_keeps_nobody_waiting() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
ME = os.urandom(8).hex()
def worker():
    peer = Peer()
    while True:
        id, event = peer.next()
        peer.respond(id, ME)
        if event == "die":
            # It asks for another one, and is gone before it comes.
            peer.send(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
            peer.socket.shutdown(socket.SHUT_RDWR)
            return
for _ in range(3): threading.Thread(target=worker).start()
"#;
    let function = bootstrap(&rig, source, 3, |_| {}).await;
    let me = rig.result(&function, json!(null)).await;
    for dead in 1..3 {
        assert_eq!(rig.result(&function, json!("die")).await, me);
        // Until the platform knows that its connection is gone.
        tokio::time::sleep(Duration::from_millis(200)).await;
        for _ in 0..10 {
            for one in all(&rig, &function, vec![json!(null); 3]).await {
                assert_eq!(one, me, "{dead} are dead");
            }
        }
    }
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn many_large_answers_all_arrive() {
    let rig = Rig::new(|_| {}).await;
    // More of them than are read at the same time.
    let source = "import threading\nmeeting = threading.Barrier(24)\n\
                  def handler(event, context):\n    meeting.wait()\n    return chr(65 + event) * 1000000";
    let function = several(&rig, PYTHON, ("app.py", source), 24, |own| {
        own.memory_mib = 512;
    })
    .await;
    let answers = all(&rig, &function, (0..24).map(|n| json!(n)).collect()).await;
    for (n, answer) in (b'A'..).zip(answers) {
        let text = answer.as_str().unwrap();
        assert!(text.len() == 1_000_000 && text.bytes().all(|byte| byte == n));
    }
    rig.end().await;
}
