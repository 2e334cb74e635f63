//! Requests at function URLs: events and results, streams, signatures, CORS.

#![allow(clippy::unwrap_used, reason = "code of tests")]

mod node;

use std::sync::atomic::Ordering;

use hearth_types::wire::lambda::{
    AddPermissionRequest, Cors, FunctionUrlConfigRequest, PutFunctionConcurrencyRequest,
};
use node::{Node, PATIENCE, Request, Signer, scope};
use serde_json::{Value, json};

/// A URL of one of the node's functions.
struct Url {
    id: String,
}

impl Url {
    async fn create(node: &Node, function: &str, auth: &str, cors: Option<Cors>) -> Self {
        let request = FunctionUrlConfigRequest {
            auth_type: Some(auth.to_owned()),
            cors,
            ..FunctionUrlConfigRequest::default()
        };
        let function = function.parse().unwrap();
        let created = node
            .registry
            .create_function_url(&scope(), &function, None, request)
            .await
            .unwrap();
        Self {
            id: created.id().to_string(),
        }
    }

    /// A URL that everyone may use.
    async fn open(node: &Node, function: &str) -> Self {
        Self::open_with(node, function, None).await
    }

    async fn open_with(node: &Node, function: &str, cors: Option<Cors>) -> Self {
        let url = Self::create(node, function, "NONE", cors).await;
        for action in ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"] {
            allow(node, function, action).await;
        }
        url
    }

    fn host(&self) -> String {
        format!("{}.lambda-url.us-east-1.localhost", self.id)
    }

    fn path(&self, path: &str) -> String {
        format!("/_url/{}{path}", self.id)
    }

    /// A request by the URL's host.
    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
        let mut request = Request::new(method, path, headers, body);
        request.headers.insert(0, ("host".to_owned(), self.host()));
        request
    }

    async fn ask(
        &self,
        node: &Node,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> node::Answer {
        let mut wire = node.connect().await;
        wire.send(&self.request(method, path, headers, body).to_bytes())
            .await;
        if method == "HEAD" {
            return wire.head_answer().await;
        }
        wire.answer().await
    }
}

async fn allow(node: &Node, function: &str, action: &str) {
    let request = AddPermissionRequest {
        statement_id: Some(action.replace(':', "-")),
        action: Some(action.to_owned()),
        principal: Some("*".to_owned()),
        ..AddPermissionRequest::default()
    };
    node.registry
        .add_permission(&scope(), &function.parse().unwrap(), None, request)
        .await
        .unwrap();
}

/// What the function is told to return.
async fn returned(node: &Node, url: &Url, result: &Value) -> node::Answer {
    let text = [("content-type", "text/plain")];
    url.ask(
        node,
        "POST",
        "/return",
        &text,
        result.to_string().as_bytes(),
    )
    .await
}

#[tokio::test]
async fn a_request_becomes_an_event_by_host_and_by_path() {
    let node = Node::start().await;
    let url = Url::open(&node, "f").await;
    let spoofed = [
        ("user-agent", "test"),
        ("x-amzn-requestid", "forged"),
        ("x-hearth-account", "forged"),
        ("lambda-runtime-aws-request-id", "forged"),
        ("x-amzn-trace-id", "Root=forged"),
        ("connection", "x-private"),
        ("x-private", "1"),
        ("content-type", "application/json"),
    ];
    let by_host = url
        .ask(&node, "POST", "/a%20b?c=1&c=2", &spoofed, b"{\"x\":1}")
        .await;
    let mut by_path = Request::new("POST", &url.path("/a%20b?c=1&c=2"), &spoofed, b"{\"x\":1}");
    by_path
        .headers
        .insert(0, ("host".to_owned(), node.address.to_string()));
    let mut wire = node.connect().await;
    wire.send(&by_path.to_bytes()).await;
    let by_path = wire.answer().await;
    for answer in [by_host, by_path] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let event = answer.json();
        assert_eq!(event["rawPath"], "/a%20b");
        assert_eq!(event["rawQueryString"], "c=1&c=2");
        assert_eq!(event["queryStringParameters"], json!({"c": "1,2"}));
        assert_eq!(event["body"], "{\"x\":1}");
        assert_eq!(event["isBase64Encoded"], false);
        let context = &event["requestContext"];
        assert_eq!(context["domainName"], url.host());
        assert_eq!(context["apiId"], url.id);
        assert_eq!(context["accountId"], "anonymous");
        assert_eq!(context["http"]["sourceIp"], "127.0.0.1");
        assert_eq!(context["http"]["userAgent"], "test");
        assert_eq!(
            context["requestId"].as_str(),
            answer.header("x-amzn-requestid")
        );
        let headers = event["headers"].as_object().unwrap();
        let mut names: Vec<_> = headers.keys().map(String::as_str).collect();
        names.retain(|name| *name != "host");
        assert_eq!(
            names,
            [
                "content-length",
                "content-type",
                "user-agent",
                "x-amzn-trace-id",
                "x-forwarded-for",
                "x-forwarded-port",
                "x-forwarded-proto"
            ]
        );
        let trace = headers["x-amzn-trace-id"].as_str().unwrap();
        assert!(trace.starts_with("Root=1-"), "{trace}");
        assert_eq!(answer.header("x-amzn-trace-id"), Some(trace));
    }
    let last = node.player.last.lock().unwrap().clone().unwrap();
    assert!(last.invoked_arn.ends_with(":function:f"));
    assert!(last.trace_id.starts_with("Root=1-"));

    // The end of the path form is the URL's root.
    for end in ["", "?q"] {
        let mut request = Request::new("GET", &url.path(end), &[("host", "h")], b"");
        request.headers.truncate(1);
        let mut wire = node.connect().await;
        wire.send(&request.to_bytes()).await;
        assert_eq!(wire.answer().await.json()["rawPath"], "/");
    }
}

#[tokio::test]
async fn a_result_becomes_the_response() {
    let node = Node::start().await;
    let url = Url::open(&node, "f").await;
    let result = json!({
        "statusCode": 418,
        "headers": {"Content-Type": "image/png", "X-A": 1, "Content-Length": "1", "Connection": "close"},
        "cookies": ["a=1", "b=2"],
        "body": "/w==",
        "isBase64Encoded": true,
    });
    let answer = returned(&node, &url, &result).await;
    assert_eq!((answer.status, &answer.body[..]), (418, &b"\xff"[..]));
    assert_eq!(answer.header("content-type"), Some("image/png"));
    assert_eq!(answer.header("x-a"), Some("1"));
    assert_eq!(answer.header("connection"), None);
    let cookies = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie");
    assert_eq!(cookies.count(), 2);

    let answer = returned(&node, &url, &json!({"hello": "world"})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"hello": "world"}));

    for bad in [
        json!({"statusCode": 99}),
        json!({"statusCode": 101}),
        json!({"statusCode": 200, "headers": {"a": "b\r\nc: d"}}),
        json!({"statusCode": 200, "headers": {"a b": "c"}}),
        json!({"statusCode": 200, "body": {}}),
        json!({"statusCode": 200, "body": "!", "isBase64Encoded": true}),
    ] {
        let answer = returned(&node, &url, &bad).await;
        assert_eq!(answer.status, 502, "{bad}");
        assert_eq!(answer.json(), json!({"Message": "Internal Server Error"}));
    }
    let failed = url.ask(&node, "GET", "/fail", &[], b"").await;
    assert_eq!(failed.status, 502);
    assert_eq!(failed.json(), json!({"Message": "Internal Server Error"}));
    let head = url.ask(&node, "HEAD", "/", &[], b"").await;
    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn a_function_that_takes_http_streams_both_ways() {
    let node = Node::start().await;
    node.create("http-f").await;
    let url = Url::open(&node, "http-f").await;
    let seen = url
        .ask(&node, "GET", "/a?b", &[("x-hearth-account", "forged")], b"")
        .await
        .json();
    assert_eq!(seen["uri"], "/a?b");
    let mut names: Vec<_> = seen["headers"].as_object().unwrap().keys().collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-length",
            "host",
            "x-amzn-trace-id",
            "x-forwarded-for",
            "x-forwarded-port",
            "x-forwarded-proto"
        ]
    );
    let mut wire = node.connect().await;
    let request = Request::new("GET", &url.path("/a?b"), &[("host", "h")], b"");
    wire.send(&request.to_bytes()).await;
    assert_eq!(wire.answer().await.json()["uri"], "/a?b");

    // The answer begins before the request has ended.
    let mut wire = node.connect().await;
    let request = url.request("POST", "/echo", &[], b"");
    wire.send(&request.head("transfer-encoding: chunked\r\n"))
        .await;
    wire.send(b"5\r\nfirst\r\n").await;
    let first = async {
        while !wire.has(b"first") {
            wire.more().await.unwrap()
        }
    };
    tokio::time::timeout(PATIENCE, first).await.unwrap();
    wire.send(b"4\r\nlast\r\n0\r\n\r\n").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"firstlast"[..]));
    let head = url.ask(&node, "HEAD", "/endless", &[], b"").await;
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_function_and_makes_room() {
    let node = Node::start().await;
    node.create("http-f").await;
    let url = Url::open(&node, "http-f").await;
    let reserve = PutFunctionConcurrencyRequest {
        reserved_concurrent_executions: Some(1),
    };
    node.registry
        .put_function_concurrency(&scope(), &"http-f".parse().unwrap(), reserve)
        .await
        .unwrap();
    let mut wire = node.connect().await;
    wire.send(&url.request("GET", "/endless", &[], b"").to_bytes())
        .await;
    wire.more().await.unwrap();
    // It runs as long as its body has not ended.
    let refused = url.ask(&node, "GET", "/", &[], b"").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.code(), "TooManyRequestsException");
    assert!(refused.header("retry-after").is_some());
    drop(wire);
    let dropped = node.player.dropped.acquire();
    tokio::time::timeout(PATIENCE, dropped)
        .await
        .unwrap()
        .unwrap()
        .forget();
    let again = async {
        while url.ask(&node, "GET", "/", &[], b"").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn nobody_is_let_in_without_the_policy() {
    let node = Node::start().await;
    let url = Url::create(&node, "f", "NONE", None).await;
    let closed = url.ask(&node, "GET", "/", &[], b"").await;
    closed.expect(403, "AccessDeniedException");
    allow(&node, "f", "lambda:InvokeFunctionUrl").await;
    let closed = url.ask(&node, "GET", "/", &[], b"").await;
    closed.expect(403, "AccessDeniedException");
    allow(&node, "f", "lambda:InvokeFunction").await;
    assert_eq!(url.ask(&node, "GET", "/", &[], b"").await.status, 200);
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn with_aws_iam_the_signer_is_known() {
    let node = Node::start().await;
    node.create("http-f").await;
    let url = Url::create(&node, "f", "AWS_IAM", None).await;
    let unsigned = url.ask(&node, "GET", "/", &[], b"").await;
    let unsigned = unsigned.expect(403, "MissingAuthenticationTokenException");
    assert!(unsigned.json()["Message"].is_string());
    let answer = node
        .call("POST", &url.path("/x?b=2&a=1"), &[], b"body")
        .await;
    assert_eq!(answer.status, 200);
    let event = answer.json();
    assert_eq!(event["rawPath"], "/x");
    assert_eq!(event["body"], "body");
    assert_eq!(event["requestContext"]["accountId"], node::ACCOUNT);
    let iam = &event["requestContext"]["authorizer"]["iam"];
    assert_eq!(iam["accessKey"], node::KEY_ID);
    assert_eq!(iam["userArn"], "arn:aws:iam::000000000000:root");
    assert!(iam["cognitoIdentity"].is_null());

    let of_logs = Signer {
        service: "logs",
        ..Signer::default()
    };
    let request = Request::new("GET", &url.path("/"), &[], b"").signed_by(node.address, &of_logs);
    let mut wire = node.connect().await;
    wire.send(&request.to_bytes()).await;
    let refused = wire.answer().await;
    refused.expect(403, "InvalidSignatureException");
    // Another body than the one that was signed.
    let request = Request::new("POST", &url.path("/"), &[], b"body").signed(node.address);
    let mut wire = node.connect().await;
    let mut bytes = request.head("content-length: 4\r\n");
    bytes.extend_from_slice(b"ydob");
    wire.send(&bytes).await;
    let refused = wire.answer().await;
    refused.expect(403, "InvalidSignatureException");

    let direct = Url::create(&node, "http-f", "AWS_IAM", None).await;
    let answer = node.call("POST", &direct.path("/echo"), &[], b"body").await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"body"[..]));
}

#[tokio::test]
async fn browsers_are_answered_by_the_urls_rules() {
    let node = Node::start().await;
    node.create("http-f").await;
    let cors = Cors {
        allow_origins: Some(vec!["https://site.example".to_owned()]),
        allow_methods: Some(vec!["GET".to_owned(), "PUT".to_owned()]),
        max_age: Some(600),
        ..Cors::default()
    };
    let url = Url::open_with(&node, "http-f", Some(cors)).await;
    let preflight = [
        ("origin", "https://site.example"),
        ("access-control-request-method", "PUT"),
    ];
    let answer = url.ask(&node, "OPTIONS", "/lie", &preflight, b"").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://site.example")
    );
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET,PUT")
    );
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    // The function was not asked.
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);

    let answer = url.ask(&node, "GET", "/lie", &preflight[..1], b"").await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://site.example")
    );
    let other = [("origin", "https://other.example")];
    let answer = url.ask(&node, "GET", "/lie", &other, b"").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    // Without a preflight, OPTIONS is the function's.
    let options = url.ask(&node, "OPTIONS", "/", &[], b"").await;
    assert_eq!(options.json()["method"], "OPTIONS");
}

#[tokio::test]
async fn a_function_that_may_not_run_is_not_run() {
    let node = Node::start().await;
    let url = Url::open(&node, "f").await;
    let reserve = PutFunctionConcurrencyRequest {
        reserved_concurrent_executions: Some(0),
    };
    node.registry
        .put_function_concurrency(&scope(), &"f".parse().unwrap(), reserve)
        .await
        .unwrap();
    let answer = url.ask(&node, "POST", "/", &[], b"x").await;
    answer.expect(429, "TooManyRequestsException");
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
}
