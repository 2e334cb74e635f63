//! Runtimes that misbehave: what they do ends their own invocation, and nothing else.

use serde_json::json;

use crate::rig::{Rig, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        calls_out_of_turn_are_refused,
        answers_that_are_not_json_are_passed_on,
        an_answer_and_the_next_question_in_one_write,
        a_streaming_response_with_an_error_at_its_end,
        a_connection_that_breaks_in_the_middle_of_an_answer,
        a_body_that_never_ends,
        a_body_without_bound,
        garbage_and_floods_of_headers,
        more_connections_than_there_are_places,
        a_fork_bomb,
    ]
}

async fn calls_out_of_turn_are_refused() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
peer = Peer()
other = Peer()
said = []
def note(answer):
    said.append([answer[0], json.loads(answer[2]).get("errorType")])
note(peer.ask("POST", "invocation/00000000-0000-0000-0000-000000000000/response", b"early"))
id, event = peer.next()
note(other.ask("GET", "invocation/next"))
note(other.ask("POST", "invocation/%s/response" % id[::-1], b"wrong id"))
note(other.ask("POST", "init/error", b"{}"))
note(other.ask("GET", "restore/next"))
for method, path in [("GET", "invocation/%s/response" % id), ("GET", "nothing/there"), ("PUT", "invocation/next")]:
    said.append(other.ask(method, path)[0])
first = said[:]
peer.respond(id, first)
note(other.ask("POST", "invocation/%s/response" % id, b"again"))
note(other.ask("POST", "invocation/%s/error" % id, b"again"))
id, event = peer.next()
peer.respond(id, said)
peer.next()
"#;
    let function = rig.own_bootstrap(source, |_| {}).await;
    let expected = json!([
        [400, "InvalidRequestID"],
        [403, "InvalidStateTransition"],
        [400, "InvalidRequestID"],
        [403, "InvalidStateTransition"],
        [403, "InvalidStateTransition"],
        405,
        404,
        405
    ]);
    assert_eq!(rig.result(&function, json!({})).await, expected);
    let all = rig.result(&function, json!({})).await;
    assert_eq!(
        all.as_array().unwrap()[8..],
        [
            json!([403, "InvalidStateTransition"]),
            json!([403, "InvalidStateTransition"])
        ]
    );
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn answers_that_are_not_json_are_passed_on() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
peer = Peer()
id, event = peer.next()
peer.ask("POST", "invocation/%s/response" % id, bytes(range(256)))
id, event = peer.next()
peer.ask("POST", "invocation/%s/response" % id, b"")
id, event = peer.next()
peer.ask("POST", "invocation/%s/error" % id, b"", "Lambda-Runtime-Function-Error-Type: Function.Odd\r\n")
peer.next()
"#;
    let function = rig.own_bootstrap(source, |_| {}).await;
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(
        rig.invoke(&function, json!({}))
            .await
            .unwrap()
            .outcome
            .payload,
        all
    );
    let empty = rig.invoke(&function, json!({})).await.unwrap();
    assert_eq!(
        (empty.outcome.payload.len(), empty.outcome.error),
        (0, None)
    );
    let error = rig.invoke(&function, json!({})).await.unwrap();
    assert_eq!(error.error(), ("Function.Odd".to_owned(), String::new()));
    rig.end().await;
}

async fn an_answer_and_the_next_question_in_one_write() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
peer = Peer()
id, event = peer.next()
while True:
    body = json.dumps([event, "y" * event]).encode()
    peer.send(b"POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s"
        b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n" % (id.encode(), len(body), body))
    assert peer.answer()[0] == 202
    status, headers, body = peer.answer()
    id, event = headers["Lambda-Runtime-Aws-Request-Id"], json.loads(body)
"#;
    let function = rig.own_bootstrap(source, |_| {}).await;
    for size in [0, 1, 100_000, 2, 5_000_000, 3] {
        let result = rig.result(&function, json!(size)).await;
        assert_eq!(result[0], json!(size));
        assert_eq!(result[1].as_str().unwrap().len(), size);
    }
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn a_streaming_response_with_an_error_at_its_end() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
import base64
peer = Peer()
def stream(id, parts, trailers):
    peer.send(("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n" % id).encode())
    for part in parts:
        peer.send(b"%x\r\n%s\r\n" % (len(part), part))
        time.sleep(0.01)
    peer.send(b"0\r\n" + trailers + b"\r\n")
    assert peer.answer()[0] == 202
id, event = peer.next()
stream(id, [b'"one', b' two', b' three"'], b"")
id, event = peer.next()
body = base64.b64encode(b'{"errorType":"Late","errorMessage":"half way"}')
stream(id, [b"half"], b"Lambda-Runtime-Function-Error-Type: Late\r\nLambda-Runtime-Function-Error-Body: " + body + b"\r\n")
id, event = peer.next()
odd = peer.ask("POST", "invocation/%s/response" % id, b"x", "Lambda-Runtime-Function-Response-Mode: odd\r\n")
assert odd[0] == 400, odd
peer.respond(id, json.loads(odd[2])["errorType"])
peer.next()
"#;
    let function = rig.own_bootstrap(source, |_| {}).await;
    assert_eq!(
        rig.result(&function, json!({})).await,
        json!("one two three")
    );
    let late = rig.invoke(&function, json!({})).await.unwrap();
    assert_eq!(late.error(), ("Late".to_owned(), "half way".to_owned()));
    assert_eq!(
        rig.result(&function, json!({})).await,
        json!("InvalidFunctionResponseMode")
    );
    rig.end().await;
}

async fn a_connection_that_breaks_in_the_middle_of_an_answer() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
while True:
    peer = Peer()
    id, event = peer.next()
    breaks = Peer()
    breaks.send(("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf" % id).encode())
    breaks.socket.close()
    breaks.file.close()
    while True:
        status, headers, body = peer.respond(id, "whole")
        if status == 202:
            break
        time.sleep(0.01)
"#;
    let function = rig.own_bootstrap(source, |_| {}).await;
    for _ in 0..3 {
        assert_eq!(rig.result(&function, json!({})).await, json!("whole"));
    }
    rig.end().await;
}

async fn a_body_that_never_ends() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
peer = Peer()
id, event = peer.next()
peer.send(("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf" % id).encode())
time.sleep(1000)
"#;
    let function = rig
        .own_bootstrap(source, |configuration| configuration.timeout_s = 1)
        .await;
    assert_eq!(
        rig.invoke(&function, json!({})).await.unwrap().error().0,
        "Sandbox.Timedout"
    );
    rig.end().await;
}

async fn a_body_without_bound() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
peer = Peer()
id, event = peer.next()
peer.send(("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % id).encode())
part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
while True:
    peer.send(part)
"#;
    let function = rig.own_bootstrap(source, |_| {}).await;
    let ended = rig.invoke(&function, json!({})).await.unwrap();
    assert_eq!(ended.error().0, "Function.ResponseSizeTooLarge");
    rig.until("its connection was cut, and it with it", |stats| {
        stats.environments == 0
    })
    .await;
    rig.end().await;
}

async fn garbage_and_floods_of_headers() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
def throw(data):
    peer = Peer()
    try:
        for part in data:
            peer.send(part)
        peer.socket.shutdown(socket.SHUT_WR)
        return peer.file.read(12).decode()
    except OSError:
        return "cut"
peer = Peer()
while True:
    id, event = peer.next()
    said = [
        throw([b"\0\xff garbage \r\n\r\n"]),
        throw([b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"] + [b"X-%d: y\r\n" % n for n in range(5000)]),
        throw([b"GET /" + b"a" * 10_000_000 + b" HTTP/1.1\r\n\r\n"]),
        throw([b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: -1\r\n\r\n"]),
        throw([b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n"]),
    ]
    peer.respond(id, said)
"#;
    let function = rig.own_bootstrap(source, |_| {}).await;
    for _ in 0..2 {
        let said = rig.result(&function, json!({})).await;
        for (at, answer) in said.as_array().unwrap().iter().enumerate() {
            let answer = answer.as_str().unwrap();
            assert!(
                answer.is_empty() || answer == "cut" || answer.starts_with("HTTP/1.1 4"),
                "{at}: {answer}"
            );
        }
    }
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn more_connections_than_there_are_places() {
    let rig = Rig::new(|_| {}).await;
    let source = r#"
peer = Peer()
while True:
    id, event = peer.next()
    held = []
    for n in range(200):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", 9001))
        held.append(s)
    for s in held:
        s.close()
    peer.respond(id, len(held))
"#;
    let function = rig.own_bootstrap(source, |_| {}).await;
    for _ in 0..3 {
        assert_eq!(rig.result(&function, json!({})).await, json!(200));
    }
    rig.end().await;
}

async fn a_fork_bomb() {
    let rig = Rig::new(|_| {}).await;
    let bomb = rig
        .deploy(
            crate::rig::PYTHON,
            &[(
                "app.py",
                "import os\ndef handler(event, context):\n    while True:\n        try: os.fork()\n        \
                 except OSError: pass",
            )],
            |configuration| configuration.timeout_s = 1,
        )
        .await;
    let ended = rig.invoke(&bomb, json!({})).await.unwrap();
    let kind = ended.error().0;
    assert!(
        ["Sandbox.Timedout", "Runtime.OutOfMemory"].contains(&kind.as_str()),
        "{kind}"
    );
    let victim = rig
        .python("def handler(event, context): return 'well'")
        .await;
    assert_eq!(rig.result(&victim, json!({})).await, json!("well"));
    rig.end().await;
}
